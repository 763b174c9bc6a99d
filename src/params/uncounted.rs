//! Options that have no effect on a request: reported in a warning, and removed from the request
//! and from its metadata. An option about something that the request lacks altogether, such as a
//! mask option without a mask, is refused before a model is looked for; this module covers options
//! that only the model, the sampler or the guidance scale makes useless.

use serde_json::{Value, json};

use super::check::{overrides, parsed};
use super::resolve::{DEFAULT_CFG_SCALE, defaults, steps};
use super::{Interval, Params};
use crate::error::Result;
use crate::named_enum::Named;
use crate::prompt::{Prompt, Syntax};
use crate::registry::{Component, ModelFiles, RepoConfig};
use crate::schedulers::{Config, Overrides, Spacing};
use crate::schedulers::{SigmaSchedule, schedule::sigma_schedule};

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
    (
        &[
            "prompt_2",
            "negative_prompt_2",
            "original_size",
            "crop",
            "target_size",
            "negative_original_size",
            "negative_crop",
            "negative_target_size",
        ],
        |given| {
            (!given.repo.family.text.second_encoder)
                .then(|| "the model is none of the XL family".to_owned())
        },
    ),
    (&["target_size", "negative_target_size"], |given| {
        given
            .repo
            .aesthetic_score
            .then(|| "a refiner is told a score in its place".to_owned())
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
            let guided = given.cfg_scale > 1.0;
            (!guided).then(|| format!("there is no guidance at `cfg_scale` {}", given.cfg_scale))
        },
    ),
    (
        &["negative_prompt", "guidance_rescale", "cfg_interval"],
        |given| {
            given
                .is_told_guidance()
                .then(|| "the model is told its guidance, and makes one pass".to_owned())
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
        same(all).then(|| "the noise levels do not depend on it".to_owned())
    }),
    (&["zero_terminal_snr"], |given| {
        let rescaled = |on| Overrides {
            zero_terminal_snr: Some(on),
            ..given.over.clone()
        };
        same([true, false].map(|on| given.sigmas(&rescaled(on))))
            .then(|| "the noise levels do not depend on it".to_owned())
    }),
];

impl<'a> Situation<'a> {
    fn of(params: &Params, files: &'a ModelFiles, repo: &'a RepoConfig) -> Result<Self> {
        let defaults = defaults(params, files, repo)?;
        let params = &defaults.fill(params);
        let over = Overrides {
            aligned_steps: Some(repo.family.aligned_steps),
            ..overrides(params)?
        };
        let config = Config::resolve(&repo.scheduler, &over)?;
        let steps = steps(params, &defaults);
        let cfg_scale = params
            .cfg_scale
            .or(defaults.cfg_scale)
            .unwrap_or(DEFAULT_CFG_SCALE);
        Ok(Self {
            repo,
            config,
            over,
            steps,
            cfg_scale,
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
fn same(ladders: impl IntoIterator<Item = Option<SigmaSchedule>>) -> bool {
    let ladders: Vec<SigmaSchedule> = ladders.into_iter().flatten().collect();
    ladders.len() > 1 && ladders.windows(2).all(|pair| pair[0] == pair[1])
}

/// `params` without the options that have no effect with this model, and the warnings about these
/// options and about parts of prompts that other programs read differently.
///
/// # Errors
/// An unknown preset, sampler, schedule or other name; a configuration that [`Config::resolve`]
/// refuses.
pub fn counted(
    params: &Params,
    files: &ModelFiles,
    repo: &RepoConfig,
) -> Result<(Params, Vec<String>)> {
    let mut warnings = misread(params)?;
    let mut fields = super::options::as_object(params);
    if !RULES
        .iter()
        .any(|(names, _)| names.iter().any(|name| fields.contains_key(*name)))
    {
        return Ok((params.clone(), warnings));
    }
    let situation = Situation::of(params, files, repo)?;
    for (names, rule) in RULES {
        let given: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| fields.contains_key(*name))
            .collect();
        if given.is_empty() {
            continue;
        }
        let Some(why) = rule(&situation) else {
            continue;
        };
        for name in given {
            let value = fields.remove(name).unwrap_or_default();
            if !says_nothing(&value) {
                warnings.push(format!("`{name}` does not count and is left out: {why}"));
            }
        }
    }
    // Invariant: a part of what came out of `Params` goes back in.
    Ok((
        serde_json::from_value(fields.into()).unwrap_or_default(),
        warnings,
    ))
}

/// Returns true if a value is the neutral one of its option: empty text, 0, false or the whole
/// interval.
fn says_nothing(value: &Value) -> bool {
    let whole = json!(Interval::default());
    ["".into(), 0.into(), 0.0.into(), false.into(), whole].contains(value)
}

/// Warnings about parts of the prompts that are encoded as plain text and are syntax in other
/// programs.
fn misread(params: &Params) -> Result<Vec<String>> {
    let syntax = parsed(
        "prompt_syntax",
        params.prompt_syntax.as_deref(),
        Syntax::default(),
    )?;
    let prompts = [
        ("prompt", &params.prompt),
        ("negative_prompt", &params.negative_prompt),
        ("prompt_2", &params.prompt_2),
        ("negative_prompt_2", &params.negative_prompt_2),
    ];
    let given = prompts.into_iter().filter_map(|(field, text)| {
        Some(Prompt {
            field,
            text: text.as_deref()?,
        })
    });
    Ok(given.flat_map(|prompt| prompt.misread(syntax)).collect())
}
