//! Load and memory of this node, as it publishes them.

use model::NodeStats;

/// Bytes in all: memory, swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Memory.
    pub memory_bytes: u64,
    /// Swap.
    pub swap_bytes: u64,
}

/// Measures this node. What cannot be read counts as 0 or unknown.
#[must_use]
pub fn measure() -> (NodeStats, Totals) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    compute(&load, &memory)
}

fn compute(load: &str, memory: &str) -> (NodeStats, Totals) {
    let load_15m = load.split_whitespace().nth(2).and_then(|word| word.parse().ok());
    let kib = |key: &str| -> u64 {
        memory
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.split_whitespace().next())
            .and_then(|word| word.parse().ok())
            .unwrap_or(0)
    };
    let total = kib("MemTotal");
    let available = kib("MemFree") + kib("Cached") + kib("SwapCached") + kib("SReclaimable");
    let (swap, swap_free) = (kib("SwapTotal"), kib("SwapFree"));
    let percent = |part: u64, whole: u64| (part * 100).checked_div(whole).unwrap_or(0);
    let stats = monitor::node_stats(
        load_15m,
        total / 1024,
        percent(available, total),
        swap / 1024,
        percent(swap_free, swap),
    );
    (stats, Totals { memory_bytes: total * 1024, swap_bytes: swap * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_becomes_megabytes_and_percents() {
        let memory = "MemTotal:       1024000 kB\nMemFree:         512000 kB\nMemAvailable: 1 kB\n\
                      Cached:          100000 kB\nSwapCached:           0 kB\nSReclaimable:     2400 kB\n\
                      SwapTotal:        20480 kB\nSwapFree:         10240 kB\n";
        let (stats, totals) = compute("0.10 0.20 2.34 1/100 42\n", memory);
        assert_eq!((stats.mem_total, stats.mem_avail), (1_000, 60));
        assert_eq!((stats.swap_total, stats.swap_avail), (20, 50));
        assert_eq!(stats.load_15m, Some(2.3));
        assert_eq!(totals.memory_bytes, 1_024_000 * 1024);
        assert_eq!(compute("", "").0.load_15m, None);
    }
}
