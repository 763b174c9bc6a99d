//! Tensor names in LoRA files: every spelling that training programs use for the parts of a change,
//! as one table.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};

/// Role of a tensor in the change of its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
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
    /// Part of an unsupported method, with the method's name.
    Foreign(&'static str),
}

/// Suffixes of tensor names. A longer suffix comes before the shorter ones that it ends with.
const ENDINGS: &[(&str, Part)] = &[
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora_mid.weight", Part::Mid),
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_A.default.weight", Part::Down),
    (".lora_B.default.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    ("_lora.down.weight", Part::Down),
    ("_lora.up.weight", Part::Up),
    (".hada_w1_a", Part::Hada1A),
    (".hada_w1_b", Part::Hada1B),
    (".hada_t1", Part::Hada1Core),
    (".hada_w2_a", Part::Hada2A),
    (".hada_w2_b", Part::Hada2B),
    (".hada_t2", Part::Hada2Core),
    (".lokr_w1", Part::Left),
    (".lokr_w1_a", Part::LeftA),
    (".lokr_w1_b", Part::LeftB),
    (".lokr_w2", Part::Right),
    (".lokr_w2_a", Part::RightA),
    (".lokr_w2_b", Part::RightB),
    (".lokr_t2", Part::RightCore),
    (".diff", Part::Whole),
    (".w_norm", Part::Whole),
    (".diff_b", Part::WholeBias),
    (".b_norm", Part::WholeBias),
    (".alpha", Part::Alpha),
    (".dora_scale", Part::Foreign("DoRA")),
    (".lora_magnitude_vector", Part::Foreign("DoRA")),
    (".lora_magnitude_vector.weight", Part::Foreign("DoRA")),
    (
        ".lora_magnitude_vector.default.weight",
        Part::Foreign("DoRA"),
    ),
    (".lokr_t1", Part::Foreign("a LoKr with two cores")),
    (".oft_blocks", Part::Foreign("OFT")),
    (".oft_diag", Part::Foreign("OFT")),
    (".oft_R.weight", Part::Foreign("OFT")),
    (".oft_R.default.weight", Part::Foreign("OFT")),
    (".oft_r", Part::Foreign("OFT")),
    (".boft_R", Part::Foreign("BOFT")),
    (".boft_s", Part::Foreign("BOFT")),
    (".on_input", Part::Foreign("IA3")),
    (".ia3_l", Part::Foreign("IA3")),
    (".a1.weight", Part::Foreign("GLoRA")),
    (".b1.weight", Part::Foreign("GLoRA")),
    (".lambda_layer", Part::Foreign("T-LoRA")),
    (".vera_lambda_b", Part::Foreign("VeRA")),
    (".hra_u", Part::Foreign("HRA")),
    (".lora_up.bias", Part::Foreign("a LoRA with biases")),
    (".lora_B.bias", Part::Foreign("a LoRA with biases")),
    (".lora_B.default.bias", Part::Foreign("a LoRA with biases")),
    (".bias_indices", Part::Foreign("sparse biases")),
];

impl Part {
    /// The most common suffix of this part, for messages.
    fn ending(self) -> &'static str {
        let row = ENDINGS.iter().find(|(_, part)| *part == self);
        row.map_or("tensors", |(ending, _)| ending.trim_start_matches('.'))
    }
}

/// Prefix of tensor names in files that peft itself has saved.
pub(super) const PEFT: &str = "base_model.model.";

/// Splits a tensor name into module and part; `None` for a name of another kind.
pub(super) fn part(tensor: &str) -> Option<(&str, Part)> {
    let tensor = tensor.strip_prefix(PEFT).unwrap_or(tensor);
    ENDINGS
        .iter()
        .find_map(|(ending, part)| Some((tensor.strip_suffix(ending)?, *part)))
}

/// Tensors of a module, by part.
#[derive(Clone, Debug, Default)]
pub(super) struct Module(BTreeMap<Part, String>);

impl Module {
    /// Inserts a tensor; returns the previous tensor of the same part, if any.
    pub(super) fn insert(&mut self, part: Part, tensor: &str) -> Option<String> {
        self.0.insert(part, tensor.to_owned())
    }

    /// The tensor that is this part.
    pub(super) fn get(&self, part: Part) -> Option<&String> {
        self.0.get(&part)
    }

    /// Name of the unsupported method that one of the parts belongs to, if any.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        self.0.keys().find_map(|part| {
            if let Part::Foreign(what) = part {
                Some(*what)
            } else {
                None
            }
        })
    }

    /// Returns the form of the weight change; `None` if only the bias is changed.
    ///
    /// # Errors
    /// A part is missing.
    pub(super) fn form(&self) -> Result<Option<Form>> {
        use Part::{Down, Hada1A, Hada1B, Hada1Core, Hada2A, Hada2B, Hada2Core, Mid, Up, Whole};
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
        if self.has(&[Part::Left, Part::LeftA, Part::Right, Part::RightA]) {
            return self.kronecker().map(Some);
        }
        if let Some(whole) = self.get(Whole) {
            return Ok(Some(Form::Whole(whole.clone())));
        }
        match self.has(&[Part::WholeBias]) {
            true => Ok(None),
            false => Err(wrong("has an `alpha` and nothing else".to_owned())),
        }
    }

    fn kronecker(&self) -> Result<Form> {
        let left = match self.get(Part::Left) {
            Some(whole) => Factor::Whole(whole.clone()),
            None => self.product(Part::LeftA, Part::LeftB, None)?,
        };
        let right = match self.get(Part::Right) {
            Some(whole) => Factor::Whole(whole.clone()),
            None => self.product(Part::RightA, Part::RightB, Some(Part::RightCore))?,
        };
        Ok(Form::Kronecker([left, right]))
    }

    fn product(&self, a: Part, b: Part, core: Option<Part>) -> Result<Factor> {
        let (a, b) = (self.needed(a)?, self.needed(b)?);
        Ok(match core.and_then(|core| self.get(core)).cloned() {
            None => Factor::Product { a, b },
            Some(core) => Factor::Tucker { a, b, core },
        })
    }

    fn has(&self, parts: &[Part]) -> bool {
        parts.iter().any(|part| self.0.contains_key(part))
    }

    fn needed(&self, part: Part) -> Result<String> {
        self.get(part)
            .cloned()
            .ok_or_else(|| wrong(format!("lacks its `{}`", part.ending())))
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
