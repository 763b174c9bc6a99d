//! Models offered to clients, and their names. Clients see names only; the server's folders stay
//! private.

use std::path::Path;

use serde::Serialize;

use crate::catalog::{DEFAULT_MODEL, ModelRef, ModelSpec, cached, models};
use crate::env::Hub;
use crate::error::{Error, Result};
use crate::params::Params;

/// The offered models, the default first.
pub(super) struct Catalog {
    offers: Vec<Offer>,
}

/// An offered model.
struct Offer {
    /// Name that clients use.
    name: String,
    /// Model reference that the planner receives.
    model: String,
    spec: Option<&'static ModelSpec>,
}

/// A model as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) default: bool,
    /// True if the model is in the cache and needs no download.
    pub(super) cached: bool,
    pub(super) size: Option<u32>,
    pub(super) steps: Option<usize>,
    pub(super) cfg_scale: Option<f64>,
    pub(super) license: Option<&'static str>,
    pub(super) about: Option<&'static str>,
}

impl Catalog {
    /// The catalogue of the models that the operator named, or of every known version if none is
    /// named.
    ///
    /// # Errors
    /// Two folders with the same name.
    pub(super) fn new(named: &[String]) -> Result<Self> {
        let known = || {
            let mut known: Vec<String> = models().iter().map(|spec| spec.name.clone()).collect();
            known.sort_by_key(|name| name != DEFAULT_MODEL);
            known
        };
        let named = if named.is_empty() {
            known()
        } else {
            named.to_vec()
        };
        let offers: Vec<Offer> = named.into_iter().map(offer).collect();
        let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
        match names
            .iter()
            .enumerate()
            .find(|(i, name)| names[..*i].contains(name))
        {
            None => Ok(Self { offers }),
            Some((_, name)) => Err(Error::field(
                "model",
                format!("two models are called `{name}`"),
            )
            .hint("give the folders different names")),
        }
    }

    /// Resolves a client's model name to (the offered name, the model reference for the planner).
    ///
    /// # Errors
    /// A model that is not offered; the message names `field`.
    pub(super) fn resolve(&self, field: &str, name: &str) -> Result<(&str, &str)> {
        let canonical = spec(name).map_or(name, |spec| &spec.name);
        let offer = self.offers.iter().find(|offer| offer.name == canonical);
        offer
            .map(|offer| (offer.name.as_str(), offer.model.as_str()))
            .ok_or_else(|| Error::unknown(field, "model", name, self.names()))
    }

    /// Replaces the model names that clients use with model references.
    ///
    /// # Errors
    /// As [`Self::resolve`]: a job may be older than the catalogue.
    pub(super) fn opened(&self, params: &Params) -> Result<Params> {
        let open = |field: &str, name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => self
                .resolve(field, name)
                .map(|(_, model)| Some(model.to_owned())),
        };
        let (model, refiner) = (
            open("model", &params.model)?,
            open("refiner", &params.refiner)?,
        );
        Ok(Params {
            model,
            refiner,
            ..params.clone()
        })
    }

    /// Name of the model for requests that name none.
    pub(super) fn default(&self) -> &str {
        self.offers
            .first()
            .map_or(DEFAULT_MODEL, |offer| &offer.name)
    }

    /// All offered names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.offers.iter().map(|offer| offer.name.as_str())
    }

    /// Every folder with the name that clients know it by.
    pub(super) fn secrets(&self) -> Vec<(String, String)> {
        let differ = self.offers.iter().filter(|offer| offer.name != offer.model);
        differ
            .map(|offer| (offer.model.clone(), offer.name.clone()))
            .collect()
    }

    /// The offered models as clients see them.
    pub(super) fn shown(&self, hub: &Hub) -> Vec<Shown> {
        let shown = |(i, offer): (usize, &Offer)| Shown {
            id: offer.name.clone(),
            default: i == 0,
            cached: ModelRef::parse(&offer.model).is_ok_and(|model| cached(&model, hub).is_some()),
            size: offer.spec.map(|spec| spec.size),
            steps: offer.spec.map(|spec| spec.steps),
            cfg_scale: offer.spec.map(|spec| spec.cfg_scale),
            license: offer.spec.map(|spec| spec.license.as_str()),
            about: offer.spec.map(|spec| spec.about.as_str()),
        };
        self.offers.iter().enumerate().map(shown).collect()
    }
}

fn offer(model: String) -> Offer {
    if let Some(spec) = spec(&model) {
        return Offer {
            name: spec.name.clone(),
            model: spec.name.clone(),
            spec: Some(spec),
        };
    }
    // The full path: a short one, such as `.`, would match in any text that it is removed from.
    match Path::new(&model).canonicalize() {
        Ok(path) => {
            let name = path.file_name().map_or_else(
                || "model".into(),
                |name| name.to_string_lossy().into_owned(),
            );
            Offer {
                name,
                model: path.display().to_string(),
                spec: None,
            }
        }
        Err(_) => Offer {
            name: model.clone(),
            model,
            spec: None,
        },
    }
}

fn spec(name: &str) -> Option<&'static ModelSpec> {
    models()
        .iter()
        .find(|spec| spec.name == name || spec.aliases.iter().any(|alias| alias == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_offered_can_be_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        std::fs::create_dir(&path).unwrap();
        let path = path.canonicalize().unwrap().display().to_string();
        let catalog = Catalog::new(&["demo".to_owned(), path.clone()]).unwrap();
        assert_eq!(catalog.default(), "demo");
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
        assert!(Catalog::new(&[path.clone(), path.clone()]).is_err());
        for said in [
            format!("{path}/"),
            format!("{path}/."),
            format!("{path}/../mine"),
        ] {
            let catalog = Catalog::new(&[said]).unwrap();
            assert_eq!(catalog.secrets(), [(path.clone(), "mine".to_owned())]);
        }
        let here = Catalog::new(&[".".to_owned()]).unwrap();
        assert!(here.default().len() > 1 && Path::new(&here.secrets()[0].0).is_absolute());
    }

    #[test]
    fn without_a_choice_every_known_version_is_offered_by_all_its_names() {
        let catalog = Catalog::new(&[]).unwrap();
        assert_eq!(catalog.default(), DEFAULT_MODEL);
        assert_eq!(catalog.names().count(), models().len());
        for spec in models() {
            for name in spec.aliases.iter().chain([&spec.name]) {
                assert_eq!(catalog.resolve("model", name).unwrap().0, spec.name);
            }
        }
    }
}
