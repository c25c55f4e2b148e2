//! The exchange of node data: recordings of deployed agents, hostile variations of them, and a simulated cluster.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod deployed;
mod network;
#[expect(dead_code, reason = "the simulation of the monitors draws times too")]
#[path = "../../../monitor/tests/simulation/random.rs"]
mod random;
mod recorded;
mod simulated;
