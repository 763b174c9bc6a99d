//! Options that have no effect on a request: reported in a warning, and removed from the request
//! and from its metadata. An option about something that the request lacks altogether, such as a
//! mask option without a mask, is refused before a model is looked for; this module covers options
//! that only the model, the sampler or the guidance scale makes useless.

use serde_json::Value;

use super::resolve::{cfg_scale, defaults, sampling, steps};
use super::{Checked, Interval, Params};
use crate::catalog::{Component, ModelFiles, RepoConfig};
use crate::error::Result;
use crate::guidance::is_guided;
use crate::named_enum::Named;
use crate::schedulers::schedule::sigma_schedule;
use crate::schedulers::{Config, Overrides, SigmaSchedule, Spacing};

/// Resolved values of a request that decide which options have an effect.
struct Situation<'a> {
    repo: &'a RepoConfig,
    config: Config,
    over: Overrides,
    steps: usize,
    cfg_scale: f64,
    files: &'a ModelFiles,
}

/// Fields, and a function that returns the reason why they have no effect, if they have none.
type Rule = (
    &'static [&'static str],
    fn(&Situation<'_>) -> Option<String>,
);

/// Every option that may have no effect, with the rule for it.
const RULES: &[Rule] = &[
    (&["prompt_2", "negative_prompt_2"], |given| {
        (!given.repo.family.text.second_encoder)
            .then(|| "the model is none of the XL family".to_owned())
    }),
    (
        &[
            "original_size",
            "crop",
            "target_size",
            "negative_original_size",
            "negative_crop",
            "negative_target_size",
        ],
        |given| {
            (!given.repo.family.text.micro_conditioning)
                .then(|| "the model is none of the XL family".to_owned())
        },
    ),
    (&["target_size", "negative_target_size"], |given| {
        given
            .repo
            .aesthetic_score
            .then(|| "a refiner has an aesthetic score in its place".to_owned())
    }),
    (
        &[
            "negative_prompt",
            "negative_prompt_2",
            "negative_original_size",
            "negative_crop",
            "negative_target_size",
            "guidance_rescale",
            "cfg_interval",
        ],
        |given| {
            let guided = is_guided(given.cfg_scale, false);
            (!guided).then(|| format!("there is no guidance at `cfg_scale` {}", given.cfg_scale))
        },
    ),
    (
        &["negative_prompt", "guidance_rescale", "cfg_interval"],
        |given| {
            given.is_told_guidance().then(|| {
                "the model takes the guidance scale as an input and makes one pass".to_owned()
            })
        },
    ),
    (&["eta"], |given| {
        let sampler = given.config.sampler;
        (!sampler.row().defaults.takes_eta)
            .then(|| format!("sampler `{sampler}` adds no noise of that kind"))
    }),
    (&["timestep_spacing"], |given| {
        let spaced = |spacing| Overrides {
            spacing: Some(spacing),
            ..given.over.clone()
        };
        let all = Spacing::ALL
            .iter()
            .map(|(spacing, _)| given.sigmas(&spaced(*spacing)));
        all_equal(all).then(|| "the noise levels do not depend on it".to_owned())
    }),
    (&["zero_terminal_snr"], |given| {
        let rescaled = |on| Overrides {
            zero_terminal_snr: Some(on),
            ..given.over.clone()
        };
        all_equal([true, false].map(|on| given.sigmas(&rescaled(on))))
            .then(|| "the noise levels do not depend on it".to_owned())
    }),
];

impl<'a> Situation<'a> {
    fn of(checked: &Checked, files: &'a ModelFiles, repo: &'a RepoConfig) -> Result<Self> {
        let params = &checked.params;
        let defaults = defaults(checked.preset, files, repo);
        let over = sampling(params, &defaults, repo)?;
        Ok(Self {
            repo,
            config: Config::resolve(&repo.scheduler, &over)?,
            over,
            steps: steps(params, &defaults),
            cfg_scale: cfg_scale(params, &defaults),
            files,
        })
    }

    /// Returns true if the network takes the guidance scale as an input (`time_cond_proj_dim`, as
    /// in latent consistency models).
    fn is_told_guidance(&self) -> bool {
        let unet = self.files.json::<Value>(&Component::Unet.config());
        unet.is_ok_and(|unet| !unet["time_cond_proj_dim"].is_null())
    }

    fn sigmas(&self, over: &Overrides) -> Option<SigmaSchedule> {
        Config::resolve(&self.repo.scheduler, over)
            .and_then(|config| sigma_schedule(&config, self.steps))
            .ok()
    }
}

/// Returns true if at least two noise schedules are given and all are equal.
fn all_equal(ladders: impl IntoIterator<Item = Option<SigmaSchedule>>) -> bool {
    let ladders: Vec<SigmaSchedule> = ladders.into_iter().flatten().collect();
    ladders.len() > 1 && ladders.windows(2).all(|pair| pair[0] == pair[1])
}

impl Checked {
    /// Removes the options that have no effect with this model. Returns the warnings about them,
    /// and about parts of prompts that other programs read differently.
    ///
    /// # Errors
    /// A configuration that [`Config::resolve`] refuses.
    pub fn drop_ineffective(
        &mut self,
        files: &ModelFiles,
        repo: &RepoConfig,
    ) -> Result<Vec<String>> {
        let prompts = self.params.prompts();
        let mut warnings: Vec<String> = prompts
            .flat_map(|prompt| prompt.foreign_syntax(self.prompt_syntax))
            .collect();
        let mut fields = RULES.iter().flat_map(|(fields, _)| fields.iter());
        if !fields.any(|field| self.params.has(field)) {
            return Ok(warnings);
        }
        let situation = Situation::of(self, files, repo)?;
        for (fields, rule) in RULES {
            if !fields.iter().any(|field| self.params.has(field)) {
                continue;
            }
            let Some(why) = rule(&situation) else {
                continue;
            };
            for field in *fields {
                if self.params.has(field) && !is_neutral(&self.params, field) {
                    warnings.push(format!("`{field}` does not count and is left out: {why}"));
                }
                self.params.clear(field);
            }
        }
        Ok(warnings)
    }
}

/// Returns true if a field of the rules has the neutral value of its option: empty text, 0, false
/// or the whole interval.
fn is_neutral(params: &Params, field: &str) -> bool {
    let is_empty = |text: &Option<String>| text.as_deref() == Some("");
    match field {
        "negative_prompt" => is_empty(&params.negative_prompt),
        "prompt_2" => is_empty(&params.prompt_2),
        "negative_prompt_2" => is_empty(&params.negative_prompt_2),
        "guidance_rescale" => params.guidance_rescale == Some(0.0),
        "eta" => params.eta == Some(0.0),
        "zero_terminal_snr" => params.zero_terminal_snr == Some(false),
        "cfg_interval" => {
            let interval = params.cfg_interval.as_ref();
            interval.and_then(|parsed| parsed.value()) == Some(&Interval::default())
        }
        _ => false,
    }
}
