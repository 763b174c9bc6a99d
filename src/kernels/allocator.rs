//! Owns the settings of the C library's allocator.

/// Buffers of so many bytes or more are mapped one by one and return to the system when they are
/// freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 32 << 10;

/// Makes the memory of freed images return to the system. glibc takes its limit for [`LARGE`] from
/// the largest buffer freed so far; smaller buffers lie on the heap, where one small allocation
/// that outlives the image, such as the record of a job, keeps all of that memory in use.
pub(crate) fn return_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two numbers; glibc takes its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
