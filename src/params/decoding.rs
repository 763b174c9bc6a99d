//! Decoding of latents from a file: the VAE alone runs, and the file holds the request that made
//! the latents.

use serde_json::Value;

use super::{Memory, Params, Request, VaeTiling};
use crate::device::{DeviceChoice, Dtype};
use crate::error::{Error, Result};
use crate::named_enum::Named;

/// Fields that have an effect with latents from a file: how and where to decode, and where the
/// image goes.
const FREE: &[&str] = &[
    "from_latents",
    "model",
    "config",
    "locked",
    "offline",
    "device",
    "dtype",
    "threads",
    "memory",
    "vae_tiling",
    "output",
    "overwrite",
    "no_metadata",
];

/// The part of `defaults` that has an effect with latents from a file.
pub fn decoding_alone(defaults: &Params) -> Params {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(defaults) else {
        return Params::default();
    };
    fields.retain(|field, _| FREE.contains(&field.as_str()));
    serde_json::from_value(fields.into()).unwrap_or_default()
}

/// Refuses options that the file of latents has decided already.
pub(super) fn nothing_else(params: &Params) -> Result<()> {
    let Ok(Value::Object(given)) = serde_json::to_value(params) else {
        return Ok(());
    };
    match given.keys().find(|field| !FREE.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(Error::field(field, "is decided by the file of latents")
            .hint("with `--from-latents` a picture is decoded, not drawn; leave this option out")),
    }
}

impl Request {
    /// This request with the compute settings of `params`: device, data type, threads, memory and
    /// tiling.
    ///
    /// # Errors
    /// A wrong value, by field.
    pub fn decoded_with(self, params: &Params) -> Result<Self> {
        let device = params
            .device
            .as_deref()
            .map_or(Ok(DeviceChoice::Auto), DeviceChoice::parse)?;
        let dtype = params
            .dtype
            .as_deref()
            .map_or(Ok(self.dtype), |name| Dtype::parse("dtype", name))?;
        let memory = params
            .memory
            .as_deref()
            .map_or(Ok(Memory::Auto), Memory::parse)?;
        let tiling = params.vae_tiling.as_deref();
        let vae_tiling = tiling.map_or(Ok(self.vae_tiling), |name| {
            VaeTiling::parse("vae_tiling", name)
        })?;
        Ok(Self {
            count: 1,
            batch_size: 1,
            device,
            dtype,
            threads: params.threads,
            memory,
            vae_tiling,
            ..self
        })
    }
}
