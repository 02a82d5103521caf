//! The models' files, which `candle/fetch-models` fetches.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// `$SOFTDOT_MODELS`, else `models` beside the build.
fn folder() -> PathBuf {
    let of_variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    match (of_variable("SOFTDOT_MODELS"), of_variable("CARGO_TARGET_DIR")) {
        (Some(models), _) => models.into(),
        (None, Some(target)) => Path::new(&target).join("models"),
        (None, None) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models"),
    }
}

/// The contents of a model's file; shows how far it is read.
pub fn read(model: &str, name: &str) -> Result<Vec<u8>> {
    let path = folder().join(model).join(name);
    let fetch = || format!("{}: run candle/fetch-models first", path.display());
    let file = File::open(&path).with_context(fetch)?;
    let bytes = file.metadata()?.len();
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes}")?;
    let bar = ProgressBar::new(bytes).with_style(style).with_message(name.to_owned());
    let mut contents = Vec::with_capacity(bytes as usize);
    bar.wrap_read(file).read_to_end(&mut contents)?;
    bar.finish_and_clear();
    Ok(contents)
}
