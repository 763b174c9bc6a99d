//! `--dry-run`: the images of a run with their tokens, its downloads, its memory by the estimate that
//! a run decides by, and its time by the number of operations. With `time` the time is measured
//! instead, on a short run of two steps for each model and size.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::local_models::offline_hub;
use super::terminal::{self, count_of};
use crate::batch::{Job, Planned, forwards};
use crate::catalog::{self, DEFAULT_MODEL, Fetch, ModelRef};
use crate::device::Dtype;
use crate::engine::Engine;
use crate::env::Hub;
use crate::error::{Kind, Result};
use crate::event::{Event, Flow, Observer, Stage};
use crate::guidance::is_guided;
use crate::models::text_encoders::{EncoderTokenizer, encoder_tokenizers};
use crate::params::{Params, Parsed, Request, RequestKey};
use crate::planner::{Plan, Planner};
use crate::schedulers::Sampler;

/// The flag.
#[derive(Args, Clone, Copy)]
#[group(skip)]
pub(super) struct DryRun {
    /// Generate nothing: show the images of the run, their tokens, downloads, memory and estimated
    /// time; `time` measures the time on two steps of each model and size
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        help_heading = "Display"
    )]
    dry_run: Option<Form>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For people, with times that are measured
    Time,
}

impl DryRun {
    /// Returns true if the flag is given.
    pub(super) fn is_requested(self) -> bool {
        self.dry_run.is_some()
    }

    fn measures(self) -> bool {
        self.dry_run == Some(Form::Time)
    }
}

/// Report of a dry run.
#[derive(Default, Serialize)]
struct Report {
    schema: u32,
    jobs: Vec<Row>,
    /// Models that are not on this machine.
    absent: BTreeMap<String, Absent>,
    estimate: Option<Estimate>,
}

/// A model that would be fetched.
#[derive(Default, Serialize)]
struct Absent {
    /// Jobs that wait for it.
    jobs: usize,
    /// Size of the download in bytes, as far as the hub reports it; null without a hub.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct Row {
    name: Option<String>,
    file: Option<PathBuf>,
    request: Request,
    tokens: Vec<Tokens>,
}

/// Tokens of the prompt for one text encoder.
#[derive(Clone, Serialize)]
struct Tokens {
    encoder: &'static str,
    tokens: usize,
    chunks: usize,
    left_out: String,
}

#[derive(Default, Serialize)]
struct Estimate {
    /// Of all pictures; nothing on cards, whose time is only measured.
    seconds: Option<f64>,
    /// The most that the process takes at any time; nothing on cards, whose memory is not
    /// estimated.
    peak_bytes: Option<u64>,
    measured: Vec<Measured>,
}

/// One short run.
#[derive(Clone, Default, Serialize)]
struct Measured {
    model: String,
    width: u32,
    height: u32,
    load_seconds: f64,
    encode_seconds: f64,
    step_seconds: f64,
    decode_seconds: f64,
    #[serde(skip)]
    last: Option<Instant>,
}

/// Reports on a single request.
pub(super) fn report_single(params: &Params, form: DryRun) -> anyhow::Result<()> {
    let mut report = Report::default();
    let mut silent = |_: &Event| Flow::Continue;
    if is_model_absent(params)? {
        report.add_absent(params, params.count.unwrap_or(1) as usize)?;
        return report.print(form);
    }
    let plan = Planner::new(offline_hub()?).plan(params, &mut silent)?;
    report.add_plan(None, None, &plan, &mut HashMap::new())?;
    report.estimate = Some(estimate(&[&plan], &[&plan], form)?);
    report.print(form)
}

/// Reports on a batch.
pub(super) fn report_batch(
    planned: &[Planned],
    absent: &[Job],
    form: DryRun,
) -> anyhow::Result<()> {
    let mut report = Report::default();
    for job in absent {
        report.add_absent(&job.params, 1)?;
    }
    let mut tokenizers = HashMap::new();
    for Planned {
        job, path, plan, ..
    } in planned
    {
        report.add_plan(
            Some(job.name.clone()),
            Some(path.clone()),
            plan,
            &mut tokenizers,
        )?;
    }
    let plans: Vec<&Plan> = planned.iter().map(|planned| &planned.plan).collect();
    let together: Vec<Plan> = forwards(planned)
        .iter()
        .map(|jobs| merged_plan(planned, jobs))
        .collect();
    report.estimate = Some(estimate(
        &plans,
        &together.iter().collect::<Vec<_>>(),
        form,
    )?);
    report.print(form)
}

/// The jobs of one forward as one plan, as far as memory depends on it.
fn merged_plan(planned: &[Planned], jobs: &[usize]) -> Plan {
    let plan = &planned[jobs[0]].plan;
    Plan {
        request: plan.request.in_company(jobs.len()),
        ..plan.clone()
    }
}

