//! The engine: owns the loaded model and turns a request into pictures. How they are shown or saved is the caller's.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::event::Observer;
use crate::input::Start;
use crate::nn::{Backend, Choice};
use crate::pipeline::{Batch, Drawn, Pipeline, Task};
use crate::registry::{ModelFiles, RepoConfig};
use crate::request::{Refiner, Request};

/// A finished picture: 8-bit RGB, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
    /// The seed that made it.
    pub seed: u64,
    /// Its place within the request, from 0.
    pub index: u64,
}

/// A loaded model, ready to draw, and a refiner if the request has one. Only one of the two is in memory at a time.
pub struct Engine {
    base: Slot,
    refiner: Option<Slot>,
    backend: Backend,
    weights: BTreeMap<String, String>,
}

/// A model that may be in memory.
struct Slot {
    files: ModelFiles,
    repo: RepoConfig,
    pipeline: Option<Pipeline>,
}

/// Takes a finished picture.
type Deliver<'a> = &'a mut dyn FnMut(Image) -> Result<()>;

impl Engine {
    /// Loads the networks of a model for the device and precision that `request` names.
    ///
    /// # Errors
    /// A file that is missing or does not fit; a device that is not there.
    pub fn load(
        files: &ModelFiles,
        repo: &RepoConfig,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let isa = crate::config::instruction_set();
        let backend = Backend::choose(&Choice {
            device: request.device,
            dtype: request.dtype,
            threads: request.threads,
            isa: isa.as_deref(),
        })?;
        let mut base = Slot::new(files, repo);
        base.open(request, &backend, observer)?;
        Ok(Self { base, refiner: None, backend, weights: files.fingerprints() })
    }

    /// The engine with the model that [`Request::refiner`] names; it is loaded when its steps come.
    ///
    /// # Errors
    /// The two models are not both of the XL family.
    pub fn with_refiner(mut self, files: &ModelFiles, repo: &RepoConfig) -> Result<Self> {
        Refiner::suits(&self.base.repo, repo)?;
        let named = files.fingerprints().into_iter().map(|(path, hash)| (format!("refiner/{path}"), hash));
        self.weights.extend(named);
        self.refiner = Some(Slot::new(files, repo));
        Ok(self)
    }

    /// Draws the pictures of `request` and hands each to `deliver` as soon as it is decoded.
    ///
    /// # Errors
    /// A failure of the networks, a picture that is none, `Kind::Interrupted` when the observer cancels,
    /// or what `deliver` reports.
    pub fn generate(
        &mut self,
        request: &Request,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
    ) -> Result<()> {
        let start = request.start()?;
        if let Some(refiner) = &mut self.refiner {
            refiner.pipeline = None;
        }
        let base = self.base.open(request, &self.backend, observer)?;
        let prompts = base.encode(request, observer)?;
        let finish = Finish { request, start: start.as_ref() };
        let mut begun = Vec::new();
        for batch in batches(request) {
            let drawn =
                base.denoise(&Task { request, prompts: &prompts, batch }, start.as_ref(), observer)?;
            if request.refiner.is_some() {
                begun.push(drawn);
            } else {
                finish.all(base, &drawn, observer, deliver)?;
            }
        }
        if begun.is_empty() { Ok(()) } else { self.refine(&finish, begun, observer, deliver) }
    }

    /// Lets the refiner end what the base model has begun, which leaves memory first.
    fn refine(
        &mut self,
        finish: &Finish<'_>,
        begun: Vec<Drawn>,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
    ) -> Result<()> {
        let refiner = self.refiner.as_mut().ok_or_else(|| {
            Error::field("refiner", "the refiner's model is missing")
                .hint("hand it to `Engine::with_refiner`")
        })?;
        self.base.pipeline = None;
        let request = finish.request.refined(&refiner.repo)?;
        let pipeline = refiner.open(&request, &self.backend, observer)?;
        let prompts = pipeline.encode(&request, observer)?;
        for drawn in begun {
            let task = Task { request: &request, prompts: &prompts, batch: drawn.batch };
            let drawn = pipeline.refine(&task, drawn, observer)?;
            finish.all(pipeline, &drawn, observer, deliver)?;
        }
        Ok(())
    }

    /// How the processor computes (instruction set, threads); nothing on other devices.
    pub fn processor(&self) -> Option<String> {
        self.backend.processor()
    }

    /// A counter of the arithmetic operations of convolutions, products and attention so far, to be read while the
    /// engine works; it stays at 0 where they are not counted.
    pub fn operations(&self) -> impl Fn() -> u64 + 'static {
        let backend = self.backend.clone();
        move || backend.work()
    }

    /// Name → hash of each weight file in use.
    pub fn weights(&self) -> &BTreeMap<String, String> {
        &self.weights
    }
}

impl Slot {
    fn new(files: &ModelFiles, repo: &RepoConfig) -> Self {
        Self { files: files.clone(), repo: repo.clone(), pipeline: None }
    }

    /// The loaded model.
    fn open(
        &mut self,
        request: &Request,
        backend: &Backend,
        observer: &mut dyn Observer,
    ) -> Result<&Pipeline> {
        let pipeline = match self.pipeline.take() {
            Some(pipeline) => pipeline,
            None => Pipeline::load(&self.files, &self.repo, request, backend, observer)?,
        };
        Ok(self.pipeline.insert(pipeline))
    }
}

/// The pictures of a request in slices of its batch size.
fn batches(request: &Request) -> impl Iterator<Item = Batch> + use<> {
    let (count, size) = (request.count, request.batch_size);
    let slice = move |first| Batch { first, size: size.min((count - first) as usize) };
    (0..count).step_by(size).map(slice)
}

/// What turns latents into the pictures that were asked for.
struct Finish<'a> {
    request: &'a Request,
    start: Option<&'a Start>,
}

impl Finish<'_> {
    /// Decodes and delivers each picture of a batch.
    fn all(
        &self,
        pipeline: &Pipeline,
        drawn: &Drawn,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
    ) -> Result<()> {
        let request = self.request;
        for i in 0..drawn.batch.size {
            let rgb = pipeline.decode(drawn, i, observer)?;
            let (width, height, rgb) = match self.start {
                None => (request.width, request.height, rgb),
                Some(start) => {
                    let picture = start.finished(rgb, request.keeps_unmasked());
                    (picture.width, picture.height, picture.rgb)
                }
            };
            let index = drawn.batch.first + i as u64;
            let seed = request.seed.wrapping_add(index);
            deliver(Image { width, height, rgb, seed, index })?;
        }
        Ok(())
    }
}
