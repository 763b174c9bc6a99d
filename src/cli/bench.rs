//! `sdgen bench`: seconds, arithmetic and memory of each stage of a run, measured from outside by
//! its events.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::terminal;
use crate::device::{DeviceChoice, Dtype};
use crate::engine::Engine;
use crate::env::Hub;
use crate::error::Result;
use crate::event::{Event, Flow, Observer, Stage};
use crate::nn::peak_resident_memory;
use crate::params::{Params, Parsed, Request};
use crate::planner::Planner;

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Model, as in `sdgen --model`
    #[arg(short, long, value_name = "MODEL", default_value = "demo")]
    model: String,

    /// Width in pixels [default: the model's own]
    #[arg(short = 'W', long, value_name = "PX")]
    width: Option<u32>,

    /// Height in pixels [default: the model's own]
    #[arg(short = 'H', long, value_name = "PX")]
    height: Option<u32>,

    /// Steps to time
    #[arg(long, value_name = "N", default_value_t = 5)]
    steps: usize,

    /// Guidance; 1 or less times a step without the unconditional pass
    #[arg(long, value_name = "X", default_value_t = 7.5)]
    cfg_scale: f64,

    /// Arithmetic: auto, f32, f16, bf16 or int8
    #[arg(long, value_name = "TYPE")]
    dtype: Option<Parsed<Dtype>>,

    /// Device: auto, cpu, cuda[:N] or metal
    #[arg(long, value_name = "DEVICE")]
    device: Option<Parsed<DeviceChoice>>,

    /// CPU threads
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Results of a benchmark.
#[derive(Serialize)]
struct Report {
    model: String,
    width: u32,
    height: u32,
    dtype: String,
    processor: Option<String>,
    load_seconds: f64,
    encode_seconds: f64,
    /// Median over the steps but the first, which makes its buffers.
    step_seconds: f64,
    step_seconds_min: f64,
    step_seconds_max: f64,
    /// Operations that a step was asked for, over its median time.
    step_gflops: Option<f64>,
    /// Median over the decodings but the first, which makes its buffers.
    decode_seconds: f64,
    decode_seconds_first: f64,
    /// Largest resident memory of the process so far.
    peak_bytes: Option<u64>,
}

/// Takes the time of stages and steps.
#[derive(Default)]
struct Clock {
    load: f64,
    encode: f64,
    decodes: Vec<f64>,
    last: Option<Instant>,
    steps: Vec<f64>,
    /// Reads how many operations were asked for so far.
    counter: Option<Box<dyn Fn() -> u64>>,
    /// The counter after each step.
    counts: Vec<u64>,
}

impl Observer for Clock {
    fn on(&mut self, event: &Event) -> Flow {
        match event {
            Event::Begin {
                stage: Stage::Denoise,
                ..
            } => self.last = Some(Instant::now()),
            Event::Step { .. } => {
                let now = Instant::now();
                self.steps
                    .extend(self.last.map(|last| now.duration_since(last).as_secs_f64()));
                self.last = Some(now);
                self.counts
                    .extend(self.counter.as_ref().map(|count| count()));
            }
            Event::End {
                stage: Stage::Load,
                seconds,
            } => self.load += seconds,
            Event::End {
                stage: Stage::Encode,
                seconds,
            } => self.encode += seconds,
            Event::End {
                stage: Stage::Decode,
                seconds,
            } => self.decodes.push(*seconds),
            Event::Begin { .. }
            | Event::End { .. }
            | Event::Download { .. }
            | Event::Fetch { .. }
            | Event::Queued { .. }
            | Event::Failed { .. }
            | Event::Chunk { .. }
            | Event::Preview { .. }
            | Event::Saved { .. }
            | Event::Warning { .. }
            | Event::Note { .. }
            | Event::Done { .. } => {}
        }
        Flow::Continue
    }
}

/// Runs the benchmark and prints its results.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report = measure(arguments)?;
    if arguments.json {
        return terminal::write_json(&report);
    }
    terminal::write_data(report.text().as_bytes())?;
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<Report> {
    let params = arguments.params();
    let mut clock = Clock::default();
    let plan = Planner::new(Hub::from_env()?).plan(&params, &mut clock)?;
    let mut engine = Engine::new();
    engine.load(&plan, &mut clock)?;
    clock.counter = Some(Box::new(engine.operations()));
    engine.generate(&plan, &mut clock, &mut |_| Ok(()))?;
    let mut again = plan;
    again.request.steps = 1;
    let mut decodes = Clock::default();
    for _ in 1..DECODES {
        engine.generate(&again, &mut decodes, &mut |_| Ok(()))?;
    }
    clock.decodes.append(&mut decodes.decodes);
    Ok(Report::new(&again.request, &engine, &clock))
}

impl Arguments {
    fn params(&self) -> Params {
        Params {
            prompt: Some("a lighthouse at dusk".to_owned()),
            model: Some(self.model.clone()),
            width: self.width,
            height: self.height,
            steps: Some(self.steps),
            cfg_scale: Some(self.cfg_scale),
            seed: Some(0.into()),
            dtype: self.dtype.clone(),
            device: self.device.clone(),
            threads: self.threads,
            ..Params::default()
        }
    }
}

impl Report {
    fn new(request: &Request, engine: &Engine, clock: &Clock) -> Self {
        let times = later(&clock.steps);
        let median = median(&times);
        let operations = clock.counts.windows(2).last().map(|pair| pair[1] - pair[0]);
        Self {
            model: request.model.clone(),
            width: request.width,
            height: request.height,
            dtype: request.dtype.to_string(),
            processor: engine.processor(),
            load_seconds: clock.load,
            encode_seconds: clock.encode,
            step_seconds: median,
            step_seconds_min: times.first().copied().unwrap_or_default(),
            step_seconds_max: times.last().copied().unwrap_or_default(),
            step_gflops: operations
                .filter(|n| *n > 0)
                .map(|n| n as f64 / median / 1e9),
            decode_seconds: self::median(&later(&clock.decodes)),
            decode_seconds_first: clock.decodes.first().copied().unwrap_or_default(),
            peak_bytes: peak_resident_memory(),
        }
    }

    fn text(&self) -> String {
        let processor = self.processor.as_deref().unwrap_or("not the processor");
        let gflops = self
            .step_gflops
            .map_or(String::new(), |g| format!("  {g:.0} GFLOP/s"));
        let peak = self.peak_bytes.map_or("unknown".to_owned(), |b| {
            format!("{:.2} GB", b as f64 / 1e9)
        });
        format!(
            "model    {} {}x{} {}\ncpu      {processor}\nload     {:.3} s\nencode   {:.3} s\n\
             step     {:.3} s ({:.3} to {:.3}){gflops}\ndecode   {:.3} s (first {:.3})\npeak     {peak}\n",
            self.model,
            self.width,
            self.height,
            self.dtype,
            self.load_seconds,
            self.encode_seconds,
            self.step_seconds,
            self.step_seconds_min,
            self.step_seconds_max,
            self.decode_seconds,
            self.decode_seconds_first,
        )
    }
}

/// Pictures decoded.
const DECODES: usize = 3;

/// The times but the first, which paid for buffers, if there are others; in order.
fn later(times: &[f64]) -> Vec<f64> {
    let mut later = if times.len() > 1 {
        times[1..].to_vec()
    } else {
        times.to_vec()
    };
    later.sort_by(f64::total_cmp);
    later
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
