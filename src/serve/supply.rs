//! The models that the operator named: looked for before the server begins, and fetched while it
//! answers.

use std::time::Duration;

use super::Service;
use crate::catalog::ModelRef;
use crate::env::Hub;
use crate::error::Result;
use crate::event::{Event, Flow};
use crate::params::Params;
use crate::planner::Planner;

/// Delay before a failed download is retried.
const PAUSE: Duration = Duration::from_secs(30);

fn params(model: &str, defaults: &Params) -> Params {
    Params {
        model: Some(model.to_owned()),
        ..defaults.clone()
    }
}

/// The models that have yet to be fetched. The hub is asked whether it has them, and no weights are
/// downloaded.
///
/// # Errors
/// A model that does not exist, or that is not a model.
pub(super) fn missing(models: &[String], defaults: &Params, hub: &Hub) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for model in models {
        let params = params(model, defaults);
        let here = Planner::new(Hub {
            offline: true,
            ..hub.clone()
        })
        .find_base_model(&params, &mut |_: &Event| Flow::Continue);
        let is_hubs = matches!(
            ModelRef::parse(model)?,
            ModelRef::Known(_) | ModelRef::Repo { .. }
        );
        let is_offline = hub.offline || params.offline == Some(true);
        match here {
            Ok(()) => {}
            Err(error) if !is_hubs || is_offline => return Err(error),
            Err(_) if is_sent(&params, hub)? => missing.push(model.clone()),
            Err(_) => {}
        }
    }
    Ok(missing)
}

/// Returns true if the hub would send files of a model.
fn is_sent(params: &Params, hub: &Hub) -> Result<bool> {
    let mut is_sent = false;
    let mut until_it_comes = |event: &Event| {
        is_sent |= matches!(event, Event::Download { .. });
        if is_sent {
            Flow::Cancel
        } else {
            Flow::Continue
        }
    };
    let looked = Planner::new(hub.clone()).find_base_model(params, &mut until_it_comes);
    if is_sent {
        Ok(true)
    } else {
        looked.map(|()| false)
    }
}

/// Fetches the missing models until all are there or the server shuts down.
pub(super) fn fetch(service: &Service) {
    // Nobody holds the list while something comes: others ask for it.
    while let Some(model) = next(service) {
        (service.log)(&format!("fetching `{model}`"));
        let mut until_the_end = |_: &Event| match service.store.is_closed() {
            true => Flow::Cancel,
            false => Flow::Continue,
        };
        match Planner::new(service.hub.clone())
            .find_base_model(&params(&model, &service.defaults), &mut until_the_end)
        {
            Ok(()) => {
                (service.log)(&format!("`{model}` is here"));
                service.missing().retain(|other| *other != model);
            }
            Err(error) => {
                (service.log)(&format!("`{model}`: {error}; trying again"));
                pause(service);
            }
        }
    }
}

fn next(service: &Service) -> Option<String> {
    let model = service.missing().first().cloned();
    model.filter(|_| !service.store.is_closed())
}

fn pause(service: &Service) {
    const LOOK: Duration = Duration::from_millis(200);
    let looks = PAUSE.as_millis() / LOOK.as_millis();
    (0..looks)
        .take_while(|_| !service.store.is_closed())
        .for_each(|_| std::thread::sleep(LOOK));
}
