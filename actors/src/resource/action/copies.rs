//! What an operator starts on one node is not to be a second copy.

use om::InstanceAction;

use super::super::driver::Failure;
use super::Act;

impl Act<'_> {
    /// Refuses to start by hand what is active on another node, and may be on one only.
    pub(super) fn check_copies(&self, action: InstanceAction) -> Result<(), Failure> {
        let is_judged = self.is_from_daemon || self.is_part;
        if is_judged || self.options.force || !self.starts_a_copy(action) {
            return Ok(());
        }
        let (path, settings) = (&self.instance.path, &self.instance.settings);
        if !monitor::is_exclusive(settings) {
            return Ok(());
        }
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
