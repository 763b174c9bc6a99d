//! A request together with its models: the input of the engine, for every front end. Each model is
//! found here, and only once; nothing is loaded.

mod adapters;
mod inputs;
mod locks;
mod networks;
mod notes;
mod recorded;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use inputs::Inputs;
use networks::NetworkRequest;
pub use recorded::Recorded;

use crate::adapters::{AdapterCache, Adapters, ModuleNames};
use crate::catalog::{
    self, DEFAULT_MODEL, Fetch, LockFile, ModelFiles, ModelRef, Network, Networks, RepoConfig,
};
use crate::device::{DeviceChoice, Dtype};
use crate::env::Hub;
use crate::error::{Error, Result};
use crate::event::{Event, Observer, tell};
use crate::output::latents::{Kept, Latents};
use crate::output::metadata::{Provenance, Record};
use crate::params::{Checked, Params, Parsed, Refiner, Request};
use crate::schedulers::Prediction;

/// A model that was found: its files, its configuration, and the hashes of its weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// Files of the model.
    pub files: ModelFiles,
    /// Defaults from the model's configuration files.
    pub repo: RepoConfig,
    /// Path → hash of each weight file.
    pub weights: BTreeMap<String, String>,
    /// Licence of the weights, as far as it is known.
    pub license: Option<String>,
    /// Names of its modules, read when the first LoRA is matched with them.
    module_names: OnceLock<ModuleNames>,
}

impl Model {
    /// Reads the configuration of the model in `files`.
    ///
    /// # Errors
    /// As [`RepoConfig::read`].
    pub fn read(files: ModelFiles) -> Result<Self> {
        let repo = RepoConfig::read(&files)?;
        let weights = files.fingerprints();
        let license = files.license();
        Ok(Self {
            files,
            repo,
            weights,
            license,
            module_names: OnceLock::new(),
        })
    }

    /// Names of the modules that a LoRA may change.
    fn module_names(&self) -> Result<&ModuleNames> {
        if let Some(names) = self.module_names.get() {
            return Ok(names);
        }
        let names = ModuleNames::of(&self.files)?;
        Ok(self.module_names.get_or_init(|| names))
    }
}

/// A request that is ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The resolved request.
    pub request: Request,
    /// The base model.
    pub base: Arc<Model>,
    /// The refiner for the last steps, if the request has one.
    pub refiner: Option<Arc<Model>>,
    /// The LoRAs and embeddings in use.
    pub adapters: Adapters,
    /// Extra networks: VAE, ControlNets and IP-Adapter.
    pub networks: Networks,
    /// Path → hash of every weight file in use.
    pub weights: BTreeMap<String, String>,
    /// Field → SHA-256 of the image that it names.
    pub inputs: BTreeMap<String, String>,
    /// Latents from a file that only have to be decoded.
    pub latents: Option<Latents>,
}

impl Plan {
    /// Metadata for the images of this plan.
    pub fn provenance(&self) -> Provenance<'_> {
        Provenance {
            request: &self.request,
            model: &self.base.files.name,
            weights: &self.weights,
            inputs: &self.inputs,
            license: self.base.license.as_deref(),
        }
    }
}

/// Turns parameters into plans, and finds each model once.
pub struct Planner {
    hub: Hub,
    found: HashMap<ModelKey, Arc<Model>>,
    shelf: AdapterCache,
    networks: HashMap<NetworkRequest, Arc<Network>>,
    inputs: Inputs,
    /// Lock file and name of each item that was recorded in it or checked against it.
    locked: HashSet<(String, String)>,
}

/// Everything that decides which files a model has: the key of the models found so far.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ModelKey {
    name: String,
    half: bool,
    offline: bool,
    locked: Option<String>,
    /// For a single-file model: the source of its configuration files, and its prediction type.
    config: Option<String>,
    prediction: Option<Prediction>,
}

