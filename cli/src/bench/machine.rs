//! Where the measurements come from.

use crate::info;
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
            load: load(),
        }
    }
}

fn load() -> Option<f64> {
    read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
