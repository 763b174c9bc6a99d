//! Schedules and trajectories of every sampler against diffusers' schedulers, without a network:
//! output k = (scaled input + M[k]) / 2, noise j = Z[j]; tables by
//! tests/golden/refgen/schedulers.py, and every key of every class by
//! tests/golden/scheduler_keys.py.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use sdgen::Result;
use sdgen::schedulers::{Config, Model, Overrides, SchedulerFile, sample, unknown_keys};
use sdgen::schedulers::{SigmaSchedule, schedule::sigma_schedule};
use serde_json::Value;

/// Steps of the runs in keys.json, where they do not say so.
const STEPS_OF_KEYS: u64 = 6;

type Tables = HashMap<String, Tensor>;

/// A case's row, its configuration, and the tables that all cases share.
struct Case<'a> {
    row: &'a Value,
    config: Config,
    tables: &'a Tables,
}

struct Script<'a> {
    tables: &'a Tables,
    draws: usize,
}

impl Model for Script<'_> {
    fn output(&mut self, i: usize, x: &Tensor, _timestep: f64) -> Result<Tensor> {
        let m = self.tables["M"].get(i % 160)?.unsqueeze(0)?;
        Ok(((x + m)? * 0.5)?)
    }

    fn noise(&mut self) -> Result<Tensor> {
        let z = self.tables["Z"].get(self.draws % 160)?.unsqueeze(0)?;
        self.draws += 1;
        Ok(z)
    }
}

/// What no `sdgen` option and no model of ours stands for: Euler's churn is an argument that no
/// pipeline passes, and `log_linear` is refused by name.
fn foreign(row: &Value) -> bool {
    row["config"]["interpolation_type"] == "log_linear" || row["step"]["s_churn"].is_number()
}

/// The classes of other model families.
fn flow_matching(row: &Value) -> bool {
    row["class"].as_str().unwrap().starts_with("FlowMatch")
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

/// What differs by more than `relative`, of `least` where the value itself is smaller.
fn close(name: &str, ours: &[f64], theirs: &[f64], relative: f64, least: f64) -> Vec<String> {
    let far = |(a, b): (&f64, &f64)| (a - b).abs() > relative * b.abs().max(least);
    if ours.len() != theirs.len() {
        return vec![format!(
            "{name}: {} values, expected {}",
            ours.len(),
            theirs.len()
        )];
    }
    let bad = ours.iter().zip(theirs).position(far);
    bad.map(|i| format!("{name}[{i}]: {} is not {}", ours[i], theirs[i]))
        .into_iter()
        .collect()
}

impl Case<'_> {
    fn problems(&self) -> Vec<String> {
        let id = self.row["id"].as_str().unwrap();
        let steps = self.row["num_inference_steps"]
            .as_u64()
            .unwrap_or(STEPS_OF_KEYS) as usize;
        let ladder = match sigma_schedule(&self.config, steps) {
            Ok(ladder) => ladder,
            Err(error) => return vec![format!("{id}: {error}")],
        };
        let timesteps: Vec<f64> = ladder.levels.iter().map(|l| l.timestep).collect();
        let name = format!("{id} timesteps");
        let mut problems = if self.config.sampler.to_string() == "dpm2_a" {
            // The middles follow from a difference of squares in single precision: 2.5e-6 seen, and
            // 9e-5 of a timestep next to 0.
            close(
                &name,
                &timesteps,
                &floats(&self.row["timesteps"]),
                1e-5,
                10.0,
            )
        } else {
            close(
                &name,
                &timesteps,
                &floats(&self.row["timesteps"]),
                1e-6,
                0.1,
            )
        };
        if !self.row["sigmas"].is_null() {
            let steps = ladder.levels.iter().step_by(ladder.order);
            let mut sigmas: Vec<f64> = steps.map(|l| l.sigma).collect();
            sigmas.push(ladder.final_sigma);
            let mut theirs = floats(&self.row["sigmas"]);
            if ladder.order == 2 {
                // Those classes hold every level but the first twice.
                theirs.dedup();
            }
            // PyTorch's vectorised square root is off by a unit in the last place for one value in
            // five, and the rescaled betas go through it: 3.3e-6 seen there, below 1e-6 everywhere
            // else.
            let tolerance = if self.row["config"]["rescale_betas_zero_snr"] == true {
                1e-5
            } else {
                1e-6
            };
            problems.extend(close(
                &format!("{id} sigmas"),
                &sigmas,
                &theirs,
                tolerance,
                1e-3,
            ));
        }
        problems.extend(self.trajectory(
            "traj",
            &ladder,
            &self.tables["X0"] * ladder.init_noise_sigma,
        ));
        if let Some(start) = self.row["mid_start"].as_u64() {
            let ladder = ladder.from_call(start as usize);
            let sigma = ladder.levels[ladder.start].sigma;
            let noised = (&self.tables["N0"] * sigma).and_then(|noise| noise + &self.tables["I0"]);
            problems.extend(self.trajectory("mid_traj", &ladder, noised));
        }
        problems
    }

    /// The end of a run from `start` against the last row of a golden trajectory, if there is one.
    fn trajectory(
        &self,
        table: &str,
        ladder: &SigmaSchedule,
        start: candle_core::Result<Tensor>,
    ) -> Option<String> {
        let id = self.row["id"].as_str().unwrap();
        let golden = self.tables.get(&format!("{id}/{table}"))?;
        let mut script = Script {
            tables: self.tables,
            draws: 0,
        };
        let end = sample(&self.config, ladder, start.unwrap(), &mut script).unwrap();
        // Of some runs one channel is kept.
        let end = end.narrow(1, 0, golden.dim(1).unwrap()).unwrap();
        let last = golden.get(golden.dim(0).unwrap() - 1).unwrap();
        let error = relative_error(&end, &last);
        // diffusers computes coefficients in single precision over up to 50 steps; the third order
        // of DEIS has them as differences of nearly equal numbers: 1.01e-4 seen.
        let deis = self.config.sampler.to_string() == "deis" && self.config.order == 3;
        // From a noise of 80 in one step, and of 4096 in six: 4.3e-5 seen.
        let loud = self.config.edm.is_some() || self.config.zero_terminal_snr;
        let tolerance = [3e-5, 6e-5, 2e-4][if deis { 2 } else { usize::from(loud) }];
        (error > tolerance).then(|| format!("{id}: the end of {table} is off by {error:e}"))
    }
}

