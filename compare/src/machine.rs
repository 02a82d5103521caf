//! Where the measurements come from.

use anyhow::Result;
use serde::Serialize;
use softdot::Isa;
use std::fs::read_to_string;

/// The machine, and what is compared on it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The CPU's name, where Linux tells.
    pub cpu: String,
    /// Its architecture.
    pub arch: &'static str,
    /// The instruction set that softdot chose.
    pub isa: &'static str,
    /// How many threads ran or wanted to in the minute before, where Linux tells: other programs
    /// take their share of what is measured.
    pub load: Option<f64>,
    /// Each crate and its version.
    pub versions: String,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// A limit in the environment that is no instruction set.
    pub fn detect() -> Result<Self> {
        let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let load = read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cpu: field(&cpus, "model name").unwrap_or("unknown CPU").to_owned(),
            arch: std::env::consts::ARCH,
            isa: Isa::detect()?.isa.name(),
            load: load.split_whitespace().next().and_then(|load| load.parse().ok()),
            versions: versions(),
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The versions that this program was built with.
fn versions() -> String {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let package = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""));
        package.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
    };
    let names = [
        "softdot",
        "gemm",
        "matrixmultiply",
        "rten-gemm",
        "rten-vecmath",
        "candle-core",
        "flash-attention-cpu",
    ];
    names.map(|name| format!("{name} {}", version(name))).join(", ")
}
