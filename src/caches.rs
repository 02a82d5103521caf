//! How large the caches are.

/// Bytes of cache that one core can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// First level, data.
    pub l1: usize,
    /// Second level.
    pub l2: usize,
    /// Last level, as one core sees it.
    pub l3: usize,
}

impl Caches {
    /// What is assumed where the machine does not tell.
    pub const ASSUMED: Caches = Caches { l1: 32 << 10, l2: 512 << 10, l3: 8 << 20 };

    /// The caches of this machine, read once per process. Only Linux (with the feature `std`)
    /// tells; elsewhere [`Caches::ASSUMED`].
    pub fn detect() -> Caches {
        #[cfg(all(feature = "std", target_os = "linux"))]
        {
            static DETECTED: std::sync::OnceLock<Caches> = std::sync::OnceLock::new();
            *DETECTED.get_or_init(|| {
                let mut caches = Caches::ASSUMED;
                for index in 0..8 {
                    let Some((level, size)) = linux_cache(index) else { continue };
                    match level {
                        1 => caches.l1 = size,
                        2 => caches.l2 = size,
                        _ => caches.l3 = size,
                    }
                }
                caches
            })
        }
        #[cfg(not(all(feature = "std", target_os = "linux")))]
        Caches::ASSUMED
    }
}

/// Level and bytes of a data cache of the first core.
#[cfg(all(feature = "std", target_os = "linux"))]
fn linux_cache(index: usize) -> Option<(u32, usize)> {
    let read = |file: &str| {
        let path = std::format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}");
        std::fs::read_to_string(path).ok()
    };
    if read("type")?.trim() == "Instruction" {
        return None;
    }
    let level = read("level")?.trim().parse().ok()?;
    let kilobytes: usize = read("size")?.trim().strip_suffix('K')?.parse().ok()?;
    Some((level, kilobytes << 10)).filter(|&(_, size)| size > 0)
}
