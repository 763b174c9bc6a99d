//! Memory budget for decoding, shared by all threads: a thread waits until its share is free.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that all pictures being decoded at one time may take together.
pub(super) const MOST: u64 = 1 << 30;

/// The one budget of this process.
pub(super) static DECODING: Budget = Budget::new(MOST);

/// Free bytes, and the condition variable of threads that wait for more.
pub(super) struct Budget {
    free: Mutex<u64>,
    returned: Condvar,
}

/// A share of a budget; given back when dropped.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    const fn new(bytes: u64) -> Self {
        Self {
            free: Mutex::new(bytes),
            returned: Condvar::new(),
        }
    }

    /// Waits until `bytes` are free and takes them. A request for more than the whole budget would
    /// wait forever: the caller asks for at most [`MOST`].
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Share {
            budget: self,
            bytes,
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self
            .budget
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_is_taken_at_one_time_than_there_is() {
        let (budget, taken, most) = (Budget::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [60, 50, 100, 40, 30, 70, 1, 99] {
                let (budget, taken, most) = (&budget, &taken, &most);
                scope.spawn(move || {
                    let share = budget.take(bytes);
                    most.fetch_max(
                        taken.fetch_add(bytes, Ordering::SeqCst) + bytes,
                        Ordering::SeqCst,
                    );
                    std::thread::yield_now();
                    taken.fetch_sub(bytes, Ordering::SeqCst);
                    drop(share);
                });
            }
        });
        assert_eq!((*budget.free.lock().unwrap(), taken.into_inner()), (100, 0));
        assert!((99..=100).contains(&most.into_inner()));
    }
}
