//! Owns the simulation of an arena, for estimates: counts the memory that `Scratch` would take for
//! layers that are not run. Buffers have the same size classes and are kept for reuse, and only the
//! bytes written to count.

use std::collections::BTreeMap;

use super::scratch::size_class;

/// A simulated arena.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Bytes written to in each free buffer, by size class.
    free: BTreeMap<usize, Vec<usize>>,
    bytes: usize,
}

/// A simulated buffer.
pub(crate) struct Entry {
    class: usize,
    written: usize,
}

impl Ledger {
    /// A buffer of `numbers` in single precision.
    pub(crate) fn take(&mut self, numbers: usize) -> Entry {
        let bytes = numbers.saturating_mul(4);
        let class = size_class(bytes);
        let before = self.free.get_mut(&class).and_then(Vec::pop).unwrap_or(0);
        self.bytes = self.bytes.saturating_add(bytes.saturating_sub(before));
        Entry {
            class,
            written: before.max(bytes),
        }
    }

    /// Returns a buffer to the simulated arena.
    pub(crate) fn give(&mut self, Entry { class, written }: Entry) {
        self.free.entry(class).or_default().push(written);
    }

    /// Bytes of all buffers so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_counted_once_and_as_far_as_it_was_written_to() {
        let mut ledger = Ledger::default();
        let (small, large) = (ledger.take(3000), ledger.take(10_000));
        assert_eq!(ledger.bytes(), 52_000);
        ledger.give(small);
        ledger.give(large);
        // The same class as the first, a little more of it; then a class of its own.
        let again = ledger.take(3050);
        assert_eq!(ledger.bytes(), 52_200);
        ledger.take(3050);
        ledger.give(again);
        assert_eq!(ledger.bytes(), 64_400);
    }
}
