//! What does the cluster know? The cluster data, its changes, how they are read, and the configurations as values.

pub mod ahead;
pub mod changes;
pub mod choice;
pub mod config;
pub mod exchange;
pub mod heartbeats;
pub mod journal;
pub mod keyring;
pub mod keys;
pub mod locks;
pub mod outgoing;
pub mod peer;
pub mod reading;
pub(crate) mod services;
pub mod shared_map;
pub mod snapshot;
pub mod state;
pub mod told;
pub mod touched;
pub mod view;
