//! Which copy of an object's configuration counts, and what the local node does about it
//! (src/monitor/README.md, Configurations).

use model::{
    ConfigEntry, GlobalExpect, InstanceMonitor, MonitorStatus, NodeMonitorStatus, NodeName,
};

/// The copy of another node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copy<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// What it publishes.
    pub entry: &'a ConfigEntry,
    /// What the node does; none when it is not heard.
    pub status: Option<&'a NodeMonitorStatus>,
    /// It is a node of `cluster.drpnodes`.
    pub is_drp: bool,
}

/// Who elects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Voter<'a> {
    /// The local node.
    pub node: &'a NodeName,
    /// Its copy, if it has one.
    pub entry: Option<&'a ConfigEntry>,
    /// It is a node of `cluster.drpnodes`.
    pub is_drp: bool,
    /// The object is `cluster`: nobody deletes that.
    pub is_cluster: bool,
}

/// What to do about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Nothing: the local copy counts, or none is for the local node.
    Keep,
    /// The copy of this node counts: fetch it.
    Fetch(&'a NodeName),
    /// The copy of this node counts, and says that the local node has none. Fetch it to see whether that is so, then
    /// delete the local one.
    Leave(&'a NodeName),
    /// The local copy counts, and says itself that it is not for the local node; this node, for which it is, has the same
    /// one and reads it alike: the local one is left over, and to be deleted.
    Vacate(&'a NodeName),
    /// The copy of this node counts, but says something that may not be acted upon now.
    Hold(&'a NodeName),
}

/// Whether an entry goes before a reference: newer, with other bytes. Of two copies of the same time, which deployed
/// agents never bring together, the one with the greater checksum goes before. `cluster` is left as they leave it: a
/// joiner's has the time of the one it was written from, and other bytes.
fn goes_before(entry: &ConfigEntry, reference: Option<&ConfigEntry>, is_cluster: bool) -> bool {
    let Some(reference) = reference else { return entry.updated.0 > 0.0 };
    if entry.csum == reference.csum {
        return false;
    }
    let (new, old) = (entry.updated.0, reference.updated.0);
    new > old || (new == old && !is_cluster && entry.csum > reference.csum)
}

impl Copy<'_> {
    /// Whether what its node says may be acted upon.
    fn is_settled(&self) -> bool {
        use NodeMonitorStatus::{Init, Maintenance, Rejoin, Upgrade};
        !matches!(self.status, None | Some(Init | Rejoin | Upgrade | Maintenance))
    }
}

/// Whether an entry says that the object is for other nodes only: what it is for may follow from labels, which change
/// without the file.
#[must_use]
pub fn is_for_others(entry: &ConfigEntry, node: &NodeName) -> bool {
    !entry.scope.is_empty() && !entry.scope.contains(node)
}

/// Whether another copy proves that the own one is left over. The local node has to find that itself; that it is not the
/// last copy, nor read differently, has to be seen.
fn is_witness(local: &NodeName, own: &ConfigEntry, other: &Copy<'_>) -> bool {
    is_for_others(own, local)
        && is_for_others(other.entry, local)
        && other.entry.csum == own.csum
        && other.entry.scope.contains(other.node)
        && other.is_settled()
}

/// Elects among the copies of one object. `others` come in the order of `cluster.nodes`, then of `cluster.drpnodes`.
#[must_use]
pub fn elect<'a>(voter: &Voter<'a>, others: impl IntoIterator<Item = Copy<'a>>) -> Verdict<'a> {
    let (mut reference, mut witness) = (None::<Copy<'a>>, None);
    for other in others {
        if witness.is_none() && voter.entry.is_some_and(|own| is_witness(voter.node, own, &other)) {
            witness = Some(other.node);
        }
        // Without the file, what is for others is nothing to us.
        if voter.entry.is_none() && !other.entry.scope.contains(voter.node) {
            continue;
        }
        let current = reference.map(|copy| copy.entry).or(voter.entry);
        if goes_before(other.entry, current, voter.is_cluster) {
            reference = Some(other);
        }
    }
    let Some(reference) = reference else {
        return match witness {
            Some(node) if !voter.is_cluster => Verdict::Vacate(node),
            _ => Verdict::Keep,
        };
    };
    let is_excluded = is_for_others(reference.entry, voter.node);
    if is_excluded && voter.is_cluster {
        return Verdict::Hold(reference.node);
    }
    if is_excluded {
        return match reference.is_settled() {
            false => Verdict::Hold(reference.node),
            true => Verdict::Leave(reference.node),
        };
    }
    // A recovery site follows the cluster, never the other way.
    if reference.is_drp && !voter.is_drp {
        return Verdict::Hold(reference.node);
    }
    Verdict::Fetch(reference.node)
}

/// Whether an instance is on its way out: no configuration of its object is installed or deleted meanwhile.
#[must_use]
pub fn is_leaving(monitor: &InstanceMonitor) -> bool {
    matches!(monitor.status, MonitorStatus::Purging | MonitorStatus::Deleting)
        || matches!(monitor.global_expect, Some(GlobalExpect::Purged | GlobalExpect::Deleted))
}

#[cfg(test)]
mod tests;
