//! Batches become plans: keys, names of files, faults, and how long it takes.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::fields::Fields;
use super::super::job::jobs;
use super::super::order::forwards;
use super::super::shard::Shard;
use super::super::source::{Form, Source};
use super::*;
use crate::env::Hub;
use crate::event::{Event, Flow};

fn planned(text: &str) -> (Vec<Planned>, Vec<String>) {
    let source = Source::parse(text, Path::new("b.toml"), Form::Toml);
    let (jobs, first) = jobs(&source.drafts, &Fields::default(), &Fields::default());
    let mut silent = |_: &Event| Flow::Continue;
    let mut planner = Planner::new(Hub {
        offline: true,
        ..Hub::default()
    });
    let (planned, second) = plan(jobs, &source.output, &mut planner, &mut silent).unwrap();
    let faults = source.faults.iter().chain(&first).chain(&second);
    (
        planned,
        faults
            .map(|fault| format!("{}: {}", fault.place, fault.error))
            .collect(),
    )
}

const MATRIX: &str = "[defaults]\nmodel = 'demo'\nprompt = 'x'\n[output]\ndir = 'out'\n[[job]]\nname = 'a'\n\
                      matrix.sampler = ['euler', 'ddim', 'heun', 'lms']\nmatrix.steps = [4, 8, 12, 16, 20]\n";

#[test]
fn files_are_named_after_jobs_and_keys_tell_pictures_apart() {
    let (planned, faults) = planned(&format!(
        "{MATRIX}[[job]]\nname = 'b'\nbatch_size = 4\nseed = 3\n[[job]]\nname = 'c'\nseed = 3\n"
    ));
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(
        (planned.len(), planned[0].path.as_path()),
        (22, Path::new("out/a-euler-4.png"))
    );
    let keys: HashSet<&String> = planned.iter().map(|planned| &planned.key).collect();
    assert_eq!(
        keys.len(),
        21,
        "the size of a forward makes no other picture, and a name neither"
    );
    assert!(planned.iter().all(|planned| planned.key.len() == 32));
}

#[test]
fn parts_together_are_the_whole() {
    let (planned, _) = planned(&format!("{MATRIX}matrix.seed = '1..=10'\n"));
    let part = |index| {
        planned
            .iter()
            .filter(move |planned| Shard { index, count: 3 }.has(&planned.key))
            .count()
    };
    let parts = [part(0), part(1), part(2)];
    assert_eq!(parts.iter().sum::<usize>(), 200);
    assert!(
        parts.iter().all(|part| (40..100).contains(part)),
        "{parts:?}"
    );
}

#[test]
fn what_only_the_model_can_tell_is_told_for_every_job() {
    let (_, faults) = planned(
        "[defaults]\nprompt = 'x'\nmodel = 'demo'\n[[job]]\nname = 'a'\nmodel = 'sd51'\nmatrix.seed = '1..=3'\n\
         [[job]]\nname = 'b'\nrefiner = 'sdxl-refiner'\n[[job]]\nname = 'c'\ninit_image = 'none.png'\n\
         [[job]]\nname = 'd'\noutput = '{sed}.png'\n[[job]]\nname = 'e'\noutput = 'same.png'\ncount = 3\n",
    );
    let told: Vec<&str> = faults
        .iter()
        .map(|fault| fault.split_once(": ").unwrap().1)
        .collect();
    assert_eq!(told.len(), 5, "{faults:#?}");
    assert!(
        told[0].starts_with("model: model `sd51` is no known name"),
        "{told:?}"
    );
    assert!(told[1].starts_with("refiner: "), "{told:?}");
    assert!(
        told[2].starts_with("init_image: cannot read `none.png`"),
        "{told:?}"
    );
    assert_eq!(told[3], "output: unknown template field `sed`");
    assert_eq!(
        told[4],
        "output: jobs `e-0` and `e-1` would both write `same.png`"
    );
}

#[test]
fn ten_thousand_jobs_are_planned_in_a_second() {
    let begun = Instant::now();
    let (planned, faults) = planned(
        &MATRIX
            .replace("[4, 8, 12, 16, 20]", "'4..=28'")
            .replace("name = 'a'", "name = 'a'\nmatrix.seed = '1..=100'"),
    );
    let forwards = forwards(&planned);
    let took = begun.elapsed();
    assert_eq!((planned.len(), faults.len()), (10_000, 0));
    assert_eq!(forwards.len(), 10_000);
    // The bound is an optimised build's; tests are built with little optimisation and share their
    // machine.
    assert!(
        took < Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 }),
        "{took:?}"
    );
}
