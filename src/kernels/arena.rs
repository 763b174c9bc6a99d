//! Owns the kernels' memory: aligned buffers on huge pages, an arena that hands them out again so
//! that a step allocates nothing, and the count of its bytes for layers that are not run.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Alignment of small buffers: a cache line and a vector.
const LINE: usize = 64;
/// Size from which on a buffer is aligned to huge pages and requests them; TLB misses otherwise
/// cost a tenth of a GEMM.
const HUGE: usize = 2 << 20;

/// Plain numbers: any bits are a value.
pub(crate) trait Number: Copy + Send + Sync + 'static + private::Sealed {}
impl Number for f32 {}
impl Number for u32 {}
impl Number for u16 {}
impl Number for u8 {}
mod private {
    pub(crate) trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
    impl Sealed for u16 {}
    impl Sealed for u8 {}
}

/// An owned, aligned block of initialised memory.
struct Block {
    start: *mut u8,
    bytes: usize,
    allocation: Allocation,
}

/// Allocation of a block, which its drop returns.
enum Allocation {
    Heap(Layout),
    /// A mapping of its own, larger than the block by what alignment cost.
    #[cfg(target_os = "linux")]
    Mapping {
        start: *mut libc::c_void,
        bytes: usize,
    },
}

// SAFETY: a Block is the only owner of its memory.
unsafe impl Send for Block {}
// SAFETY: shared access only reads.
unsafe impl Sync for Block {}

impl Block {
    /// `bytes` > 0 zeroed bytes.
    fn new(bytes: usize) -> Block {
        assert!(
            bytes > 0 && bytes < isize::MAX as usize - 2 * HUGE,
            "a block of {bytes} bytes"
        );
        #[cfg(target_os = "linux")]
        if bytes >= HUGE {
            return Block::mapped(bytes);
        }
        let align = if bytes >= HUGE { HUGE } else { LINE };
        // SAFETY: align is a power of two, and the size is far from overflow.
        let layout = unsafe { Layout::from_size_align_unchecked(bytes, align) };
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            refused(bytes);
        }
        Block {
            start,
            bytes,
            allocation: Allocation::Heap(layout),
        }
    }

    /// Fresh pages from the system: zero without being touched, so that the threads that fill them
    /// share that work.
    #[cfg(target_os = "linux")]
    fn mapped(bytes: usize) -> Block {
        let whole = bytes + HUGE;
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let mapping = unsafe { libc::mmap(std::ptr::null_mut(), whole, protection, flags, -1, 0) };
        if mapping == libc::MAP_FAILED {
            refused(bytes);
        }
        let start = mapping
            .cast::<u8>()
            .wrapping_add(mapping.addr().wrapping_neg() % HUGE);
        // SAFETY: the range is inside the mapping. A hint: refusal changes nothing but speed.
        unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
        Block {
            start,
            bytes,
            allocation: Allocation::Mapping {
                start: mapping,
                bytes: whole,
            },
        }
    }
}

/// Payload of the unwinding when the system refuses memory to a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory {
    bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.bytes as f64 / f64::from(1 << 20))
    }
}

/// Unwinds without a panic's message: the code that catches it reports it.
fn refused(bytes: usize) -> ! {
    std::panic::resume_unwind(Box::new(OutOfMemory { bytes }))
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: each goes back to where it came from, as it came.
        unsafe {
            match self.allocation {
                Allocation::Heap(layout) => dealloc(self.start, layout),
                #[cfg(target_os = "linux")]
                Allocation::Mapping { start, bytes } => {
                    libc::munmap(start, bytes);
                }
            }
        }
    }
}

