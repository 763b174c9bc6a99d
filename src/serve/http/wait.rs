//! Synchronous requests: the client waits for its images on the open connection. If it disconnects,
//! its job is cancelled.

use std::sync::Arc;

use crate::error::Kind;
use crate::serve::http::responses::{Problem, query_store, run_blocking};
use crate::serve::job::{Job, State, Status};
use crate::serve::service::{Service, shutdown_requested};
use crate::serve::store::{Store, SubmitError};
use crate::serve::submit::Submission;
use crate::serve::uploads::image_file_name;

/// A job with a waiting client; cancelled when the client disconnects.
struct WaitingClient {
    service: Arc<Service>,
    job: Arc<Job>,
}

impl WaitingClient {
    /// Submits a job. A client that disconnects during the submission cancels it as well.
    fn submit(service: &Arc<Service>, submission: Submission) -> Result<Self, SubmitError> {
        Ok(Self {
            service: Arc::clone(service),
            job: service.submit(submission)?,
        })
    }
}

impl Drop for WaitingClient {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (false, Ok(runtime)) = (self.job.state().is_final(), runtime) {
            let (service, job) = (Arc::clone(&self.service), Arc::clone(&self.job));
            drop(runtime.spawn_blocking(move || service.abandon(&job)));
        }
    }
}

/// Submits a job and waits for its end; returns the job and its final status, even if cancelled.
/// Fails if the submission is rejected, the job fails, or the server shuts down.
pub(crate) async fn run_and_wait(
    service: &Arc<Service>,
    submission: Submission,
) -> Result<(Arc<Job>, Status), Problem> {
    let submit = move |service: &Arc<Service>| WaitingClient::submit(service, submission);
    let client = run_blocking(service, submit).await??;
    let mut shutdown = service.shutdown.subscribe();
    let status = tokio::select! {
        status = client.job.wait_until_ended() => status,
        () = shutdown_requested(&mut shutdown) => return Err(shutdown_error()),
    };
    match status.state {
        State::Failed => Err(Problem::of_job(&status)),
        // Not cancelled by a client: a server that shuts down cancels the jobs of waiting clients.
        State::Cancelled if service.store.is_closed() => Err(shutdown_error()),
        State::Queued | State::Running | State::Completed | State::Cancelled => {
            Ok((Arc::clone(&client.job), status))
        }
    }
}

fn shutdown_error() -> Problem {
    Problem::unavailable(Kind::Device, "the server ended before the job did")
}

/// Image files of a job, in order.
pub(crate) async fn read_images(
    service: &Arc<Service>,
    job: &Job,
    status: &Status,
) -> Result<Vec<Vec<u8>>, Problem> {
    let id = job.id.clone();
    let images = status.images.clone();
    let read = move |store: &dyn Store| {
        let images = images.iter();
        images
            .map(|image| store.read_result(&id, &image_file_name(image.index)))
            .collect::<crate::error::Result<Vec<_>>>()
    };
    let files = query_store(service, read).await?;
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
    use crate::serve::options::{Limits, Options, Storage};
    use crate::serve::uploads::UploadedImages;

    fn submission() -> Submission {
        let fields = Map::from_iter([("prompt".to_owned(), json!("a"))]);
        Submission {
            fields,
            uploaded: UploadedImages::new(),
            operation: None,
            api: Api::A1111,
            is_synchronous: true,
        }
    }

    #[test]
    fn a_client_that_disconnects_during_the_submission_cancels_its_job() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            models: vec!["demo".to_owned()],
            defaults: Params::default(),
            hub: Hub::default(),
            storage: Storage::StateDir(dir.path().to_owned()),
            limits: Limits::none(),
            log_prompts: false,
            hold: Hold::default(),
        };
        // The job is queued, and its submission is held up before it returns.
        let ((queued, is_queued), (go_on, may_go_on)) = (channel(), channel::<()>());
        let (queued, may_go_on) = (Mutex::new(queued), Mutex::new(may_go_on));
        let log = move |line: &str| {
            if line.contains("queued") {
                queued.lock().unwrap().send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
        };
        let service = Arc::new(Service::open(options, None, Arc::new(log)).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let shared = Arc::clone(&service);
        let client =
            runtime.spawn(async move { run_and_wait(&shared, submission()).await.map(drop) });
        is_queued.recv().unwrap();
        client.abort();
        assert!(runtime.block_on(client).unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        let job = service.store.list().unwrap().remove(0);
        let end = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), job.wait_until_ended()).await
        });
        assert_eq!(
            end.expect("the job is not cancelled").state,
            State::Cancelled
        );
    }
}
