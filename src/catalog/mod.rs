//! Model catalogue: known names, folders and hub repositories, the files behind them, and extra
//! networks (ControlNet, VAE, IP-Adapter). No tensor data is read here.

mod component;
mod extra_file;
mod extra_network;
mod files;
mod info;
mod installed;
mod lockfile;
mod lookup;
mod models;
mod repo_config;
mod required_files;
mod single_file;

pub use component::Component;
pub use extra_file::file_of_repository;
pub use extra_network::{Network, NetworkLayout, Networks, autoencoder};
pub use files::ModelFiles;
pub use info::{HashedFile, ModelInfo, PartInfo};
pub use installed::{InstalledRepo, Verdict, list_installed, remove, verify};
pub use lockfile::LockFile;
pub use lookup::{Fetch, cached, is_cached, locate, pull};
pub use models::{DEFAULT_MODEL, ModelRef, ModelSpec, Preset, UnetFile, models, presets};
pub use repo_config::{Inputs, RepoConfig};
pub(crate) use required_files::small_files;
pub use single_file::{Checkpoint, Version, autoencoder_sizes, export, original_module};
