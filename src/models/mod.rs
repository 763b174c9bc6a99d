//! The networks, each a configuration, a struct and a forward pass. Parameter names are those of
//! the checkpoint, letter by letter; sizes come from config.json; layouts and kernels belong to
//! `nn`.

pub(crate) mod clip;
pub(crate) mod clip_vision;
pub(crate) mod conditioning;
pub(crate) mod controlnet;
pub(crate) mod denoiser;
pub(crate) mod ip_adapter;
pub(crate) mod resnet;
pub(crate) mod taesd;
pub(crate) mod text_encoders;
pub(crate) mod unet;
mod unet_blocks;
pub(crate) mod unet_config;
pub(crate) mod vae;
mod vae_sizes;

#[cfg(test)]
mod adapter_tests;
#[cfg(test)]
mod golden;
