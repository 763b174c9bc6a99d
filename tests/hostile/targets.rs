//! Readers of what strangers write, each over any bytes at all: they may refuse, they may not panic, hang or take more
//! memory than the input is worth. Shared by tests/it/hostile.rs and by fuzz/.

use std::io::{Cursor, Write};
use std::path::Path;

use sdgen::Params;
use sdgen::checkpoint::Content;
use sdgen::output::latents::Kept;
use sdgen::output::{chunks, parameters};
use sdgen::request::{Profiles, check};

/// A reader under test.
pub(crate) type Target = fn(&[u8]);

/// Every reader by name; fuzz/fuzz_targets has a file of the same name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("prompt", prompt),
    ("config", config),
    ("parameters", a1111),
    ("png", png),
    ("tensors", tensors),
    ("latents", latents),
];

/// Brackets and weights.
pub(crate) fn prompt(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let params =
        Params { prompt: Some(text), prompt_syntax: Some("weighted".to_owned()), ..Params::default() };
    let _ = check(&params);
}

/// TOML: fields of `Params`, then profiles of them.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(params) = toml::from_str::<Params>(text) {
        let _ = check(&params);
    }
    if let Ok(profiles) = Profiles::parse(Path::new("config.toml"), text) {
        let _ = profiles.params(Some("fast"));
    }
}

/// A1111's text; what is read back from what is written has to be what was written.
pub(crate) fn a1111(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let first = parameters::read(&text);
    let _ = format!("{first:?}");
}

/// PNG chunks.
pub(crate) fn png(bytes: &[u8]) {
    let _ = chunks::read(&mut Cursor::new(bytes));
}

/// Headers of safetensors, GGUF, and torch's archives with their pickles.
pub(crate) fn tensors(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(directory) = Content::Disk(file.path().to_owned()).directory("input") {
        assert!(directory.tensors.values().all(|entry| entry.bytes.end <= bytes.len()), "inside the file");
    }
}

/// Latents that a decoder is to be given.
pub(crate) fn latents(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(kept) = Kept::read(file.path()) {
        assert!(kept.latents.values.iter().all(|value| value.is_finite()));
    }
}
