//! Cluster locks: who may claim, and when a claim holds (src/dataset/README.md, Locks).

use std::collections::BTreeMap;

use model::{Claim, NodeName};

/// Whether a lock may be claimed now: no other claim on it is known.
#[must_use]
pub fn can_claim(local: &BTreeMap<String, Claim>, name: &str) -> bool {
    !local.contains_key(name)
}

/// Whether a claim holds: every node shows it.
#[must_use]
pub fn is_held<'l>(
    nodes: impl IntoIterator<Item = &'l BTreeMap<String, Claim>>,
    name: &str,
    id: &str,
) -> bool {
    nodes.into_iter().all(|locks| locks.get(name).is_some_and(|claim| claim.id == id))
}

/// Merges the locks that the peers show into the local ones.
///
/// A claim belongs to its requester: it is copied while the requester shows it, and dropped when the requester,
/// known, does not. Of two claims on one lock the older wins, then the smaller node name.
#[must_use]
pub fn merge_locks(
    local_node: &NodeName,
    local: &BTreeMap<String, Claim>,
    peers: &BTreeMap<NodeName, &BTreeMap<String, Claim>>,
) -> BTreeMap<String, Claim> {
    let mut merged: BTreeMap<String, Claim> = BTreeMap::new();
    let own = std::iter::once((local_node, local));
    for (node, locks) in own.chain(peers.iter().map(|(node, locks)| (node, *locks))) {
        // Only the requester speaks for its claim.
        for (name, claim) in locks.iter().filter(|(_, claim)| claim.requester == *node) {
            let is_better = merged.get(name).is_none_or(|current| {
                (claim.requested.0, &claim.requester) < (current.requested.0, &current.requester)
            });
            if is_better {
                merged.insert(name.clone(), claim.clone());
            }
        }
    }
    // The requester is not known now: its claim stays until it is back or forgotten.
    for (name, claim) in local {
        let is_unheard = claim.requester != *local_node && !peers.contains_key(&claim.requester);
        if is_unheard {
            merged.entry(name.clone()).or_insert_with(|| claim.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn locks(name: &str, id: &str, requester: &str, at: f64) -> BTreeMap<String, Claim> {
        let claim =
            Claim { id: id.to_owned(), requester: node(requester), requested: Timestamp(at) };
        BTreeMap::from([(name.to_owned(), claim)])
    }

    #[test]
    fn a_claim_spreads_and_holds_when_every_node_shows_it() {
        let theirs = locks("join", "a", "n2", 1.0);
        let none = BTreeMap::new();
        assert!(!is_held([&theirs, &none], "join", "a"));
        let merged = merge_locks(&node("n1"), &none, &BTreeMap::from([(node("n2"), &theirs)]));
        assert_eq!(merged, theirs);
        assert!(is_held([&theirs, &merged], "join", "a"));
        assert!(!can_claim(&merged, "join"));
    }

    #[test]
    fn a_claim_goes_when_its_requester_drops_it_and_stays_while_it_is_not_heard() {
        let copied = locks("join", "a", "n2", 1.0);
        let none = BTreeMap::new();
        let heard = BTreeMap::from([(node("n2"), &none)]);
        assert_eq!(merge_locks(&node("n1"), &copied, &heard), BTreeMap::new());
        assert_eq!(merge_locks(&node("n1"), &copied, &BTreeMap::new()), copied);
    }

    #[test]
    fn of_two_claims_the_older_wins_on_both_nodes() {
        let ours = locks("join", "a", "n1", 2.0);
        let theirs = locks("join", "b", "n2", 1.0);
        let here = merge_locks(&node("n1"), &ours, &BTreeMap::from([(node("n2"), &theirs)]));
        let there = merge_locks(&node("n2"), &theirs, &BTreeMap::from([(node("n1"), &ours)]));
        assert_eq!(here, theirs);
        assert_eq!(there, theirs);
    }

    #[test]
    fn a_claim_told_by_another_than_its_requester_is_not_copied() {
        let gossip = locks("join", "a", "n3", 1.0);
        let peers = BTreeMap::from([(node("n2"), &gossip)]);
        assert_eq!(merge_locks(&node("n1"), &BTreeMap::new(), &peers), BTreeMap::new());
    }
}
