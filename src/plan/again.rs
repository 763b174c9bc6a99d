//! A recorded request on its way to be drawn again: the files that it names are found, at their
//! place or beside the picture, and those that are others now are told.

use std::path::{Path, PathBuf};

use super::Plan;
use crate::adapters;
use crate::error::{Error, Result};
use crate::input::MaskSource;
use crate::output::metadata::Record;
use crate::registry::sha256;
use crate::request::{Adapter, Params, given};

/// A picture's record, the picture, and what is said beside it.
#[derive(Clone, Copy)]
pub struct Recorded<'a> {
    /// What the picture says about itself.
    pub record: &'a Record,
    /// The picture; what it was made from may lie beside it.
    pub image: &'a Path,
    /// What takes the place of what is recorded.
    pub over: &'a Params,
}

impl Recorded<'_> {
    /// The parameters that ask for the picture, each file where it is now.
    ///
    /// # Errors
    /// A file that is missing, by field and name; a record of another version.
    pub fn params(&self) -> Result<Params> {
        let mut request = self.record.request()?;
        let hashes = &self.record.inputs;
        let hash = |field: &str| hashes.get(field).map(String::as_str);
        if let Some(init) = &mut request.init {
            self.find("init_image", &mut init.image, hash("init_image"))?;
            if let Some(MaskSource::File(mask)) = init.mask.as_mut().map(|mask| &mut mask.source) {
                self.find("mask", mask, hash("mask"))?;
            }
        }
        for (i, control) in request.controls.iter_mut().enumerate() {
            let key = if i == 0 {
                "control".to_owned()
            } else {
                format!("control_{}", i + 1)
            };
            self.find("control", &mut control.image, hash(&key))?;
        }
        if let Some(picture) = &mut request.picture_prompt {
            self.find("ip_image", &mut picture.image, hash("ip_image"))?;
        }
        for lora in &mut request.loras {
            self.find_lora(lora)?;
        }
        for embedding in &mut request.embeddings {
            self.find("embedding", &mut embedding.file, embedding.hash.as_deref())?;
        }
        Ok(request.params())
    }

    /// Puts the path where the file is now in the place of the recorded one.
    fn find(&self, field: &str, path: &mut String, hash: Option<&str>) -> Result<()> {
        if given(self.over, field) {
            return Ok(());
        }
        if let Some(found) = self.place(path, hash) {
            *path = found;
            return Ok(());
        }
        let message = format!(
            "the picture was made with `{path}`, which is neither there nor beside the picture"
        );
        let flag = field.replace('_', "-");
        Err(Error::field(field, message).hint(format!(
            "put it beside `{}`, or name it with `--{flag}`",
            self.image.display()
        )))
    }

    /// A LoRA may be in a folder that is named now, or on the hub.
    fn find_lora(&self, lora: &mut Adapter) -> Result<()> {
        let named = |folder: &String| adapters::named(Path::new(folder), &lora.name);
        let there = self.place(&lora.file, lora.hash.as_deref());
        match (there, self.over.lora_dir.as_ref()) {
            (Some(found), _) => lora.file = found,
            (None, _) if given(self.over, "lora") || is_of_hub(&lora.file) => {}
            (None, Some(folder)) => lora.file = named(folder)?.to_string_lossy().into_owned(),
            (None, None) => self.find("lora", &mut lora.file, None)?,
        }
        Ok(())
    }

    /// Where a file is: at its recorded place or beside the picture, first of all where its content
    /// is the recorded one.
    fn place(&self, recorded: &str, hash: Option<&str>) -> Option<String> {
        let folder = self.image.parent().unwrap_or(Path::new(""));
        // A record may come from a system that parts folders otherwise.
        let name = recorded.rsplit(['/', '\\']).next().unwrap_or(recorded);
        let places = [
            PathBuf::from(recorded),
            folder.join(recorded),
            folder.join(name),
        ];
        let mut there: Vec<PathBuf> = places.into_iter().filter(|path| path.is_file()).collect();
        there.dedup_by_key(|path| std::fs::canonicalize(path).ok());
        if let [only] = &there[..] {
            return Some(only.to_string_lossy().into_owned());
        }
        let same =
            |path: &&PathBuf| hash.is_some_and(|hash| sha256(path).is_ok_and(|own| own == hash));
        let found = there.iter().find(same).or(there.first())?;
        Some(found.to_string_lossy().into_owned())
    }

    /// What `plan` draws with that the picture was not made with, unless it was asked for.
    ///
    /// # Errors
    /// A record of another version.
    pub fn differences(&self, plan: &Plan) -> Result<Vec<String>> {
        let mut told = Vec::new();
        for (file, hash) in &self.record.weights {
            match plan.weights.get(file) {
                Some(ours) if ours == hash => {}
                Some(_) => told.push(format!(
                    "the weights of `{file}` are others than those of the picture"
                )),
                None => told.push(format!(
                    "the picture was made with `{file}`, which this model has not"
                )),
            }
        }
        let request = self.record.request()?;
        let kinds = [
            ("lora", &request.loras, &plan.request.loras),
            ("embedding", &request.embeddings, &plan.request.embeddings),
        ];
        for (field, theirs, ours) in kinds
            .into_iter()
            .filter(|(field, ..)| !given(self.over, field))
        {
            let changed = theirs.iter().zip(ours).filter(|(a, b)| a.hash != b.hash);
            told.extend(changed.map(|(adapter, _)| other(field, &adapter.name)));
        }
        let field = |key: &str| {
            key.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit())
                .to_owned()
        };
        let ours = plan
            .inputs
            .iter()
            .filter(|(key, _)| !given(self.over, &field(key)));
        let changed =
            ours.filter(|(key, hash)| self.record.inputs.get(*key).is_some_and(|old| old != *hash));
        told.extend(changed.map(|(key, _)| other("picture", key)));
        Ok(told)
    }
}

fn other(what: &str, name: &str) -> String {
    format!("the {what} `{name}` is another file than when the picture was made")
}

/// Whether a name may be `ORG/REPO/FILE`.
fn is_of_hub(file: &str) -> bool {
    !file.starts_with(['/', '.', '~']) && file.split('/').count() > 2
}
