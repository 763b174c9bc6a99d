//! Owns the threads of the kernels: one persistent pool, tasks handed out by an atomic counter,
//! idle threads asleep. Not rayon: a network is many short regions with serial work between
//! them, and rayon's threads sleep and are woken for each (docs/performance.md has the figures).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time that an idle thread polls for the next region before it sleeps: longer than the pause
/// between two kernels of a network, short enough not to be seen as load.
const SPIN_TIME: Duration = Duration::from_micros(150);

thread_local! {
    /// True while this thread is inside a task; a region started there runs in place.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// A pool of `threads` threads, the caller of `run` being one of them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held for the length of a region: two callers take turns.
    region: Mutex<()>,
}

/// State shared by the threads. `state` is generation << 32 | OPEN | number of workers inside the
/// region. Workers enter by adding one while OPEN is set; the job fields are written only while it
/// is clear and no worker is inside.
struct Shared {
    state: AtomicU64,
    next: AtomicUsize,
    job: Mutex<Option<Job>>,
    sleepers: AtomicUsize,
    sleep_lock: Mutex<()>,
    wake_signal: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;
const GENERATION: u64 = 1 << 32;
const STOP: u64 = u64::MAX << 32;

#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    count: usize,
}

// SAFETY: the closure is Sync, and `run` keeps it alive until no worker is inside the region.
unsafe impl Send for Job {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of `threads` (at least one) threads.
    pub(crate) fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            sleep_lock: Mutex::new(()),
            wake_signal: Condvar::new(),
            panic: Mutex::new(None),
        });
        let workers = (1..threads)
            .filter_map(|i| {
                let shared = Arc::clone(&shared);
                // A thread that cannot be started is one worker fewer; the caller always works.
                thread::Builder::new()
                    .name(format!("kernel-{i}"))
                    .spawn(move || shared.work_loop())
                    .ok()
            })
            .collect();
        Pool {
            shared,
            workers,
            region: Mutex::new(()),
        }
    }

    /// Threads that work on a region, the caller among them.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` for each i in 0..count on all threads and returns when all are done. Inside
    /// a task it runs in place.
    ///
    /// # Panics
    /// If a task panics: resumes the first panic; tasks not yet begun are skipped.
    pub(crate) fn run(&self, count: usize, task: impl Fn(usize) + Sync) {
        if count <= 1 || self.workers.is_empty() || IN_TASK.get() {
            (0..count).for_each(task);
            return;
        }
        let region = lock(&self.region);
        let outcome = self.shared.run_region(&task, count);
        drop(region);
        if let Some(payload) = outcome {
            resume_unwind(payload);
        }
    }

    /// Calls `task(i, chunk)` for each chunk of `size` elements of `data` (the last may be shorter)
    /// on all threads.
    pub(crate) fn for_chunks<T: Send>(
        &self,
        data: &mut [T],
        size: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let (len, base) = (data.len(), Shareable::new(data.as_mut_ptr()));
        self.run(len.div_ceil(size.max(1)), |i| {
            let start = i * size;
            // SAFETY: chunks of different tasks do not overlap, end within `data`, and `data` is
            // borrowed for the call.
            let chunk = unsafe {
                std::slice::from_raw_parts_mut(base.get().add(start), size.min(len - start))
            };
            task(i, chunk);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.store(STOP, Ordering::SeqCst);
        self.shared.wake();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// A pointer handed to tasks that write disjoint parts of what it points to.
pub(super) struct Shareable<T>(*mut T);

// SAFETY: the tasks that use it promise, each at its own unsafe block, to touch disjoint elements.
unsafe impl<T: Send> Send for Shareable<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shareable<T> {}

impl<T> Shareable<T> {
    pub(super) fn new(p: *mut T) -> Self {
        Shareable(p)
    }

    #[inline(always)]
    pub(super) fn get(&self) -> *mut T {
        self.0
    }
}

impl Shared {
    /// The caller's side of a region; returns the first panic.
    fn run_region(
        &self,
        task: &(dyn Fn(usize) + Sync),
        count: usize,
    ) -> Option<Box<dyn Any + Send>> {
        // SAFETY: only the lifetime is dropped; the closure outlives the region, which ends below.
        let task = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task)
        };
        let job = Job { task, count };
        *lock(&self.job) = Some(job);
        self.next.store(0, Ordering::Relaxed);
        let generation = (self.state.load(Ordering::Relaxed) & !(GENERATION - 1))
            .wrapping_add(GENERATION)
            & !(1 << 63);
        self.state.store(generation | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
        IN_TASK.set(true);
        self.work(job);
        IN_TASK.set(false);
        self.state.fetch_and(!OPEN, Ordering::SeqCst);
        let mut spins = 0u32;
        while self.state.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            if spins.is_multiple_of(1 << 14) {
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        lock(&self.panic).take()
    }

    /// Runs tasks until none is left; keeps the first panic and skips the remaining tasks.
    fn work(&self, job: Job) {
        // SAFETY: `run_region` does not return before every thread that could be here has left.
        let task = unsafe { &*job.task };
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= job.count {
                return;
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(i))) {
                self.next.store(job.count, Ordering::Relaxed);
                lock(&self.panic).get_or_insert(payload);
            }
        }
    }

    /// The loop of a worker: waits for a region newer than the last, enters, works, leaves.
    fn work_loop(&self) {
        IN_TASK.set(true);
        let mut last = 0;
        loop {
            let state = self.wait_for_region(last);
            if state & STOP == STOP {
                return;
            }
            if self
                .state
                .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            last = state >> 32;
            let job = *lock(&self.job);
            if let Some(job) = job {
                self.work(job);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    fn has_region(state: u64, last: u64) -> bool {
        state & STOP == STOP || (state & OPEN != 0 && state >> 32 != last)
    }

    fn wait_for_region(&self, last: u64) -> u64 {
        loop {
            let start = Instant::now();
            while start.elapsed() < SPIN_TIME {
                for _ in 0..64 {
                    let state = self.state.load(Ordering::Acquire);
                    if Shared::has_region(state, last) {
                        return state;
                    }
                    std::hint::spin_loop();
                }
            }
            self.sleep(last);
        }
    }

    /// Sleeps until woken. A region opened between the last check and the wait is not missed: the
    /// sleeper counts itself before it checks, and the opener opens before it reads the count.
    fn sleep(&self, last: u64) {
        let sleep_lock = lock(&self.sleep_lock);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let quiet = |_: &mut ()| !Shared::has_region(self.state.load(Ordering::SeqCst), last);
        drop(
            self.wake_signal
                .wait_while(sleep_lock, quiet)
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        drop(lock(&self.sleep_lock));
        self.wake_signal.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_exactly_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads);
            for count in [0, 1, 2, 7, 1000] {
                let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.run(count, |i| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_short_regions_with_pauses_between_them_all_complete() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        for round in 0..3000 {
            pool.run(5, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            if round % 500 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        assert_eq!(sum.load(Ordering::Relaxed), 3000 * 10);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_stays_usable() {
        let pool = Pool::new(4);
        for _ in 0..20 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(100, |i| assert!(i != 37, "task 37"));
            }));
            assert!(outcome.is_err());
            let done = AtomicUsize::new(0);
            pool.run(50, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 50);
        }
    }

    #[test]
    fn a_region_inside_a_task_runs_in_place() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        pool.run(8, |_| {
            pool.run(10, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.load(Ordering::Relaxed), 8 * 45);
    }

    #[test]
    fn two_callers_take_turns() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(6, |i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4 * 500 * 15);
    }

    #[test]
    fn chunks_cover_the_slice_once() {
        let pool = Pool::new(3);
        let mut data = vec![0u32; 1003];
        pool.for_chunks(&mut data, 10, |i, chunk| {
            chunk.iter_mut().for_each(|x| *x += i as u32 + 1);
        });
        assert!(
            data.iter()
                .enumerate()
                .all(|(j, x)| *x == j as u32 / 10 + 1)
        );
    }
}
