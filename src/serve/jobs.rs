//! All jobs: the bounded queue, the one that runs, and those that have ended and not yet expired.
//! No HTTP, no files.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::job::{Api, End, Halt, Job, Order, State};
use super::store::{Bounds, Count, Ended, Refusal};

/// A place in the queue, reserved until the job is stored.
pub(super) struct Place<'a> {
    jobs: &'a Jobs,
    /// The number of the job that takes it.
    pub(super) number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.jobs.lock().reserved -= 1;
    }
}

#[derive(Default)]
struct Inner {
    known: HashMap<String, Arc<Job>>,
    queue: VecDeque<Arc<Job>>,
    running: Vec<Arc<Job>>,
    reserved: usize,
    next: u64,
    closed: bool,
}

/// The jobs of a server.
pub(super) struct Jobs {
    bounds: Bounds,
    inner: Mutex<Inner>,
    work: Condvar,
}

impl Jobs {
    /// No jobs yet.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            inner: Mutex::default(),
            work: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a place for one more job.
    pub(super) fn reserve(&self) -> Result<Place<'_>, Refusal> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refusal::Closed);
        }
        if inner.queue.len() + inner.reserved >= self.bounds.queue {
            return Err(Refusal::Full);
        }
        inner.reserved += 1;
        inner.next += 1;
        Ok(Place {
            jobs: self,
            number: inner.next,
        })
    }

    /// Puts a job at the end of the queue.
    pub(super) fn enqueue(&self, place: Place<'_>, job: Arc<Job>) {
        let mut inner = self.lock();
        inner.queue.push_back(Arc::clone(&job));
        job.waits(inner.queue.len());
        if inner.closed && job.order.attended {
            inner.queue.pop_back();
            job.end(End::Cancelled);
        }
        inner.known.insert(job.id.clone(), job);
        drop(inner);
        drop(place);
        self.work.notify_one();
    }

    /// Takes over a job of an earlier process; they come in the order of their numbers.
    pub(super) fn adopt(&self, job: Arc<Job>) {
        let mut inner = self.lock();
        inner.next = inner.next.max(job.number);
        if job.state() == State::Queued {
            inner.queue.push_back(Arc::clone(&job));
            job.waits(inner.queue.len());
        }
        inner.known.insert(job.id.clone(), job);
    }

    /// Waits for the next job and begins it; `None` once the queue is closed.
    pub(super) fn next(&self) -> Option<Arc<Job>> {
        let mut inner = self.lock();
        loop {
            if inner.closed {
                return None;
            }
            if let Some(job) = inner.begin() {
                return Some(job);
            }
            inner = self
                .work
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Begins the next job if it is like `order`; does not wait.
    pub(super) fn next_like(&self, order: &Order) -> Option<Arc<Job>> {
        let mut inner = self.lock();
        let is_wanted = !inner.closed
            && inner
                .queue
                .front()
                .is_some_and(|job| job.order.is_like(order));
        if is_wanted { inner.begin() } else { None }
    }

    /// Ends a running job; returns true if it had not ended before.
    pub(super) fn finish(&self, job: &Job, end: End) -> bool {
        let mut inner = self.lock();
        inner.running.retain(|running| running.id != job.id);
        job.end(end)
    }

    /// Stops a job: a waiting one at once, a running one at its next step. Returns true if this
    /// call ended it.
    pub(super) fn stop(&self, job: &Job, stop: Halt) -> bool {
        let mut inner = self.lock();
        let Some(place) = inner.queue.iter().position(|queued| queued.id == job.id) else {
            job.ask(stop);
            return false;
        };
        inner.queue.remove(place);
        inner.tell_positions();
        job.end(End::Cancelled)
    }

    /// Forgets a job if it has ended; returns true if so.
    pub(super) fn forget(&self, job: &Job) -> bool {
        let mut inner = self.lock();
        let is_over = job.state().is_final();
        if is_over {
            inner.known.remove(&job.id);
        }
        is_over
    }

    /// The job with this id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.lock().known.get(id).cloned()
    }

    /// Every job, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        let mut all: Vec<Arc<Job>> = self.lock().known.values().cloned().collect();
        all.sort_by_key(|job| std::cmp::Reverse(job.number));
        all
    }

    /// A running job that came in through `api`.
    pub(super) fn running(&self, api: Api) -> Option<Arc<Job>> {
        self.lock()
            .running
            .iter()
            .find(|job| job.order.api == api)
            .cloned()
    }

    /// Accepts and begins no more jobs; cancels waiting ones whose clients wait on the connection.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let attended: Vec<Arc<Job>> = inner
            .queue
            .iter()
            .filter(|job| job.order.attended)
            .cloned()
            .collect();
        inner.queue.retain(|job| !job.order.attended);
        attended.iter().for_each(|job| {
            job.end(End::Cancelled);
        });
        self.work.notify_all();
    }

    /// Returns true if the queue is closed because the server shuts down.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Number of jobs by state.
    pub(super) fn count(&self) -> Count {
        let inner = self.lock();
        let (queued, running) = (inner.queue.len(), inner.running.len());
        let bytes = inner.known.values().map(|job| job.bytes()).sum();
        Count {
            queued,
            running,
            ended: inner.known.len() - queued - running,
            bytes,
            unwritten: 0,
        }
    }

    /// Forgets the jobs that are too old, and the oldest ones beyond the limits; returns them.
    pub(super) fn expire(&self, now: SystemTime) -> Vec<Arc<Job>> {
        let mut inner = self.lock();
        let ended = |job: &Arc<Job>| {
            Some(Past {
                at: job.status().ended?,
                job: Arc::clone(job),
            })
        };
        let ended: Vec<Past> = inner.known.values().filter_map(ended).collect();
        let gone = self
            .bounds
            .stale(ended, now)
            .into_iter()
            .map(|past| past.job);
        gone.inspect(|job| drop(inner.known.remove(&job.id)))
            .collect()
    }
}

