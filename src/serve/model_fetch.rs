//! Models that the operator named: looked up before the server starts, and downloaded while it
//! serves requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::catalog::ModelRef;
use crate::env::Hub;
use crate::error::Result;
use crate::event::{Event, Flow};
use crate::params::Params;
use crate::planner::Planner;
use crate::serve::options::Log;

/// Delay before a failed download is retried.
const RETRY_DELAY: Duration = Duration::from_secs(30);

fn model_params(model: &str, defaults: &Params) -> Params {
    Params {
        model: Some(model.to_owned()),
        ..defaults.clone()
    }
}

/// Models that have yet to be downloaded.
pub(crate) struct MissingModels {
    names: Mutex<Vec<String>>,
    defaults: Params,
    hub: Hub,
}

impl MissingModels {
    /// Finds the missing ones of these models; fails if a model does not exist, or is not a model.
    /// The hub is asked whether it has them, and no weights are downloaded.
    pub(crate) fn find(models: &[String], defaults: &Params, hub: &Hub) -> Result<Self> {
        let mut missing = Vec::new();
        for model in models {
            if is_missing(model, defaults, hub)? {
                missing.push(model.clone());
            }
        }
        Ok(Self {
            names: Mutex::new(missing),
            defaults: defaults.clone(),
            hub: hub.clone(),
        })
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if every model is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// Downloads the models until all are there or the server shuts down.
    pub(crate) fn fetch_all(&self, log: &Log, is_closed: &dyn Fn() -> bool) {
        // The list is not locked during a download, since requests read it.
        while let Some(model) = self.next(is_closed) {
            log(&format!("fetching `{model}`"));
            let mut until_shutdown = |_: &Event| {
                if is_closed() {
                    return Flow::Cancel;
                }
                Flow::Continue
            };
            let params = model_params(&model, &self.defaults);
            match Planner::new(self.hub.clone()).find_base_model(&params, &mut until_shutdown) {
                Ok(()) => {
                    log(&format!("`{model}` is here"));
                    self.names().retain(|other| *other != model);
                }
                Err(error) => {
                    log(&format!("`{model}`: {error}; trying again"));
                    wait_before_retry(is_closed);
                }
            }
        }
    }

    fn next(&self, is_closed: &dyn Fn() -> bool) -> Option<String> {
        let model = self.names().first().cloned();
        model.filter(|_| !is_closed())
    }
}

fn is_missing(model: &str, defaults: &Params, hub: &Hub) -> Result<bool> {
    let params = model_params(model, defaults);
    let offline = Hub {
        offline: true,
        ..hub.clone()
    };
    let Err(error) =
        Planner::new(offline).find_base_model(&params, &mut |_: &Event| Flow::Continue)
    else {
        return Ok(false);
    };
    let is_on_hub = matches!(
        ModelRef::parse(model)?,
        ModelRef::Known(_) | ModelRef::Repo { .. }
    );
    if !is_on_hub || hub.offline || params.offline == Some(true) {
        return Err(error);
    }
    needs_download(&params, hub)
}

/// Returns true if files of a model would be downloaded.
fn needs_download(params: &Params, hub: &Hub) -> Result<bool> {
    let mut has_begun = false;
    let mut cancel_download = |event: &Event| {
        has_begun |= matches!(event, Event::Download { .. });
        if has_begun {
            return Flow::Cancel;
        }
        Flow::Continue
    };
    let result = Planner::new(hub.clone()).find_base_model(params, &mut cancel_download);
    if !has_begun {
        result?;
    }
    Ok(has_begun)
}

fn wait_before_retry(is_closed: &dyn Fn() -> bool) {
    const POLL_INTERVAL: Duration = Duration::from_millis(200);
    for _ in 0..RETRY_DELAY.as_millis() / POLL_INTERVAL.as_millis() {
        if is_closed() {
            return;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
