//! Adapters of a request: finds their files, fits them to the model and reports them.

use std::path::{Path, PathBuf};

use super::Model;
use crate::adapters::{AdapterCache, Adapters, Embedding, Fitted, Hashes, Lora};
use crate::catalog::{Fetch, file_of_repository};
use crate::error::{Error, Result};
use crate::event::{Event, Observer, tell};
use crate::params::{Adapter, Checked, Request};

/// Maximum number of module names in a warning.
const LISTED: usize = 3;

/// Returns the adapters that `request` uses of those that `checked` names, fitted to `base`; records
/// files and hashes in the request.
pub(super) fn find(
    shelf: &mut AdapterCache,
    fetch: &Fetch,
    checked: &Checked,
    request: &mut Request,
    base: &Model,
    observer: &mut dyn Observer,
) -> Result<Adapters> {
    let loras = loras(shelf, fetch, request, base, observer)?;
    let prompts = [
        &request.negative_prompt,
        &request.prompt_2,
        &request.negative_prompt_2,
    ];
    let mut prompts: Vec<&str> = prompts.into_iter().filter_map(Option::as_deref).collect();
    prompts.push(&request.prompt);
    let embeddings = Embedding::read_used(checked.embedding_files(), &prompts)?;
    request.embeddings = Vec::new();
    for embedding in &embeddings {
        embedding.fits(&base.files)?;
        let used = Adapter::new(&embedding.path.to_string_lossy(), 1.0);
        request
            .embeddings
            .push(with_hashes(used, &embedding.hashes()?));
    }
    for file in checked.params.embedding.iter().flatten() {
        let path = Path::new(file);
        let is_used = embeddings.iter().any(|embedding| embedding.path == path);
        if path.is_file() && !is_used {
            let message = format!("embedding `{file}` does not count: its word is in no prompt");
            tell(observer, &Event::Warning { message })?;
        }
    }
    Ok(Adapters { loras, embeddings })
}

fn loras(
    shelf: &mut AdapterCache,
    fetch: &Fetch,
    request: &mut Request,
    base: &Model,
    observer: &mut dyn Observer,
) -> Result<Vec<Lora>> {
    if request.loras.is_empty() {
        return Ok(Vec::new());
    }
    let names = base.module_names()?;
    let mut used = Vec::new();
    for lora in &mut request.loras {
        let file = shelf.lora(&local_path(&lora.file, fetch, observer)?)?;
        let fitted = file.match_layers(names, base.repo.family, &base.files.origin)?;
        *lora = with_hashes(lora.clone(), &file.hashes);
        report(lora, &fitted, observer)?;
        if lora.weight != 0.0 {
            used.push(Lora {
                file,
                weight: lora.weight,
                fitted,
            });
        }
    }
    Ok(used)
}

/// Path of the file on this machine, after a download if necessary.
fn local_path(file: &str, fetch: &Fetch, observer: &mut dyn Observer) -> Result<PathBuf> {
    let path = PathBuf::from(file);
    if path.is_file() {
        return Ok(path);
    }
    file_of_repository(file, fetch, observer)?.ok_or_else(|| {
        Error::field("lora", format!("there is no file `{file}`")).hint(
            "give a file, ORG/REPO/FILE on the hub, or `--lora-dir DIR` and `<lora:NAME>` in the prompt",
        )
    })
}

fn with_hashes(adapter: Adapter, hashes: &Hashes) -> Adapter {
    Adapter {
        hash: Some(hashes.file.clone()),
        short_hash: Some(hashes.short.clone()),
        ..adapter
    }
}

/// Reports the modules of a LoRA that are used, and warns of those that are not.
fn report(lora: &Adapter, fitted: &Fitted, observer: &mut dyn Observer) -> Result<()> {
    let Adapter { name, weight, .. } = lora;
    let (matched, left) = (fitted.matched, fitted.unmatched.len());
    let message = format!(
        "lora `{name}`: {matched} of {} modules, weight {weight}",
        matched + left
    );
    tell(observer, &Event::Note { message })?;
    if left > 0 {
        let shown: Vec<&str> = fitted
            .unmatched
            .iter()
            .take(LISTED)
            .map(String::as_str)
            .collect();
        let more = if left > LISTED { ", ..." } else { "" };
        let message = format!(
            "lora `{name}`: {left} of {} modules have no place in this model and are left out: {}{more}",
            matched + left,
            shown.join(", ")
        );
        tell(observer, &Event::Warning { message })?;
    }
    if fitted.strength_unknown {
        let message = format!(
            "lora `{name}`: peft keeps the strength in `adapter_config.json`, which is not next to the file; alpha is taken \
             to be the rank"
        );
        tell(observer, &Event::Warning { message })?;
    }
    if let Some(first) = lora.ignored.first() {
        let message = format!("lora `{name}`: weights of single blocks (`{first}`) are left out");
        tell(observer, &Event::Warning { message })?;
    }
    Ok(())
}
