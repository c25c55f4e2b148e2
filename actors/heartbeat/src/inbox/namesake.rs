//! Two machines of one name: each undoes what the other one says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::{Alert, NodeName};
use monitor::Namesakes;
use wire::BootId;

/// What peers beat from, and of whom it is told that they are two.
#[derive(Default)]
pub(super) struct Alike {
    addresses: Namesakes<IpAddr>,
    boots: Namesakes<BootId>,
    /// Of whom, and whether it was their addresses that told.
    told: BTreeMap<NodeName, bool>,
}

impl Alike {
    /// Takes in where a message of a peer came from. The alert that this raises, or that it ends; nothing where it is no
    /// news.
    pub(super) fn hear(
        &mut self,
        now: Duration,
        peer: &NodeName,
        address: Option<IpAddr>,
        boot: Option<BootId>,
        timeout: Duration,
    ) -> Option<Option<Alert>> {
        let both = address.and_then(|it| self.addresses.hear(now, peer, it, timeout));
        let boots = boot.and_then(|it| self.boots.hear(now, peer, it, timeout));
        let places = match (both, address) {
            (Some((one, other)), _) => Some(format!(", {one} and {other}")),
            (None, Some(address)) if boots.is_some() => Some(format!(", both behind {address}")),
            (None, _) => boots.map(|_| String::new()),
        };
        // What an address told, a message without one does not end; one that tells nothing at all ends nothing.
        let is_answer = |by_address: &bool| address.is_some() || (boot.is_some() && !by_address);
        let is_news = match places {
            Some(_) => self.told.insert(peer.clone(), both.is_some()).is_none(),
            None => self.told.get(peer).is_some_and(is_answer) && self.told.remove(peer).is_some(),
        };
        let alert = |places| {
            let text = format!(
                "{peer}: two machines call themselves so{places}: stop the daemon of the one that is a copy, change its host \
                 name, and make it a node of its own (`om daemon leave --force`, then `om daemon join`)"
            );
            Alert::error(text)
        };
        is_news.then(|| places.map(alert))
    }
}
