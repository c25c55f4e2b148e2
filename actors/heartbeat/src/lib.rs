//! Heartbeats: what nodes tell each other, over any number of drivers (actors/README.md, The life of a heartbeat).
//!
//! Each section `hb#n` has two workers, `hb#n.tx` and `hb#n.rx`, both a [`worker::Worker`], on a thread that runs nothing else:
//! what blocks (opening large messages, disks) is done elsewhere. A driver is an `async fn` that carries bytes: a
//! transmitter gets the newest `Beat`, a receiver hands frames to the `Inbox`; both tell their worker what happened
//! (`Note`), and return only when they cannot go on.
//!
//! Hears: the cluster data (what is to be sent), peers, changes of its section. Tells: the cluster data (what was heard,
//! events), the membership (who beats), the root (its block), the blacklist keeper (what did not open).
//! A section that is replaced by one on another medium, or removed, goes on under the name `hb#n.previous` until all peers
//! have the configuration and are heard by what came instead (`monitor::Retiring`).
//! Restart: always; what is known of the peers is kept, connections are made again.

mod beat;
mod board;
mod disk;
mod fragments;
mod inbox;
mod multicast;
mod note;
mod outbox;
mod relay;
#[cfg(test)]
mod testing;
pub mod ties;
mod unicast;
pub mod worker;
