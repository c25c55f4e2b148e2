//! What happens to the machines from outside: operators, pauses, crashes, cuts.

use model::{GlobalExpect, Timestamp};
use monitor::{ObjectRequest, World as _, set_service_monitor};

use super::{Event, History, TIMER_SECS};

impl History {
    /// An operator asks a node to set a target.
    pub(crate) fn request(&mut self, machine: usize, target: &str) {
        if self.machines[machine].daemon.is_none() || self.is_paused(machine) {
            return;
        }
        let request = ObjectRequest {
            path: self.shared.path.to_string(),
            global_expect: Some(target.to_owned()),
            ..ObjectRequest::default()
        };
        let eyes = self.machines[machine].eyes(&self.shared);
        if eyes.instance(eyes.local_node(), &self.shared.path).is_none() {
            return;
        }
        let (_, changes) = set_service_monitor(&eyes, &request);
        self.unsettle();
        self.note(|| format!("{machine} is asked {target}: {} changes", changes.len()));
        for (_, change) in changes {
            self.apply(machine, &change);
        }
        self.pass(machine);
    }

    /// Whether some monitor is asked to move the object to a node.
    pub(crate) fn is_moving(&self) -> bool {
        let daemons = self.machines.iter().filter_map(|machine| machine.daemon.as_ref());
        daemons
            .filter_map(|daemon| daemon.instance.monitor().global_expect.as_ref())
            .any(|target| matches!(target, GlobalExpect::PlacedAt(_)))
    }

    pub(crate) fn is_paused(&self, machine: usize) -> bool {
        self.machines[machine].paused_until > self.now
    }

    /// An operator thaws a node. What it runs, and was not judged for while it was frozen, it is judged for then.
    pub(crate) fn thaw_node(&mut self, machine: usize) {
        let it = &mut self.machines[machine];
        let was_spared = it.was_out && it.is_active() && it.node_frozen.0 != 0.0;
        it.node_frozen = Timestamp::NEVER;
        it.own(|own| own.frozen = Some(Timestamp::NEVER));
        if was_spared {
            let secs = self.late() + 2.0 * self.slowest_secs + self.last_words() + TIMER_SECS;
            self.expect(secs, secs);
            self.pass(machine);
        }
    }

    /// Everything on the machine stands still. What it is sent waits for it, or is lost.
    pub(crate) fn pause(&mut self, machine: usize, secs: f64) {
        let is_deaf = self.random.happens(50);
        self.note(|| format!("{machine} pauses for {secs:.1} s, deaf: {is_deaf}"));
        self.count("pauses");
        let until = self.now + secs;
        self.machines[machine].paused_until = until;
        (self.machines[machine].was_out, self.machines[machine].is_deaf) = (true, is_deaf);
        // Forgotten meanwhile, it hears of it when it goes on.
        let heard = self.late() + self.last_words() + 2.0 * TIMER_SECS;
        self.expect(secs + heard, heard);
    }

    /// The daemon is killed, the instances go on.
    pub(crate) fn kill_daemon(&mut self, machine: usize, away: f64) {
        if self.machines[machine].daemon.is_none() || self.machines[machine].is_condemned {
            return;
        }
        self.note(|| format!("daemon of {machine} is killed for {away:.1} s"));
        let it = &mut self.machines[machine];
        it.daemon = None;
        (it.is_headless, it.was_out) = (true, true);
        let boot = it.boot;
        self.after(away, Event::StartDaemon { machine, boot });
    }

    /// Links fail for some time.
    pub(crate) fn break_links(&mut self, broken: Vec<(usize, usize)>, secs: f64) {
        self.count("broken links");
        self.broken = broken.into_iter().collect();
        self.machines.iter_mut().for_each(|machine| machine.was_out = true);
        self.after(secs, Event::Mend);
        self.mended_at = self.now + secs;
        self.expect_a_cut();
        // Who is heard by nobody hears of its successor; who hears nobody judges.
        self.expect(secs + self.shared.periods.timeout + self.late(), self.window_of_a_cut());
    }

    /// The network splits for some time.
    pub(crate) fn split(&mut self, sides: Vec<u8>, secs: f64) {
        self.count("partitions");
        self.sides = sides;
        self.machines.iter_mut().for_each(|machine| machine.was_out = true);
        self.after(secs, Event::Heal);
        self.expect_a_cut();
    }

    /// The machine comes back: within the timeout of its peers, who then never lose it, or later.
    pub(crate) fn boot_later(&mut self, machine: usize) {
        let timeout = self.shared.periods.timeout;
        let delay = match self.random.happens(40) {
            true => self.random.between(0.05 * timeout, timeout),
            false => self.random.between(timeout, timeout + 45.0),
        };
        self.count_if("boots within the timeout", delay < timeout);
        self.after(delay, Event::Boot { machine });
    }

    /// The machine loses power.
    pub(crate) fn crash(&mut self, machine: usize) {
        self.note(|| format!("{machine} crashes"));
        let it = &mut self.machines[machine];
        it.boot += 1;
        it.incarnation += 1;
        it.daemon = None;
        it.actions = 0;
        it.paused_until = 0.0;
        (it.is_up, it.is_starting, it.is_restarting) = (false, false, false);
        (it.is_headless, it.was_out, it.is_condemned) = (false, false, false);
        self.count("crashes");
    }
}
