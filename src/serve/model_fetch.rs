//! Models that the operator named: looked up before the server starts, and downloaded while it
//! serves requests.

use std::time::Duration;

use crate::env::Hub;
use crate::error::Result;
use crate::event::{Event, Flow};
use crate::params::{Params, overlay};
use crate::planner::Planner;
use crate::registry::ModelRef;
use crate::serve::service::Service;

/// Delay before a failed download is retried.
const RETRY_DELAY: Duration = Duration::from_secs(30);

fn model_params(model: &str, defaults: &Params) -> Params {
    let model = Params {
        model: Some(model.to_owned()),
        ..Params::default()
    };
    overlay(defaults, &model)
}

/// Finds the models that have yet to be downloaded; fails if a model does not exist, or is not a
/// model. The hub is asked whether it has them, and no weights are downloaded.
pub(crate) fn find_missing_models(
    models: &[String],
    defaults: &Params,
    hub: &Hub,
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for model in models {
        let params = model_params(model, defaults);
        let offline = Hub {
            offline: true,
            ..hub.clone()
        };
        let Err(error) = Planner::new(offline).look(&params, &mut |_: &Event| Flow::Continue)
        else {
            continue;
        };
        let is_on_hub = matches!(
            ModelRef::parse(model)?,
            ModelRef::Known(_) | ModelRef::Repo { .. }
        );
        if !is_on_hub || hub.offline || params.offline == Some(true) {
            return Err(error);
        }
        if needs_download(&params, hub)? {
            missing.push(model.clone());
        }
    }
    Ok(missing)
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
    let result = Planner::new(hub.clone()).look(params, &mut cancel_download);
    if !has_begun {
        result?;
    }
    Ok(has_begun)
}

/// Downloads the missing models until all are there or the server shuts down.
pub(crate) fn fetch_missing_models(service: &Service) {
    // The list is not locked during a download, since requests read it.
    while let Some(model) = next_missing_model(service) {
        (service.log)(&format!("fetching `{model}`"));
        let mut until_shutdown = |_: &Event| {
            if service.store.is_closed() {
                return Flow::Cancel;
            }
            Flow::Continue
        };
        let params = model_params(&model, &service.defaults);
        match Planner::new(service.hub.clone()).look(&params, &mut until_shutdown) {
            Ok(()) => {
                (service.log)(&format!("`{model}` is here"));
                service.missing_models().retain(|other| *other != model);
            }
            Err(error) => {
                (service.log)(&format!("`{model}`: {error}; trying again"));
                wait_before_retry(service);
            }
        }
    }
}

fn next_missing_model(service: &Service) -> Option<String> {
    let model = service.missing_models().first().cloned();
    model.filter(|_| !service.store.is_closed())
}

fn wait_before_retry(service: &Service) {
    const POLL_INTERVAL: Duration = Duration::from_millis(200);
    for _ in 0..RETRY_DELAY.as_millis() / POLL_INTERVAL.as_millis() {
        if service.store.is_closed() {
            return;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
