//! How far a roll is, kept in a file, and what keeps a node from being done.

use std::path::PathBuf;

use link::link::Link;
use machine::durable;
use model::{NodeName, ObjectPath, Roll, RollJob, WhatIf};

use crate::om::{Failure, Om};
use crate::operations::{exec, whatif};

/// The file of the roll that was begun here.
pub(super) struct State(pub(super) PathBuf);

impl State {
    pub(super) fn of(om: &Om) -> Self {
        Self(om.paths.node_var().join("roll.json"))
    }

    /// The roll before, if it is not over.
    pub(super) fn read(&self) -> Result<Option<Roll>, Failure> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::new(format!("{}: {error}", self.0.display()))),
        };
        let read = serde_json::from_str::<Roll>(&text).map_err(|error| {
            let file = self.0.display();
            Failure::new(format!("{file}: {error}: `om cluster roll --discard` forgets it"))
        });
        read.map(|roll| (!roll.is_over()).then_some(roll))
    }

    pub(super) fn write(&self, roll: &Roll) -> Result<(), Failure> {
        let text = serde_json::to_vec(roll).map_err(|error| Failure::new(error.to_string()))?;
        Ok(durable::write(&self.0, &text, 0o600)?)
    }
}

/// Why a node has nothing to do; none if it has.
pub(super) fn wants_nothing(
    link: &Link,
    roll: &Roll,
    node: &NodeName,
) -> Result<Option<String>, Failure> {
    if roll.job != RollJob::Reboot || roll.all {
        return Ok(None);
    }
    let boot = exec::boot_of(link, node)?;
    let why = "skipped: it wants no reboot (no /run/reboot-required): --all reboots it too";
    Ok((!boot.is_reboot_required).then(|| why.to_owned()))
}

/// Why the others would be in trouble while a node is away; none if they have a majority, or need none.
pub(super) fn leaves_no_majority(
    link: &Link,
    roll: &Roll,
    node: &NodeName,
) -> Result<Option<String>, Failure> {
    if roll.job != RollJob::Reboot || roll.force {
        return Ok(None);
    }
    let quorum = whatif::ask(link, &[], &[node.to_string()])?.quorum;
    let lost = quorum.filter(|quorum| !quorum.survives);
    Ok(lost.map(|quorum| {
        let (votes, voting) = (quorum.votes, quorum.voting);
        format!("while {node} is away the others have no majority, {votes} of {voting} votes: an arbitrator#1 in cluster.conf gives one")
    }))
}

/// The services that would have no place, for a reader.
pub(super) fn without_place(foretold: &WhatIf) -> Vec<(ObjectPath, String)> {
    let lost = foretold.without_place();
    lost.map(|outlook| (outlook.path.clone(), outlook.outcome.clone())).collect()
}
