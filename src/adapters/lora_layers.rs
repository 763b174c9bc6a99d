//! Layers of a LoRA: the suffixes of tensor names by which training programs mark the parts of a
//! weight change, the form of the change, and its size from the shapes of its factors.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};

/// Role of a tensor in the change of its module, by the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suffix {
    /// LoRA (Hu et al. 2021) and LoCon: up · down, in convolutions perhaps with a core between
    /// them.
    Down,
    Up,
    Mid,
    /// LoHa (Hyeon-Woo et al. 2021): (a1 · b1) ∘ (a2 · b2).
    Hada1A,
    Hada1B,
    Hada1Core,
    Hada2A,
    Hada2B,
    Hada2Core,
    /// LoKr (Edalati et al. 2022): left ⊗ right, each whole or a product.
    Left,
    LeftA,
    LeftB,
    Right,
    RightA,
    RightB,
    RightCore,
    /// The change itself, of the weight and of the bias.
    Whole,
    WholeBias,
    /// The alpha that the module was trained with.
    Alpha,
    /// Suffix of an unsupported method, with the method's name.
    Foreign(&'static str),
}

/// Suffixes of tensor names. A longer suffix comes before the shorter ones that it ends with.
const SUFFIXES: &[(&str, Suffix)] = &[
    (".lora_down.weight", Suffix::Down),
    (".lora_up.weight", Suffix::Up),
    (".lora_mid.weight", Suffix::Mid),
    (".lora_A.weight", Suffix::Down),
    (".lora_B.weight", Suffix::Up),
    (".lora_A.default.weight", Suffix::Down),
    (".lora_B.default.weight", Suffix::Up),
    (".lora.down.weight", Suffix::Down),
    (".lora.up.weight", Suffix::Up),
    (".lora_linear_layer.down.weight", Suffix::Down),
    (".lora_linear_layer.up.weight", Suffix::Up),
    ("_lora.down.weight", Suffix::Down),
    ("_lora.up.weight", Suffix::Up),
    (".hada_w1_a", Suffix::Hada1A),
    (".hada_w1_b", Suffix::Hada1B),
    (".hada_t1", Suffix::Hada1Core),
    (".hada_w2_a", Suffix::Hada2A),
    (".hada_w2_b", Suffix::Hada2B),
    (".hada_t2", Suffix::Hada2Core),
    (".lokr_w1", Suffix::Left),
    (".lokr_w1_a", Suffix::LeftA),
    (".lokr_w1_b", Suffix::LeftB),
    (".lokr_w2", Suffix::Right),
    (".lokr_w2_a", Suffix::RightA),
    (".lokr_w2_b", Suffix::RightB),
    (".lokr_t2", Suffix::RightCore),
    (".diff", Suffix::Whole),
    (".w_norm", Suffix::Whole),
    (".diff_b", Suffix::WholeBias),
    (".b_norm", Suffix::WholeBias),
    (".alpha", Suffix::Alpha),
    (".dora_scale", Suffix::Foreign("DoRA")),
    (".lora_magnitude_vector", Suffix::Foreign("DoRA")),
    (".lora_magnitude_vector.weight", Suffix::Foreign("DoRA")),
    (
        ".lora_magnitude_vector.default.weight",
        Suffix::Foreign("DoRA"),
    ),
    (".lokr_t1", Suffix::Foreign("a LoKr with two cores")),
    (".oft_blocks", Suffix::Foreign("OFT")),
    (".oft_diag", Suffix::Foreign("OFT")),
    (".oft_R.weight", Suffix::Foreign("OFT")),
    (".oft_R.default.weight", Suffix::Foreign("OFT")),
    (".oft_r", Suffix::Foreign("OFT")),
    (".boft_R", Suffix::Foreign("BOFT")),
    (".boft_s", Suffix::Foreign("BOFT")),
    (".on_input", Suffix::Foreign("IA3")),
    (".ia3_l", Suffix::Foreign("IA3")),
    (".a1.weight", Suffix::Foreign("GLoRA")),
    (".b1.weight", Suffix::Foreign("GLoRA")),
    (".lambda_layer", Suffix::Foreign("T-LoRA")),
    (".vera_lambda_b", Suffix::Foreign("VeRA")),
    (".hra_u", Suffix::Foreign("HRA")),
    (".lora_up.bias", Suffix::Foreign("a LoRA with biases")),
    (".lora_B.bias", Suffix::Foreign("a LoRA with biases")),
    (
        ".lora_B.default.bias",
        Suffix::Foreign("a LoRA with biases"),
    ),
    (".bias_indices", Suffix::Foreign("sparse biases")),
];

impl Suffix {
    /// The most common spelling, for messages.
    fn spelling(self) -> &'static str {
        let row = SUFFIXES.iter().find(|(_, suffix)| *suffix == self);
        row.map_or("tensors", |(text, _)| text.trim_start_matches('.'))
    }
}

