//! Names allowed in a pickle: those of tensors, and of other data that training programs save with
//! them. None is ever called.

use super::StoredDtype::{
    self, Bf16, Bool, C64, C128, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, F16, F32, F64, I8,
    I16, I32, I64, U8, U16, U32, U64,
};
use Global::{Dictionary, Inert, Numbers, Tensor, Type, TypedTensor, Wrapper};

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
    ("torch._utils", "_rebuild_tensor_v2", Tensor),
    ("torch._utils", "_rebuild_tensor", Tensor),
    ("torch._utils", "_rebuild_tensor_v3", TypedTensor),
    ("torch._utils", "_rebuild_parameter", Wrapper),
    ("torch.nn.parameter", "Parameter", Wrapper),
    ("collections", "OrderedDict", Dictionary),
    ("torch", "DoubleStorage", Numbers(F64)),
    ("torch", "FloatStorage", Numbers(F32)),
    ("torch", "HalfStorage", Numbers(F16)),
    ("torch", "BFloat16Storage", Numbers(Bf16)),
    ("torch", "LongStorage", Numbers(I64)),
    ("torch", "IntStorage", Numbers(I32)),
    ("torch", "ShortStorage", Numbers(I16)),
    ("torch", "CharStorage", Numbers(I8)),
    ("torch", "ByteStorage", Numbers(U8)),
    ("torch", "BoolStorage", Numbers(Bool)),
    ("torch", "ComplexFloatStorage", Numbers(C64)),
    ("torch", "ComplexDoubleStorage", Numbers(C128)),
    ("torch.storage", "UntypedStorage", Numbers(U8)),
    ("torch", "float8_e4m3fn", Type(F8E4M3)),
    ("torch", "float8_e5m2", Type(F8E5M2)),
    ("torch", "float8_e4m3fnuz", Type(F8E4M3Fnuz)),
    ("torch", "float8_e5m2fnuz", Type(F8E5M2Fnuz)),
    ("torch", "float8_e8m0fnu", Type(F8E8M0)),
    ("torch", "uint16", Type(U16)),
    ("torch", "uint32", Type(U32)),
    ("torch", "uint64", Type(U64)),
    ("torch", "Size", Wrapper),
    ("torch", "device", Inert),
    ("torch", "float16", Inert),
    ("torch", "float32", Inert),
    ("torch", "bfloat16", Inert),
    ("torch.nn.modules.container", "ParameterDict", Inert),
    ("numpy", "dtype", Inert),
    ("numpy", "ndarray", Inert),
    ("numpy.core.multiarray", "scalar", Inert),
    ("numpy.core.multiarray", "_reconstruct", Inert),
    ("numpy._core.multiarray", "scalar", Inert),
    ("_codecs", "encode", Inert),
    ("__builtin__", "set", Inert),
    ("__builtin__", "dict", Inert),
    ("__builtin__", "list", Inert),
    ("__builtin__", "tuple", Inert),
    ("__builtin__", "long", Inert),
    ("__builtin__", "float", Inert),
    ("__builtin__", "bool", Inert),
    ("__builtin__", "unicode", Inert),
    (
        "pytorch_lightning.callbacks.model_checkpoint",
        "ModelCheckpoint",
        Inert,
    ),
    ("pytorch_lightning.callbacks", "ModelCheckpoint", Inert),
    (
        "pytorch_lightning.callbacks.early_stopping",
        "EarlyStopping",
        Inert,
    ),
    (
        "lightning.pytorch.callbacks.model_checkpoint",
        "ModelCheckpoint",
        Inert,
    ),
    ("omegaconf.dictconfig", "DictConfig", Inert),
    ("omegaconf.listconfig", "ListConfig", Inert),
    ("omegaconf.base", "ContainerMetadata", Inert),
    ("omegaconf.base", "Metadata", Inert),
    ("omegaconf.nodes", "AnyNode", Inert),
    ("typing", "Any", Inert),
    ("collections", "defaultdict", Inert),
    ("argparse", "Namespace", Inert),
];
