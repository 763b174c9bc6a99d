//! Conversion of models from one layout and data type to another: a folder, a safetensors or a GGUF
//! file. One tensor at a time is in memory; the output appears whole or not at all.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::catalog::export::{self, MarkerTensor, OutputTensor, marker_tensors};
use crate::catalog::{Component, ModelFiles, RepoConfig, Version, small_files};
use crate::error::{Error, Kind, Result};
use crate::models::text_encoders::{encoder_tokenizers, standard_tokenizer_files};
use crate::named_enum::{Named, named_enum};
use crate::nn::{Backend, Weights, encoded};
use crate::output::atomic_file::{folder_of, new_temporary};
use crate::tensor_file::{Format, PlannedTensor, StoredDtype};

named_enum! {
    /// Layout of a model's tensors.
    pub enum Layout("layout") {
        /// A folder with a file for each part, as diffusers has it.
        Diffusers = "diffusers",
        /// One file with the original names.
        Single = "single",
    }
}

named_enum! {
    /// Types that can be written.
    pub enum Target("data type") {
        /// Single precision.
        F32 = "f32",
        /// IEEE half precision.
        F16 = "f16",
        /// bfloat16.
        Bf16 = "bf16",
        /// ggml's 8-bit blocks.
        Q8_0 = "q8_0",
        /// ggml's 5-bit blocks.
        Q5_0 = "q5_0",
        /// ggml's 5-bit blocks with an offset.
        Q5_1 = "q5_1",
        /// ggml's 4-bit blocks.
        Q4_0 = "q4_0",
        /// ggml's 4-bit blocks with an offset.
        Q4_1 = "q4_1",
        /// Blocks of 256 in 6 bits.
        Q6K = "q6_k",
        /// Blocks of 256 in 5 bits.
        Q5K = "q5_k",
        /// Blocks of 256 in 4 bits.
        Q4K = "q4_k",
    }
}

/// Maximum number of values of a matrix that is not quantised. The smallest matrices of the
/// published models have 102,400.
const SMALL: usize = 32 << 10;

impl Target {
    fn storage(self) -> StoredDtype {
        match self {
            Self::F32 => StoredDtype::F32,
            Self::F16 => StoredDtype::F16,
            Self::Bf16 => StoredDtype::Bf16,
            Self::Q8_0 => StoredDtype::Q8_0,
            Self::Q5_0 => StoredDtype::Q5_0,
            Self::Q5_1 => StoredDtype::Q5_1,
            Self::Q4_0 => StoredDtype::Q4_0,
            Self::Q4_1 => StoredDtype::Q4_1,
            Self::Q6K => StoredDtype::Q6K,
            Self::Q5K => StoredDtype::Q5K,
            Self::Q4K => StoredDtype::Q4K,
        }
    }

    /// Data type of a tensor. Only matrices are quantised, if their rows are whole blocks and they
    /// are no embeddings, as in stable-diffusion.cpp; of the other tensors, vectors are f32 and the
    /// rest f16. Small matrices, which large models do not have, are not worth the quantisation
    /// error.
    fn of(self, name: &str, shape: &[usize]) -> StoredDtype {
        let storage = self.storage();
        if storage.block() == 1 {
            return storage;
        }
        let spared = ["embedding", "time_embed.", "label_emb."]
            .iter()
            .any(|part| name.contains(part));
        let large = shape.iter().product::<usize>() > SMALL;
        let blocks =
            shape.len() == 2 && shape[1].is_multiple_of(storage.block()) && large && !spared;
        match shape.len() {
            _ if blocks => storage,
            0 | 1 => StoredDtype::F32,
            _ => StoredDtype::F16,
        }
    }
}

/// A conversion to be done.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// Path of the output.
    pub out: PathBuf,
    /// Data type; if absent, f32, f16 and bf16 are kept, f64 becomes f32, and every other type f16.
    pub target: Option<Target>,
    /// Layout; if absent, the name of `out` decides.
    pub layout: Option<Layout>,
    /// Replace an existing output.
    pub overwrite: bool,
}

