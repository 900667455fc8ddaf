//! The data directory: made at the first start, readable by its owner alone, used by one server at a time.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A data directory that this process alone uses, as long as this value lives.
#[derive(Debug)]
pub struct Claimed {
    // Held for its lock; the operating system lets go of it however the process ends.
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("cannot make or open the data directory {path} (`data_dir`): {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "another Kith already uses the data directory {path}. Stop it, or give this one a directory of its own \
         with KITH_DATA_DIR"
    )]
    InUse { path: PathBuf },
    #[error(
        "there is no Kith in {path}. If it keeps its data elsewhere, say so as you do for `kith serve`: with --config or \
         KITH_DATA_DIR. If it has never run, start it once: kith serve"
    )]
    NeverServed { path: PathBuf },
}

/// Makes the directory where it is missing and claims it.
pub fn claim(path: &Path) -> Result<Claimed, DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| io(path, source))?;
    lock(path)
}

/// Claims a directory in which a server has run before; makes nothing.
pub fn claim_existing(path: &Path) -> Result<Claimed, DataDirError> {
    if !path.join("signing.key").exists() {
        return Err(DataDirError::NeverServed {
            path: path.to_owned(),
        });
    }
    lock(path)
}

fn lock(path: &Path) -> Result<Claimed, DataDirError> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("kith.lock"))
        .map_err(|source| io(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Claimed { _lock: file }),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io(path, source)),
    }
}

fn io(path: &Path, source: std::io::Error) -> DataDirError {
    DataDirError::Io {
        path: path.to_owned(),
        source,
    }
}
