//! Network that is loaded on first use and may leave memory in between.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::Result;

/// Holder of a network that may be unloaded.
pub(super) struct OnDemand<T>(RefCell<Option<Rc<T>>>);

impl<T> Default for OnDemand<T> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T> OnDemand<T> {
    /// Returns the network, loaded by `load` if it is not in memory.
    pub(super) fn get(&self, load: impl FnOnce() -> Result<T>) -> Result<Rc<T>> {
        if let Some(kept) = self.0.borrow().as_ref() {
            return Ok(kept.clone());
        }
        let loaded = Rc::new(load()?);
        *self.0.borrow_mut() = Some(loaded.clone());
        Ok(loaded)
    }

    /// Returns true if the network is in memory.
    pub(super) fn is_loaded(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Frees the memory of the network as soon as its last user drops it.
    pub(super) fn free(&self) {
        self.0.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_loaded_once_until_it_is_freed() {
        let part = OnDemand::default();
        let value = |n: i32| *part.get(|| Ok(n)).unwrap();
        assert_eq!([value(1), value(2)], [1, 1]);
        part.free();
        assert_eq!(value(3), 3);
    }
}
