//! Data types of tensors: names and ids in the file formats, and block sizes. Types without
//! arithmetic in this program are listed too: a file may hold them next to the tensors that are
//! needed.

/// One row of the table of types.
struct Row {
    storage: StoredDtype,
    /// Displayed name, as in GGUF's tools.
    name: &'static str,
    /// Name in the header of a safetensors file.
    safetensors: Option<&'static str>,
    /// Id in the header of a GGUF file.
    ggml: Option<u32>,
    /// Values per block.
    values: usize,
    /// Bytes per block.
    bytes: usize,
}

macro_rules! storages {
    ($($name:ident $text:literal $safetensors:expr, $ggml:expr, $values:literal in $bytes:literal;)+) => {
        /// Data type of a tensor's values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the names are those of the formats")]
        pub enum StoredDtype { $($name),+ }

        const ROWS: &[Row] = &[$(Row {
            storage: StoredDtype::$name,
            name: $text,
            safetensors: $safetensors,
            ggml: $ggml,
            values: $values,
            bytes: $bytes,
        }),+];
    };
}

storages! {
    F64 "f64" Some("F64"), Some(28), 1 in 8;
    F32 "f32" Some("F32"), Some(0), 1 in 4;
    F16 "f16" Some("F16"), Some(1), 1 in 2;
    Bf16 "bf16" Some("BF16"), Some(30), 1 in 2;
    F8E4M3 "f8_e4m3" Some("F8_E4M3"), None, 1 in 1;
    F8E5M2 "f8_e5m2" Some("F8_E5M2"), None, 1 in 1;
    I64 "i64" Some("I64"), Some(27), 1 in 8;
    U64 "u64" Some("U64"), None, 1 in 8;
    I32 "i32" Some("I32"), Some(26), 1 in 4;
    U32 "u32" Some("U32"), None, 1 in 4;
    I16 "i16" Some("I16"), Some(25), 1 in 2;
    U16 "u16" Some("U16"), None, 1 in 2;
    I8 "i8" Some("I8"), Some(24), 1 in 1;
    U8 "u8" Some("U8"), None, 1 in 1;
    Bool "bool" Some("BOOL"), None, 1 in 1;
    C64 "c64" Some("C64"), None, 1 in 8;
    C128 "c128" None, None, 1 in 16;
    F8E8M0 "f8_e8m0" Some("F8_E8M0"), None, 1 in 1;
    F8E4M3Fnuz "f8_e4m3fnuz" Some("F8_E4M3FNUZ"), None, 1 in 1;
    F8E5M2Fnuz "f8_e5m2fnuz" Some("F8_E5M2FNUZ"), None, 1 in 1;
    F6E2M3 "f6_e2m3" Some("F6_E2M3"), None, 4 in 3;
    F6E3M2 "f6_e3m2" Some("F6_E3M2"), None, 4 in 3;
    F4 "f4" Some("F4"), None, 2 in 1;
    Q4_0 "q4_0" None, Some(2), 32 in 18;
    Q4_1 "q4_1" None, Some(3), 32 in 20;
    Q5_0 "q5_0" None, Some(6), 32 in 22;
    Q5_1 "q5_1" None, Some(7), 32 in 24;
    Q8_0 "q8_0" None, Some(8), 32 in 34;
    Q8_1 "q8_1" None, Some(9), 32 in 36;
    Q2K "q2_k" None, Some(10), 256 in 84;
    Q3K "q3_k" None, Some(11), 256 in 110;
    Q4K "q4_k" None, Some(12), 256 in 144;
    Q5K "q5_k" None, Some(13), 256 in 176;
    Q6K "q6_k" None, Some(14), 256 in 210;
    Q8K "q8_k" None, Some(15), 256 in 292;
    Iq2Xxs "iq2_xxs" None, Some(16), 256 in 66;
    Iq2Xs "iq2_xs" None, Some(17), 256 in 74;
    Iq3Xxs "iq3_xxs" None, Some(18), 256 in 98;
    Iq1S "iq1_s" None, Some(19), 256 in 50;
    Iq4Nl "iq4_nl" None, Some(20), 32 in 18;
    Iq3S "iq3_s" None, Some(21), 256 in 110;
    Iq2S "iq2_s" None, Some(22), 256 in 82;
    Iq4Xs "iq4_xs" None, Some(23), 256 in 136;
    Iq1M "iq1_m" None, Some(29), 256 in 56;
    Tq1_0 "tq1_0" None, Some(34), 256 in 54;
    Tq2_0 "tq2_0" None, Some(35), 256 in 66;
    Mxfp4 "mxfp4" None, Some(39), 32 in 17;
    Nvfp4 "nvfp4" None, Some(40), 64 in 36;
    Q1_0 "q1_0" None, Some(41), 128 in 18;
}

