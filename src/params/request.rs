//! `Request`: every value that a run needs, and its conversion back to the options that lead to it.

use serde::{Deserialize, Serialize};

use super::{
    Adapter, Approximations, Control, DeepCache, Interval, IpAdapterInput, Memory,
    MicroConditioning, Pair, Params, Parsed, Refiner, StartImage, StrengthSteps, VaeTiling,
};
use crate::catalog::RepoConfig;
use crate::device::{DeviceChoice, Dtype, Rng};
use crate::error::{Error, Result};
use crate::image::Size;
use crate::imaging::{
    Fit, MaskSource, Pixels, PreprocessorSettings, Start, Thresholds, control_image,
};
use crate::prompt::{LongPrompt, Prompt, Reading, Syntax};
use crate::schedulers::{
    Config, Overrides, Prediction, Sampler, Schedule, SigmaSchedule, Spacing, schedule,
};

/// A resolved request. Serialises into the picture's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Prompt.
    pub prompt: String,
    /// Negative prompt; absent and empty are different for some models.
    pub negative_prompt: Option<String>,
    /// Prompt of the second text encoder, where it differs.
    pub prompt_2: Option<String>,
    /// Negative prompt of the second text encoder, where it differs.
    pub negative_prompt_2: Option<String>,
    /// Syntax of brackets in the prompts.
    #[serde(default)]
    pub prompt_syntax: Syntax,
    /// Treatment of prompts that are longer than the text encoder's context.
    #[serde(default)]
    pub long_prompt: LongPrompt,
    /// The model as the user would name it.
    pub model: String,
    /// Model that provides the small files (configuration, tokenizer) of a single-file checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale; 1 or less means no unconditional pass.
    pub cfg_scale: f64,
    /// Seed of the first picture.
    pub seed: u64,
    /// Number of images; image i has seed + i.
    pub count: u64,
    /// Images per forward pass of the network.
    pub batch_size: usize,
    /// Sampler.
    pub sampler: Sampler,
    /// Spacing of noise levels.
    pub schedule: Schedule,
    /// Timesteps visited.
    pub timestep_spacing: Spacing,
    /// Prediction type of the network.
    pub prediction: Prediction,
    /// Noise levels given one by one, the last one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// Timesteps given one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<usize>>,
    /// β rescaled to zero terminal SNR.
    #[serde(default)]
    pub zero_terminal_snr: bool,
    /// Share of the rescaled guidance (Lin et al. 2023, equation 16).
    #[serde(default)]
    pub guidance_rescale: f64,
    /// Part of the run with guidance.
    #[serde(default)]
    pub cfg_interval: Interval,
    /// Approximations that save time at a cost in quality.
    #[serde(default, skip_serializing_if = "Approximations::is_none")]
    pub shortcuts: Approximations,
    /// Noise added at each step: η of ddim, γ of tcd.
    pub eta: f64,
    /// Text-encoder layers left out.
    pub clip_skip: usize,
    /// LoRAs merged into the model; `prompt` no longer holds the references to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<Adapter>,
    /// Embeddings that the prompts use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<Adapter>,
    /// Initial image and mask; without one, the run starts from noise alone.
    pub init: Option<StartImage>,
    /// ControlNets and their conditioning images.
    #[serde(default, rename = "control", skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<Control>,
    /// Canny thresholds, if the edges of any conditioning image are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canny: Option<Thresholds>,
    /// Guess mode of the ControlNets (diffusers' `guess_mode`): they act on the conditional pass
    /// alone, and less in the shallow blocks than in the deep ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_guess: bool,
    /// Image prompt (IP-Adapter).
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub picture_prompt: Option<IpAdapterInput>,
    /// VAE that replaces the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<String>,
    /// Refiner that takes over the last steps, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refiner: Option<Refiner>,
    /// Size and crop conditioning of SDXL for the prompt.
    pub sizes: MicroConditioning,
    /// Size and crop conditioning of SDXL for the negative prompt.
    pub negative_sizes: MicroConditioning,
    /// Noise generator.
    pub rng: Rng,
    /// Device of the computation.
    #[serde(skip, default = "auto_device")]
    pub device: DeviceChoice,
    /// Arithmetic.
    pub dtype: Dtype,
    /// CPU threads; all physical cores when absent.
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Memory that the run may take.
    #[serde(skip)]
    pub memory: Memory,
    /// Decoding in tiles: automatic, always or never.
    #[serde(default)]
    pub vae_tiling: VaeTiling,
    /// Calls of the network from one preview to the next; no previews when absent.
    #[serde(skip)]
    pub preview_every: Option<usize>,
}

