//! The engine: owns the loaded model and turns plans into images. Display and storage of the images
//! are left to the caller.

use std::cell::Cell;
use std::sync::Arc;

use crate::adapters::Adapters;
use crate::device::{DeviceChoice, Dtype};
use crate::error::{Kind, Result};
use crate::event::{Event, Flow, Observer, tell};
use crate::image::{Image, Size};
use crate::imaging::{Pixels, Start, Transparency};
use crate::nn::{Backend, Choice, pace};
use crate::output::latents::Latents;
use crate::params::Request;
pub use crate::pipeline::Estimate;
use crate::pipeline::{
    Batch, Beside, Drawn, Encoded, Pipeline, Shown, Sizes, Stages, Stay, Task, Workload,
};
use crate::planner::{Model, Plan};
use crate::registry::Networks;
use crate::rng::Noise;

/// Runs plans. The last model stays in memory for the next plan; a base model and its refiner take
/// turns, so that only one of them is in memory at a time.
#[derive(Default)]
pub struct Engine {
    backend: Option<(Machine, Backend)>,
    loaded: Option<Loaded>,
    undecoded: Option<Latents>,
    /// Measured throughput of the CPU, in operations per second.
    pace: Option<(Machine, f64)>,
}

/// Estimated durations of the stages of a plan, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Prompts to conditioning.
    pub encode: f64,
    /// A call of the denoising network for one picture.
    pub call: f64,
    /// Latents to pixels, for one picture.
    pub decode: f64,
}

/// Settings that select the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Machine {
    device: DeviceChoice,
    dtype: Dtype,
    threads: Option<usize>,
}

/// A model in memory, with the settings that it was loaded for.
struct Loaded {
    machine: Machine,
    model: Arc<Model>,
    pipeline: Pipeline,
    stay: Stay,
    /// Bytes of the networks that stay in memory, by estimate.
    held: u64,
}

/// Callback that receives a finished image.
type Deliver<'a> = &'a mut dyn FnMut(Image) -> Result<()>;

impl Engine {
    /// An engine with nothing in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads the model of a plan in advance, to measure the load time or to be ready for a request.
    ///
    /// # Errors
    /// A file that is missing or does not fit; a device that is not there.
    pub fn load(&mut self, plan: &Plan, observer: &mut dyn Observer) -> Result<()> {
        self.open(&Wanted::of(plan), observer).map(|_| ())
    }

    /// Draws the images of `plan` and passes each to `deliver` as soon as it is decoded.
    ///
    /// # Errors
    /// As [`Self::load`]; a failure of the networks, an invalid image, `Kind::Interrupted` when the
    /// observer cancels, or an error of `deliver`.
    pub fn generate(
        &mut self,
        plan: &Plan,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
    ) -> Result<()> {
        let undecoded = Cell::new(None);
        let result = self.draw(plan, observer, deliver, &undecoded);
        self.undecoded = undecoded.into_inner();
        result
    }

    /// Latents of the last request that could not be decoded, if any.
    pub fn undecoded(&self) -> Option<&Latents> {
        self.undecoded.as_ref()
    }

    fn draw(
        &mut self,
        plan: &Plan,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
        undecoded: &Cell<Option<Latents>>,
    ) -> Result<()> {
        let request = &plan.request;
        let (start, beside) = (request.start()?, Beside::of(plan));
        let networks = &plan.networks;
        let base = self.open(&Wanted::of(plan), observer)?;
        let finish = Finish {
            request,
            beside,
            start: start.as_ref(),
            undecoded,
        };
        if let Some(latents) = &plan.latents {
            return finish.all(base, &base.restore(request, latents)?, observer, deliver);
        }
        let shown = shown(request, start.as_ref())?;
        let prompts = base.encode(request, beside, &shown, observer)?;
        let mut begun = Vec::new();
        for batch in batches(request) {
            let noise = Noise::new(
                request.rng,
                request.seed.wrapping_add(batch.first),
                batch.size,
            );
            let task = Task {
                request,
                prompts: &prompts,
                batch,
                networks,
            };
            let drawn = base.denoise(&task, noise, start.as_ref(), observer)?;
            let flow = drawn.flow;
            if plan.refiner.is_some() && flow == Flow::Continue {
                begun.push(drawn);
            } else {
                finish.all(base, &drawn, observer, deliver)?;
            }
            if flow == Flow::Finish {
                break;
            }
        }
        match &plan.refiner {
            Some(refiner) => self.refine(refiner, &finish, begun, observer, deliver),
            None => Ok(()),
        }
    }

