//! What must hold after each event: the object is active once, but for the windows of the README.

use std::time::Duration;

use model::MonitorStatus;
use monitor::last_words;

use super::{ARBITRATOR_SECS, History, TIMER_SECS};
use crate::machine::Machine;

/// Keyword `node.maintenance_grace_period`.
const GRACE_SECS: f64 = 60.0;

/// For how long the object may be active twice, by what is documented, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    until: f64,
    longest: f64,
}

impl History {
    /// Between the verdict and the end.
    pub(crate) fn last_words(&self) -> f64 {
        last_words(Duration::from_secs_f64(self.shared.periods.ready)).as_secs_f64()
    }

    /// How long a machine may wait for the next message of another one.
    pub(crate) fn late(&self) -> f64 {
        self.shared.periods.interval + 2.0 * self.shared.periods.delay
    }

    fn arbitrator_secs(&self) -> f64 {
        if self.shared.arbitrators > 0 { ARBITRATOR_SECS } else { 0.0 }
    }

    /// A cut node hears that it is cut an interval later than the others; then it judges, and takes its time to die. The
    /// others have announced the start meanwhile.
    pub(super) fn window_of_a_cut(&self) -> f64 {
        let end = self.late() + self.arbitrator_secs() + self.last_words();
        (end - self.shared.periods.ready).max(0.0) + TIMER_SECS
    }

    /// Healed just before it judges, it hears an interval later that the others have forgotten it.
    pub(super) fn window_of_a_heal(&self) -> f64 {
        self.window_of_a_cut() + self.late()
    }

    /// From now on, for so many seconds, the object may be active twice, for `longest` seconds.
    pub(crate) fn expect(&mut self, secs: f64, longest: f64) {
        self.windows.push(Window { until: self.now + secs, longest });
    }

    /// The network is whole again. What two sides started before any of them noticed stays so (README).
    pub(super) fn heal(&mut self) {
        if self.is_unsettled && (self.now < self.judged_at || !self.broken.is_empty()) {
            for machine in self.machines.iter_mut().filter(|machine| machine.is_active()) {
                machine.was_asked_apart = true;
            }
        }
    }

    /// Whether the object runs somewhere, and nobody wants anything of it.
    fn is_settled(&self) -> bool {
        let is_idle = |machine: &Machine| {
            machine.daemon.as_ref().is_none_or(|daemon| {
                let monitor = daemon.instance.monitor();
                monitor.status == MonitorStatus::Idle && monitor.global_expect.is_none()
            })
        };
        self.machines.iter().filter(|machine| machine.is_active()).count() == 1
            && self.machines.iter().all(is_idle)
    }

    /// Somebody does something about the object. In a cut that nobody has noticed yet, two sides may do so.
    pub(crate) fn unsettle(&mut self) {
        let secs = self.judged_at - self.now;
        if secs > 0.0 {
            self.is_unsettled = true;
            // Where links fail alone, both ends may have a majority: what they started before stays so (README).
            let apart = self.mended_at - self.now;
            let secs = if apart > 0.0 { secs + apart } else { secs };
            self.expect(secs, secs);
        }
    }

    /// The network was just split.
    pub(crate) fn expect_a_cut(&mut self) {
        let lately = 1.5 + self.late();
        if self.machines.iter().any(|machine| machine.is_away(self.now, lately)) {
            // Both sides count on the vote of who announced its restart.
            let secs = GRACE_SECS + self.shared.periods.timeout + self.late() + self.last_words();
            self.expect(secs, secs);
        }
        let periods = &self.shared.periods;
        let judged = periods.timeout + self.late() + self.arbitrator_secs() + self.last_words();
        self.expect(judged + TIMER_SECS, self.window_of_a_cut());
        self.is_unsettled = false;
        self.judged_at = self.now + judged + TIMER_SECS;
        if !self.is_settled() {
            self.unsettle();
        }
    }

    /// How long the object may be active twice now.
    fn allowed(&mut self) -> f64 {
        let now = self.now;
        self.windows.retain(|window| window.until >= now);
        self.windows.iter().map(|window| window.longest).fold(0.0, f64::max)
    }

    /// Who is deposed is not the last one that started the object: that one had the majority, and has it. But who stood
    /// still does what it was told before, until it hears of its successor (README).
    pub(super) fn check_deposed(&self, machine: usize) {
        let it = &self.machines[machine];
        let (started_at, woke_at) = (it.started_at, it.paused_until);
        if woke_at > 0.0 && (woke_at..=woke_at + self.late()).contains(&started_at) {
            return;
        }
        let is_last = self.machines.iter().all(|other| other.started_at <= started_at);
        assert!(
            !is_last,
            "{machine} started last, and is deposed, at {:.3}\n{}",
            self.now,
            self.trace.join("\n")
        );
    }

    /// What must hold at any time.
    pub(super) fn check(&mut self) {
        for machine in &mut self.machines {
            machine.was_out &= machine.is_active();
            machine.was_asked_apart &= machine.is_active();
        }
        let active: Vec<usize> = (0..self.machines.len())
            .filter(|index| {
                let machine = &self.machines[*index];
                // A frozen node is not judged (README).
                let is_spared = machine.was_out && machine.node_frozen.0 != 0.0;
                // What stands still does nothing.
                let is_out_of_reach = machine.is_headless || self.is_paused(*index);
                machine.is_active() && !is_out_of_reach && !machine.was_asked_apart && !is_spared
            })
            .collect();
        if active.len() < 2 {
            self.twice_since = None;
            return;
        }
        let since = *self.twice_since.get_or_insert(self.now);
        let lasts = self.now - since;
        self.longest_twice = self.longest_twice.max(lasts);
        let allowed = self.allowed();
        assert!(
            allowed > 0.0 && lasts <= allowed,
            "active on {active:?} for {lasts:.2} s of {allowed:.2}, at {:.3}\n{}",
            self.now,
            self.trace.join("\n")
        );
    }
}