fn auto_device() -> DeviceChoice {
    DeviceChoice::Auto
}

impl Request {
    /// Syntax and treatment of long prompts.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            syntax: self.prompt_syntax,
            long: self.long_prompt,
        }
    }

    /// Prompts of the first and the second text encoder, which are the same unless the request
    /// has a second one.
    pub(crate) fn prompts(&self) -> [Prompt<'_>; 2] {
        let first = Prompt {
            field: "prompt",
            text: &self.prompt,
        };
        let second = self.prompt_2.as_deref().map(|text| Prompt {
            field: "prompt_2",
            text,
        });
        [first, second.unwrap_or(first)]
    }

    /// The picture and the mask that the request starts from, read and fitted.
    ///
    /// # Errors
    /// A file that is missing or no picture; a mask that paints nothing.
    pub fn start(&self) -> Result<Option<Start>> {
        let size = [self.width, self.height];
        let Some(init) = &self.init else {
            return Ok(None);
        };
        Start::load(&init.image, init.mask.as_ref(), init.fit, size).map(Some)
    }

    /// Conditioning image of each ControlNet, at the size that is rendered.
    ///
    /// # Errors
    /// A file that is missing or no picture.
    pub fn control_images(&self, start: Option<&Start>) -> Result<Vec<Pixels>> {
        let fit = self.init.as_ref().map_or(Fit::Cover, |init| init.fit);
        let settings = &PreprocessorSettings {
            canny: self.canny.unwrap_or_default(),
        };
        let size = [self.width, self.height];
        let image = |control: &Control| {
            let preprocessor = control.preprocessor;
            control_image(&control.image, preprocessor, settings, fit, size, start)
        };
        self.controls.iter().map(image).collect()
    }

    /// Returns true if pixels outside the mask are restored from the initial image.
    pub fn keeps_unmasked(&self) -> bool {
        self.init
            .as_ref()
            .and_then(|init| init.mask.as_ref())
            .is_some_and(|mask| mask.keep_unmasked)
    }

    /// The sampler's configuration for this request on a model's scheduler file.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn sampler_config(&self, repo: &RepoConfig) -> Result<Config> {
        let over = Overrides {
            sampler: Some(self.sampler),
            schedule: Some(self.schedule),
            spacing: Some(self.timestep_spacing),
            prediction: Some(self.prediction),
            eta: Some(self.eta),
            zero_terminal_snr: Some(self.zero_terminal_snr),
            sigmas: self.sigmas.clone(),
            timesteps: self.timesteps.clone(),
            aligned_steps: Some(repo.family.aligned_steps),
            strength: self
                .init
                .as_ref()
                .filter(|_| repo.latent_consistency)
                .map(|init| init.strength),
        };
        Config::resolve(&repo.scheduler, &over)
    }

    /// The noise schedule of this request, without the steps that the strength of an initial image
    /// leaves out: a latent consistency model picks its steps from a shorter distillation grid,
    /// other models skip the first steps.
    ///
    /// # Errors
    /// As [`Config::resolve`]; a schedule that has no such number of steps; a strength that leaves
    /// none.
    pub fn sigmas(&self, repo: &RepoConfig) -> Result<(Config, SigmaSchedule)> {
        let config = self.sampler_config(repo)?;
        let sigmas = schedule::sigma_schedule(&config, self.steps)?;
        let Some(init) = self.init.as_ref().filter(|_| !repo.latent_consistency) else {
            return Ok((config, sigmas));
        };
        let sigmas = match init.strength_steps {
            StrengthSteps::Down => sigmas.at_strength(init.strength),
            // A1111's `setup_img2img_steps`, whose levels begin one before the encoded one.
            StrengthSteps::OneMore => {
                sigmas.with_last((init.strength.min(0.999) * self.steps as f64) as usize + 1)
            }
        };
        if sigmas.calls() == 0 {
            let least = (1e3 / self.steps as f64).ceil() / 1e3;
            return Err(Error::expected(
                "strength",
                format!("at least {least} for one of {} steps", self.steps),
                init.strength,
            )
            .hint("use more steps or more strength"));
        }
        Ok((config, sigmas))
    }

    /// This request with other names for its models and files, such as those that a client knows.
    #[must_use]
    pub fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        let mut names = vec![&mut self.model];
        names.extend(&mut self.config);
        names.extend(&mut self.vae);
        names.extend(self.refiner.iter_mut().map(|refiner| &mut refiner.model));
        if let Some(init) = &mut self.init {
            names.extend(init.image.path_mut());
            if let Some(MaskSource::File(file)) = init.mask.as_mut().map(|mask| &mut mask.source) {
                names.extend(file.path_mut());
            }
        }
        for control in &mut self.controls {
            names.push(&mut control.model);
            names.extend(control.image.path_mut());
        }
        if let Some(prompt) = &mut self.picture_prompt {
            names.push(&mut prompt.adapter);
            names.extend(prompt.image.path_mut());
        }
        let adapters = self.loras.iter_mut().chain(&mut self.embeddings);
        names.extend(adapters.map(|adapter| &mut adapter.file));
        for name in names {
            *name = rename(name);
        }
        self
    }

    /// The options that resolve to this request on the same model.
    #[allow(clippy::too_many_lines, reason = "one field after another")]
    pub fn params(&self) -> Params {
        let init = self.init.as_ref();
        let mask = init.and_then(|init| init.mask.as_ref());
        let ip_adapter = self.picture_prompt.as_ref();
        let default = MicroConditioning::default_for(Size::new(self.width, self.height));
        let (sizes, negative_sizes) = (self.sizes, self.negative_sizes);
        Params {
            prompt: Some(self.prompt.clone()),
            negative_prompt: self.negative_prompt.clone(),
            prompt_2: self.prompt_2.clone(),
            negative_prompt_2: self.negative_prompt_2.clone(),
            prompt_syntax: Some(Parsed::new(self.prompt_syntax)),
            long_prompt: Some(Parsed::new(self.long_prompt)),
            width: Some(self.width),
            height: Some(self.height),
            seed: Some(self.seed.into()),
            count: Some(self.count),
            batch_size: Some(self.batch_size),
            init_image: init.map(|init| init.image.clone()),
            strength: init.map(|init| init.strength),
            strength_steps: init.map(|init| Parsed::new(init.strength_steps)),
            fit: init.map(|init| Parsed::new(init.fit)),
            posterior: init.map(|init| Parsed::new(init.posterior)),
            mask: mask.and_then(|mask| match &mask.source {
                MaskSource::File(source) => Some(source.clone()),
                MaskSource::Alpha => Some("alpha".into()),
                MaskSource::Extension => None,
            }),
            mask_blur: mask.map(|mask| mask.blur),
            mask_blur_y: mask.and_then(|mask| mask.blur_y),
            masked_content: mask.map(|mask| Parsed::new(mask.content)),
            mask_grow: mask.map(|mask| mask.grow),
            invert_mask: mask.and_then(|mask| mask.invert.then_some(true)),
            keep_unmasked: mask.and_then(|mask| mask.keep_unmasked.then_some(true)),
            mask_padding: mask.and_then(|mask| mask.padding),
            extend: mask.and_then(|mask| mask.extend).map(Parsed::new),
            control: list(&self.controls, |control| Parsed::new(control.clone())),
            control_guess: self.control_guess.then_some(true),
            canny: self.canny.map(Parsed::new),
            ip_adapter: ip_adapter.map(|prompt| prompt.adapter.clone()),
            ip_image: ip_adapter.map(|prompt| prompt.image.clone()),
            ip_scale: ip_adapter.map(|prompt| prompt.scale),
            model: Some(self.model.clone()),
            config: self.config.clone(),
            refiner: self.refiner.as_ref().map(|refiner| refiner.model.clone()),
            refiner_start: self.refiner.as_ref().map(|refiner| refiner.start),
            vae: self.vae.clone(),
            prediction: Some(Parsed::new(self.prediction)),
            clip_skip: Some(self.clip_skip),
            original_size: pair(sizes.original, default.original),
            crop: pair(sizes.crop, default.crop),
            target_size: pair(sizes.target, default.target),
            negative_original_size: pair(negative_sizes.original, sizes.original),
            negative_crop: pair(negative_sizes.crop, sizes.crop),
            negative_target_size: pair(negative_sizes.target, sizes.target),
            lora: list(&self.loras, |lora| {
                format!("{}:{}", lora.file, lora.weight).into()
            }),
            embedding: list(&self.embeddings, |embedding| embedding.file.clone()),
            steps: Some(self.steps),
            cfg_scale: Some(self.cfg_scale),
            sampler: Some(Parsed::new(self.sampler)),
            schedule: Some(Parsed::new(self.schedule)),
            timestep_spacing: Some(Parsed::new(self.timestep_spacing)),
            sigmas: self.sigmas.clone(),
            timesteps: self.timesteps.clone(),
            zero_terminal_snr: Some(self.zero_terminal_snr),
            guidance_rescale: Some(self.guidance_rescale),
            cfg_interval: Some(Parsed::new(self.cfg_interval)),
            cache: self
                .shortcuts
                .cache
                .map(|every| Parsed::new(DeepCache(every))),
            merge_tokens: Some(self.shortcuts.merge_tokens).filter(|share| *share > 0.0),
            eta: Some(self.eta),
            rng: Some(Parsed::new(self.rng)),
            dtype: Some(Parsed::new(self.dtype)),
            vae_tiling: Some(Parsed::new(self.vae_tiling)),
            // Not recorded, since no image depends on them, or resolved to other values above.
            from_latents: None,
            preset: None,
            lora_dir: None,
            offline: None,
            lock: None,
            locked: None,
            device: None,
            memory: None,
            threads: None,
            output: None,
            preview_every: None,
            preview_dir: None,
            overwrite: None,
            no_metadata: None,
        }
    }
}

