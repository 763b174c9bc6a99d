//! Models offered to clients, and their names. Clients see names only; the server's folders stay
//! private.

use std::path::Path;

use serde::Serialize;

use crate::catalog::{DEFAULT_MODEL, ModelRef, ModelSpec, cached, models};
use crate::env::Hub;
use crate::error::{Error, Result};
use crate::params::Params;

/// The offered models, the default first.
pub(crate) struct ModelCatalog {
    offered: Vec<OfferedModel>,
}

struct OfferedModel {
    /// Name that clients use.
    name: String,
    /// Model reference that the planner receives.
    reference: String,
    spec: Option<&'static ModelSpec>,
}

/// A model as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelInfo {
    pub(crate) id: String,
    pub(crate) default: bool,
    /// True if the model is in the cache and needs no download.
    pub(crate) cached: bool,
    pub(crate) size: Option<u32>,
    pub(crate) steps: Option<usize>,
    pub(crate) cfg_scale: Option<f64>,
    pub(crate) license: Option<&'static str>,
    pub(crate) about: Option<&'static str>,
}

impl ModelCatalog {
    /// The catalogue of the models that the operator named, or of every known version if none is
    /// named. Fails if two folders have the same name.
    pub(crate) fn new(named: &[String]) -> Result<Self> {
        let mut models: Vec<String> = named.to_vec();
        if models.is_empty() {
            models = self::models()
                .iter()
                .map(|spec| spec.name.clone())
                .collect();
            models.sort_by_key(|name| name != DEFAULT_MODEL);
        }
        let mut offered: Vec<OfferedModel> = Vec::new();
        for model in models.into_iter().map(OfferedModel::new) {
            if offered.iter().any(|other| other.name == model.name) {
                let message = format!("two models are called `{}`", model.name);
                return Err(Error::field("model", message).hint("give the folders different names"));
            }
            offered.push(model);
        }
        Ok(Self { offered })
    }

    /// Resolves a client's model name to the offered name and the model reference for the planner;
    /// errors name `field`.
    pub(crate) fn resolve(&self, field: &str, name: &str) -> Result<(&str, &str)> {
        let canonical = find_spec(name).map_or(name, |spec| &spec.name);
        match self.offered.iter().find(|model| model.name == canonical) {
            Some(model) => Ok((&model.name, &model.reference)),
            None => Err(Error::unknown(field, "model", name, self.names())),
        }
    }

    /// Replaces the model names that clients use by model references. Fails if a model is not
    /// offered any more: a job may be older than the catalogue.
    pub(crate) fn resolve_models(&self, params: &Params) -> Result<Params> {
        let mut resolved = params.clone();
        for (field, name) in [
            ("model", &mut resolved.model),
            ("refiner", &mut resolved.refiner),
        ] {
            if let Some(name) = name {
                *name = self.resolve(field, name)?.1.to_owned();
            }
        }
        Ok(resolved)
    }

    /// Name of the model for requests that name none.
    pub(crate) fn default_name(&self) -> &str {
        self.names().next().unwrap_or(DEFAULT_MODEL)
    }

    /// All offered names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.offered.iter().map(|model| model.name.as_str())
    }

    /// Every folder with the name that clients know it by.
    pub(crate) fn private_paths(&self) -> Vec<(String, String)> {
        let folders = self
            .offered
            .iter()
            .filter(|model| model.name != model.reference);
        folders
            .map(|model| (model.reference.clone(), model.name.clone()))
            .collect()
    }

    /// The offered models as clients see them.
    pub(crate) fn model_infos(&self, hub: &Hub) -> Vec<ModelInfo> {
        let models = self.offered.iter().enumerate();
        models
            .map(|(i, model)| ModelInfo {
                id: model.name.clone(),
                default: i == 0,
                cached: ModelRef::parse(&model.reference)
                    .is_ok_and(|model| cached(&model, hub).is_some()),
                size: model.spec.map(|spec| spec.size),
                steps: model.spec.map(|spec| spec.steps),
                cfg_scale: model.spec.map(|spec| spec.cfg_scale),
                license: model.spec.map(|spec| spec.license.as_str()),
                about: model.spec.map(|spec| spec.about.as_str()),
            })
            .collect()
    }
}

impl OfferedModel {
    fn new(model: String) -> Self {
        if let Some(spec) = find_spec(&model) {
            return Self {
                name: spec.name.clone(),
                reference: spec.name.clone(),
                spec: Some(spec),
            };
        }
        // The full path: a short one, such as `.`, would match in any text that it is removed from.
        let (name, reference) = match Path::new(&model).canonicalize() {
            Ok(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy());
                let name = name.map_or_else(|| "model".to_owned(), String::from);
                (name, path.display().to_string())
            }
            Err(_) => (model.clone(), model),
        };
        Self {
            name,
            reference,
            spec: None,
        }
    }
}

fn find_spec(name: &str) -> Option<&'static ModelSpec> {
    let mut specs = models().iter();
    specs.find(|spec| spec.name == name || spec.aliases.iter().any(|alias| alias == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_offered_models_can_be_requested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        std::fs::create_dir(&path).unwrap();
        let path = path.canonicalize().unwrap().display().to_string();
        let catalog = ModelCatalog::new(&["demo".to_owned(), path.clone()]).unwrap();
        assert_eq!(catalog.default_name(), "demo");
        assert_eq!(
            catalog.resolve("model", "mine").unwrap(),
            ("mine", path.as_str())
        );
        for name in [path.as_str(), "sd15", "../mine", "org/repo", "/etc"] {
            assert_eq!(
                catalog.resolve("refiner", name).unwrap_err().field_name(),
                Some("refiner"),
                "{name}"
            );
        }
        assert!(ModelCatalog::new(&[path.clone(), path.clone()]).is_err());
        for given in [
            format!("{path}/"),
            format!("{path}/."),
            format!("{path}/../mine"),
        ] {
            let catalog = ModelCatalog::new(&[given]).unwrap();
            assert_eq!(catalog.private_paths(), [(path.clone(), "mine".to_owned())]);
        }
        let here = ModelCatalog::new(&[".".to_owned()]).unwrap();
        assert!(
            here.default_name().len() > 1 && Path::new(&here.private_paths()[0].0).is_absolute()
        );
    }

    #[test]
    fn without_a_choice_every_known_version_is_offered_by_all_its_names() {
        let catalog = ModelCatalog::new(&[]).unwrap();
        assert_eq!(catalog.default_name(), DEFAULT_MODEL);
        assert_eq!(catalog.names().count(), models().len());
        for spec in models() {
            for name in spec.aliases.iter().chain([&spec.name]) {
                assert_eq!(catalog.resolve("model", name).unwrap().0, spec.name);
            }
        }
    }
}