/// A job that has ended.
struct Past {
    at: SystemTime,
    job: Arc<Job>,
}

impl Ended for Past {
    fn at(&self) -> SystemTime {
        self.at
    }

    fn number(&self) -> u64 {
        self.job.number
    }

    fn bytes(&self) -> u64 {
        self.job.bytes()
    }
}

impl Inner {
    /// Begins the first job of the queue.
    fn begin(&mut self) -> Option<Arc<Job>> {
        let job = self.queue.pop_front()?;
        job.begin();
        self.running.push(Arc::clone(&job));
        self.tell_positions();
        Some(job)
    }

    fn tell_positions(&self) {
        for (place, job) in self.queue.iter().enumerate() {
            job.waits(place + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::job::{Made, Status, new_id};
    use std::time::Duration;

    const BOUNDS: Bounds = Bounds {
        queue: 2,
        age: Duration::from_secs(60),
        bytes: 100,
        ended: 3,
    };

    fn submit(jobs: &Jobs) -> Result<Arc<Job>, Refusal> {
        let place = jobs.reserve()?;
        let job = Job::new(
            new_id(),
            place.number,
            SystemTime::now(),
            Order::plain(),
            Status::default(),
        );
        let job = Arc::new(job);
        jobs.enqueue(place, Arc::clone(&job));
        Ok(job)
    }

    fn draw(jobs: &Jobs, bytes: u64) -> Arc<Job> {
        submit(jobs).unwrap();
        let job = jobs.next().unwrap();
        job.made(Made {
            index: 0,
            seed: 1,
            width: 8,
            height: 8,
            bytes,
        });
        assert!(jobs.finish(&job, End::Completed));
        job
    }

    #[test]
    fn a_full_queue_refuses_and_a_begun_job_makes_room() {
        let jobs = Jobs::new(BOUNDS);
        let [first, second] = [0; 2].map(|_| submit(&jobs).unwrap());
        assert_eq!(submit(&jobs).unwrap_err(), Refusal::Full);
        assert_eq!(
            (first.status().position, second.status().position),
            (Some(1), Some(2))
        );
        assert_eq!(jobs.next().unwrap().id, first.id);
        assert_eq!(
            (first.state(), second.status().position),
            (State::Running, Some(1))
        );
        assert!(submit(&jobs).is_ok());
    }

    #[test]
    fn a_place_that_is_not_taken_is_free_again() {
        let jobs = Jobs::new(BOUNDS);
        let places = [0; 2].map(|_| jobs.reserve().unwrap());
        assert_eq!(jobs.reserve().err(), Some(Refusal::Full));
        drop(places);
        assert!(jobs.reserve().is_ok());
    }

    #[test]
    fn waiting_jobs_are_cancelled_at_once_and_running_ones_are_asked() {
        let jobs = Jobs::new(BOUNDS);
        let [first, second] = [0; 2].map(|_| submit(&jobs).unwrap());
        jobs.next();
        jobs.stop(&second, Halt::Cancel);
        jobs.stop(&first, Halt::Cancel);
        assert_eq!(
            (second.state(), first.state()),
            (State::Cancelled, State::Running)
        );
        assert!(first.is_cancelled() && jobs.finish(&first, End::Cancelled));
        assert!(!jobs.finish(&first, End::Completed), "an end is an end");
        assert_eq!(first.state(), State::Cancelled);
    }

    #[test]
    fn a_closed_queue_gives_and_takes_nothing() {
        let jobs = Jobs::new(BOUNDS);
        let waiting = submit(&jobs).unwrap();
        jobs.close();
        assert!(jobs.next().is_none());
        assert_eq!(submit(&jobs).unwrap_err(), Refusal::Closed);
        assert_eq!(waiting.state(), State::Queued);
    }

    #[test]
    fn ended_jobs_expire_by_age_size_and_number() {
        let jobs = Jobs::new(BOUNDS);
        let waiting = |jobs: &Jobs| jobs.count().ended;
        (0..4).for_each(|_| {
            draw(&jobs, 10);
        });
        assert_eq!(jobs.expire(SystemTime::now()).len(), 1);
        let large = draw(&jobs, 90);
        let gone = jobs.expire(SystemTime::now());
        assert_eq!((gone.len(), waiting(&jobs)), (2, 2));
        assert!(gone.iter().all(|job| job.id != large.id));
        jobs.expire(SystemTime::now() + Duration::from_secs(61));
        assert_eq!(waiting(&jobs), 0);
    }
}