/// Callback before each tensor that returns true to stop.
type Stop<'a> = &'a dyn Fn() -> bool;

/// Writes `model` as `options` say; returns the bytes written.
///
/// # Errors
/// A layout and a name that do not go together; something in the way; a tensor that cannot be read;
/// a full disk.
pub fn convert(model: &ModelFiles, options: &ConvertOptions, stop: Stop<'_>) -> Result<u64> {
    let format = options.format()?;
    if options.out.exists() && !options.overwrite {
        let what = format!("`{}` is there already", options.out.display());
        return Err(Error::new(Kind::Output, what).hint("give another name, or `--overwrite`"));
    }
    let source = Source::open(model)?;
    match format {
        Some(format) => source.write_file(options, format, stop),
        None => source.write_folder(options, stop),
    }
}

/// Returns notices for the user about parts of `model` that the output cannot hold.
///
/// # Errors
/// A layout and a name that do not go together; a tokenizer that cannot be read.
pub fn lost_parts(model: &ModelFiles, options: &ConvertOptions) -> Result<Vec<String>> {
    let texts = [Component::TextEncoder, Component::TextEncoder2];
    if options.format()?.is_none() || !texts.iter().any(|part| model.has(&part.config())) {
        return Ok(Vec::new());
    }
    let mut left = Vec::new();
    for reader in encoder_tokenizers(model)? {
        if !reader.tokenizer.is_usual()? {
            let folder = reader.folder;
            left.push(format!(
                "`{folder}/` is not CLIP's own, and one file has no place for it: draw with `--config {}`",
                model.origin
            ));
        }
    }
    Ok(left)
}

impl ConvertOptions {
    /// Format of a single-file output; `None` for a folder.
    fn format(&self) -> Result<Option<Format>> {
        let extension = self
            .out
            .extension()
            .and_then(|extension| extension.to_str());
        let format = match extension {
            Some("safetensors") => Some(Format::Safetensors),
            Some("gguf") => Some(Format::Gguf),
            _ => None,
        };
        let out = self.out.display();
        match (format, self.layout) {
            (Some(_), Some(Layout::Diffusers)) => Err(Error::field(
                "layout",
                format!("`{out}` is one file, and diffusers' layout is a folder"),
            )
            .hint("give a name without `.safetensors` or `.gguf`")),
            (None, Some(Layout::Single)) => {
                Err(Error::field("layout", format!("`{out}` is no file's name"))
                    .hint("give a name that ends in `.safetensors` or `.gguf`"))
            }
            (format, _)
                if format != Some(Format::Gguf)
                    && self.target.is_some_and(|t| t.storage().block() > 1) =>
            {
                Err(
                    Error::field("dtype", format!("`{out}`: only GGUF has types in blocks"))
                        .hint("give a name that ends in `.gguf`, or use f32, f16 or bf16"),
                )
            }
            (format, _) => Ok(format),
        }
    }

    fn storage(&self, name: &str, shape: &[usize], stored: StoredDtype) -> StoredDtype {
        match self.target {
            Some(target) => target.of(name, shape),
            None if matches!(
                stored,
                StoredDtype::F32 | StoredDtype::F16 | StoredDtype::Bf16
            ) =>
            {
                stored
            }
            None if stored == StoredDtype::F64 => StoredDtype::F32,
            None => StoredDtype::F16,
        }
    }
}

/// A model to be written.
struct Source<'a> {
    files: &'a ModelFiles,
    version: Version,
    repo: RepoConfig,
    parts: BTreeMap<Component, Weights>,
}

/// A tensor to be written, with its sources.
struct Job<'a> {
    weights: &'a Weights,
    tensor: OutputTensor,
    planned: PlannedTensor,
}

