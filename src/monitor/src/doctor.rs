//! What is wrong with a node, or soon will be, and what mends it: `om doctor`.
//!
//! Told [`Facts`], it returns a finding for each thing that is not as it should be, and one for each that is. Facts that
//! could not be had are absent, and nothing is said about them: what kept them away is a finding of its own.

mod cluster;
mod facts;
mod machine;

use model::Check;

pub use facts::{Certificate, Daemon, Disk, Facts, Held, Mistake, Name, Peer, Port, Tool};

/// What is to be said of these facts, in the order in which it is to be mended.
#[must_use]
pub fn checks(facts: &Facts) -> Vec<Check> {
    let parts: [fn(&Facts) -> Vec<Check>; 14] = [
        machine::daemon,
        machine::configuration,
        cluster::secret,
        machine::port,
        cluster::heartbeat,
        cluster::names,
        cluster::peers,
        cluster::clock,
        cluster::quorum,
        cluster::arbitrator,
        machine::tools,
        machine::disk,
        machine::watches,
        machine::certificate,
    ];
    parts.iter().flat_map(|part| part(facts)).collect()
}

#[cfg(test)]
mod tests;
