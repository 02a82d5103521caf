//! `softdot info`: what the machine offers, and what softdot makes of it.

use crate::args::Info;
use anyhow::Result;
use serde_json::json;
use softdot::{Caches, Isa};
use std::fs::read_to_string;

/// The machine, as text or as one JSON object. `threads` is how many share a call, or why they could
/// not be started: then calls have one.
pub fn run(arguments: &Info, threads: Result<usize>) -> Result<String> {
    let machine = Machine::detect(threads)?;
    Ok(if arguments.json { machine.json() } else { machine.text() })
}

struct Machine {
    cpu: String,
    features: Vec<&'static str>,
    caches: Caches,
    isas: Vec<&'static str>,
    isa: Isa,
    reason: String,
    threads: Result<usize>,
}

impl Machine {
    fn detect(threads: Result<usize>) -> Result<Self> {
        let selection = Isa::detect()?;
        Ok(Self {
            cpu: cpu_name(),
            features: features(),
            caches: Caches::detect(),
            isas: Isa::available().map(Isa::name).collect(),
            isa: selection.isa,
            reason: selection.to_string(),
            threads,
        })
    }

    fn json(&self) -> String {
        let Caches { l1, l2, l3 } = self.caches;
        let object = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "cpu": self.cpu,
            "arch": std::env::consts::ARCH,
            "features": self.features,
            "caches": { "l1": l1, "l2": l2, "l3": l3 },
            "isas": self.isas,
            "isa": self.isa.name(),
            "reason": self.reason,
            "threads": self.threads.as_ref().copied().unwrap_or(1),
        });
        format!("{object:#}\n")
    }

    fn text(&self) -> String {
        let Caches { l1, l2, l3 } = self.caches;
        format!(
            "softdot   {}\n\
             cpu       {} ({})\n\
             features  {}\n\
             caches    {} KiB L1, {} KiB L2, {} KiB L3\n\
             isas      {}\n\
             isa       {}\n\
             threads   {}\n",
            env!("CARGO_PKG_VERSION"),
            self.cpu,
            std::env::consts::ARCH,
            self.features.join(" "),
            l1 >> 10,
            l2 >> 10,
            l3 >> 10,
            self.isas.join(" "),
            self.reason,
            self.threads_in_words(),
        )
    }

    fn threads_in_words(&self) -> String {
        match &self.threads {
            Ok(count) => count.to_string(),
            Err(error) => format!("1 ({})", error.root_cause()),
        }
    }
}

/// The CPU's name as Linux tells it: in words on x86, as the implementer's numbers on Arm.
pub fn cpu_name() -> String {
    let text = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let value = fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let arm = || {
        let (implementer, part) = (field("CPU implementer")?, field("CPU part")?);
        Some(format!("implementer {implementer}, part {part}"))
    };
    field("model name").or_else(|| field("Model")).or_else(arm).unwrap_or_else(|| "unknown".into())
}

/// Those that the kernels use, of the features that this CPU has.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt)*) => { [$(($name, std::arch::is_x86_feature_detected!($name))),*] };
    }
    present(
        &detected!("sse4.2" "avx" "avx2" "fma" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl"),
    )
}

/// Those that the kernels use, of the features that this CPU has.
#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    present(&[("neon", std::arch::is_aarch64_feature_detected!("neon"))])
}

/// Elsewhere the kernels use none.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    present(&[])
}

fn present(detected: &[(&'static str, bool)]) -> Vec<&'static str> {
    detected.iter().filter(|(_, present)| *present).map(|&(name, _)| name).collect()
}