impl<'a> Source<'a> {
    fn open(files: &'a ModelFiles) -> Result<Self> {
        let repo = RepoConfig::read(files)?;
        let backend = Backend::tensors();
        let mut parts = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        for component in Component::ALL.iter().map(|row| row.0) {
            let inside = files
                .checkpoint()
                .is_none_or(|checkpoint| checkpoint.parts.contains_key(&component));
            if inside && files.has(&component.config()) {
                let part = files.tensors(component)?;
                parts.insert(component, Weights::open(part.clone(), &backend)?);
                tensors.insert(component, part);
            }
        }
        Ok(Self {
            files,
            version: files.version(&tensors),
            repo,
            parts,
        })
    }

    fn write_file(&self, options: &ConvertOptions, format: Format, stop: Stop<'_>) -> Result<u64> {
        let notes = marker_tensors(&self.repo)?;
        let mut jobs = Vec::new();
        for (component, weights) in &self.parts {
            let tensors = export::single_file_tensors(*component, self.version, weights.places());
            jobs.extend(
                tensors
                    .into_iter()
                    .map(|tensor| Job::new(weights, tensor, options)),
            );
        }
        let mut output = Output::file(&options.out)?;
        let metadata = BTreeMap::from([
            ("modelspec.title".to_owned(), self.files.name.clone()),
            (
                "general.architecture".to_owned(),
                architecture(self.version).to_owned(),
            ),
        ]);
        // A single file has no other place for prediction type and noise.
        let note = |marker: MarkerTensor| {
            let bytes = marker
                .values
                .iter()
                .flat_map(|value| (*value as f32).to_le_bytes())
                .collect();
            (
                PlannedTensor {
                    name: marker.name.to_owned(),
                    storage: StoredDtype::F32,
                    shape: marker.shape,
                },
                bytes,
            )
        };
        output.write(
            format,
            &jobs,
            notes.into_iter().map(note).collect(),
            &metadata,
            stop,
        )?;
        output.finish(&options.out)
    }

    fn write_folder(&self, options: &ConvertOptions, stop: Stop<'_>) -> Result<u64> {
        let staging = staging(&options.out)?;
        let mut bytes = 0;
        for (component, weights) in &self.parts {
            let tensors = export::folder_tensors(*component, weights.places());
            let jobs: Vec<Job<'_>> = tensors
                .into_iter()
                .map(|tensor| Job::new(weights, tensor, options))
                .collect();
            let [path, ..] = component.weights();
            let path = staging.path().join(path);
            make_folder(path.parent().unwrap_or(staging.path()))?;
            let mut output = Output::file(&path)?;
            let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
            output.write(Format::Safetensors, &jobs, Vec::new(), &metadata, stop)?;
            bytes += output.finish(&path)?;
        }
        // Programs that read folders have no vocabulary of their own.
        let mut small = standard_tokenizer_files(self.files)?;
        for name in small_files(self.files) {
            small.push((name.clone(), self.files.text(&name)?.into_owned()));
        }
        for (name, text) in small {
            let path = staging.path().join(&name);
            make_folder(path.parent().unwrap_or(staging.path()))?;
            std::fs::write(&path, text.as_bytes()).map_err(|e| cannot_write(&path, e))?;
        }
        replace_folder(staging, options)?;
        Ok(bytes)
    }
}

fn architecture(version: Version) -> &'static str {
    match version {
        Version::Sd1 => "sd1",
        Version::Sd2 => "sd2",
        Version::Xl => "sdxl",
        Version::Refiner => "sdxl-refiner",
    }
}

impl<'a> Job<'a> {
    fn new(weights: &'a Weights, tensor: OutputTensor, options: &ConvertOptions) -> Self {
        let stored = weights.places()[&tensor.sources[0]].entry.storage;
        let storage = options.storage(&tensor.name, &tensor.shape, stored);
        let planned = PlannedTensor {
            name: tensor.name.clone(),
            storage,
            shape: tensor.shape.clone(),
        };
        Self {
            weights,
            tensor,
            planned,
        }
    }

