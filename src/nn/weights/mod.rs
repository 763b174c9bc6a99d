//! Tensors by name for the networks: every tensor that a network asks for is checked against the
//! shape it expects, and a tensor that no layer asked for is an error too. The files are mapped into
//! memory (`mapped.rs`), and their numbers are converted on reading (`values.rs`).

mod mapped;
mod values;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::Tensor;

use super::backend::Backend;
use crate::error::{Error, Kind, Result};
use crate::kernels::{Passes, Precision};
use crate::tensor_file::{Entry, StoredDtype, TensorSpan, Tensors};
use mapped::Mapped;
pub(crate) use mapped::explain_lost_files;
pub(crate) use values::{Values, encoded};

/// The tensors of one component below a prefix, delivered in one precision on one device.
#[derive(Clone)]
pub(crate) struct Weights {
    source: Rc<Source>,
    patch: Option<Rc<dyn Patch>>,
    prefix: String,
    passes: Passes,
}

/// A change of tensors as they are read, such as a LoRA's.
pub(crate) trait Patch {
    /// Returns true if the patch changes the tensor that diffusers calls `name`.
    fn touches(&self, name: &str) -> bool;

    /// Changes the tensor `name` of `shape`; `values` lie row by row.
    fn apply(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<()>;
}

struct Source {
    tensors: Arc<Tensors>,
    maps: Vec<Mapped>,
    backend: Backend,
    used: RefCell<HashSet<String>>,
    /// Bytes handed out since mapped pages were last given back.
    touched: Cell<usize>,
}

/// Mapped bytes that loading keeps resident at the most.
const RESIDENT: usize = 128 << 20;

impl Weights {
    /// Maps the files of `tensors`.
    pub(crate) fn open(tensors: Arc<Tensors>, backend: &Backend) -> Result<Self> {
        let source = Source {
            maps: tensors
                .files
                .iter()
                .map(Mapped::open)
                .collect::<Result<_>>()?,
            tensors,
            backend: backend.clone(),
            used: RefCell::default(),
            touched: Cell::new(0),
        };
        Ok(Self {
            source: Rc::new(source),
            patch: None,
            prefix: String::new(),
            passes: Passes::Many,
        })
    }

    /// The same tensors with `patch` applied as they are read.
    pub(crate) fn patched(&self, patch: Rc<dyn Patch>) -> Self {
        Self {
            patch: Some(patch),
            ..self.clone()
        }
    }

    /// The prefix, which is the name of the layer that loads from here.
    pub(super) fn name(&self) -> Box<str> {
        self.prefix.as_str().into()
    }

    /// The tensors below `name`.
    pub(crate) fn pp(&self, name: impl Display) -> Self {
        Self {
            prefix: self.full(name),
            ..self.clone()
        }
    }

    fn full(&self, name: impl Display) -> String {
        if self.prefix.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    /// The same tensors for a network that runs once per image (the autoencoder), whose rounding
    /// errors do not accumulate over steps.
    pub(crate) fn once(&self) -> Self {
        Self {
            passes: Passes::Once,
            ..self.clone()
        }
    }

    /// Number of passes of an image through these layers: once, or once per step.
    pub(super) fn passes(&self) -> Passes {
        self.passes
    }

    /// The backend of the layers with these weights.
    pub(crate) fn backend(&self) -> &Backend {
        &self.source.backend
    }

    /// Place of every tensor of the component, by name.
    pub(crate) fn places(&self) -> &BTreeMap<String, TensorSpan> {
        &self.source.tensors.places
    }

    /// Returns true if the file has this tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.source.tensors.places.contains_key(&self.full(name))
    }

    /// Name of the file in messages; that of the first if there are several.
    pub(crate) fn label(&self) -> &str {
        self.source
            .tensors
            .files
            .first()
            .map_or("", |file| file.label.as_str())
    }

    /// The shape in which the tensor `name` is stored, if the file has it.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.source
            .tensors
            .places
            .get(&self.full(name))
            .map(|place| place.entry.shape.as_slice())
    }

