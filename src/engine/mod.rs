//! The engine: owns the loaded model and turns plans into images: a list of passes, the decoder, and
//! a list of post-processing steps. Display and storage of the images are left to the caller.

mod finish;
mod postprocess;

use std::cell::Cell;
use std::sync::Arc;

use crate::device::{DeviceChoice, Dtype};
use crate::error::Result;
use crate::event::{Event, Flow, Observer, tell};
use crate::image::Image;
use crate::imaging::{Pixels, Start, Transparency};
use crate::nn::{Backend, BackendOptions, operations_per_second};
use crate::output::latents::Latents;
use crate::params::Request;
pub use crate::pipeline::Estimate;
use crate::pipeline::{
    Batch, ConditionImages, EncodedPrompts, Pass, PassInput, PassOutput, Pipeline, Residency,
    Sizes, Workload,
};
use crate::planner::{Model, Plan};
use crate::rng::Noise;
use finish::Finish;

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
    residency: Residency,
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
        self.open(&Pass::base(plan, None), observer)?;
        Ok(())
    }

    /// Generates the images of `plan` and passes each to `deliver` as soon as it is decoded.
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
        let result = self.run_passes(plan, observer, deliver, &undecoded);
        self.undecoded = undecoded.into_inner();
        result
    }

    /// Latents of the last request that could not be decoded, if any.
    pub fn undecoded(&self) -> Option<&Latents> {
        self.undecoded.as_ref()
    }

    /// Runs the passes of a plan one after the other, each over all batches, so that a model is
    /// loaded once. Latents go from pass to pass; those of the last one, and early estimates of a
    /// run that ends early, are decoded and delivered.
    fn run_passes(
        &mut self,
        plan: &Plan,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
        undecoded: &Cell<Option<Latents>>,
    ) -> Result<()> {
        let request = &plan.request;
        let start = request.start()?;
        let finish = Finish::new(request, start.as_ref(), undecoded);
        let passes = Pass::of_plan(plan, start.as_ref())?;
        let mut inputs: Vec<(Batch, Option<PassOutput>)> =
            batches(request).map(|batch| (batch, None)).collect();
        for (n, pass) in passes.iter().enumerate() {
            let pipeline = self.open(pass, observer)?;
            if let Some(latents) = &plan.latents {
                let output = pipeline.restore(request, latents)?;
                return finish.all(pipeline, &output, observer, deliver);
            }
            let images = condition_images(&pass.request, pass.start)?;
            let prompts = pipeline.encode(pass, &images, observer)?;
            let mut next = Vec::new();
            for (batch, output) in std::mem::take(&mut inputs) {
                let input = match output {
                    Some(output) => PassInput::Latents(output),
                    None => {
                        let seed = request.seed.wrapping_add(batch.first);
                        PassInput::Noise(Noise::new(request.rng, seed, batch.size))
                    }
                };
                let output = pipeline.run(pass, &prompts, batch, input, observer)?;
                let flow = output.flow;
                if n + 1 < passes.len() && flow == Flow::Continue {
                    next.push((batch, Some(output)));
                } else {
                    finish.all(pipeline, &output, observer, deliver)?;
                }
                if flow == Flow::Finish {
                    break;
                }
            }
            if next.is_empty() {
                break;
            }
            inputs = next;
        }
        Ok(())
    }

    /// Generates one image for each of `plans`, which differ only in prompts and seed
    /// ([`Request::form`]) and have no refiner, in as few forward passes as the lengths of the
    /// prompts allow. Each image is the same as if its plan were run alone; `deliver` receives the
    /// index of the plan with the image.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn generate_batch(
        &mut self,
        plans: &[&Plan],
        observer: &mut dyn Observer,
        deliver: &mut dyn FnMut(usize, Image) -> Result<()>,
    ) -> Result<()> {
        let Some(first) = plans.first().copied() else {
            return Ok(());
        };
        let request = &first.request;
        let start = request.start()?;
        let images = condition_images(request, start.as_ref())?;
        let passes: Vec<Pass<'_>> = plans
            .iter()
            .map(|plan| Pass::base(plan, start.as_ref()))
            .collect();
        let shared = Pass {
            request: request.in_company(plans.len()),
            ..Pass::base(first, start.as_ref())
        };
        let pipeline = self.open(&shared, observer)?;
        let mut prompts = Vec::with_capacity(plans.len());
        for (i, pass) in passes.iter().enumerate() {
            observer.about(Some(i));
            prompts.push(pipeline.encode(pass, &images, observer)?);
        }
        observer.about(None);
        // The caller generates an image again alone if it cannot be decoded, and may then keep its
        // latents.
        let undecoded = &Cell::new(None);
        let finish = Finish::new(request, start.as_ref(), undecoded);
        let mut rest: Vec<usize> = (0..plans.len()).collect();
        while let Some(lead) = rest.first() {
            let length = prompts[*lead].length();
            let (these, others) = rest
                .into_iter()
                .partition::<Vec<_>, _>(|i| prompts[*i].length() == length);
            rest = others;
            let noise = Noise::seeded(request.rng, these.iter().map(|i| plans[*i].request.seed));
            let prompts =
                EncodedPrompts::joined(&these.iter().map(|i| &prompts[*i]).collect::<Vec<_>>())?;
            let batch = Batch {
                first: 0,
                size: these.len(),
            };
            let input = PassInput::Noise(noise);
            let output = pipeline.run(&passes[0], &prompts, batch, input, observer)?;
            for (place, i) in these.into_iter().enumerate() {
                let image = finish.image(pipeline, &output, place, observer)?;
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

    /// Returns the pipeline of a pass with its extra networks and adapters, loading it if
    /// necessary; another model is unloaded first.
    fn open(&mut self, pass: &Pass<'_>, observer: &mut dyn Observer) -> Result<&Pipeline> {
        let machine = Machine::of(&pass.request);
        let backend = self.backend(machine)?;
        let kept = self
            .loaded
            .take()
            .filter(|loaded| loaded.serves(machine, pass.model));
        let held = kept.as_ref().map_or(0, |loaded| loaded.held);
        let estimate = Estimate::of(&sizes(pass), &backend, held)?;
        let residency = estimate.residency();
        let loaded = match kept.filter(|loaded| loaded.residency == residency) {
            Some(loaded) => loaded,
            None => {
                for message in backend.passed_over() {
                    let message = format!("--device auto: {message}");
                    tell(observer, &Event::Note { message })?;
                }
                let held = if residency == Residency::Loaded {
                    estimate.networks()
                } else {
                    0
                };
                Loaded {
                    machine,
                    model: pass.model.clone(),
                    pipeline: Pipeline::open(pass, &backend, residency)?,
                    residency,
                    held,
                }
            }
        };
        let pipeline = &mut self.loaded.insert(loaded).pipeline;
        pipeline.set_adapters(&pass.adapters);
        pipeline.load(observer)?;
        pipeline.set_extra_networks(&pass.networks, observer)?;
        pipeline.set_tiling(estimate.tiled);
        Ok(pipeline)
    }

    /// Estimates the memory that a plan takes in an empty engine, without loading anything. The
    /// models of its passes take turns, so the largest counts. `None` on devices other than the
    /// CPU.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn estimate(&mut self, plan: &Plan) -> Result<Option<Estimate>> {
        let backend = self.backend(Machine::of(&plan.request))?;
        if !backend.is_host() {
            return Ok(None);
        }
        let mut largest: Option<Estimate> = None;
        for pass in Pass::of_plan(plan, None)? {
            let estimate = Estimate::of(&sizes(&pass), &backend, 0)?;
            if largest.is_none_or(|largest| estimate.peak() > largest.peak()) {
                largest = Some(estimate);
            }
        }
        Ok(largest)
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
            self.pace = operations_per_second(&backend).map(|pace| (machine, pace));
        }
        let Some((_, pace)) = self.pace else {
            return Ok(None);
        };
        let work = Workload::of(&sizes(&Pass::base(plan, None)))?;
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
        let backend = Backend::choose(&BackendOptions {
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

/// Inputs of the estimates for a pass.
fn sizes<'a>(pass: &'a Pass<'_>) -> Sizes<'a> {
    Sizes {
        files: &pass.model.files,
        repo: &pass.model.repo,
        networks: &pass.networks,
        request: &pass.request,
        denoises: pass.denoises,
    }
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
fn condition_images(request: &Request, start: Option<&Start>) -> Result<ConditionImages> {
    let prompt = match &request.picture_prompt {
        Some(prompt) => Some(Pixels::read(
            "ip_image",
            &prompt.image,
            Transparency::Dropped,
        )?),
        None => None,
    };
    Ok(ConditionImages {
        controls: request.control_images(start)?,
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