    /// Encodes the tensor as it will be written.
    fn bytes(&self) -> Result<Vec<u8>> {
        let mut floats = Vec::new();
        for source in &self.tensor.sources {
            let shape = &self.weights.places()[source].entry.shape;
            floats.extend(self.weights.values(source, shape)?.floats());
        }
        if self.tensor.transposed {
            floats = transposed(&floats, self.tensor.shape[0]);
        }
        encoded(floats, self.planned.storage)
    }
}

/// Transposes a matrix; the result has `rows` rows.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    (0..rows)
        .flat_map(|row| values.iter().skip(row).step_by(rows).copied())
        .collect()
}

/// A file that is being written under a temporary name.
struct Output {
    file: tempfile::NamedTempFile,
    written: u64,
}

impl Output {
    fn file(path: &Path) -> Result<Self> {
        let file = new_temporary(folder_of(path)).map_err(|e| cannot_write(path, e))?;
        Ok(Self { file, written: 0 })
    }

    fn write(
        &mut self,
        format: Format,
        jobs: &[Job<'_>],
        notes: Vec<(PlannedTensor, Vec<u8>)>,
        metadata: &BTreeMap<String, String>,
        stop: Stop<'_>,
    ) -> Result<()> {
        let mut plan: Vec<PlannedTensor> = jobs.iter().map(|job| job.planned.clone()).collect();
        // Wide types first, so that all of them are aligned.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(plan[*i].storage.width()));
        plan = order.iter().map(|i| plan[*i].clone()).collect();
        plan.splice(0..0, notes.iter().map(|(planned, _)| planned.clone()));
        let mut writer = BufWriter::new(self.file.as_file());
        let mut put = |bytes: &[u8]| {
            self.written += bytes.len() as u64;
            writer
                .write_all(bytes)
                .map_err(|e| cannot_write(self.file.path(), e))
        };
        put(&format.header(&plan, metadata))?;
        let padded = |bytes: Vec<u8>| {
            let zeros = format.padding(bytes.len());
            [bytes, vec![0; zeros]].concat()
        };
        for (_, bytes) in notes {
            put(&padded(bytes))?;
        }
        for i in order {
            if stop() {
                return Err(Error::new(Kind::Interrupted, "interrupted"));
            }
            put(&padded(jobs[i].bytes()?))?;
        }
        writer
            .flush()
            .map_err(|e| cannot_write(self.file.path(), e))
    }

    /// Syncs the file and renames it to `path`; returns its size in bytes.
    fn finish(self, path: &Path) -> Result<u64> {
        self.file
            .as_file()
            .sync_all()
            .map_err(|e| cannot_write(path, e))?;
        self.file
            .persist(path)
            .map_err(|e| cannot_write(path, e.error))?;
        Ok(self.written)
    }
}

/// Temporary folder next to `out`, which is removed when it is dropped.
fn staging(out: &Path) -> Result<tempfile::TempDir> {
    let parent = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    make_folder(parent)?;
    tempfile::Builder::new()
        .prefix(".sdgen-")
        .tempdir_in(parent)
        .map_err(|e| cannot_write(out, e))
}

/// Moves the folder to `options.out`; an existing folder is removed only if it is a model.
fn replace_folder(staging: tempfile::TempDir, options: &ConvertOptions) -> Result<()> {
    let out = &options.out;
    if out.exists() {
        if !out.join("model_index.json").is_file() {
            let what = format!("`{}` is there and is no model", out.display());
            return Err(Error::new(Kind::Output, what).hint("only a model's folder is overwritten"));
        }
        std::fs::remove_dir_all(out).map_err(|e| cannot_write(out, e))?;
    }
    std::fs::rename(staging.keep(), out).map_err(|e| cannot_write(out, e))
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| cannot_write(path, e))
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Output, format!("cannot write `{}`", path.display())).source(error)
}
