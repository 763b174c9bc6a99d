//! A1111's `parameters` of foreign pictures as parameters of ours.

use super::metadata::{A1111_SAMPLERS, A1111_SCHEDULES, Names};
use super::parameters::Parameters;
use crate::request::Params;

/// Fields that say nothing about how to draw.
const SILENT: [&str; 4] = ["Version", "Model", "Model hash", "Denoising strength"];

impl Parameters {
    /// What the picture asks for, and the fields that have no counterpart here.
    pub fn params(&self) -> (Params, Vec<String>) {
        let mut params = Params {
            prompt: Some(self.prompt.clone()),
            negative_prompt: Some(self.negative_prompt.clone()).filter(|text| !text.is_empty()),
            prompt_syntax: Some("weighted".to_owned()),
            long_prompt: Some("chunk".to_owned()),
            // A1111 draws its noise on the GPU unless it says otherwise.
            rng: Some("philox".to_owned()),
            ..Params::default()
        };
        let mut left = Vec::new();
        for (name, value) in &self.fields {
            if !take(&mut params, name, value) && !SILENT.contains(&name.as_str()) {
                left.push(format!("{name}: {value}"));
            }
        }
        (params, left)
    }
}

/// Takes over a field that has a counterpart.
fn take(params: &mut Params, name: &str, value: &str) -> bool {
    match name {
        "Steps" => set(&mut params.steps, value.parse().ok()),
        "CFG scale" => set(&mut params.cfg_scale, value.parse().ok()),
        "Seed" => set(&mut params.seed, value.parse().ok()),
        "Clip skip" => set(&mut params.clip_skip, value.parse::<usize>().ok().and_then(|n| n.checked_sub(1))),
        "RNG" => set(&mut params.rng, Some(if value == "CPU" { "torch" } else { "philox" }.to_owned())),
        "Schedule type" => match ours(A1111_SCHEDULES, value) {
            // Automatic is what the sampler's name says.
            Some("normal") => true,
            schedule => set(&mut params.schedule, schedule.map(str::to_owned)),
        },
        "Size" => {
            let pair = value.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            set(&mut params.width, pair.map(|pair| pair.0))
                && set(&mut params.height, pair.map(|pair| pair.1))
        }
        "Sampler" => {
            // Older versions name sampler and schedule in one: `DPM++ 2M Karras`.
            let (sampler, schedule) = match ours(A1111_SAMPLERS, value) {
                Some(sampler) => (Some(sampler), None),
                None => {
                    let (sampler, schedule) = value.rsplit_once(' ').unwrap_or((value, ""));
                    (ours(A1111_SAMPLERS, sampler), ours(A1111_SCHEDULES, schedule))
                }
            };
            params.schedule = schedule.map(str::to_owned).or(params.schedule.take());
            set(&mut params.sampler, sampler.map(str::to_owned))
        }
        _ => false,
    }
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let known = value.is_some();
    *field = value.or(field.take());
    known
}

fn ours(names: Names, theirs: &str) -> Option<&'static str> {
    names.iter().find(|(_, name)| *name == theirs).map(|(ours, _)| *ours)
}

#[cfg(test)]
mod tests {
    use super::super::parameters::read;

    #[test]
    fn a_foreign_picture_asks_for_what_it_says() {
        let text = "a (cat:1.2)\nNegative prompt: bad\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 12, \
                    Size: 512x768, Model hash: 6ce0161689, Clip skip: 2, Hires upscale: 2, RNG: CPU, Version: v1.6.0";
        let (params, left) = read(text).params();
        assert_eq!(
            (params.sampler.as_deref(), params.schedule.as_deref()),
            (Some("dpmpp_2m"), Some("karras"))
        );
        assert_eq!((params.width, params.height, params.steps), (Some(512), Some(768), Some(30)));
        assert_eq!(
            (params.clip_skip, params.rng.as_deref(), params.seed),
            (Some(1), Some("torch"), Some(12.into()))
        );
        assert_eq!((params.cfg_scale, params.prompt_syntax.as_deref()), (Some(7.5), Some("weighted")));
        assert_eq!(left, ["Hires upscale: 2"]);
    }
}
