//! Files that appear whole or not at all: written to a temporary file next to the target, synced and
//! renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, Kind, Result};

/// Treatment of a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The old file stays; the new file takes the next free name.
    Keep,
    /// The new file takes its place.
    Replace,
    /// The name and that of the temporary file belong to this run alone: the leftovers of a killed
    /// run are replaced.
    Own,
    /// As `Own`, for a name that was free: an error if another program has taken it meanwhile.
    Free,
}

/// Writes a whole file at `path`, or at the next free name next to it; returns the name taken.
///
/// # Errors
/// The folder or the disk refuses; nothing is left behind.
pub fn save(bytes: &[u8], path: &Path, existing: Existing) -> Result<PathBuf> {
    let folder = folder_of(path);
    let failed = |e: io::Error| cannot_write(path, &e);
    if matches!(existing, Existing::Own | Existing::Free) {
        return save_own(bytes, path, existing).map_err(failed);
    }
    let mut temporary = new_temporary(folder).map_err(failed)?;
    temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(failed)?;
    let taken = match existing {
        Existing::Replace => temporary
            .persist(path)
            .map(|_| path.to_owned())
            .map_err(|e| failed(e.error))?,
        Existing::Keep | Existing::Own | Existing::Free => {
            persist_at_free_name(temporary, path).map_err(failed)?
        }
    };
    sync_folder(folder);
    Ok(taken)
}

/// Writes a file at a name that no other program writes to.
fn save_own(bytes: &[u8], path: &Path, existing: Existing) -> io::Result<PathBuf> {
    let part = partial_path(path);
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| match existing {
        Existing::Free => rename_to_free(&part, path),
        Existing::Keep | Existing::Replace | Existing::Own => std::fs::rename(&part, path),
    });
    moved.inspect_err(|_| {
        // A file that could not be written whole is removed.
        let _ = std::fs::remove_file(&part);
    })?;
    sync_folder(folder_of(path));
    Ok(path.to_owned())
}

/// Renames a file to a free name; on file systems without hard links, the name is only checked
/// before.
fn rename_to_free(part: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(part, path) {
        Ok(()) => std::fs::remove_file(part),
        Err(error) if error.kind() == ErrorKind::AlreadyExists || path.exists() => {
            Err(ErrorKind::AlreadyExists.into())
        }
        Err(_) => std::fs::rename(part, path),
    }
}

/// Path of a file while it is written by the run that owns its name.
pub fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// Writes an encoded image to a stream.
///
/// # Errors
/// The stream is closed or its disk is full.
pub fn write_stream(mut stream: impl Write, bytes: &[u8]) -> Result<()> {
    stream
        .write_all(bytes)
        .and_then(|()| stream.flush())
        .map_err(|e| Error::new(Kind::Output, "cannot write the picture to stdout").source(e))
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A temporary file in `folder`, removed when dropped, with the permissions of an ordinary new
/// file.
pub(crate) fn new_temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sdgen-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Renames to `path`, or to `path-1`, `path-2` ... when the name is taken, without a moment in
/// which another program's file could be overwritten.
fn persist_at_free_name(mut temporary: NamedTempFile, path: &Path) -> io::Result<PathBuf> {
    for attempt in 0u64.. {
        let candidate = numbered(path, attempt);
        match temporary.persist_noclobber(&candidate) {
            Ok(_) => return Ok(candidate),
            Err(PersistError { error, file }) if error.kind() == ErrorKind::AlreadyExists => {
                temporary = file;
            }
            Err(PersistError { file, .. }) => match reserve_and_rename(file, &candidate) {
                Ok(()) => return Ok(candidate),
                Err((error, file)) if error.kind() == ErrorKind::AlreadyExists => temporary = file,
                Err((error, _)) => return Err(error),
            },
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// For file systems with neither an exclusive rename nor hard links: an empty file reserves the
/// name.
fn reserve_and_rename(
    temporary: NamedTempFile,
    path: &Path,
) -> Result<(), (io::Error, NamedTempFile)> {
    if let Err(error) = OpenOptions::new().write(true).create_new(true).open(path) {
        return Err((error, temporary));
    }
    match temporary.persist(path) {
        Ok(_) => Ok(()),
        Err(PersistError { error, file }) => {
            // Only the empty reservation is removed; if even that fails, the first error is the one
            // to report.
            let _ = std::fs::remove_file(path);
            Err((error, file))
        }
    }
}

/// `a.png`, `a-1.png`, `a-2.png` ...
pub(crate) fn numbered(path: &Path, attempt: u64) -> PathBuf {
    if attempt == 0 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map(|e| format!(".{}", e.to_string_lossy()))
        .unwrap_or_default();
    path.with_file_name(format!("{stem}-{attempt}{extension}"))
}

/// Makes the rename survive a power cut where the system can; elsewhere the file itself is safe
/// already.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// The error of a file that could not be written.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Error {
    let plain = Error::new(
        Kind::Output,
        format!("cannot write `{}`: {error}", path.display()),
    );
    if matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    ) {
        return plain.hint("free some space, or choose another folder with `--output`");
    }
    if matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
    ) {
        return plain.hint("choose a folder that you may write to with `--output`");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_kept_and_the_next_free_one_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let names: Vec<PathBuf> = (0..3)
            .map(|_| save(b"x", &path, Existing::Keep).unwrap())
            .collect();
        assert_eq!(
            names,
            ["a.png", "a-1.png", "a-2.png"].map(|name| folder.path().join(name))
        );
        assert_eq!(save(b"new", &path, Existing::Replace).unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    }

    #[test]
    fn writers_that_race_for_one_name_all_keep_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::thread::scope(|scope| {
            for i in 0..8u8 {
                let path = &path;
                scope.spawn(move || save(&[i], path, Existing::Keep).unwrap());
            }
        });
        let mut contents: Vec<Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        contents.sort();
        assert_eq!(contents, (0..8u8).map(|i| vec![i]).collect::<Vec<_>>());
    }

    #[test]
    fn a_reservation_is_taken_over_and_a_taken_name_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let temporary = || new_temporary(folder.path()).unwrap();
        reserve_and_rename(temporary(), &path).unwrap();
        let (error, _) = reserve_and_rename(temporary(), &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_stream_that_refuses_is_an_output_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(write_stream(Full, b"x").unwrap_err().kind(), Kind::Output);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_has_the_permissions_of_an_ordinary_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ours = save(b"x", &folder.path().join("a.png"), Existing::Keep).unwrap();
        let plain = folder.path().join("plain");
        File::create(&plain).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