/// Prefix of tensor names in files that peft itself has saved.
pub(super) const PEFT: &str = "base_model.model.";

/// Splits a tensor name into module and suffix; `None` for a name of another kind.
pub(super) fn split_suffix(tensor: &str) -> Option<(&str, Suffix)> {
    let tensor = tensor.strip_prefix(PEFT).unwrap_or(tensor);
    SUFFIXES
        .iter()
        .find_map(|(text, suffix)| Some((tensor.strip_suffix(text)?, *suffix)))
}

/// Tensors of a module, by suffix.
#[derive(Clone, Debug, Default)]
pub(super) struct Module(BTreeMap<Suffix, String>);

impl Module {
    /// Inserts a tensor; returns the previous tensor with the same suffix, if any.
    pub(super) fn insert(&mut self, suffix: Suffix, tensor: &str) -> Option<String> {
        self.0.insert(suffix, tensor.to_owned())
    }

    /// The tensor with this suffix.
    pub(super) fn get(&self, suffix: Suffix) -> Option<&String> {
        self.0.get(&suffix)
    }

    /// Name of the unsupported method that one of the parts belongs to, if any.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        self.0.keys().find_map(|suffix| {
            if let Suffix::Foreign(what) = suffix {
                Some(*what)
            } else {
                None
            }
        })
    }

    /// Returns the form of the weight change; `None` if only the bias is changed.
    pub(super) fn form(&self) -> Result<Option<Form>> {
        use Suffix::{Down, Hada1A, Hada1B, Hada1Core, Hada2A, Hada2B, Hada2Core, Mid, Up, Whole};
        if self.has(&[Down, Up, Mid]) {
            let (up, down, core) = (self.needed(Up)?, self.needed(Down)?, self.get(Mid).cloned());
            return Ok(Some(Form::Pair { up, down, core }));
        }
        if self.has(&[Hada1A, Hada1B, Hada2A, Hada2B]) {
            let first = self.product(Hada1A, Hada1B, Some(Hada1Core))?;
            return Ok(Some(Form::Hadamard([
                first,
                self.product(Hada2A, Hada2B, Some(Hada2Core))?,
            ])));
        }
        if self.has(&[Suffix::Left, Suffix::LeftA, Suffix::Right, Suffix::RightA]) {
            return self.kronecker().map(Some);
        }
        if let Some(whole) = self.get(Whole) {
            return Ok(Some(Form::Whole(whole.clone())));
        }
        if self.has(&[Suffix::WholeBias]) {
            return Ok(None);
        }
        Err(wrong("has an `alpha` and nothing else".to_owned()))
    }

    fn kronecker(&self) -> Result<Form> {
        let left = match self.get(Suffix::Left) {
            Some(whole) => Factor::Whole(whole.clone()),
            None => self.product(Suffix::LeftA, Suffix::LeftB, None)?,
        };
        let right = match self.get(Suffix::Right) {
            Some(whole) => Factor::Whole(whole.clone()),
            None => self.product(Suffix::RightA, Suffix::RightB, Some(Suffix::RightCore))?,
        };
        Ok(Form::Kronecker([left, right]))
    }

    fn product(&self, a: Suffix, b: Suffix, core: Option<Suffix>) -> Result<Factor> {
        let (a, b) = (self.needed(a)?, self.needed(b)?);
        Ok(match core.and_then(|core| self.get(core)).cloned() {
            None => Factor::Product { a, b },
            Some(core) => Factor::Tucker { a, b, core },
        })
    }

    fn has(&self, suffixes: &[Suffix]) -> bool {
        suffixes.iter().any(|suffix| self.0.contains_key(suffix))
    }

    fn needed(&self, suffix: Suffix) -> Result<String> {
        self.get(suffix)
            .cloned()
            .ok_or_else(|| wrong(format!("lacks its `{}`", suffix.spelling())))
    }
}

/// Factorised form of a weight change; every string is the name of a tensor in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// up · down, or up · core · down.
    Pair {
        /// `[out, rank]`.
        up: String,
        /// `[rank, in]`, or `[rank, in, k, k]`.
        down: String,
        /// `[rank, rank, k, k]`.
        core: Option<String>,
    },
    /// LoHa: the element-wise (Hadamard) product of two factors.
    Hadamard([Factor; 2]),
    /// LoKr: the Kronecker product of two factors.
    Kronecker([Factor; 2]),
    /// The change itself.
    Whole(String),
}