    /// The first of `names` whose `.weight` the file has: some parts were renamed over the years.
    pub(crate) fn either(&self, names: [&str; 2]) -> Self {
        let old = self.has(&format!("{}.weight", names[1]));
        self.pp(if old { names[1] } else { names[0] })
    }

    /// The numbers of tensor `name` of `shape`, in place where that is possible. Axes of length one
    /// are ignored: some files keep 1×1 convolutions where others keep matrices.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Values<'_>> {
        let full = self.full(name);
        let place = self.place(&full, shape)?;
        let factors = self.factors(&full, place)?;
        let mut values = self.read(&full, place.file, &place.entry)?;
        if let Some(factors) = factors {
            values = values.scaled(&factors);
        }
        if !values.finite() {
            return Err(self
                .source
                .wrong(&full, place, "holds values that are no finite numbers")
                .hint("the file was made or saved wrongly; look for another copy of it"));
        }
        match self.patch.as_deref().filter(|patch| patch.touches(&full)) {
            None => Ok(values),
            Some(patch) => {
                let mut floats = values.floats();
                patch.apply(&full, shape, &mut floats)?;
                Ok(Values::F32(floats.into()))
            }
        }
    }

    /// The tensor `name` of `shape` on the device, in the wanted precision.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let backend = self.backend();
        self.values(name, shape)?
            .tensor(shape, backend.dtype, &backend.device)
    }

    /// The vector `name` of `length` numbers in single precision.
    pub(crate) fn floats(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        Ok(self.values(name, &[length])?.floats())
    }

    /// Rows of the matrix `name` of `shape`, one after the other in single precision; nothing else
    /// of it is read.
    pub(crate) fn rows(&self, name: &str, shape: [usize; 2], rows: &[u32]) -> Result<Vec<f32>> {
        let full = self.full(name);
        let place = self.place(&full, &shape)?;
        let factors = self.factors(&full, place)?;
        let mut floats = Vec::with_capacity(rows.len() * shape[1]);
        for &row in rows {
            let row = row as usize;
            let entry = place.entry.rows(row..row + 1).ok_or_else(|| {
                Error::internal(format!(
                    "row {row} of `{full}`, which has {} rows",
                    shape[0]
                ))
            })?;
            let values = self.read(&full, place.file, &entry)?;
            floats.extend(match &factors {
                None => values.floats(),
                Some(factors) => {
                    let own = if factors.len() == 1 {
                        &factors[..]
                    } else {
                        &factors[row..=row]
                    };
                    values.scaled(own).floats()
                }
            });
        }
        Ok(floats)
    }

    /// The one number of the tensor `name`, of whichever type of numbers.
    pub(crate) fn number(&self, name: &str) -> Result<f64> {
        let full = self.full(name);
        let place = self.place(&full, &[])?;
        let map = &self.source.maps[place.file];
        values::number(map.bytes(), &place.entry)
            .and_then(|number| {
                if number.is_finite() {
                    Ok(number)
                } else {
                    Err(Error::new(Kind::ModelFile, "holds no finite number"))
                }
            })
            .map_err(|error| error.context(format!("`{}`: tensor `{full}`", map.label())))
    }

    /// The scale of a scaled weight (fp8): one, or one per row; `None` if it has none.
    fn factors(&self, full: &str, place: &TensorSpan) -> Result<Option<Vec<f32>>> {
        let Some(scale) = place.scale.as_deref() else {
            return Ok(None);
        };
        let rows = place.entry.shape.first().copied().unwrap_or(1);
        let of_rows = scale.entry.shape.first() == Some(&rows) && scale.entry.values() == rows;
        if !place.entry.storage.is_float() || !(scale.entry.values() == 1 || of_rows) {
            let what = format!(
                "of type {} and shape {:?} has its scale in `{}` of shape {:?}, which sdgen does not read",
                place.entry.storage, place.entry.shape, scale.name, scale.entry.shape
            );
            return Err(self.source.wrong(full, place, &what).hint(format!(
                "scaled weights are read as floats with one number for all of them, or one for each of the {rows} rows"
            )));
        }
        Ok(Some(
            self.read(&scale.name, scale.file, &scale.entry)?.floats(),
        ))
    }

    /// Place of the tensor; an error if it is missing or has another shape.
    fn place(&self, full: &str, shape: &[usize]) -> Result<&TensorSpan> {
        let Some(place) = self.source.tensors.places.get(full) else {
            let file = self.label();
            return Err(Error::new(
                Kind::ModelFile,
                format!("`{file}`: tensor `{full}` is missing"),
            )
            .hint(format!(
                "expected shape {shape:?}; is config.json of the same model?"
            )));
        };
        let wide = |shape: &[usize]| {
            shape
                .iter()
                .copied()
                .filter(|n| *n != 1)
                .collect::<Vec<_>>()
        };
        if wide(&place.entry.shape) != wide(shape) {
            let what = format!("has shape {:?}, expected {shape:?}", place.entry.shape);
            return Err(self
                .source
                .wrong(full, place, &what)
                .hint("config.json and weights are not of the same model"));
        }
        self.source.used.borrow_mut().insert(full.to_owned());
        Ok(place)
    }

    fn read(&self, full: &str, file: usize, entry: &Entry) -> Result<Values<'_>> {
        self.source.release_now_and_then();
        self.source
            .touched
            .set(self.source.touched.get() + entry.bytes.len());
        let map = &self.source.maps[file];
        Values::read(map.bytes(), entry)
            .map_err(|error| error.context(format!("`{}`: tensor `{full}`", map.label())))
    }

    /// Bytes that the tensors whose names begin with `prefix` take once they are packed.
    pub(crate) fn footprint(&self, prefix: &str) -> u64 {
        let Some(host) = &self.backend().host else {
            return 0;
        };
        let layers = self
            .source
            .tensors
            .places
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        let bytes = layers.map(|(name, place)| {
            let values = place.entry.values();
            let kernels = matches!(place.entry.shape[..], [_, _, 3, 3]);
            let number = match host.precision {
                // Winograd's kernels stay as they are stored.
                Precision::F32
                    if kernels
                        && matches!(place.entry.storage, StoredDtype::F16 | StoredDtype::Bf16) =>
                {
                    2
                }
                Precision::F32 => 4,
                Precision::Int8 if !kernels => 1,
                Precision::F16Weights | Precision::Bf16 | Precision::Int8 => 2,
            };
            match place.entry.shape[..] {
                // An embedding is read row by row from the file.
                _ if name.ends_with("_embedding.weight") => 0,
                // Vectors stay in single precision.
                [_] => values * 4,
                _ => values * number,
            }
        });
        bytes.sum::<usize>() as u64
    }

    /// Rejects tensors that no layer asked for: they mean that config.json describes another
    /// network. Tensors below one of the prefixes in `exempt` are skipped, because another half of
    /// the network loads them later.
    pub(crate) fn finish(&self, exempt: &[&str]) -> Result<()> {
        self.source.release();
        let used = self.source.used.borrow();
        let expected = |name: &str| {
            used.contains(name)
                || ignorable(name)
                || exempt.iter().any(|prefix| name.starts_with(prefix))
        };
        let mut places = self.source.tensors.places.iter();
        match places.find(|(name, place)| !place.optional && !expected(name)) {
            None => Ok(()),
            Some((name, place)) => Err(self
                .source
                .wrong(name, place, "is unexpected")
                .hint("config.json describes a network without it; are both of the same model?")),
        }
    }
}