/// A fixed-size array in aligned memory, zero at first; for packed weights.
pub(crate) struct Aligned<T: Number> {
    block: Option<Block>,
    len: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Number> Aligned<T> {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Aligned<T> {
        let bytes = len * size_of::<T>();
        let rounded = if bytes >= HUGE {
            bytes.next_multiple_of(4096)
        } else {
            bytes
        };
        Aligned {
            block: (len > 0).then(|| Block::new(rounded)),
            len,
            kind: std::marker::PhantomData,
        }
    }
}

impl<T: Number> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the block holds `len` initialised T.
        self.block.as_ref().map_or(&[], |b| unsafe {
            std::slice::from_raw_parts(b.start.cast(), self.len)
        })
    }
}

impl<T: Number> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the block holds `len` initialised T and is borrowed mutably.
        self.block.as_mut().map_or(&mut [], |b| unsafe {
            std::slice::from_raw_parts_mut(b.start.cast(), self.len)
        })
    }
}

impl<T: Number> fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aligned[{}]", self.len)
    }
}

/// An arena of buffers by size class. Dropped buffers return to it and are kept for reuse until
/// [`Arena::trim`].
#[derive(Clone, Default)]
pub(crate) struct Arena(Arc<Mutex<Free>>);

#[derive(Default)]
struct Free {
    blocks: BTreeMap<usize, Vec<Block>>,
    bytes: usize,
}

/// A buffer of the arena; its first content is unspecified (but initialised).
pub(crate) struct Buffer<T: Number> {
    block: Option<Block>,
    len: usize,
    home: Arena,
    kind: std::marker::PhantomData<T>,
}

impl Arena {
    /// An empty arena.
    pub(crate) fn new() -> Arena {
        Arena::default()
    }

    /// A buffer of `len` numbers with unspecified contents.
    pub(crate) fn take<T: Number>(&self, len: usize) -> Buffer<T> {
        let class = size_class(len * size_of::<T>());
        let reused = self.with(|free| {
            let block = free.blocks.get_mut(&class).and_then(Vec::pop);
            free.bytes -= block.as_ref().map_or(0, |b| b.bytes);
            block
        });
        let block = Some(reused.unwrap_or_else(|| Block::new(class)));
        Buffer {
            block,
            len,
            home: self.clone(),
            kind: std::marker::PhantomData,
        }
    }

    /// A buffer of `len` zeros.
    pub(crate) fn take_zeroed<T: Number>(&self, len: usize) -> Buffer<T> {
        let mut buffer = self.take::<T>(len);
        // SAFETY: the buffer holds `len` T, for which zero bits are a value.
        unsafe { std::ptr::write_bytes(buffer.as_mut_ptr(), 0, len) };
        buffer
    }

    /// Returns the free buffers to the system; the result is their size in bytes.
    pub(crate) fn trim(&self) -> usize {
        let freed = self.with(std::mem::take);
        freed.bytes
    }

    /// Bytes of the free buffers.
    #[cfg(test)]
    pub(crate) fn idle_bytes(&self) -> usize {
        self.with(|free| free.bytes)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Free) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The least of 2^i and 3 * 2^(i-1) that holds `bytes` (at least 4 KiB): at most a third of a block
/// is unused, and buffers of similar sizes share a class.
pub(super) fn size_class(bytes: usize) -> usize {
    let power = bytes.max(4096).checked_next_power_of_two().unwrap_or(bytes);
    if bytes <= power / 4 * 3 && power > 4096 {
        power / 4 * 3
    } else {
        power
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the block holds at least `len` initialised T.
        self.block.as_ref().map_or(&[], |b| unsafe {
            std::slice::from_raw_parts(b.start.cast(), self.len)
        })
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the block holds at least `len` initialised T and is borrowed mutably.
        self.block.as_mut().map_or(&mut [], |b| unsafe {
            std::slice::from_raw_parts_mut(b.start.cast(), self.len)
        })
    }
}

impl<T: Number> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.home.with(|free| {
                free.bytes += block.bytes;
                free.blocks.entry(block.bytes).or_default().push(block);
            });
        }
    }
}

impl<T: Number> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer[{}]", self.len)
    }
}