fn relative_error(ours: &Tensor, golden: &Tensor) -> f64 {
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (a, b) = (values(ours), values(golden));
    assert_eq!(a.len(), b.len());
    let far = a
        .iter()
        .zip(&b)
        .map(|(a, b)| f64::from((a - b).abs()))
        .fold(0.0, f64::max);
    let size = b.iter().map(|b| f64::from(b.abs())).fold(1e-6, f64::max);
    if far.is_nan() || a.iter().any(|x| x.is_nan()) {
        f64::INFINITY
    } else {
        far / size
    }
}

/// The rows and the tables of a pair of files.
fn stored(name: &str) -> (Value, Tables) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schedulers");
    let rows = serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap())
        .unwrap();
    let tables = folder.join(format!("{name}.safetensors"));
    (
        rows,
        candle_core::safetensors::load(tables, &Device::Cpu).unwrap(),
    )
}

#[test]
fn schedules_and_trajectories_are_those_of_diffusers() {
    let (rows, tables) = stored("schedulers");
    let (mut problems, mut tried) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for row in rows["cases"].as_array().unwrap() {
        if flow_matching(row) || foreign(row) {
            continue;
        }
        let mut json = row["config"].clone();
        json["_class_name"] = row["class"].clone();
        let file: SchedulerFile = serde_json::from_value(json).unwrap();
        let over = Overrides {
            eta: row["step"]["eta"].as_f64(),
            strength: row["set_timesteps"]["strength"].as_f64(),
            ..Overrides::default()
        };
        let config = Config::resolve(&file, &over).unwrap();
        *tried.entry(row["class"].as_str().unwrap()).or_default() += 1;
        problems.extend(
            Case {
                row,
                config,
                tables: &tables,
            }
            .problems(),
        );
    }
    assert_eq!(
        (tried.len(), tried.values().sum::<usize>()),
        (15, 397),
        "{tried:?}"
    );
    assert!(
        problems.is_empty(),
        "{} of {tried:?}\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// The rows of keys.json, each with its key's value as `config`; a row of a value that changes
/// nothing is that of the class as it is usually. The longest list stands there as a formula.
fn rows_of_keys(stored: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for row in stored["cases"].as_array().unwrap() {
        let value =
            |key: &str, i: &Value| stored["values"][key][i.as_u64().unwrap() as usize].clone();
        let mut row = row.clone();
        if let Some(key) = row["key"].as_str() {
            row["config"] = value(key, &row["value"]);
        }
        let same: Vec<(String, Value)> = row["same"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(key, values)| {
                values
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|i| (key.clone(), value(key, i)))
            })
            .collect();
        rows.push(row.clone());
        rows.extend(same.into_iter().map(|(key, config)| {
            let mut row = row.clone();
            row["key"] = key.into();
            row["config"] = config;
            row
        }));
    }
    rows
}

/// The scheduler's file of a row: its keys over `base`, or alone of classes for EDM
/// preconditioning.
fn file_of(row: &Value, base: &Value) -> Value {
    let edm = row["class"].as_str().unwrap().starts_with("EDM");
    let mut json = if edm {
        serde_json::json!({})
    } else {
        base.clone()
    };
    json.as_object_mut()
        .unwrap()
        .extend(row["config"].as_object().cloned().unwrap_or_default());
    json["_class_name"] = row["class"].clone();
    if json["trained_betas"].is_string() {
        json["trained_betas"] = (0..1000).map(|i| 0.001 + 0.00001 * f64::from(i)).collect();
    }
    json
}

/// Keys with values that sdgen refuses of a class that reads them, though diffusers takes them.
const REFUSED: &[&str] = &[
    "beta_schedule",
    "interpolation_type",
    "lambda_min_clipped",
    "prediction_type",
    "solver_p",
    "thresholding",
    "use_flow_sigmas",
];

/// Keys with values that diffusers refuses, or draws no numbers with, and sdgen takes: another
/// order of the last step, names of other classes' solvers, `sample` predictions of classes that
/// lack them.
const TAKEN: &[&str] = &[
    "algorithm_type",
    "beta_schedule",
    "lower_order_final",
    "predict_x0",
    "prediction_type",
    "shift_terminal",
    "solver_type",
];

#[test]
fn every_key_of_every_class_counts_as_in_diffusers_or_is_refused_by_name() {
    let ((_, mut tables), (stored, ends)) = (stored("schedulers"), stored("keys"));
    tables.extend(ends);
    let rows = rows_of_keys(&stored);
    let usual = rows.iter().filter(|row| row["reads"].is_array());
    let reads: HashMap<&str, &Value> = usual
        .map(|row| (row["class"].as_str().unwrap(), &row["reads"]))
        .collect();
    let (mut problems, mut refused, mut taken) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for row in &rows {
        let (key, json) = (
            row["key"].as_str().unwrap_or_default(),
            file_of(row, &stored["base"]),
        );
        let name = format!("{} {}", row["id"], row["config"]);
        assert!(unknown_keys(&json).is_empty(), "{name}");
        let file: SchedulerFile = serde_json::from_value(json).unwrap();
        match (
            Config::resolve(&file, &Overrides::default()),
            row["refused"].is_string(),
        ) {
            (Ok(_), true) => drop(taken.insert(key)),
            (Ok(config), false) => {
                let found = Case {
                    row,
                    config,
                    tables: &tables,
                }
                .problems();
                problems.extend(
                    found
                        .into_iter()
                        .map(|problem| format!("{name}: {problem}")),
                );
            }
            (Err(error), in_diffusers) => {
                let keys = row["config"].as_object().unwrap();
                let named = keys
                    .keys()
                    .any(|key| error.to_string().contains(&format!("`{key}`")));
                let class = row["class"].as_str().unwrap();
                let read = reads[class]
                    .as_array()
                    .is_none_or(|keys| keys.contains(&key.into()));
                if !named || !(in_diffusers || read) {
                    problems.push(format!("{name}: {error}"));
                }
                if !in_diffusers {
                    refused.insert(key);
                }
            }
        }
    }
    let names = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    assert!(
        problems.is_empty(),
        "{}\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert_eq!((refused, taken), (names(REFUSED), names(TAKEN)));
}
