//! How loaded a node is: its placement score, and whether it is overloaded.

use model::{NodeData, NodeStats};

/// Placement score: the higher, the better.
#[must_use]
pub fn score(load_15m: Option<f64>, mem_avail: u64, swap_avail: u64) -> i64 {
    let load = load_15m.map_or(1.0, |load| (load * 10.0).round() / 10.0).max(1.0);
    let memory = mem_avail as f64;
    let swap = swap_avail as f64;
    ((100.0 / load + 100.0 + memory + 2.0 * (100.0 + swap)) / 7.0).floor() as i64
}

/// What a node measured of itself, with its score.
#[must_use]
pub fn node_stats(
    load_15m: Option<f64>,
    mem_total: u64,
    mem_avail: u64,
    swap_total: u64,
    swap_avail: u64,
) -> NodeStats {
    let swap_avail = if swap_total == 0 { 0 } else { swap_avail };
    NodeStats {
        load_15m: load_15m.map(|load| (load * 10.0).round() / 10.0),
        mem_total,
        mem_avail,
        swap_total,
        swap_avail,
        score: Some(score(load_15m, mem_avail, swap_avail)),
    }
}

/// Whether a node has too little memory or swap left to be given more work.
#[must_use]
pub fn is_overloaded(node: &NodeData) -> bool {
    let stats = &node.stats;
    (stats.mem_total > 0 && stats.mem_avail < node.min_avail_mem)
        || (stats.swap_total > 0 && stats.swap_avail < node.min_avail_swap)
}
