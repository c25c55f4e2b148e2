//! One roll at a time in the cluster: who would begin one asks every node for another.

use std::time::{Duration, Instant};

use link::link::Link;
use model::{NodeName, Roll};

use crate::nodes::members_of;
use crate::om::{Failure, Om};
use crate::operations::claim::{Claim, Held, Stage};
use crate::operations::{exec, glance};

/// How long somebody else may take to find out whether it may roll.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(200);

/// Claims the roll for this node, or tells who rolls. Each shows that it wants to before it looks at the others: of two that begin
/// at once, one at least sees the other.
pub(super) fn claim(om: &Om, link: &Link, held: &Held, roll: &Roll) -> Result<(), Failure> {
    let mut own = Claim::new(&om.nodename, roll);
    held.show(&own)?;
    let begin = Instant::now();
    loop {
        // A node that is not heard is asked before the next node is begun: none is while one is missing.
        let heard = glance::ask(link)?;
        let others = others(om, link)?.into_iter().filter(|node| heard.nodes.contains_key(node));
        let told: Vec<Claim> =
            others.filter_map(|node| exec::boot_of(link, &node).ok()?.roll).collect();
        if let Some(other) = told.iter().find(|other| own.gives_way_to(other)) {
            return Err(other.refusal());
        }
        // Who asks too gives way, or has not seen this claim and is granted.
        match told.first() {
            None => break,
            Some(other) if begin.elapsed() >= PATIENCE => return Err(other.refusal()),
            Some(_) => std::thread::sleep(LOOK),
        }
    }
    own.stage = Stage::Granted;
    held.show(&own)
}

/// Refuses to go on beside another roll: of who was not heard when this one began. Every node has to answer.
pub(super) fn check(om: &Om, link: &Link) -> Result<(), Failure> {
    for node in others(om, link)? {
        let other = exec::boot_of(link, &node)?.roll;
        if let Some(other) = other.filter(|other| other.stage == Stage::Granted) {
            return Err(other.refusal());
        }
    }
    Ok(())
}

fn others(om: &Om, link: &Link) -> Result<Vec<NodeName>, Failure> {
    let all = members_of(link)?;
    let all = all.iter().filter_map(|name| NodeName::new(name).ok());
    Ok(all.filter(|name| *name != om.nodename).collect())
}
