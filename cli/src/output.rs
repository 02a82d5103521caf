//! Files that appear whole or not at all.

use anyhow::{Context, Result, ensure};
use std::fs::{File, Permissions, metadata, set_permissions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// Where a file is to appear, known to be writable.
#[derive(Debug)]
pub struct Destination {
    option: &'static str,
    path: PathBuf,
}

/// A whole file beside its destination, not yet in its place. Dropped, it is gone.
#[derive(Debug)]
#[must_use]
pub struct Staged {
    file: TempPath,
    destination: Destination,
}

impl Destination {
    /// Checks that a file can be made there, before anything is computed. `option` is what errors
    /// name.
    ///
    /// # Errors
    /// A directory that is missing or cannot be written, something there that is not a file.
    pub fn new(option: &'static str, path: &Path) -> Result<Self> {
        // Behind a symbolic link its target is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        ensure!(
            path.is_file() || !path.exists(),
            "{option} {}: expected a file's name, found something else there",
            path.display()
        );
        let destination = Self { option, path };
        // Removed at once: held during the computation, it would stay behind when that is killed.
        destination.temporary().with_context(|| destination.name())?;
        Ok(destination)
    }

    /// Has `write` fill a temporary file in the same directory.
    ///
    /// # Errors
    /// Those of `write`, after the option and the path.
    pub fn stage(self, write: impl FnOnce(&Path) -> Result<()>) -> Result<Staged> {
        let stage = || {
            let file = self.temporary()?.into_temp_path();
            write(&file)?;
            if let Some(permissions) = self.permissions() {
                set_permissions(&file, permissions)?;
            }
            // On the disk before it takes its name, or a crash could leave the name on no data.
            File::open(&file)?.sync_all()?;
            Ok(file)
        };
        let staged: Result<TempPath> = stage();
        let file = staged.with_context(|| self.name())?;
        Ok(Staged { file, destination: self })
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Those of the file that is to be replaced.
    fn permissions(&self) -> Option<Permissions> {
        metadata(&self.path).ok().map(|metadata| metadata.permissions())
    }

    fn temporary(&self) -> Result<NamedTempFile> {
        // The extension stays: encoders tell formats by it.
        let extension = self.path.extension().unwrap_or_default().to_string_lossy();
        let suffix = format!(".{extension}");
        let mut builder = tempfile::Builder::new();
        builder.prefix(".softdot-").suffix(&suffix);
        // In place of another file it is private until it is whole.
        if let (None, Some(permissions)) = (self.permissions(), new_file_permissions()) {
            builder.permissions(permissions);
        }
        builder.tempfile_in(self.directory()).map_err(|error| {
            // tempfile's own message names its temporary path; the user's is what helps.
            std::io::Error::from(error.kind()).into()
        })
    }

    fn name(&self) -> String {
        format!("{} {}", self.option, self.path.display())
    }
}

impl Staged {
    /// Gives the file its name, in place of what had it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn commit(self) -> Result<()> {
        let Self { file, destination } = self;
        file.persist(&destination.path)
            .map_err(|failed| failed.error)
            .with_context(|| destination.name())
    }
}

/// Refuses the same file for two results: the later one would replace the earlier one.
///
/// # Errors
/// That, in the second one's name.
pub fn expect_apart(first: &Destination, second: &Destination) -> Result<()> {
    let place = |destination: &Destination| {
        let directory = destination.directory().canonicalize().ok()?;
        Some(directory.join(destination.path.file_name()?))
    };
    ensure!(
        place(first) != place(second),
        "{}: expected a file of its own, found that of {}",
        second.name(),
        first.option
    );
    Ok(())
}

/// What other programs' files get: all but what the umask takes. A temporary file would be private.
#[cfg(unix)]
fn new_file_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn new_file_permissions() -> Option<Permissions> {
    None
}

/// Writes a `.npy`, version 1.0, C order: the bytes of elements of the type that `descr` names.
///
/// # Errors
/// The operating system's.
pub fn write_npy<const SIZE: usize>(
    path: &Path,
    descr: &str,
    shape: &[usize],
    elements: impl Iterator<Item = [u8; SIZE]>,
) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
    file.write_all(&npy_header(descr, shape))?;
    for element in elements {
        file.write_all(&element)?;
    }
    file.flush()?;
    Ok(())
}

/// The header as NumPy writes it: padded so that the data start on a multiple of 64 bytes.
fn npy_header(descr: &str, shape: &[usize]) -> Vec<u8> {
    const ALIGNMENT: usize = 64;
    const START: &[u8] = b"\x93NUMPY\x01\x00";
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut text = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        extents.join(", ")
    );
    let length = START.len() + size_of::<u16>() + text.len() + 1;
    text.push_str(&" ".repeat(length.next_multiple_of(ALIGNMENT) - length));
    text.push('\n');
    // Four extents of at most 20 digits keep this far below the 65535 bytes of version 1.0.
    let [low, high, ..] = text.len().to_le_bytes();
    [START, &[low, high], text.as_bytes()].concat()
}