impl StoredDtype {
    fn row(self) -> &'static Row {
        // Invariant: the macro makes a row of every variant, in their order.
        &ROWS[self as usize]
    }

    /// Displayed name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The type that a safetensors file calls `name`.
    pub(super) fn of_safetensors(name: &str) -> Option<Self> {
        ROWS.iter()
            .find(|row| row.safetensors == Some(name))
            .map(|row| row.storage)
    }

    /// Its name in a safetensors file.
    pub(super) fn safetensors(self) -> Option<&'static str> {
        self.row().safetensors
    }

    /// Its number in a GGUF file.
    pub(super) fn ggml(self) -> Option<u32> {
        self.row().ggml
    }

    /// The type that a GGUF file calls `id`.
    pub(super) fn of_ggml(id: u32) -> Option<Self> {
        ROWS.iter()
            .find(|row| row.ggml == Some(id))
            .map(|row| row.storage)
    }

    /// Returns true unless the values are integers or booleans; types in blocks count as floats.
    pub fn is_float(self) -> bool {
        let signed = matches!(self, Self::I64 | Self::I32 | Self::I16 | Self::I8);
        !(signed
            || matches!(
                self,
                Self::U64 | Self::U32 | Self::U16 | Self::U8 | Self::Bool
            ))
    }

    /// Values per block.
    pub fn block(self) -> usize {
        self.row().values
    }

    /// Bytes per value; 0 for types in blocks.
    pub fn width(self) -> usize {
        if self.block() == 1 {
            self.row().bytes
        } else {
            0
        }
    }

    /// Bytes of a tensor of `shape` in whole blocks, for GGUF's types in whole blocks per row.
    /// `None` if the shape does not fit the blocks or the size overflows.
    pub fn bytes(self, shape: &[usize]) -> Option<usize> {
        let Row {
            values,
            bytes,
            ggml,
            ..
        } = *self.row();
        let count = shape
            .iter()
            .try_fold(1usize, |count, n| count.checked_mul(*n))?;
        let row = if ggml.is_some() {
            shape.last().copied().unwrap_or(1)
        } else {
            count
        };
        let whole = row.is_multiple_of(values);
        if whole {
            (count / values).checked_mul(bytes)
        } else {
            None
        }
    }
}

impl std::fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The numbers in `bytes`, if they are plain floats.
pub(super) fn floats(storage: StoredDtype, bytes: &[u8]) -> Option<Vec<f64>> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    let fours = || {
        bytes
            .chunks_exact(4)
            .map(|four| [four[0], four[1], four[2], four[3]])
    };
    let eights = || {
        bytes
            .chunks_exact(8)
            .filter_map(|eight| eight.try_into().ok())
    };
    if storage == StoredDtype::F16 {
        Some(
            pairs()
                .map(|pair| half::f16::from_le_bytes(pair).to_f64())
                .collect(),
        )
    } else if storage == StoredDtype::Bf16 {
        Some(
            pairs()
                .map(|pair| half::bf16::from_le_bytes(pair).to_f64())
                .collect(),
        )
    } else if storage == StoredDtype::F32 {
        Some(
            fours()
                .map(|four| f64::from(f32::from_le_bytes(four)))
                .collect(),
        )
    } else if storage == StoredDtype::F64 {
        Some(eights().map(f64::from_le_bytes).collect())
    } else {
        None
    }
}