impl Source {
    fn wrong(&self, name: &str, place: &TensorSpan, what: &str) -> Error {
        let file = self.maps.get(place.file).map_or("", Mapped::label);
        Error::new(Kind::ModelFile, format!("`{file}`: tensor `{name}` {what}"))
    }

    /// Returns mapped pages to the system once enough were read: packed copies of the weights
    /// remain.
    fn release_now_and_then(&self) {
        if self.touched.get() > RESIDENT {
            self.release();
        }
    }

    fn release(&self) {
        self.touched.set(0);
        self.maps.iter().for_each(Mapped::release);
    }
}

/// Returns true for buffers of old files that no network needs.
fn ignorable(name: &str) -> bool {
    name.ends_with("position_ids") || name == "logit_scale"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tensor_file::{ByteSource, TensorFile};

    /// The tensors of a file under `tests/golden/`.
    fn golden(path: &str) -> Weights {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let file = TensorFile {
            label: path.to_owned(),
            content: ByteSource::Disk(folder.join(path)),
        };
        let tensors = Tensors::read(vec![file]).unwrap();
        Weights::open(Arc::new(tensors), &Backend::reference()).unwrap()
    }

    struct Shift(&'static str);

    impl Patch for Shift {
        fn touches(&self, name: &str) -> bool {
            name == self.0
        }

        fn apply(&self, _: &str, shape: &[usize], values: &mut [f32]) -> Result<()> {
            assert_eq!(shape.iter().product::<usize>(), values.len());
            values.iter_mut().for_each(|value| *value += 1.0);
            Ok(())
        }
    }

    #[test]
    fn a_patch_changes_the_tensors_that_it_touches_and_no_others() {
        let weights = golden("models/sd21-v/unet/diffusion_pytorch_model.safetensors");
        let patched = weights
            .patched(Rc::new(Shift("conv_in.bias")))
            .pp("conv_in");
        let plain = weights.pp("conv_in").floats("bias", 32).unwrap();
        let moved: Vec<f32> = plain.iter().map(|value| value + 1.0).collect();
        assert_eq!(patched.floats("bias", 32).unwrap(), moved);
        let name = ("conv_out.bias", 4);
        assert_eq!(
            weights.floats(name.0, name.1).unwrap(),
            weights
                .patched(Rc::new(Shift("conv_in.bias")))
                .floats(name.0, name.1)
                .unwrap()
        );
    }

    /// Checked against torch's multiplication (tests/golden/scaled.py).
    #[test]
    fn weights_of_eight_bits_are_multiplied_by_their_factors() {
        let scaled = golden("scaled/scaled.safetensors");
        let golden = golden("scaled/values.safetensors");
        for (name, place) in golden.places() {
            let shape = &place.entry.shape;
            let (ours, theirs) = (
                scaled.values(name, shape).unwrap(),
                golden.values(name, shape).unwrap(),
            );
            assert_eq!(ours.floats(), theirs.floats(), "{name}");
            if let [rows, columns] = shape[..] {
                let some = scaled.rows(name, [rows, columns], &[4, 1]).unwrap();
                let all = theirs.floats();
                assert_eq!(some[..columns], all[4 * columns..5 * columns], "{name}");
                assert_eq!(some[columns..], all[columns..2 * columns], "{name}");
            }
        }
        let left: Vec<&str> = scaled.places().keys().map(String::as_str).collect();
        assert_eq!(left.len(), golden.places().len() + 2, "{left:?}");
        for (name, shape) in [
            ("blocks.weight", "[3, 2]"),
            ("whole_numbers.weight", "[6, 1]"),
        ] {
            let error = scaled.values(name, &[6, 8]).err().unwrap().to_string();
            assert!(
                error.contains("which sdgen does not read") && error.contains(shape),
                "{error}"
            );
        }
    }

    #[test]
    fn a_shape_may_differ_in_axes_of_length_one_only() {
        let weights = golden("models/sd21-v/vae/diffusion_pytorch_model.safetensors");
        let weights = weights.pp("quant_conv");
        assert!(weights.values("weight", &[8, 8]).is_ok());
        let error = weights.values("weight", &[64]).err().unwrap();
        assert!(
            error.to_string().contains("`quant_conv.weight` has shape"),
            "{error}"
        );
    }
}
