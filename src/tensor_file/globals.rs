//! Names allowed in a pickle: those of tensors, and of other data that training programs save with
//! them. None is ever called.

use super::StoredDtype;

/// Meaning of a name allowed in a pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    /// Rebuilds a tensor from a typed storage.
    Tensor,
    /// Rebuilds a tensor from an untyped storage and a dtype.
    TypedTensor,
    /// A dtype.
    Type(StoredDtype),
    /// Evaluates to its first argument.
    Wrapper,
    /// A dictionary.
    Dictionary,
    /// A typed storage.
    Numbers(StoredDtype),
    /// Ignored: calls of it become objects without content, to which fields may be added later.
    Inert,
}

/// The allowed names. Those of the last rows occur in the checkpoints of training programs.
pub(super) const GLOBALS: &[(&str, &str, Global)] = &[
    ("torch._utils", "_rebuild_tensor_v2", Global::Tensor),
    ("torch._utils", "_rebuild_tensor", Global::Tensor),
    ("torch._utils", "_rebuild_tensor_v3", Global::TypedTensor),
    ("torch._utils", "_rebuild_parameter", Global::Wrapper),
    ("torch.nn.parameter", "Parameter", Global::Wrapper),
    ("collections", "OrderedDict", Global::Dictionary),
    ("torch", "DoubleStorage", Global::Numbers(StoredDtype::F64)),
    ("torch", "FloatStorage", Global::Numbers(StoredDtype::F32)),
    ("torch", "HalfStorage", Global::Numbers(StoredDtype::F16)),
    (
        "torch",
        "BFloat16Storage",
        Global::Numbers(StoredDtype::Bf16),
    ),
    ("torch", "LongStorage", Global::Numbers(StoredDtype::I64)),
    ("torch", "IntStorage", Global::Numbers(StoredDtype::I32)),
    ("torch", "ShortStorage", Global::Numbers(StoredDtype::I16)),
    ("torch", "CharStorage", Global::Numbers(StoredDtype::I8)),
    ("torch", "ByteStorage", Global::Numbers(StoredDtype::U8)),
    ("torch", "BoolStorage", Global::Numbers(StoredDtype::Bool)),
    (
        "torch",
        "ComplexFloatStorage",
        Global::Numbers(StoredDtype::C64),
    ),
    (
        "torch",
        "ComplexDoubleStorage",
        Global::Numbers(StoredDtype::C128),
    ),
    (
        "torch.storage",
        "UntypedStorage",
        Global::Numbers(StoredDtype::U8),
    ),
    ("torch", "float8_e4m3fn", Global::Type(StoredDtype::F8E4M3)),
    ("torch", "float8_e5m2", Global::Type(StoredDtype::F8E5M2)),
    (
        "torch",
        "float8_e4m3fnuz",
        Global::Type(StoredDtype::F8E4M3Fnuz),
    ),
    (
        "torch",
        "float8_e5m2fnuz",
        Global::Type(StoredDtype::F8E5M2Fnuz),
    ),
    ("torch", "float8_e8m0fnu", Global::Type(StoredDtype::F8E8M0)),
    ("torch", "uint16", Global::Type(StoredDtype::U16)),
    ("torch", "uint32", Global::Type(StoredDtype::U32)),
    ("torch", "uint64", Global::Type(StoredDtype::U64)),
    ("torch", "Size", Global::Wrapper),
    ("torch", "device", Global::Inert),
    ("torch", "float16", Global::Inert),
    ("torch", "float32", Global::Inert),
    ("torch", "bfloat16", Global::Inert),
    ("torch.nn.modules.container", "ParameterDict", Global::Inert),
    ("numpy", "dtype", Global::Inert),
    ("numpy", "ndarray", Global::Inert),
    ("numpy.core.multiarray", "scalar", Global::Inert),
    ("numpy.core.multiarray", "_reconstruct", Global::Inert),
    ("numpy._core.multiarray", "scalar", Global::Inert),
    ("_codecs", "encode", Global::Inert),
    ("__builtin__", "set", Global::Inert),
    ("__builtin__", "dict", Global::Inert),
    ("__builtin__", "list", Global::Inert),
    ("__builtin__", "tuple", Global::Inert),
    ("__builtin__", "long", Global::Inert),
    ("__builtin__", "float", Global::Inert),
    ("__builtin__", "bool", Global::Inert),
    ("__builtin__", "unicode", Global::Inert),
    (
        "pytorch_lightning.callbacks.model_checkpoint",
        "ModelCheckpoint",
        Global::Inert,
    ),
    (
        "pytorch_lightning.callbacks",
        "ModelCheckpoint",
        Global::Inert,
    ),
    (
        "pytorch_lightning.callbacks.early_stopping",
        "EarlyStopping",
        Global::Inert,
    ),
    (
        "lightning.pytorch.callbacks.model_checkpoint",
        "ModelCheckpoint",
        Global::Inert,
    ),
    ("omegaconf.dictconfig", "DictConfig", Global::Inert),
    ("omegaconf.listconfig", "ListConfig", Global::Inert),
    ("omegaconf.base", "ContainerMetadata", Global::Inert),
    ("omegaconf.base", "Metadata", Global::Inert),
    ("omegaconf.nodes", "AnyNode", Global::Inert),
    ("typing", "Any", Global::Inert),
    ("collections", "defaultdict", Global::Inert),
    ("argparse", "Namespace", Global::Inert),
];
