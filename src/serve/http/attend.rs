//! Clients that wait for their images on the open connection. If a client disconnects, its job is
//! cancelled.

use std::sync::Arc;

use super::problem::Problem;
use super::{blocking, stored};
use crate::error::Kind;
use crate::serve::desk::Wish;
use crate::serve::job::{Job, State, Status};
use crate::serve::store::{Refused, Store};
use crate::serve::uploads::picture_of;
use crate::serve::{Service, rung};

/// A job with a waiting client; cancelled when the client disconnects.
struct Attendance {
    service: Arc<Service>,
    job: Arc<Job>,
}

impl Attendance {
    /// Submits a request. The job is attended from the start: a client that disconnects during the
    /// submission cancels it as well.
    fn begin(service: &Arc<Service>, wish: Wish) -> Result<Self, Refused> {
        Ok(Self {
            service: Arc::clone(service),
            job: service.submit(wish)?,
        })
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let here = tokio::runtime::Handle::try_current();
        if let (false, Ok(here)) = (self.job.state().is_final(), here) {
            let (service, job) = (Arc::clone(&self.service), Arc::clone(&self.job));
            drop(here.spawn_blocking(move || service.forsake(&job)));
        }
    }
}

/// Runs `wish` while its client waits; returns the job and its final status, even if cancelled.
///
/// # Errors
/// The request is refused, the job fails, or the server shuts down.
pub(in crate::serve) async fn drawn(
    service: &Arc<Service>,
    wish: Wish,
) -> Result<(Arc<Job>, Status), Problem> {
    let attendance = blocking(service, move |service| Attendance::begin(service, wish)).await??;
    let mut over = service.over.subscribe();
    let status = tokio::select! {
        status = attendance.job.ended() => status,
        () = rung(&mut over) => return Err(server_ended()),
    };
    match status.state {
        State::Failed => Err(Problem::of_failed(&status)),
        // Nobody interrupted it: a server that stops drops the jobs whose clients cannot come back.
        State::Cancelled if service.store.is_closed() => Err(server_ended()),
        State::Queued | State::Running | State::Completed | State::Cancelled => {
            Ok((Arc::clone(&attendance.job), status))
        }
    }
}

fn server_ended() -> Problem {
    Problem::unavailable(Kind::Device, "the server ended before the job did")
}

/// Image files of a job, in order.
///
/// # Errors
/// A file is gone.
pub(in crate::serve) async fn pictures(
    service: &Arc<Service>,
    job: &Job,
    status: &Status,
) -> Result<Vec<Vec<u8>>, Problem> {
    let (id, names) = (
        job.id.clone(),
        status.images.iter().map(|made| picture_of(made.index)),
    );
    let names: Vec<String> = names.collect();
    let read = move |store: &dyn Store| names.iter().map(|name| store.file(&id, name)).collect();
    let files: Vec<Option<Vec<u8>>> = stored(service, read).await?;
    files
        .into_iter()
        .map(|file| file.ok_or_else(|| Problem::not_found("picture")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use serde_json::{Map, json};

    use super::*;
    use crate::env::{Hold, Hub};
    use crate::params::Params;
    use crate::serve::job::Api;
    use crate::serve::uploads::Pictures;
    use crate::serve::{Home, Limits, Options};

    fn wish() -> Wish {
        let fields = Map::from_iter([("prompt".to_owned(), json!("a"))]);
        Wish {
            fields,
            pictures: Pictures::new(),
            operation: None,
            api: Api::A1111,
            attended: true,
        }
    }

    #[test]
    fn a_client_that_leaves_while_its_job_is_taken_in_takes_it_along() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            models: vec!["demo".to_owned()],
            defaults: Params::default(),
            hub: Hub::default(),
            home: Home::Folder(folder.path().to_owned()),
            limits: Limits::none(),
            log_prompts: false,
            hold: Hold::default(),
        };
        // The job is queued, and its submission is held up before it returns.
        let ((taken, is_taken), (go_on, may_go_on)) = (channel(), channel::<()>());
        let (taken, may_go_on) = (Mutex::new(taken), Mutex::new(may_go_on));
        let log = move |line: &str| {
            if line.contains("queued") {
                taken.lock().unwrap().send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
        };
        let service = Arc::new(Service::open(options, None, Arc::new(log)).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let waits = Arc::clone(&service);
        let client = runtime.spawn(async move { drawn(&waits, wish()).await.map(|_| ()) });
        is_taken.recv().unwrap();
        client.abort();
        assert!(runtime.block_on(client).unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        let job = service.store.all().unwrap().remove(0);
        let end = runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(60), job.ended()).await });
        assert_eq!(end.expect("it waits for nobody").state, State::Cancelled);
    }
}
