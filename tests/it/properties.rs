//! What holds for every value, tried on many: layers of parameters, ladders of noise levels,
//! weights in prompts.

use sdgen::named_enum::Named;
use sdgen::params::{Combine, Params, check};
use sdgen::schedulers::{SAMPLERS, Schedule, schedule};
use sdgen::{Event, Flow, Planner};

/// Weyl's sequence through a mixer: the same values in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Something, or nothing.
    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| value(self))
    }

    fn params(&mut self) -> Params {
        Params {
            prompt: self.maybe(|dice| format!("prompt {}", dice.below(9))),
            negative_prompt: self.maybe(|_| String::new()),
            width: self.maybe(|dice| dice.below(4096) as u32),
            seed: self.maybe(Self::next).map(sdgen::params::Seed::Number),
            cfg_scale: self.maybe(|dice| dice.below(500) as f64 / 10.0),
            sigmas: self.maybe(|dice| (0..dice.below(4)).map(|i| i as f64).collect()),
            offline: self.maybe(|dice| dice.below(2) == 0),
            memory: self.maybe(|_| "low".into()),
            ..Params::default()
        }
    }
}

#[test]
fn combining_is_idempotent_associative_and_has_a_neutral_element() {
    let mut dice = Dice(1);
    for _ in 0..500 {
        let [a, b, c] = [dice.params(), dice.params(), dice.params()];
        let combined = |top: &Params, base: &Params| top.clone().combine(base.clone());
        assert_eq!(combined(&a, &a), a);
        assert_eq!(combined(&Params::default(), &a), a);
        assert_eq!(combined(&a, &Params::default()), a);
        assert_eq!(
            combined(&c, &combined(&b, &a)),
            combined(&combined(&c, &b), &a)
        );
        let both = combined(&b, &a);
        assert_eq!(both.seed, b.seed.or(a.seed));
        assert_eq!(both.sigmas, b.sigmas.or(a.sigmas));
    }
}

#[test]
fn every_ladder_goes_down_to_its_end() {
    let mut dice = Dice(2);
    let mut planner = Planner::new(sdgen::env::Hub {
        offline: true,
        ..Default::default()
    });
    let mut silent = |_: &Event| Flow::Continue;
    let mut ladders = 0;
    for row in SAMPLERS {
        for (_, schedule_name) in Schedule::ALL {
            let steps = 1 + dice.below(120) as usize;
            let params = Params {
                prompt: Some("a".to_owned()),
                model: Some("demo".to_owned()),
                sampler: Some(row.name.into()),
                schedule: Some((*schedule_name).into()),
                steps: Some(steps),
                ..Params::default()
            };
            // Some pairs are refused, by name.
            let Ok(plan) = planner.plan(&params, &mut silent) else {
                continue;
            };
            let config = plan.request.sampler_config(&plan.base.repo).unwrap();
            let ladder = schedule::sigma_schedule(&config, steps).unwrap();
            let sigmas: Vec<f64> = ladder.levels.iter().map(|level| level.sigma).collect();
            let name = format!("{} {schedule_name} {steps}", row.name);
            assert!(
                sigmas
                    .iter()
                    .all(|sigma| sigma.is_finite() && *sigma >= 0.0),
                "{name}: {sigmas:?}"
            );
            assert!(
                ladder.calls() >= 1 && ladder.end == sigmas.len(),
                "{name}: {} calls",
                ladder.calls()
            );
            assert!(ladder.final_sigma <= sigmas[0], "{name}");
            assert!(sigmas[sigmas.len() - 1] <= sigmas[0], "{name}: {sigmas:?}");
            ladders += 1;
        }
    }
    assert!(ladders > 100, "{ladders}");
}

#[test]
fn weights_within_their_range_are_read_and_others_refused() {
    let mut dice = Dice(3);
    let read = |prompt: String| {
        let syntax = Some("weighted".into());
        check(&Params {
            prompt: Some(prompt),
            prompt_syntax: syntax,
            ..Params::default()
        })
    };
    for _ in 0..2000 {
        let weight = dice.below(400) as f64 / 10.0 - 20.0;
        let errors = read(format!("a (b:{weight}) c"));
        assert_eq!(
            errors.is_empty(),
            weight.abs() <= 10.0,
            "{weight}: {errors:?}"
        );
        let brackets: String = (0..dice.below(40))
            .map(|_| b"()[]\\ax "[dice.below(8) as usize] as char)
            .collect();
        assert!(read(brackets.clone()).is_empty(), "{brackets}");
    }
}
