//! What an operator starts on one node is not to be a second copy.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use machine::clock;
use model::InstanceAction;

use crate::action::Act;
use crate::driver::Runs;
use crate::failure::Failure;
use crate::{announce, status_file};

impl Act<'_> {
    /// Refuses to start by hand what is active on another node, and may be on one only.
    pub(super) fn check_copies(&self, action: InstanceAction) -> Result<(), Failure> {
        if !self.is_for_one_node() || !self.starts_a_copy(action) {
            return Ok(());
        }
        let (path, settings) = (&self.instance.path, &self.instance.settings);
        let known = (self.others)(path, &settings.peers);
        let active = monitor::active_elsewhere(settings, &self.host.nodename, &known);
        let Some((first, _)) = active.first_key_value() else { return Ok(()) };
        let places: Vec<String> =
            active.iter().map(|(node, what)| format!("{what} on {node}")).collect();
        let instead = match action {
            InstanceAction::Run => format!("`om {path} run --node {first}` runs it there"),
            _ => format!("`om {path} switch --to {}` moves it", self.host.nodename),
        };
        Err(Failure::refused(format!(
            "{path} is {}, and is for one node at a time: {instead}, --force does it here all the same",
            places.join(", ")
        )))
    }

    /// Whether an operator acts on what may be active on one node only, and does not force it.
    fn is_for_one_node(&self) -> bool {
        let is_judged = self.is_from_daemon || self.is_part || self.options.force;
        !is_judged && monitor::is_exclusive(&self.instance.settings)
    }

    /// Whether an action brings up what belongs to where the object is active: standby resources are for each node.
    fn starts_a_copy(&self, action: InstanceAction) -> bool {
        let is_meant = |group: &str| match action {
            InstanceAction::Run => group == "task",
            InstanceAction::Start | InstanceAction::Restart | InstanceAction::Provision => {
                !matches!(group, "task" | "sync")
            }
            _ => false,
        };
        self.instance.resources.iter().any(|resource| {
            is_meant(resource.rid.group())
                && self.selection.has(resource)
                && !resource.is_standby
                && !resource.is_untouchable()
        })
    }
}

impl Runs for Act<'_> {
    fn on_run(&self, rid: &str) -> Result<(), Failure> {
        let (host, path, settings) = (self.host, &self.instance.path, &self.instance.settings);
        if !monitor::is_exclusive(settings) {
            return Ok(());
        }
        let written = status_file::read(&host.paths, path)
            .filter(|status| !status.is_outdated(&self.object.entry(), clock::now()));
        let rids = [rid.to_owned()].into();
        let found =
            crate::refresh::refresh(host, &self.instance, written.as_ref(), None, Some(&rids));
        // Who runs it elsewhere at the same time has told it too by now, or will see this: one of two at least gives way.
        announce::status(&host.paths, path, &found.status, None);
        if !self.is_for_one_node() {
            return Ok(());
        }
        let known = (self.others)(path, &settings.peers);
        let others = known.iter().filter(|(node, _)| **node != host.nodename);
        let runs = others.filter(|(_, status)| status.running.iter().any(|run| run == rid));
        let places: Vec<String> = runs.map(|(node, _)| node.to_string()).collect();
        if places.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{rid} runs on {}, and {path} is for one node at a time: --force runs it here all the same",
            places.join(", ")
        )))
    }
}
