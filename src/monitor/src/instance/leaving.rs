//! The node shuts down or drains: its instances are shut down, children first
//! (src/monitor/README.md, Leaving).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::MonitorStatus;

use crate::effect::Action;
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::{InstanceCore, rules};

impl InstanceCore {
    pub(super) fn leave(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        let status = &cx.before.status;
        if matches!(status, MonitorStatus::Shutdown | MonitorStatus::ShutdownFailed)
            || status.is_transitioning()
        {
            let is_failed = status.is_failed();
            self.hold_if(is_failed, || Hold::Failed(status.clone()));
            self.hold_if(!is_failed, || Hold::Acting(status.clone()));
            return;
        }
        let is_shut_down =
            cx.view.local().is_none_or(|seen| !seen.status.is_known() || rules::is_shut_down(seen));
        if is_shut_down {
            self.set_local_expect(cx.now, None);
            if *status == MonitorStatus::WaitChildren {
                self.set_status(cx.now, MonitorStatus::Idle, world);
            }
        } else if !cx.are_local_children_down() {
            self.hold(|| Hold::Children(cx.children_not_down_here()));
            self.set_status(cx.now, MonitorStatus::WaitChildren, world);
        } else {
            self.run(cx.now, Action::Shutdown, MonitorStatus::Shutdown, world);
        }
    }
}
