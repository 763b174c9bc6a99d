//! Progress events of a running request, as data. Rendering (bars, lines, JSON, server-sent events)
//! is left to the front ends.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Version in the `schema` field of JSON output: it changes when a field is removed or changes its
/// meaning.
pub const SCHEMA: u32 = 1;

/// A stage of the work, timed and shown by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Weights from disk to memory.
    Load,
    /// Prompt to conditioning.
    Encode,
    /// The diffusion loop.
    Denoise,
    /// Latents to pixels.
    Decode,
    /// Pixels to file.
    Save,
}

impl Stage {
    /// Name of the stage as shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Encode => "encode",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
            Self::Save => "save",
        }
    }
}

/// A progress event, serialised as an object with the tag `event`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Files of a model are about to be fetched from the hub.
    Download {
        /// Repository and commit.
        model: String,
        /// Files.
        files: usize,
        /// Bytes in all, as far as the hub says them beforehand.
        bytes: u64,
        /// Licence of the weights, as its makers name it.
        license: Option<String>,
    },
    /// Bytes of a file arrived from the hub.
    Fetch {
        /// File name inside the repository.
        file: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all; 0 when unknown.
        total: u64,
    },
    /// A stage began.
    Begin {
        /// The stage that began.
        stage: Stage,
        /// Subject of the stage (a component's name, a file), for people.
        what: String,
    },
    /// A stage ended.
    End {
        /// The stage that ended.
        stage: Stage,
        /// Wall-clock seconds.
        seconds: f64,
    },
    /// A part of a prompt that is longer than the text encoder's window is encoded.
    Chunk {
        /// Parts done, from 1.
        chunk: usize,
        /// Parts in all, of every encoder and of the negative prompt.
        chunks: usize,
    },
    /// A call of the denoising network is done.
    Step {
        /// Calls done, from 1.
        step: usize,
        /// Calls in all.
        steps: usize,
        /// Index of the first image of this forward within the request, from 0.
        image: u64,
        /// Images in this forward.
        batch: usize,
    },
    /// A small preview of the image being denoised.
    Preview {
        /// Network calls done, from 1; the calls of a refiner continue the count.
        step: usize,
        /// Index of the image within the request, from 0.
        image: u64,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// `width × height × 3` bytes.
        #[serde(skip)]
        rgb: Vec<u8>,
    },
    /// An image was written to disk (or to stdout).
    Saved {
        /// Path of the image; `-` for stdout.
        path: PathBuf,
        /// Seed of the image; none for a contact sheet of several images.
        #[serde(skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// A job of a batch is queued.
    Queued {
        /// Name of the job.
        job: String,
    },
    /// A job of a batch failed.
    Failed {
        /// Name of the job.
        job: String,
        /// Error message.
        message: String,
        /// Path of the latents that could not be decoded, if they were saved.
        #[serde(skip_serializing_if = "Option::is_none")]
        latents: Option<PathBuf>,
    },
    /// A warning: something that the user should know and that is not an error.
    Warning {
        /// Lower case, no full stop.
        message: String,
    },
    /// Additional information for users who ask for it (`--verbose`).
    Note {
        /// Lower case, no full stop.
        message: String,
    },
    /// The request is finished.
    Done {
        /// Pictures made.
        images: u64,
        /// Wall-clock seconds of the whole request.
        seconds: f64,
    },
}

/// Decision of an observer after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on as planned.
    Continue,
    /// End the current images at this step, decode them as they are, and go on with the images
    /// after them. Honoured at a step only.
    Skip,
    /// As `Skip`, but start no further images.
    Finish,
    /// Stop at the next safe point.
    Cancel,
}

/// Observer of a run, which may also stop it.
pub trait Observer {
    /// Receives `event`, on the thread that does the work.
    fn on(&mut self, event: &Event) -> Flow;

    /// Announces that the following events concern a single plan of those drawn together, or
    /// (`None`) all of them again.
    fn about(&mut self, _plan: Option<usize>) {}
}

/// Implementation for closures.
impl<F: FnMut(&Event) -> Flow> Observer for F {
    fn on(&mut self, event: &Event) -> Flow {
        self(event)
    }
}

/// Passes an event to the observer; `Flow::Cancel` becomes an error.
pub(crate) fn tell(observer: &mut dyn Observer, event: &Event) -> Result<()> {
    heard(observer.on(event))
}

/// Converts the decision of an observer to a result: `Flow::Cancel` becomes an error.
pub(crate) fn heard(flow: Flow) -> Result<()> {
    match flow {
        Flow::Continue | Flow::Skip | Flow::Finish => Ok(()),
        Flow::Cancel => Err(Error::new(Kind::Interrupted, "interrupted")),
    }
}
