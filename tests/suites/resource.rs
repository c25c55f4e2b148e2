//! Drivers and instance actions, on real configurations in folders of their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod actions;
mod apps;
mod attacks;
mod cgroups;
mod containers;
mod destroying;
mod journal;
mod launching;
mod left;
mod networks;
mod node;
mod storage;
mod syncs;
mod tasks;
mod unmounting;