    /// Draws one image for each of `plans`, which differ only in prompts and seed
    /// ([`Request::form`]) and have no refiner, in as few forward passes as the lengths of the
    /// prompts allow. Each image is the same as if its plan were drawn alone; `deliver` receives
    /// the index of the plan with the image.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn together(
        &mut self,
        plans: &[&Plan],
        observer: &mut dyn Observer,
        deliver: &mut dyn FnMut(usize, Image) -> Result<()>,
    ) -> Result<()> {
        let Some(first) = plans.first().copied() else {
            return Ok(());
        };
        let (
            Plan {
                request, networks, ..
            },
            beside,
        ) = (first, Beside::of(first));
        let start = request.start()?;
        let shown = shown(request, start.as_ref())?;
        let company = &request.in_company(plans.len());
        let pipeline = self.open(
            &Wanted {
                request: company,
                ..Wanted::of(first)
            },
            observer,
        )?;
        let encode = |(i, plan): (usize, &&Plan)| {
            observer.about(Some(i));
            pipeline.encode(&plan.request, Beside::of(plan), &shown, observer)
        };
        let prompts = plans
            .iter()
            .enumerate()
            .map(encode)
            .collect::<Result<Vec<_>>>()?;
        observer.about(None);
        // The caller draws an image again alone if it cannot be decoded, and may then keep its
        // latents.
        let undecoded = &Cell::new(None);
        let finish = Finish {
            request,
            beside,
            start: start.as_ref(),
            undecoded,
        };
        let mut rest: Vec<usize> = (0..plans.len()).collect();
        while let Some(lead) = rest.first() {
            let length = prompts[*lead].length();
            let (these, others) = rest
                .into_iter()
                .partition::<Vec<_>, _>(|i| prompts[*i].length() == length);
            rest = others;
            let noise = Noise::seeded(request.rng, these.iter().map(|i| plans[*i].request.seed));
            let prompts = Encoded::joined(&these.iter().map(|i| &prompts[*i]).collect::<Vec<_>>())?;
            let batch = Batch {
                first: 0,
                size: these.len(),
            };
            let task = Task {
                request,
                prompts: &prompts,
                batch,
                networks,
            };
            let drawn = pipeline.denoise(&task, noise, start.as_ref(), observer)?;
            for (place, i) in these.into_iter().enumerate() {
                let image = finish.image(pipeline, &drawn, place, observer)?;
                deliver(
                    i,
                    Image {
                        seed: plans[i].request.seed,
                        index: 0,
                        ..image
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Lets the refiner finish the denoising that the base model began.
    fn refine(
        &mut self,
        refiner: &Arc<Model>,
        finish: &Finish<'_>,
        begun: Vec<Drawn>,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
    ) -> Result<()> {
        let request = finish.request.refined(&refiner.repo)?;
        let (networks, adapters) = &refiners(finish.beside);
        let beside = Beside { networks, adapters };
        let shown = shown(&request, None)?;
        let wanted = Wanted {
            model: refiner,
            beside,
            request: &request,
            stages: Stages::All,
        };
        let pipeline = self.open(&wanted, observer)?;
        let prompts = pipeline.encode(&request, beside, &shown, observer)?;
        for drawn in begun {
            let task = Task {
                request: &request,
                prompts: &prompts,
                batch: drawn.batch,
                networks,
            };
            let drawn = pipeline.refine(&task, drawn, observer)?;
            finish.all(pipeline, &drawn, observer, deliver)?;
            if drawn.flow == Flow::Finish {
                break;
            }
        }
        Ok(())
    }

    /// Returns the pipeline of the wanted model with its extra networks and adapters, loading it if
    /// necessary; another model is unloaded first.
    fn open(&mut self, wanted: &Wanted<'_>, observer: &mut dyn Observer) -> Result<&Pipeline> {
        let Wanted {
            model,
            beside,
            request,
            ..
        } = *wanted;
        let machine = Machine::of(request);
        let backend = self.backend(machine)?;
        let kept = self
            .loaded
            .take()
            .filter(|loaded| loaded.serves(machine, model));
        let held = kept.as_ref().map_or(0, |loaded| loaded.held);
        let estimate = wanted.estimate(&backend, held)?;
        let stay = estimate.stay();
        let loaded = match kept.filter(|loaded| loaded.stay == stay) {
            Some(loaded) => loaded,
            None => {
                for message in backend.passed_over() {
                    tell(
                        observer,
                        &Event::Note {
                            message: format!("--device auto: {message}"),
                        },
                    )?;
                }
                let parts = (&model.files, &model.repo);
                let pipeline = Pipeline::open(parts, beside, request, &backend, stay)?;
                let held = if stay == Stay::Loaded {
                    estimate.networks()
                } else {
                    0
                };
                Loaded {
                    machine,
                    model: model.clone(),
                    pipeline,
                    stay,
                    held,
                }
            }
        };
        let pipeline = &mut self.loaded.insert(loaded).pipeline;
        pipeline.adapt(beside.adapters);
        pipeline.ready(observer)?;
        pipeline.equip(beside.networks, observer)?;
        pipeline.tile(estimate.tiled);
        Ok(pipeline)
    }

    /// Estimates the memory that a plan takes in an empty engine, without loading anything. A base
    /// model and its refiner take turns, so the larger of the two counts. `None` on devices other
    /// than the CPU.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn estimate(&mut self, plan: &Plan) -> Result<Option<Estimate>> {
        let backend = self.backend(Machine::of(&plan.request))?;
        if !backend.is_host() {
            return Ok(None);
        }
        let base = Wanted::of(plan).estimate(&backend, 0)?;
        let Some(model) = &plan.refiner else {
            return Ok(Some(base));
        };
        let request = &plan.request.refined(&model.repo)?;
        let (networks, adapters) = &refiners(Beside::of(plan));
        let beside = Beside { networks, adapters };
        let refiner = Wanted {
            model,
            beside,
            request,
            stages: Stages::All,
        }
        .estimate(&backend, 0)?;
        Ok(Some(if refiner.peak() > base.peak() {
            refiner
        } else {
            base
        }))
    }

    /// Estimates the durations of the stages of a plan from its number of operations and a short
    /// measurement of the CPU, without loading anything. `None` on devices other than the CPU.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn forecast(&mut self, plan: &Plan) -> Result<Option<Forecast>> {
        let machine = Machine::of(&plan.request);
        let backend = self.backend(machine)?;
        if self.pace.is_none_or(|(kept, _)| kept != machine) {
            self.pace = pace(&backend).map(|pace| (machine, pace));
        }
        let Some((_, pace)) = self.pace else {
            return Ok(None);
        };
        let work = Workload::of(&Wanted::of(plan).sizes())?;
        let [encode, call, decode] = [work.encode, work.call, work.decode].map(|work| work / pace);
        Ok(Some(Forecast {
            encode,
            call,
            decode,
        }))
    }

    fn backend(&mut self, machine: Machine) -> Result<Backend> {
        if let Some((_, backend)) = self.backend.as_ref().filter(|(kept, _)| *kept == machine) {
            return Ok(backend.clone());
        }
        let Machine {
            device,
            dtype,
            threads,
        } = machine;
        let isa = crate::env::instruction_set();
        let backend = Backend::choose(&Choice {
            device,
            dtype,
            threads,
            isa: isa.as_deref(),
        })?;
        self.backend = Some((machine, backend.clone()));
        Ok(backend)
    }

    /// Description of the CPU backend (instruction set, threads); `None` on other devices, or
    /// before a model is loaded.
    pub fn processor(&self) -> Option<String> {
        self.backend
            .as_ref()
            .and_then(|(_, backend)| backend.processor())
    }

    /// Returns a counter of the arithmetic operations (convolutions, matrix products, attention) so
    /// far, to be read while the engine works; it stays at 0 if they are not counted, or before a
    /// model is loaded.
    pub fn operations(&self) -> impl Fn() -> u64 + 'static {
        let backend = self.backend.as_ref().map(|(_, backend)| backend.clone());
        move || backend.as_ref().map_or(0, Backend::work)
    }
}

/// The model to open, with its extra networks and the stages that are needed.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    model: &'a Arc<Model>,
    beside: Beside<'a>,
    request: &'a Request,
    stages: Stages,
}