/// A factor of a weight change: a matrix, stored whole or as a product.
#[derive(Clone, Debug, PartialEq)]
pub enum Factor {
    /// The matrix itself.
    Whole(String),
    /// a · b.
    Product {
        /// `[rows, rank]`.
        a: String,
        /// `[rank, columns]`.
        b: String,
    },
    /// aᵀ · core · b, at each position of a convolution kernel.
    Tucker {
        /// `[rank, rows]`.
        a: String,
        /// `[rank, columns]`.
        b: String,
        /// `[rank, rank, k, k]`.
        core: String,
    },
}

/// An error about a module; the caller adds the module's name.
pub(super) fn wrong(what: String) -> Error {
    Error::new(Kind::ModelFile, what)
}

/// Rows and columns of a change laid out as a matrix, and the rank by which its alpha is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) rank: Option<usize>,
}

/// Returns the size of a weight change. Tensors that cannot be multiplied are an error, which names
/// them and their shapes.
pub(super) fn size_of_change<'a>(
    form: &Form,
    shape: &dyn Fn(&str) -> Option<&'a [usize]>,
) -> Result<Size> {
    let shapes = Shapes(shape);
    let size = match form {
        Form::Pair {
            up,
            down,
            core: None,
        } => shapes.product(up, down)?,
        Form::Pair {
            up,
            down,
            core: Some(core),
        } => {
            let (up, down) = (shapes.matrix(up)?, shapes.matrix(down)?);
            shapes.tucker([up[1], up[0]], down, core)?
        }
        Form::Hadamard(factors) => {
            let [a, b] = shapes.both(factors)?;
            if (a.rows, a.columns) != (b.rows, b.columns) {
                return Err(wrong(format!(
                    "multiplies a matrix of {}×{} with one of {}×{}",
                    a.rows, a.columns, b.rows, b.columns
                )));
            }
            a
        }
        Form::Kronecker(factors) => {
            let [left, right] = shapes.both(factors)?;
            let times = |a: usize, b: usize| {
                a.checked_mul(b)
                    .ok_or_else(|| wrong("is absurdly large".into()))
            };
            Size {
                rows: times(left.rows, right.rows)?,
                columns: times(left.columns, right.columns)?,
                rank: right.rank.or(left.rank),
            }
        }
        Form::Whole(name) => {
            let [rows, columns] = shapes.matrix(name)?;
            Size {
                rows,
                columns,
                rank: None,
            }
        }
    };
    Ok(size)
}

/// Lookup of tensor shapes in the file, by name.
struct Shapes<'f, 'a>(&'f dyn Fn(&str) -> Option<&'a [usize]>);

impl<'a> Shapes<'_, 'a> {
    fn shape(&self, name: &str) -> Result<&'a [usize]> {
        self.0(name).ok_or_else(|| wrong(format!("lacks `{name}`")))
    }

    /// Shape of a tensor as a matrix: the first axis, and the product of all others.
    fn matrix(&self, name: &str) -> Result<[usize; 2]> {
        match self.shape(name)? {
            [] | [0, ..] => Err(wrong(format!("has an empty `{name}`"))),
            [rows, rest @ ..] => Ok([*rows, rest.iter().product()]),
        }
    }

    fn both(&self, factors: &[Factor; 2]) -> Result<[Size; 2]> {
        Ok([self.factor(&factors[0])?, self.factor(&factors[1])?])
    }

    fn factor(&self, factor: &Factor) -> Result<Size> {
        match factor {
            Factor::Whole(name) => {
                let [rows, columns] = self.matrix(name)?;
                Ok(Size {
                    rows,
                    columns,
                    rank: None,
                })
            }
            Factor::Product { a, b } => self.product(a, b),
            Factor::Tucker { a, b, core } => self.tucker(self.matrix(a)?, self.matrix(b)?, core),
        }
    }

    /// a · b.
    fn product(&self, a: &str, b: &str) -> Result<Size> {
        let ([rows, left], [rank, columns]) = (self.matrix(a)?, self.matrix(b)?);
        if left != rank {
            let (shape_a, shape_b) = (self.shape(a)?, self.shape(b)?);
            return Err(wrong(format!(
                "has ranks that differ: `{a}` of {shape_a:?} and `{b}` of {shape_b:?}"
            )));
        }
        Ok(Size {
            rows,
            columns,
            rank: Some(rank),
        })
    }

    /// aᵀ · core · b of a `[rank, rows]` and b `[rank, columns]`.
    fn tucker(&self, a: [usize; 2], b: [usize; 2], core: &str) -> Result<Size> {
        match self.shape(core)? {
            [left, right, kernel @ ..] if [*left, *right] == [a[0], b[0]] => Ok(Size {
                rows: a[1],
                columns: b[1].saturating_mul(kernel.iter().product()),
                rank: Some(b[0]),
            }),
            shape => Err(wrong(format!(
                "has ranks that differ: `{core}` of {shape:?} between {} and {}",
                a[0], b[0]
            ))),
        }
    }
}
