//! Opening files.

use anyhow::{Result, ensure};
use std::fs::File;
use std::path::Path;

/// A file and its length. Only regular files have one to check headers against.
///
/// # Errors
/// The operating system's; a directory, a pipe or a device.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path)?;
    ensure!(metadata.is_file(), "expected a regular file");
    Ok((File::open(path)?, metadata.len()))
}
