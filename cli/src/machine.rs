//! Where results come from.

use crate::info;
use serde_json::Value;
use softdot::Caches;
use std::fs::read_to_string;

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The CPU's name.
    pub cpu: String,
    /// How Linux chooses the clock frequency, where it tells.
    pub governor: Option<String>,
    /// The caches of a core.
    pub caches: Caches,
    /// Whether large allocations are in huge pages, where Linux tells: memory is read by a third
    /// slower, or so, where each 4 KiB have an address of their own.
    pub huge_pages: Option<bool>,
    /// How many threads ran or wanted to in the minute before, where Linux tells: other programs
    /// take their share of what is measured.
    pub load: Option<f64>,
}

impl Machine {
    /// This one.
    pub fn detect() -> Self {
        let governor = read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Self {
            cpu: info::cpu_name(),
            governor: governor.ok().map(|name| name.trim().to_owned()),
            caches: Caches::detect(),
            huge_pages: huge_pages(),
            load: load(),
        }
    }

    /// A record, which is an object, with the fields that say where it comes from.
    pub fn sign(&self, mut record: Value) -> Value {
        record["version"] = env!("CARGO_PKG_VERSION").into();
        record["cpu"] = self.cpu.as_str().into();
        record["arch"] = std::env::consts::ARCH.into();
        record["governor"] = self.governor.as_deref().into();
        record["huge_pages"] = self.huge_pages.into();
        record["load"] = self.load.into();
        record
    }
}

/// Tries it out: what the system is set to says nothing about what an allocator asks for.
fn huge_pages() -> Option<bool> {
    const BYTES: usize = 16 << 20;
    let before = huge_bytes()?;
    let memory = vec![1_u8; BYTES];
    let in_huge_pages = huge_bytes()?.saturating_sub(before);
    std::hint::black_box(&memory);
    Some(in_huge_pages >= BYTES / 2)
}

/// Bytes of this process in huge pages.
fn huge_bytes() -> Option<usize> {
    let mappings = read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = mappings.lines().find_map(|line| line.strip_prefix("AnonHugePages:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn load() -> Option<f64> {
    read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