/// Repeated values as an option has them.
fn list<T, U>(values: &[T], as_option: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!values.is_empty()).then(|| values.iter().map(as_option).collect())
}

/// A pair of numbers as an option, unless it is the default.
fn pair<const S: char>(numbers: [u32; 2], default: [u32; 2]) -> Option<Parsed<Pair<S>>> {
    (numbers != default).then(|| Parsed::new(Pair(numbers)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ModelFiles;
    use crate::params::FromText;

    fn resolve(params: &Params) -> Request {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/sd15");
        let files = ModelFiles::folder("sd15", "sd15", model.into());
        Request::resolve(params, &files, &RepoConfig::read(&files).unwrap()).unwrap()
    }

    fn painted() -> Params {
        toml::from_str(
            "prompt = 'a'\nseed = 3\nmask = 'm.png'\nmask_blur = 2\ninvert_mask = true\nextend = 'left=8'",
        )
        .unwrap()
    }

    #[test]
    fn files_and_models_are_renamed_and_prompts_are_not() {
        let mut request = resolve(&toml::from_str("prompt = '/a/b'\nseed = 3").unwrap());
        request.model = "/a/model".to_owned();
        request.controls = vec![Control::from_text("control", "/a/net=/a/b.png").unwrap()];
        let renamed = request.renamed(|path| path.replace("/a/", ""));
        assert_eq!(
            (renamed.prompt.as_str(), renamed.model.as_str()),
            ("/a/b", "model")
        );
        assert_eq!(renamed.controls[0].to_string(), "net=b.png:1:0-1");
    }

    #[test]
    fn a_request_is_asked_for_again_by_its_parameters() {
        let plain: Params =
            toml::from_str("prompt = 'a'\nseed = 3\nsteps = 7\ncfg_interval = '0.1..0.9'").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("i.png");
        image::RgbImage::new(64, 64).save(&picture).unwrap();
        let painted = Params {
            init_image: Some(picture.display().to_string().into()),
            ..painted()
        };
        for params in [plain, painted] {
            let request = resolve(&params);
            assert_eq!(resolve(&request.params()), request);
        }
    }

    #[test]
    fn sizes_adapters_and_approximations_come_back() {
        let plain = resolve(&toml::from_str("prompt = 'a'\nseed = 3").unwrap());
        let size = [plain.width, plain.height];
        let sizes = MicroConditioning {
            original: [64, 32],
            crop: [1, 2],
            target: size,
        };
        let negative_sizes = MicroConditioning {
            crop: [0, 0],
            target: [8, 16],
            ..sizes
        };
        let approximations = Approximations {
            cache: Some(5),
            merge_tokens: 0.25,
        };
        let loras = vec![
            Adapter::new("c:/a b.safetensors", -0.1),
            Adapter::new("org/name/x.pt", 1.0),
        ];
        let embeddings = vec![Adapter::new("e/word.pt", 1.0)];
        let config = Some("sdxl".to_owned());
        let request = Request {
            sizes,
            negative_sizes,
            shortcuts: approximations,
            loras,
            embeddings,
            config,
            ..plain
        };
        let params = request.params();
        assert_eq!(
            MicroConditioning::resolve(&params, Size::new(size[0], size[1])).unwrap(),
            (sizes, negative_sizes)
        );
        assert_eq!(Approximations::resolve(&params).unwrap(), approximations);
        assert_eq!(
            params.lora.unwrap(),
            ["c:/a b.safetensors:-0.1", "org/name/x.pt:1"].map(Parsed::from)
        );
        assert_eq!(
            (params.embedding.unwrap(), params.config),
            (vec!["e/word.pt".to_owned()], request.config)
        );
    }
}