impl<'a> Wanted<'a> {
    /// The base model of `plan` with its networks.
    fn of(plan: &'a Plan) -> Self {
        let stages = if plan.latents.is_some() {
            Stages::Decoding
        } else {
            Stages::All
        };
        Self {
            model: &plan.base,
            beside: Beside::of(plan),
            request: &plan.request,
            stages,
        }
    }

    fn sizes(&self) -> Sizes<'a> {
        let Self {
            model,
            beside,
            request,
            stages,
        } = *self;
        Sizes {
            files: &model.files,
            repo: &model.repo,
            networks: beside.networks,
            request,
            stages,
        }
    }

    fn estimate(&self, backend: &Backend, held: u64) -> Result<Estimate> {
        Estimate::of(&self.sizes(), backend, held)
    }
}

/// Networks and adapters of the refiner: the autoencoder, shared with the base model, and textual
/// inversion embeddings. LoRAs apply to the base model only.
fn refiners(Beside { networks, adapters }: Beside<'_>) -> (Networks, Adapters) {
    let autoencoder = networks.autoencoder.clone();
    let embeddings = adapters.embeddings.clone();
    (
        Networks {
            autoencoder,
            ..Networks::default()
        },
        Adapters {
            embeddings,
            ..Adapters::default()
        },
    )
}