impl Planner {
    /// A planner that looks for models in `hub`.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            found: HashMap::new(),
            shelf: AdapterCache::new(),
            networks: HashMap::new(),
            inputs: Inputs::default(),
            locked: HashSet::new(),
        }
    }

    /// Finds the models that `params` name, downloads missing files, and resolves every value.
    ///
    /// # Errors
    /// A wrong value, by field; a model that is nowhere or does not suit the request.
    pub fn plan(&mut self, params: &Params, observer: &mut dyn Observer) -> Result<Plan> {
        self.plan_checked(Checked::new(params)?, observer)
    }

    /// [`Self::plan`] for options that are checked already.
    ///
    /// # Errors
    /// A model that is nowhere or does not suit the request.
    pub fn plan_checked(
        &mut self,
        mut checked: Checked,
        observer: &mut dyn Observer,
    ) -> Result<Plan> {
        if let Some(path) = &checked.params.from_latents {
            return self.plan_decoding(Path::new(path), &checked, observer);
        }
        let base = self.find_base(&checked.params, observer)?;
        for message in checked.drop_ineffective(&base.files, &base.repo)? {
            tell(observer, &Event::Warning { message })?;
        }
        let mut request = checked.resolve(&base.files, &base.repo)?;
        let params = &checked.params;
        let inputs = self.inputs.hashes_of(&request)?;
        // A lock file fixes the content of adapters, not a revision.
        let fetch = Fetch {
            locked: None,
            ..self.fetch_options(&self.model_key(&request.model, params))?
        };
        let adapters = adapters::find(
            &mut self.shelf,
            &fetch,
            &checked,
            &mut request,
            &base,
            observer,
        )?;
        let refiner = match &request.refiner {
            Some(refiner) => Some(self.find_refiner(refiner, &base, params, observer)?),
            None => None,
        };
        let key = self.model_key(&request.model, params);
        let networks = self.networks(&request, base.repo.family, &key, observer)?;
        notes::report_all(&request, &base, &networks, observer)?;
        self.lock(
            params,
            &request,
            std::iter::once(&base).chain(&refiner),
            &networks,
        )?;
        let mut weights = base.weights.clone();
        let others = refiner.iter().flat_map(|refiner| &refiner.weights);
        weights.extend(others.map(|(path, hash)| (format!("refiner/{path}"), hash.clone())));
        weights.extend(
            networks
                .all()
                .map(|network| (network.origin.clone(), network.hash.clone())),
        );
        Ok(Plan {
            request,
            base,
            refiner,
            adapters,
            networks,
            weights,
            inputs,
            latents: None,
        })
    }

    /// Finds the model that `params` name, downloads missing files, and reads its configuration.
    ///
    /// # Errors
    /// It is nowhere, or no model.
    pub fn find_base_model(&mut self, params: &Params, observer: &mut dyn Observer) -> Result<()> {
        self.find_base(params, observer)?;
        Ok(())
    }

    /// Plan for decoding a file of latents, from the request recorded in it.
    fn plan_decoding(
        &mut self,
        path: &Path,
        checked: &Checked,
        observer: &mut dyn Observer,
    ) -> Result<Plan> {
        let params = &checked.params;
        let Kept { latents, record } = Kept::read(path)?;
        let request = checked.decoding(record.request()?);
        let model = params
            .model
            .clone()
            .unwrap_or_else(|| request.model.clone());
        let base = self.find_model(&model, params, observer)?;
        // ControlNets, IP-Adapters, LoRAs and embeddings have already had their effect on the
        // latents; a VAE is still needed.
        let bare = Request {
            controls: Vec::new(),
            picture_prompt: None,
            ..request.clone()
        };
        let key = self.model_key(&model, params);
        let networks = self.networks(&bare, base.repo.family, &key, observer)?;
        let adapters = Adapters::default();
        let Record {
            weights, inputs, ..
        } = record;
        Ok(Plan {
            request,
            base,
            refiner: None,
            adapters,
            networks,
            weights,
            inputs,
            latents: Some(latents),
        })
    }

    fn find_base(&mut self, params: &Params, observer: &mut dyn Observer) -> Result<Arc<Model>> {
        match &params.model {
            Some(name) => self.find_model(name, params, observer),
            None => self
                .find_model(DEFAULT_MODEL, params, observer)
                .map_err(|error| error.hint("to draw something without any download: `-m demo`")),
        }
    }

    fn find_refiner(
        &mut self,
        refiner: &Refiner,
        base: &Model,
        params: &Params,
        observer: &mut dyn Observer,
    ) -> Result<Arc<Model>> {
        let name = &refiner.model;
        // `config` and `prediction` describe the base model, not the refiner.
        let own = Params {
            config: None,
            prediction: None,
            ..params.clone()
        };
        let found = self.find_model(name, &own, observer);
        let found =
            found.map_err(|error| error.hint(format!("`{name}` is what `--refiner` names")))?;
        Refiner::suits(&base.repo, &found.repo)?;
        Ok(found)
    }

    fn model_key(&self, name: &str, params: &Params) -> ModelKey {
        ModelKey {
            name: name.to_owned(),
            half: has_16_bit_arithmetic(params),
            offline: self.hub.offline || params.offline == Some(true),
            locked: params.locked.clone(),
            config: params.config.clone(),
            prediction: params.prediction.as_ref().and_then(Parsed::value).copied(),
        }
    }

    fn fetch_options(&self, key: &ModelKey) -> Result<Fetch> {
        let locked = key
            .locked
            .as_deref()
            .map(|path| LockFile::read(Path::new(path)))
            .transpose()?;
        let hub = Hub {
            offline: key.offline,
            ..self.hub.clone()
        };
        Ok(Fetch {
            hub,
            half: key.half,
            locked,
            ..Fetch::default()
        })
    }

    /// Finds the model `name`, at most once.
    fn find_model(
        &mut self,
        name: &str,
        params: &Params,
        observer: &mut dyn Observer,
    ) -> Result<Arc<Model>> {
        let key = self.model_key(name, params);
        if let Some(model) = self.found.get(&key) {
            return Ok(model.clone());
        }
        let fetch = self.fetch_options(&key)?;
        let mut files = catalog::locate(&ModelRef::parse(name)?, &fetch, observer)?;
        if let Some(config) = &params.config {
            files = with_config_of(&files, config, &fetch, observer)?;
        }
        if let Some(prediction) = key.prediction.filter(|_| files.guesses_prediction()) {
            files = files.predicting(prediction);
        }
        if let Some(lock) = &fetch.locked {
            lock.check(&files)?;
        }
        for message in files
            .checkpoint()
            .map_or(Vec::new(), |checkpoint| checkpoint.notes(&files.origin))
        {
            tell(observer, &Event::Warning { message })?;
        }
        let model = Arc::new(Model::read(files)?);
        self.found.insert(key, model.clone());
        Ok(model)
    }
}

