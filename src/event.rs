//! What happens while a request runs, as data. Rendering (bars, lines, JSON, server-sent events) is
//! the front ends' work.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Kind, Result};

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
    /// The stage's name as shown to people.
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

/// One thing that happened. Serialises to an object with the tag `event`.
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
        /// Which one.
        stage: Stage,
        /// What it works on (a component's name, a file), for people.
        what: String,
    },
    /// A stage ended.
    End {
        /// Which one.
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
    /// A small picture of what is coming.
    Preview {
        /// Calls done, from 1; those of a refiner go on counting.
        step: usize,
        /// Index of the image within the request, from 0.
        image: u64,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// `width × height × 3` bytes.
        #[serde(skip)]
        rgb: Vec<u8>,
    },
    /// A picture is on disk (or on stdout).
    Saved {
        /// Where; `-` for stdout.
        path: PathBuf,
        /// The seed that made it; none for a sheet of several.
        #[serde(skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// A job of a batch waits for its turn.
    Queued {
        /// Its name.
        job: String,
    },
    /// A job of a batch could not be drawn.
    Failed {
        /// Its name.
        job: String,
        /// Why.
        message: String,
        /// Where the latents are that could not be decoded.
        #[serde(skip_serializing_if = "Option::is_none")]
        latents: Option<PathBuf>,
    },
    /// Something the user should know that is no failure.
    Warning {
        /// Lower case, no full stop.
        message: String,
    },
    /// Something that those who want to know more may be told.
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

/// The answer of an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// Make pictures of what the steps have come to by now, and go on with those that come after
    /// them. Heard at a step.
    Skip,
    /// Likewise, and begin no others.
    Finish,
    /// Stop at the next safe point.
    Cancel,
}

/// Somebody who watches a run and may stop it.
pub trait Observer {
    /// Takes note of `event`; called on the thread that does the work.
    fn on(&mut self, event: &Event) -> Flow;

    /// Is told that the events to come are about one plan alone of those that are drawn together,
    /// or about all of them again.
    fn about(&mut self, _plan: Option<usize>) {}
}

/// Lets any closure observe.
impl<F: FnMut(&Event) -> Flow> Observer for F {
    fn on(&mut self, event: &Event) -> Flow {
        self(event)
    }
}

/// Passes an event on; an observer who cancels becomes an error.
///
/// # Errors
/// `Kind::Interrupted`.
pub(crate) fn tell(observer: &mut dyn Observer, event: &Event) -> Result<()> {
    heard(observer.on(event))
}

/// An observer's answer; one who cancels becomes an error.
///
/// # Errors
/// `Kind::Interrupted`.
pub(crate) fn heard(flow: Flow) -> Result<()> {
    match flow {
        Flow::Continue | Flow::Skip | Flow::Finish => Ok(()),
        Flow::Cancel => Err(Error::new(Kind::Interrupted, "interrupted")),
    }
}