impl Machine {
    fn of(request: &Request) -> Self {
        Self {
            device: request.device,
            dtype: request.dtype,
            threads: request.threads,
        }
    }
}

impl Loaded {
    /// Returns true if a request for this model and machine can be drawn with the loaded one.
    fn serves(&self, machine: Machine, model: &Arc<Model>) -> bool {
        let same = |other: &Model| {
            self.model.files.origin == other.files.origin && self.model.weights == other.weights
        };
        self.machine == machine && (Arc::ptr_eq(&self.model, model) || same(model))
    }
}

/// Images that the networks of a request are conditioned on (ControlNet, IP-Adapter).
fn shown(request: &Request, start: Option<&Start>) -> Result<Shown> {
    let picture = request.picture_prompt.as_ref();
    let prompt = picture
        .map(|picture| Pixels::read("ip_image", &picture.image, Transparency::Dropped))
        .transpose()?;
    Ok(Shown {
        controls: request.control_pictures(start)?,
        prompt,
    })
}

/// Splits the images of a request into batches of its batch size.
fn batches(request: &Request) -> impl Iterator<Item = Batch> + use<> {
    let (count, size) = (request.count, request.batch_size);
    let slice = move |first| Batch {
        first,
        size: size.min((count - first) as usize),
    };
    (0..count).step_by(size).map(slice)
}

/// Last stage of a request: converts latents to the requested images.
struct Finish<'a> {
    request: &'a Request,
    beside: Beside<'a>,
    start: Option<&'a Start>,
    /// Receives latents that could not be decoded.
    undecoded: &'a Cell<Option<Latents>>,
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
        (0..drawn.batch.size).try_for_each(|i| deliver(self.image(pipeline, drawn, i, observer)?))
    }

    /// Decodes and finishes image `i` of a batch.
    fn image(
        &self,
        pipeline: &Pipeline,
        drawn: &Drawn,
        i: usize,
        observer: &mut dyn Observer,
    ) -> Result<Image> {
        let request = self.request;
        let index = drawn.batch.first + i as u64;
        let seed = request.seed.wrapping_add(index);
        let rgb = pipeline.decode(drawn, i, observer).inspect_err(|error| {
            let worth_keeping = error.kind() != Kind::Interrupted;
            self.undecoded
                .set(drawn.kept(i, seed).ok().filter(|_| worth_keeping));
        })?;
        let (size, rgb) = match self.start {
            None => (Size::new(request.width, request.height), rgb),
            Some(start) => {
                let picture = start.finish(rgb, request.keeps_unmasked());
                (Size::new(picture.width, picture.height), picture.rgb)
            }
        };
        Ok(Image {
            size,
            rgb,
            seed,
            index,
            tiled: pipeline.is_tiled(),
        })
    }
}
