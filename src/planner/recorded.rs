//! Replay of a recorded request: the files that it names are found, at their recorded path or next
//! to the image, and those that have changed are reported.

use std::path::{Path, PathBuf};

use super::Plan;
use crate::adapters;
use crate::error::{Error, Result};
use crate::hash::sha256_of_file;
use crate::image::ImageSource;
use crate::imaging::MaskSource;
use crate::output::metadata::Record;
use crate::params::{Adapter, Params};

/// An image's record, the image, and the parameters that override the record.
#[derive(Clone, Copy)]
pub struct Recorded<'a> {
    /// Metadata stored in the image.
    pub record: &'a Record,
    /// Path of the image; its input files may be next to it.
    pub image: &'a Path,
    /// Parameters that override the recorded ones.
    pub over: &'a Params,
}

impl Recorded<'_> {
    /// Returns the parameters that reproduce the image, with the current path of each file.
    ///
    /// # Errors
    /// A file that is missing, by field and name; a record of another version.
    pub fn params(&self) -> Result<Params> {
        let mut request = self.record.request()?;
        let hashes = &self.record.inputs;
        let hash = |field: &str| hashes.get(field).map(String::as_str);
        if let Some(init) = &mut request.init {
            self.find_image("init_image", &mut init.image, hash("init_image"))?;
            if let Some(MaskSource::File(mask)) = init.mask.as_mut().map(|mask| &mut mask.source) {
                self.find_image("mask", mask, hash("mask"))?;
            }
        }
        for (i, control) in request.controls.iter_mut().enumerate() {
            let key = if i == 0 {
                "control".to_owned()
            } else {
                format!("control_{}", i + 1)
            };
            self.find_image("control", &mut control.image, hash(&key))?;
        }
        if let Some(picture) = &mut request.picture_prompt {
            self.find_image("ip_image", &mut picture.image, hash("ip_image"))?;
        }
        for lora in &mut request.loras {
            self.find_lora(lora)?;
        }
        for embedding in &mut request.embeddings {
            self.find_file("embedding", &mut embedding.file, embedding.hash.as_deref())?;
        }
        Ok(request.params())
    }

    /// Replaces the recorded path of an image, as [`Self::find_file`] does.
    fn find_image(&self, field: &str, image: &mut ImageSource, hash: Option<&str>) -> Result<()> {
        match image.path_mut() {
            Some(path) => self.find_file(field, path, hash),
            None => Ok(()),
        }
    }

    /// Replaces the recorded path by the current path of the file.
    fn find_file(&self, field: &str, path: &mut String, hash: Option<&str>) -> Result<()> {
        if self.over.has(field) {
            return Ok(());
        }
        if let Some(found) = self.current_path(path, hash) {
            *path = found;
            return Ok(());
        }
        let message = format!(
            "the picture was made with `{path}`, which is neither there nor next to the image"
        );
        let flag = field.replace('_', "-");
        Err(Error::field(field, message).hint(format!(
            "put it next to `{}`, or name it with `--{flag}`",
            self.image.display()
        )))
    }

    /// Replaces the path of a LoRA, which may also be in the folder `lora_dir` or on the hub.
    fn find_lora(&self, lora: &mut Adapter) -> Result<()> {
        let named = |folder: &String| adapters::find_lora(Path::new(folder), &lora.name);
        let there = self.current_path(&lora.file, lora.hash.as_deref());
        match (there, self.over.lora_dir.as_ref()) {
            (Some(found), _) => lora.file = found,
            (None, _) if self.over.has("lora") || is_of_hub(&lora.file) => {}
            (None, Some(folder)) => lora.file = named(folder)?.to_string_lossy().into_owned(),
            (None, None) => self.find_file("lora", &mut lora.file, None)?,
        }
        Ok(())
    }

    /// Current path of a file: the recorded path, or one next to the image; a file with the
    /// recorded content comes first.
    fn current_path(&self, recorded: &str, hash: Option<&str>) -> Option<String> {
        let folder = self.image.parent().unwrap_or(Path::new(""));
        // A record may come from a system with another path separator.
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
        let same = |path: &&PathBuf| {
            hash.is_some_and(|hash| sha256_of_file(path).is_ok_and(|own| own == hash))
        };
        let found = there.iter().find(same).or(there.first())?;
        Some(found.to_string_lossy().into_owned())
    }

    /// Returns the files of `plan` that differ from the recorded ones, except those that were
    /// replaced on purpose.
    ///
    /// # Errors
    /// A record of another version.
    pub fn differences(&self, plan: &Plan) -> Result<Vec<String>> {
        let mut differences = Vec::new();
        for (file, hash) in &self.record.weights {
            match plan.weights.get(file) {
                Some(ours) if ours == hash => {}
                Some(_) => differences.push(format!(
                    "the weights of `{file}` are others than those of the picture"
                )),
                None => differences.push(format!(
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
            .filter(|(field, ..)| !self.over.has(field))
        {
            let changed = theirs.iter().zip(ours).filter(|(a, b)| a.hash != b.hash);
            differences.extend(changed.map(|(adapter, _)| changed_file(field, &adapter.name)));
        }
        let field = |key: &str| {
            key.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit())
                .to_owned()
        };
        let ours = plan
            .inputs
            .iter()
            .filter(|(key, _)| !self.over.has(&field(key)));
        let changed =
            ours.filter(|(key, hash)| self.record.inputs.get(*key).is_some_and(|old| old != *hash));
        differences.extend(changed.map(|(key, _)| changed_file("picture", key)));
        Ok(differences)
    }
}

fn changed_file(what: &str, name: &str) -> String {
    format!("the {what} `{name}` is another file than when the picture was made")
}

/// Returns true if the name may be `ORG/REPO/FILE`.
fn is_of_hub(file: &str) -> bool {
    !file.starts_with(['/', '.', '~']) && file.split('/').count() > 2
}
