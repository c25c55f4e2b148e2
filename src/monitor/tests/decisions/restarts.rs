//! A resource that does not stay up uses its restarts up: what deployed agents forget as soon as it is up.

use std::collections::BTreeMap;

use model::{LocalExpect, MonitorStatus, Status, Timestamp};
use monitor::{Action, Change, Effect, InstanceCore, RunId};
use serde_json::json;

use crate::world::{TestWorld, path};

const T: f64 = 1_700_000_000.0;

/// An application of n1 that n2 could take over, and its monitor.
struct App {
    world: TestWorld,
    core: InstanceCore,
    now: f64,
}

impl App {
    fn new(keywords: &str) -> Self {
        let instance = |avail: &str| {
            json!({
                "updated": T - 10.0, "topology": "failover", "avail": avail, "overall": avail, "frozen": 0,
                "provisioned": true, "monitor": {"status": "idle"},
                "resources": {"app#1": {"status": avail, "restart": 0}},
            })
        };
        let instances = json!({"n1": instance("up"), "n2": instance("down")});
        let mut world = TestWorld::with_instances("n1", &json!(["n1", "n2"]), "svc1", &instances);
        let text = format!(
            "[DEFAULT]\nid = i\nnodes = n1 n2\norchestrate = ha\nmonitor_action = switch\n[app#1]\ntype = simple\nstart = x\nmonitor = true\n{keywords}\n"
        );
        world.configure("svc1", &text);
        let mut app = Self { world, core: InstanceCore::new(path("svc1"), None), now: 0.0 };
        app.core.apply(Timestamp(T), &Change::local(LocalExpect::Started), &app.world);
        app.pass();
        app
    }

    /// The application is up, or not.
    fn set(&mut self, avail: &str) {
        let instance = self.world.local_instance(&path("svc1")).expect("an instance");
        let status = Status::from(avail);
        instance.avail = Some(status.clone());
        let resources = instance.resources.as_mut().expect("resources");
        std::sync::Arc::make_mut(resources.get_mut("app#1").expect("it")).status = status;
    }

    fn pass(&mut self) -> Vec<(RunId, Action)> {
        self.world.aggregate_all();
        let effects = self.core.pass(Timestamp(T + self.now), &self.world);
        self.world.publish(&path("svc1"), self.core.monitor().clone());
        let runs = effects.into_iter().filter_map(|effect| match effect {
            Effect::Run { id, action } => Some((id, action)),
            _ => None,
        });
        runs.collect()
    }

    fn wait(&mut self, secs: f64) -> Vec<(RunId, Action)> {
        self.now += secs;
        self.pass()
    }

    /// It dies, and is restarted within `most` seconds; how long that took. What is done instead is returned.
    fn dies(&mut self, most: f64) -> Result<f64, Action> {
        self.set("down");
        let (died, mut runs) = (self.now, self.pass());
        while runs.is_empty() && self.now < died + most {
            runs = self.wait(0.25);
        }
        let Some((id, action)) = runs.pop() else { panic!("nothing is done for {most} s") };
        if !matches!(action, Action::StartResources { .. }) {
            return Err(action);
        }
        self.set("up");
        self.core.on_action_done(Timestamp(T + self.now), id, 0, &self.world);
        self.pass();
        Ok(self.now - died)
    }

    fn retries(&self) -> u32 {
        self.core.monitor().restart.get("app#1").map_or(0, |counter| counter.retries)
    }
}

#[test]
fn what_does_not_stay_up_is_restarted_after_longer_and_longer_pauses_then_given_away() {
    let mut app = App::new("restart = 3");
    assert_eq!(app.dies(0.0), Ok(0.0));
    app.wait(0.5);
    assert_eq!(app.dies(5.0), Ok(0.5), "one second after the first restart");
    app.wait(0.5);
    assert_eq!(app.dies(5.0), Ok(1.5), "two seconds after the second one");
    app.wait(0.5);
    assert_eq!(app.dies(5.0), Err(Action::Toc));
    assert_eq!(app.core.monitor().status, MonitorStatus::Tocing);
}

#[test]
fn what_stays_up_for_a_while_has_all_its_restarts_again() {
    let mut app = App::new("restart = 2\nrestart_reset = 20s");
    assert_eq!(app.dies(0.0), Ok(0.0));
    app.wait(19.5);
    assert_eq!(app.retries(), 1);
    assert_eq!(app.dies(0.0), Ok(0.0), "the pause is over");
    app.wait(19.5);
    assert_eq!(app.retries(), 2);
    app.wait(0.5);
    assert_eq!(app.retries(), 0);
    assert_eq!(app.dies(0.0), Ok(0.0));
}

#[test]
fn the_default_is_a_minute_and_none_forgets_at_once() {
    let mut app = App::new("restart = 1");
    assert_eq!(app.dies(0.0), Ok(0.0));
    app.wait(59.0);
    assert_eq!(app.dies(0.0), Err(Action::Toc));
    let mut app = App::new("restart = 1\nrestart_reset = 0");
    for _ in 0..5 {
        assert_eq!(app.dies(0.0), Ok(0.0), "as deployed agents do");
        app.wait(0.5);
    }
}

#[test]
fn a_start_that_succeeded_counts_anew() {
    let mut app = App::new("restart = 1");
    assert_eq!(app.dies(0.0), Ok(0.0));
    assert_eq!(app.retries(), 1);
    app.set("down");
    app.core.apply(
        Timestamp(T + app.now),
        &Change { local_expect: Some(None), ..Change::default() },
        &app.world,
    );
    let runs = app.wait(6.0);
    let runs = if runs.is_empty() { app.wait(6.0) } else { runs };
    let [(id, Action::Start)] = runs[..] else { panic!("it is started: {runs:?}") };
    app.set("up");
    app.core.on_action_done(Timestamp(T + app.now), id, 0, &app.world);
    assert_eq!(app.retries(), 0);
}

#[test]
fn a_daemon_that_starts_again_goes_on_counting() {
    let mut app = App::new("restart = 1");
    assert_eq!(app.dies(0.0), Ok(0.0));
    let kept: BTreeMap<_, _> = app.core.monitor().restart.clone();
    app.core = InstanceCore::new(path("svc1"), None).with_restarts(kept);
    app.core.apply(Timestamp(T + app.now), &Change::local(LocalExpect::Started), &app.world);
    app.wait(1.0);
    assert_eq!(app.dies(0.0), Err(Action::Toc));
}
