//! Vocabulary of the pipeline: stages between events, batches, the lifetime of networks in memory.

use crate::error::Result;
use crate::event::{Event, Observer, Stage, tell};
use crate::nn::within_memory;

/// A slice of a request that runs in one forward.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    /// Index of the first image within the request.
    pub(crate) first: u64,
    /// Number of images.
    pub(crate) size: usize,
}

/// Lifetime of networks in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residency {
    /// Kept for later requests once loaded; all are loaded at the beginning.
    Loaded,
    /// Loaded when they are needed and freed afterwards, with kernels that take little memory.
    WhileNeeded,
}

/// Runs a stage between its two events.
pub(super) fn staged<T>(
    observer: &mut dyn Observer,
    stage: Stage,
    what: &str,
    work: impl FnOnce(&mut dyn Observer) -> Result<T>,
) -> Result<T> {
    let start = std::time::Instant::now();
    let what = what.to_owned();
    tell(observer, &Event::Begin { stage, what })?;
    let result = within_memory(|| work(observer))?;
    let seconds = start.elapsed().as_secs_f64();
    tell(observer, &Event::End { stage, seconds })?;
    Ok(result)
}
