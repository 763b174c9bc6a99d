//! Files of tensors in memory: mapped, not copied, or compiled in.

use std::fs::File;

use crate::error::{Error, Kind, Result};
use crate::tensor_file::{ByteSource, TensorFile};

/// A file's bytes.
pub(super) struct Mapped {
    label: String,
    bytes: Bytes,
}

enum Bytes {
    Mapped(memmap2::Mmap),
    Embedded(&'static [u8]),
}

impl Mapped {
    /// Maps the file.
    pub(super) fn open(file: &TensorFile) -> Result<Self> {
        let bytes = match &file.content {
            ByteSource::Disk(path) => Bytes::Mapped(map(path).map_err(|e| {
                Error::new(Kind::ModelFile, format!("cannot read `{}`", file.label)).source(e)
            })?),
            ByteSource::Embedded(bytes) => Bytes::Embedded(bytes),
        };
        Ok(Self {
            label: file.label.clone(),
            bytes,
        })
    }

    /// The file's name in messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// All its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Embedded(bytes) => bytes,
        }
    }

    /// Returns the pages that were read to the system.
    #[cfg(not(unix))]
    pub(super) fn release(&self) {}

    /// Returns the pages that were read to the system.
    #[cfg(unix)]
    #[allow(unsafe_code)]
    pub(super) fn release(&self) {
        if let Bytes::Mapped(map) = &self.bytes {
            // SAFETY: the map is of a file and read-only: pages given back are read again, with the
            // same content, on the next access. A failure costs memory, nothing else.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

/// Ends the program with a message and the exit code of bad model files when a mapped file has
/// become shorter: the system reports that by SIGBUS, and the read cannot be resumed. A write to a
/// file at its size limit returns an error instead of raising SIGXFSZ.
#[cfg(unix)]
#[allow(unsafe_code)]
pub(crate) fn explain_lost_files() {
    extern "C" fn lost(_: libc::c_int) {
        const MESSAGE: &str = "error: a file of the model was removed or cut short while it was in use (SIGBUS)\n\
             hint: copy or download it again, and leave it alone while sdgen runs\n";
        let code = libc::c_int::from(Kind::ModelFile.row().exit_code);
        // SAFETY: both calls are allowed in a signal handler, and the message lives for ever.
        unsafe {
            let _ = libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
            libc::_exit(code)
        }
    }
    let handler: extern "C" fn(libc::c_int) = lost;
    // SAFETY: the handler does nothing that a signal handler may not do; ignoring a signal touches
    // no memory.
    unsafe {
        libc::signal(libc::SIGBUS, handler as libc::sighandler_t);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Does nothing on other systems, which end the program themselves.
#[cfg(not(unix))]
pub(crate) fn explain_lost_files() {}

#[allow(unsafe_code)]
fn map(path: &std::path::Path) -> std::io::Result<memmap2::Mmap> {
    let file = File::open(path)?;
    // SAFETY: the map is read-only; like every program that maps weights we rely on nobody
    // shortening the file while it is in use.
    unsafe { memmap2::Mmap::map(&file) }
}
