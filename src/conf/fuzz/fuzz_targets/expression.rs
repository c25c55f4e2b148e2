//! Expressions, schedules and node selectors of any text.
#![no_main]

use conf::{NodeSelector, Schedule, evaluate_expression};
use libfuzzer_sys::fuzz_target;
use model::NodeName;

fuzz_target!(|text: &str| {
    drop(evaluate_expression(text));
    let nodes = ["n1", "n2"].map(|name| NodeName::new(name).expect("a node name"));
    let labels = conf::Labels::new();
    drop(NodeSelector { nodes: &nodes, labels: &labels, is_live: true }.expand(text));
    if let Ok(schedule) = Schedule::parse(text) {
        let now = jiff::civil::date(2024, 2, 28).at(23, 59, 30, 0);
        if let Some(next) = schedule.next(now, Some(now), 1) {
            assert!(schedule.is_allowed(next, Some(now)));
        }
    }
});
