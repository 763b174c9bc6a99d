//! Clients that wait for their pictures on the open connection. When one goes away, its job goes too.

use std::sync::Arc;

use axum::http::StatusCode;

use super::problem::Problem;
use super::{blocking, stored};
use crate::error::Kind;
use crate::serve::desk::Wish;
use crate::serve::job::{Halt, Job, State, Status};
use crate::serve::store::Store;
use crate::serve::uploads::picture_of;
use crate::serve::{Service, rung};

/// Cancels a job whose client went away.
struct Attendance {
    service: Arc<Service>,
    job: Arc<Job>,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let here = tokio::runtime::Handle::try_current();
        if let (false, Ok(here)) = (self.job.state().is_final(), here) {
            let (service, job) = (Arc::clone(&self.service), Arc::clone(&self.job));
            // One that cannot be told is drawn for nobody.
            drop(here.spawn_blocking(move || service.stop(&job, Halt::Cancel)));
        }
    }
}

/// Draws `wish` while its client waits; the job and how it ended, be it cancelled.
///
/// # Errors
/// The wish is refused, the job fails, or the server ends.
pub(in crate::serve) async fn drawn(
    service: &Arc<Service>,
    wish: Wish,
) -> Result<(Arc<Job>, Status), Problem> {
    let job = blocking(service, move |service| service.submit(wish)).await??;
    let attendance = Attendance { service: Arc::clone(service), job };
    let mut over = service.over.subscribe();
    let status = tokio::select! {
        status = attendance.job.ended() => status,
        () = rung(&mut over) => {
            let message = "the server ended before the job did";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Device, message));
        }
    };
    match status.state {
        State::Failed => Err(Problem::of_failed(&status)),
        State::Queued | State::Running | State::Completed | State::Cancelled => {
            Ok((Arc::clone(&attendance.job), status))
        }
    }
}

/// The files of a job's pictures, in order.
///
/// # Errors
/// A file is gone.
pub(in crate::serve) async fn pictures(
    service: &Arc<Service>,
    job: &Job,
    status: &Status,
) -> Result<Vec<Vec<u8>>, Problem> {
    let (id, names) = (job.id.clone(), status.images.iter().map(|made| picture_of(made.index)));
    let names: Vec<String> = names.collect();
    let read = move |store: &dyn Store| names.iter().map(|name| store.file(&id, name)).collect();
    let files: Vec<Option<Vec<u8>>> = stored(service, read).await?;
    files.into_iter().map(|file| file.ok_or_else(|| Problem::not_found("picture"))).collect()
}