/// Returns true if 16-bit variants of the weights lose nothing, since the arithmetic has no more
/// than 16 bits.
fn has_16_bit_arithmetic(params: &Params) -> bool {
    let dtype = params.dtype.as_ref().and_then(Parsed::value);
    let device = params.device.as_ref().and_then(Parsed::value);
    match dtype {
        Some(Dtype::F16 | Dtype::Bf16) => true,
        Some(Dtype::F32 | Dtype::Int8) => false,
        Some(Dtype::Auto) | None => {
            matches!(device, Some(DeviceChoice::Cuda(_) | DeviceChoice::Metal))
        }
    }
}

/// A single-file model with the configuration files of the model that `config` names.
fn with_config_of(
    files: &ModelFiles,
    config: &str,
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<ModelFiles> {
    if files.checkpoint().is_none() {
        return Err(Error::field(
            "config",
            format!("`{}` is a folder, which has its own", files.origin),
        )
        .hint("`--config` is for models that are one file; leave it out"));
    }
    // The lock file lists the combined model, not the one that `config` names.
    let fetch = Fetch {
        locked: None,
        ..fetch.clone()
    };
    let other = catalog::locate(&ModelRef::parse(config)?, &fetch, observer)
        .map_err(|error| error.hint(format!("`{config}` is what `--config` names")))?;
    Ok(files.configured(&other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Flow;

    fn plan(params: Params) -> Result<Plan> {
        let mut silent = |_: &Event| Flow::Continue;
        let hub = Hub {
            offline: true,
            ..Hub::default()
        };
        Planner::new(hub).plan(
            &Params {
                prompt: Some("a".into()),
                ..params
            },
            &mut silent,
        )
    }

    #[test]
    fn a_plan_has_every_value_and_every_file() {
        let plan = plan(Params {
            model: Some("demo".into()),
            ..Params::default()
        })
        .unwrap();
        assert_eq!(
            (plan.request.steps, plan.base.files.name.as_str()),
            (20, "demo")
        );
        assert_eq!(plan.weights.len(), 3);
        assert_eq!(plan.provenance().license, Some("MIT"));
    }

    #[test]
    fn a_wrong_value_is_found_before_a_model_is_looked_for() {
        let error = plan(Params {
            steps: Some(0),
            model: Some("no/such".into()),
            ..Params::default()
        });
        assert_eq!(error.unwrap_err().field_name(), Some("steps"));
    }

    #[test]
    fn a_model_is_found_once() {
        let mut silent = |_: &Event| Flow::Continue;
        let mut planner = Planner::new(Hub::default());
        let params = Params {
            prompt: Some("a".into()),
            model: Some("demo".into()),
            ..Params::default()
        };
        let [first, second] = [1, 2].map(|_| planner.plan(&params, &mut silent).unwrap().base);
        assert!(Arc::ptr_eq(&first, &second));
    }
}