/// Returns true if a model would have to be fetched. In offline mode, its absence is an error as in
/// a run.
pub(super) fn is_model_absent(params: &Params) -> Result<bool> {
    if params.offline == Some(true) {
        return Ok(false);
    }
    let model = ModelRef::parse(params.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    Ok(matches!(model, ModelRef::Known(_) | ModelRef::Repo { .. })
        && catalog::cached(&model, &offline_hub()?).is_none())
}

/// Download size of a model in bytes, as far as the hub reports it; only the small files that list
/// the others are fetched.
fn download_size(params: &Params) -> Result<Option<u64>> {
    let model = ModelRef::parse(params.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    let hub = Hub::from_env()?;
    let dtype = params.dtype.as_ref().and_then(Parsed::value);
    let fetch = Fetch {
        hub: Hub {
            offline: hub.offline || params.offline == Some(true),
            ..hub
        },
        half: matches!(dtype, Some(Dtype::F16 | Dtype::Bf16)),
        ..Fetch::default()
    };
    let mut said = None;
    let mut listening = |event: &Event| {
        if let Event::Download { bytes, .. } = event {
            said = Some(*bytes);
            return Flow::Cancel;
        }
        Flow::Continue
    };
    // A hub that cannot be reached leaves the size unknown; stopping the download is no error.
    let _ = catalog::locate(&model, &fetch, &mut listening);
    Ok(said)
}

impl Report {
    /// Adds `jobs` whose model would be fetched; the hub is asked once for each model.
    fn add_absent(&mut self, params: &Params, jobs: usize) -> Result<()> {
        let name = params.model.as_deref().unwrap_or(DEFAULT_MODEL).to_owned();
        if !self.absent.contains_key(&name) {
            self.absent.insert(
                name.clone(),
                Absent {
                    jobs: 0,
                    bytes: download_size(params)?,
                },
            );
        }
        self.absent.entry(name).or_default().jobs += jobs;
        Ok(())
    }

    fn add_plan(
        &mut self,
        name: Option<String>,
        file: Option<PathBuf>,
        plan: &Plan,
        known: &mut HashMap<String, Vec<EncoderTokenizer>>,
    ) -> Result<()> {
        let files = &plan.base.files;
        if !known.contains_key(&files.origin) {
            let readers = encoder_tokenizers(files)?;
            let notices = readers
                .iter()
                .filter_map(|reader| reader.tokenizer.notice());
            notices.for_each(|notice| terminal::print_message(&format!("warning: {notice}")));
            known.insert(files.origin.clone(), readers);
        }
        let request = &plan.request;
        let reading = request.reading();
        let mut tokens = Vec::new();
        for (reader, prompt) in known[&files.origin].iter().zip(request.prompts()) {
            let embeddings = plan.adapters.embeddings.iter();
            let words: Vec<_> = embeddings
                .filter_map(|embedding| embedding.word(reader.component))
                .collect();
            let chunked = reader.tokenizer.chunks(&prompt, reading, &words)?;
            tokens.push(Tokens {
                encoder: reader.component.name(),
                tokens: chunked.chunks.iter().map(Vec::len).sum(),
                chunks: chunked.chunks.len(),
                left_out: chunked.dropped,
            });
        }
        self.jobs.push(Row {
            name,
            file,
            request: request.clone(),
            tokens,
        });
        Ok(())
    }

    fn print(mut self, form: DryRun) -> anyhow::Result<()> {
        self.schema = crate::event::SCHEMA;
        if form.dry_run == Some(Form::Json) {
            return terminal::write_json(&self);
        }
        terminal::write_data(terminal::sanitize(&self.text()).as_bytes())?;
        Ok(())
    }

    /// Writing to a string cannot fail.
    fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.jobs {
            let file = row.file.as_ref();
            let file = file.map_or(String::new(), |file| format!(" -> {}", file.display()));
            let tokens = &row.tokens;
            let Request {
                model,
                width,
                height,
                steps,
                cfg_scale,
                seed,
                sampler,
                prompt,
                ..
            } = &row.request;
            let counts: Vec<String> = tokens
                .iter()
                .map(|tokens| tokens.tokens.to_string())
                .collect();
            let _ = writeln!(
                text,
                "{}{file}: {model} {width}x{height} {sampler} steps {steps} cfg {cfg_scale} seed {seed} tokens {}: {prompt}",
                row.name.as_deref().unwrap_or("picture"),
                counts.join("/"),
            );
            for left in tokens.iter().filter(|tokens| !tokens.left_out.is_empty()) {
                let _ = writeln!(text, "  {} leaves out: {}", left.encoder, left.left_out);
            }
        }
        for (model, Absent { jobs, bytes }) in &self.absent {
            let bytes = bytes.map_or(String::new(), |bytes| {
                format!(", {:.1} MB", bytes as f64 / 1e6)
            });
            let _ = writeln!(
                text,
                "to be fetched: {model}{bytes}, for {}",
                count_of(*jobs, "job")
            );
        }
        if let Some(estimate) = &self.estimate {
            let time = estimate.seconds;
            let time = time.map(|seconds| format!("about {seconds:.1} s"));
            let peak = estimate.peak_bytes;
            let peak = peak.map(|bytes| format!("about {:.2} GB of memory", bytes as f64 / 1e9));
            let mut known = time.into_iter().chain(peak).collect::<Vec<_>>().join(", ");
            if known.is_empty() {
                known = "no estimate".to_owned();
            }
            let images: u64 = self.jobs.iter().map(|row| row.request.count).sum();
            let _ = writeln!(text, "{}: {known}", count_of(images as usize, "picture"));
        }
        text
    }
}

/// Memory of `forwards`, each the plan of images that are generated together, and time of `plans`.
fn estimate(plans: &[&Plan], forwards: &[&Plan], form: DryRun) -> Result<Estimate> {
    let mut engine = Engine::new();
    // Before a short run takes memory that the estimate asks for.
    let peak_bytes = peak_memory(&mut engine, forwards)?;
    let mut known: HashMap<(bool, RequestKey), Option<Measured>> = HashMap::new();
    let mut prompts = HashSet::new();
    let (mut seconds, mut measured) = (Some(0.0), Vec::new());
    for plan in plans {
        let request = &plan.request;
        let kind = (
            is_guided(request.cfg_scale, false),
            request.machinery().key(),
        );
        if !known.contains_key(&kind) {
            let timed = if form.measures() {
                Some(measure_times(plan, &mut engine)?)
            } else {
                estimate_times(plan, &mut engine)?
            };
            let load = timed.as_ref().map_or(0.0, |timed| timed.load_seconds);
            seconds = seconds.map(|seconds| seconds + load);
            measured.extend(timed.clone().filter(|_| form.measures()));
            known.insert(kind.clone(), timed);
        }
        let encodes = prompts.insert(request.conditioning().key());
        let calls = network_calls(plan)? as f64;
        seconds = known[&kind].as_ref().zip(seconds).map(|(timed, seconds)| {
            let each = calls * timed.step_seconds + timed.decode_seconds;
            seconds + each * request.count as f64 + if encodes { timed.encode_seconds } else { 0.0 }
        });
    }
    Ok(Estimate {
        seconds,
        peak_bytes,
        measured,
    })
}

/// The times of a plan by its number of operations; loading is not counted.
fn estimate_times(plan: &Plan, engine: &mut Engine) -> Result<Option<Measured>> {
    let forecast = engine.forecast(plan)?;
    Ok(forecast.map(|forecast| Measured {
        encode_seconds: forecast.encode,
        step_seconds: forecast.call,
        decode_seconds: forecast.decode,
        ..Measured::new(&plan.request)
    }))
}

/// The most that one of `plans` takes.
fn peak_memory(engine: &mut Engine, plans: &[&Plan]) -> Result<Option<u64>> {
    let mut forms = HashSet::new();
    let others = plans
        .iter()
        .filter(|plan| forms.insert(plan.request.form().key()));
    let estimates = others
        .map(|plan| engine.estimate(plan))
        .collect::<Result<Vec<_>>>()?;
    Ok(estimates
        .iter()
        .flatten()
        .map(crate::engine::Estimate::peak)
        .max())
}

/// Number of network calls for one image.
fn network_calls(plan: &Plan) -> Result<usize> {
    Ok(plan.request.sigmas(&plan.base.repo)?.1.calls())
}

/// Announces and runs a generation of two steps; its image is discarded.
fn measure_times(plan: &Plan, engine: &mut Engine) -> Result<Measured> {
    let Request {
        model,
        width,
        height,
        ..
    } = &plan.request;
    terminal::print_message(&terminal::sanitize(&format!(
        "measuring: two steps of {model} at {width}x{height}"
    )));
    let short = Request {
        steps: 2,
        count: 1,
        sampler: Sampler::parse("sampler", "euler")?,
        sigmas: None,
        timesteps: None,
        init: None,
        refiner: None,
        ..plan.request.clone()
    };
    let mut clock = Measured::new(&short);
    let plan = Plan {
        request: short,
        refiner: None,
        ..plan.clone()
    };
    // After two steps the image may be invalid.
    match engine.generate(&plan, &mut clock, &mut |_| Ok(())) {
        Err(error) if error.kind() != Kind::InvalidImage => Err(error),
        _ => Ok(clock),
    }
}

impl Measured {
    /// No times yet.
    fn new(request: &Request) -> Self {
        Self {
            model: request.model.clone(),
            width: request.width,
            height: request.height,
            ..Self::default()
        }
    }
}

impl Observer for Measured {
    fn on(&mut self, event: &Event) -> Flow {
        if let Event::End { stage, seconds } = event {
            match stage {
                Stage::Load => self.load_seconds += seconds,
                Stage::Encode => self.encode_seconds += seconds,
                Stage::Decode => self.decode_seconds += seconds,
                Stage::Denoise | Stage::Save => {}
            }
        }
        if matches!(
            event,
            Event::Begin {
                stage: Stage::Denoise,
                ..
            }
        ) {
            self.last = Some(Instant::now());
        }
        if matches!(event, Event::Step { .. }) {
            // The first step makes its buffers; the last one counts.
            self.step_seconds = self.last.map_or(0.0, |last| last.elapsed().as_secs_f64());
            self.last = Some(Instant::now());
        }
        if super::signals::stop_requested() {
            Flow::Cancel
        } else {
            Flow::Continue
        }
    }
}
