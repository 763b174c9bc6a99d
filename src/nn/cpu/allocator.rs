//! Owns what is asked of the C library's allocator.

/// Buffers of so many bytes or more come from the system one by one and go back to it when they are
/// freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 32 << 10;

/// Lets no freed picture stay in memory. glibc takes its limit for [`LARGE`] from the largest
/// buffer freed so far; what is smaller lies on the heap, where one small thing that outlives the
/// picture, such as a job's record, keeps all of its room.
pub(crate) fn return_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two numbers; glibc takes its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
