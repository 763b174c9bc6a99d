//! Readers of what strangers write, each over any bytes at all: they may refuse, they may not
//! panic, hang or take more memory than the input is worth. Shared by tests/it/hostile.rs and by
//! fuzz/.

use std::io::{Cursor, Write};
use std::path::Path;

use sdgen::Params;
use sdgen::batch::{self, Fields, Form, Source};
use sdgen::imaging;
use sdgen::named_enum::Named;
use sdgen::output::latents::Kept;
use sdgen::output::{a1111_text, encode};
use sdgen::params::{Profiles, check};
use sdgen::tensor_file::ByteSource;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A reader under test.
pub(crate) type Target = fn(&[u8]);

/// Every reader by name; fuzz/fuzz_targets has a file of the same name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("prompt", prompt),
    ("config", config),
    ("batch", batch_files),
    ("body", body),
    ("parameters", a1111),
    ("png", png),
    ("picture", picture),
    ("tensors", tensors),
    ("pickle", pickle),
    ("latents", latents),
];

/// Brackets and weights.
pub(crate) fn prompt(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let params = Params {
        prompt: Some(text),
        prompt_syntax: Some("weighted".into()),
        ..Params::default()
    };
    let _ = check(&params);
}

/// TOML: fields of `Params`, then profiles of them.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(params) = toml::from_str::<Params>(text) {
        let _ = check(&params);
    }
    if let Ok(profiles) = Profiles::parse(Path::new("config.toml"), text) {
        let _ = profiles.params(Some("fast"));
    }
}

/// Batches of every form, up to their jobs. Long numbers are left out: many jobs are a batch, and
/// take their time.
pub(crate) fn batch_files(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let long = |run: &[u8]| run.len() > 2 && run[0].is_ascii_digit();
    if bytes
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .any(long)
    {
        return;
    }
    for (form, _) in Form::ALL {
        let source = Source::parse(text, Path::new("/nowhere/batch"), *form);
        let _ = batch::jobs(&source.drafts, &Fields::default(), &Fields::default());
    }
}

/// Bodies of requests: JSON, or a form whose boundary is `x`.
pub(crate) fn body(bytes: &[u8]) {
    let media_type = if bytes.starts_with(b"--") {
        "multipart/form-data; boundary=x"
    } else {
        "application/json"
    };
    let _ = sdgen::serve::asked(media_type, bytes);
}

/// A1111's text; what is read back from what is written has to be what was written.
pub(crate) fn a1111(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let first = a1111_text::parse(&text);
    let _ = format!("{first:?}");
}

/// PNG chunks.
pub(crate) fn png(bytes: &[u8]) {
    let _ = encode::read_metadata(&mut Cursor::new(bytes));
}

/// Pictures to start from.
pub(crate) fn picture(bytes: &[u8]) {
    let source = imaging::Source::sent("init_image", bytes);
    let small = |(width, height)| u64::from(width) * u64::from(height) <= 1 << 20;
    if source.size().is_ok_and(small) {
        let _ = source.decoded(imaging::Transparency::OverWhite, Ok);
    }
}

/// Headers of safetensors, GGUF, and torch's archives with their pickles.
pub(crate) fn tensors(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(directory) = ByteSource::Disk(file.path().to_owned()).directory("input") {
        assert!(
            directory
                .tensors
                .values()
                .all(|entry| entry.bytes.end <= bytes.len()),
            "inside the file"
        );
    }
}

/// A pickle as torch's archives hold it.
pub(crate) fn pickle(bytes: &[u8]) {
    tensors(&archive(&[
        ("a/data.pkl", bytes),
        ("a/data/0", [0; 64].as_slice()),
    ]));
}

/// A zip file of members that are stored as they are.
pub(crate) fn archive(members: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in members {
        writer.start_file(name.as_ref(), options).unwrap();
        writer.write_all(data.as_ref()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Latents that a decoder is to be given.
pub(crate) fn latents(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(kept) = Kept::read(file.path()) {
        assert!(kept.latents.values.iter().all(|value| value.is_finite()));
    }
}