/// The size of an arena for layers that are not run, for estimates: buffers have the same size
/// classes and are kept for reuse, and only the bytes written to count.
#[derive(Default)]
pub(crate) struct ArenaSize {
    /// Bytes written to in each free buffer, by size class.
    free: BTreeMap<usize, Vec<usize>>,
    bytes: usize,
}

/// A buffer that was counted, not allocated.
pub(crate) struct CountedBuffer {
    class: usize,
    written: usize,
}

impl ArenaSize {
    /// A buffer of `numbers` in single precision.
    pub(crate) fn take(&mut self, numbers: usize) -> CountedBuffer {
        let bytes = numbers.saturating_mul(4);
        let class = size_class(bytes);
        let before = self.free.get_mut(&class).and_then(Vec::pop).unwrap_or(0);
        self.bytes = self.bytes.saturating_add(bytes.saturating_sub(before));
        CountedBuffer {
            class,
            written: before.max(bytes),
        }
    }

    /// Returns a buffer to the simulated arena.
    pub(crate) fn give(&mut self, CountedBuffer { class, written }: CountedBuffer) {
        self.free.entry(class).or_default().push(written);
    }

    /// Bytes of all buffers so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }
}

/// Bytes from which on the C library maps a buffer of its own, which returns to the system when it
/// is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAP_THRESHOLD: libc::c_int = 32 << 10;

/// Makes the memory of freed images return to the system. glibc takes its limit for [`MAP_THRESHOLD`] from
/// the largest buffer freed so far; smaller buffers lie on the heap, where one small allocation
/// that outlives the image, such as the record of a job, keeps all of that memory in use.
pub(crate) fn return_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two numbers; glibc takes its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_THRESHOLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_size_and_lose_little() {
        for bytes in [
            0,
            1,
            4096,
            4097,
            6144,
            6145,
            8192,
            1 << 20,
            (1 << 20) + 1,
            3 << 20,
            5_000_000,
        ] {
            let class = size_class(bytes);
            assert!(
                class >= bytes && class <= 4096.max(bytes * 3 / 2),
                "{bytes} -> {class}"
            );
        }
    }

    #[test]
    fn a_dropped_buffer_is_handed_out_again() {
        let arena = Arena::new();
        let first = arena.take::<f32>(1_000_000);
        let address = first.as_ptr();
        assert_eq!(address as usize % HUGE, 0);
        drop(first);
        assert!(arena.idle_bytes() >= 4_000_000);
        let again = arena.take::<u16>(2_000_000);
        assert_eq!(again.as_ptr().cast(), address);
        assert_eq!(arena.idle_bytes(), 0);
    }

    #[test]
    fn zeroed_buffers_are_zero_and_trim_frees() {
        let arena = Arena::new();
        arena.take::<f32>(5000).fill(7.0);
        assert!(arena.take_zeroed::<f32>(5000).iter().all(|x| *x == 0.0));
        assert!(arena.trim() >= 20_000);
        assert_eq!(arena.idle_bytes(), 0);
    }

    #[test]
    fn aligned_arrays_start_at_zero_on_a_cache_line() {
        for len in [0, 1, 17, 1 << 20] {
            let array = Aligned::<f32>::zeroed(len);
            assert_eq!((array.len(), array.as_ptr() as usize % 4), (len, 0));
            assert!(len == 0 || (array.as_ptr() as usize).is_multiple_of(LINE));
            assert!(array.iter().all(|x| *x == 0.0));
        }
    }

    #[test]
    fn a_buffer_is_counted_once_and_as_far_as_it_was_written_to() {
        let mut size = ArenaSize::default();
        let (small, large) = (size.take(3000), size.take(10_000));
        assert_eq!(size.bytes(), 52_000);
        size.give(small);
        size.give(large);
        // The same class as the first, a little more of it; then a class of its own.
        let again = size.take(3050);
        assert_eq!(size.bytes(), 52_200);
        size.take(3050);
        size.give(again);
        assert_eq!(size.bytes(), 64_400);
    }
}
