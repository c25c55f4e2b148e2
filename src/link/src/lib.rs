//! Every conversation with a daemon, ours or another's: who may talk, envelopes at work, freshness, memory.
//!
//! At work on the machine, without actors.

pub mod accept;
pub mod blacklist;
pub mod classic;
pub mod dialects;
pub mod evened;
pub mod fetch;
pub mod freshness;
pub mod gate;
pub mod heavy;
pub mod holder;
pub mod lane;
pub mod link;
pub mod listening;
pub mod member_addresses;
pub mod peer;
pub mod prepare;
pub mod secret_use;
pub mod session;
pub mod socket;
#[cfg(feature = "testing")]
pub mod testing;
pub mod unopened;
