//! `sdgen convert IN OUT`: a model in another layout, format or precision.

use std::path::PathBuf;

use clap::Args;

use super::local_models::find_local_model;
use super::{signals, terminal};
use crate::convert::{ConvertOptions, Layout, Target, convert, lost_parts};
use crate::named_enum::Named;

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The model: a file, a folder, or a model that is on this machine
    #[arg(value_name = "IN")]
    model: String,

    /// Output: NAME.safetensors, NAME.gguf, or a folder
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// f32, f16, bf16; for .gguf also q8_0, q6_k, q5_0, q5_1, q5_k, q4_0, q4_1 or q4_k [default: as
    /// it is stored]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,

    /// diffusers (a folder) or single (one file) [default: as OUT is named]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,

    /// For a model in one file: model whose config files it uses, as in `sdgen --config`
    #[arg(long, value_name = "MODEL")]
    config: Option<String>,

    /// Replace what is there
    #[arg(long)]
    overwrite: bool,
}

/// Converts a model.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let order = ConvertOptions {
        out: arguments.out.clone(),
        target: arguments
            .dtype
            .as_deref()
            .map(|name| Target::parse("dtype", name))
            .transpose()?,
        layout: arguments
            .layout
            .as_deref()
            .map(|name| Layout::parse("layout", name))
            .transpose()?,
        overwrite: arguments.overwrite,
    };
    let mut model = find_local_model(&arguments.model)?;
    if let Some(config) = &arguments.config {
        model = model.configured(&find_local_model(config)?);
    }
    let notes = model
        .checkpoint()
        .map_or(Vec::new(), |checkpoint| checkpoint.notes(&model.origin));
    for message in notes.into_iter().chain(lost_parts(&model, &order)?) {
        terminal::print_message(&terminal::sanitize(&format!("warning: {message}")));
    }
    signals::listen(false)?;
    let bytes = convert(&model, &order, &signals::stop_requested)?;
    terminal::print_message(&format!("saved {} ({bytes} bytes)", order.out.display()));
    Ok(())
}
