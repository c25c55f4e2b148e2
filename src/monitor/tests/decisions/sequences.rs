//! Cases of kind `monitor_sequence`: the whole monitor of one node, pass after pass.

use std::collections::BTreeMap;

use model::{NodeMonitorStatus, ObjectPath, Timestamp};
use monitor::{
    Change, Effect, InstanceCore, NodeCore, NodeEffect, NodeTiming, ObjectRequest, RunId,
    is_transition,
};
use serde_json::{Map, Value, json};

use crate::world::{TestWorld, path};

struct Node {
    now: Timestamp,
    world: TestWorld,
    core: NodeCore,
    instances: BTreeMap<ObjectPath, InstanceCore>,
    /// Commands since the start of the sequence.
    commands: Vec<(ObjectPath, RunId)>,
    is_flagged: bool,
}

/// Runs a case: the outcome of each step.
pub(crate) fn run(input: &Value) -> Value {
    let mut node = Node::new(input);
    let steps = input["steps"].as_array().expect("steps");
    json!({ "steps": steps.iter().map(|step| node.step(step)).collect::<Vec<_>>() })
}

impl Node {
    fn new(input: &Value) -> Self {
        let local = input["local_node"].as_str().expect("the local node");
        let mut world = TestWorld::new(local, &input["cluster_nodes"], &input["nodes"]);
        for (object, text) in input["services"].as_object().expect("configurations") {
            world.configure(object, text.as_str().expect("a configuration"));
        }
        // Deployed agents forget restarts as soon as the resource is up, and do not wait before the next one.
        let resources = world.settings.values_mut().flat_map(|it| it.resources.values_mut());
        resources.for_each(|it| std::sync::Arc::make_mut(it).restart_reset = 0.0);
        let config = input["node_config"].as_str().unwrap_or_default();
        if let Some((_, value)) = config.split_once("max_parallel = ") {
            world.conditions.max_parallel = value.trim().parse().expect("a number");
        }
        let now = Timestamp(input["now"].as_f64().expect("the time"));
        let age = input["daemon_age"].as_f64().unwrap_or(1000.0);
        let grace = input["rejoin_grace_period_expired"] == false;
        let started = now.plus(-age);
        let published = world.nodes[&world.local].monitor.clone().expect("a node monitor");
        let core = NodeCore::new(started, NodeTiming::default()).resume(published, grace);
        let instances = world
            .settings
            .keys()
            .cloned()
            .map(|path| {
                let status = monitor::World::instance(&world, &world.local, &path);
                let monitor = status.and_then(|status| status.monitor.clone());
                (path.clone(), InstanceCore::new(path, monitor))
            })
            .collect();
        Self { now, world, core, instances, commands: vec![], is_flagged: false }
    }

    fn step(&mut self, step: &Value) -> Value {
        self.now = self.now.plus(step["advance"].as_f64().unwrap_or(0.0));
        self.world.patch(&step["patch"]);
        for (index, code) in step["complete"].as_object().into_iter().flatten() {
            let index: usize = index.parse().expect("the index of a command");
            let (path, id) = self.commands[index].clone();
            let code = code.as_i64().expect("an exit code") as i32;
            let core = self.instances.get_mut(&path).expect("the object of the command");
            core.on_action_done(self.now, id, code, &self.world);
        }
        for request in step["request"].as_array().into_iter().flatten() {
            let object = path(request["path"].as_str().expect("an object"));
            let change = change(request);
            let core = self.instances.get_mut(&object).expect("the object of the request");
            core.apply(self.now, &change, &self.world);
        }
        let commands = self.pass();
        self.outcome(&commands)
    }

    fn pass(&mut self) -> Vec<Value> {
        let mut by_priority: Vec<ObjectPath> = self.instances.keys().cloned().collect();
        by_priority.sort_by_key(|path| self.world.settings[path].priority);
        let mut commands = vec![];
        for path in &by_priority {
            let core = self.instances.get_mut(path).expect("listed above");
            let effects = core.refresh(self.now, &self.world);
            self.carry_out(path, effects, &mut commands);
        }
        self.world.aggregate_all();
        // The cases go on publishing the frozen time that they began with, whatever the flag.
        let local = self.world.local.clone();
        let published = self.world.nodes[&local].frozen;
        if self.is_flagged {
            self.freeze();
        }
        self.world.conditions.grace = self.core.in_grace();
        for effect in self.core.pass(self.now, &self.world) {
            self.carry_out_on_node(effect);
        }
        self.world.conditions.grace = self.core.in_grace();
        for path in &by_priority {
            self.world.conditions.transitions = self
                .instances
                .values()
                .filter(|core| is_transition(&core.monitor().status))
                .count();
            let core = self.instances.get_mut(path).expect("listed above");
            let effects = core.orchestrate(self.now, &self.world);
            self.carry_out(path, effects, &mut commands);
        }
        self.world.nodes.get_mut(&local).expect("the local node").frozen = published;
        commands
    }

    fn carry_out(&mut self, path: &ObjectPath, effects: Vec<Effect>, commands: &mut Vec<Value>) {
        for effect in effects {
            match effect {
                Effect::Publish(monitor) => self.world.publish(path, *monitor),
                Effect::Run { id, action } => {
                    self.commands.push((path.clone(), id));
                    let path = (!action.is_about_node()).then(|| path.to_string());
                    commands.push(json!({ "path": path, "argv": action.argv() }));
                }
                Effect::Disown | Effect::Remove => panic!("no case deletes the last instance"),
                Effect::SetOther { .. }
                | Effect::CreateSlice { .. }
                | Effect::ResizeSlice { .. } => panic!("no case has a scaler"),
                Effect::LoseSplit => panic!("quorum is off"),
                Effect::EndAction
                | Effect::WakeAfter(_)
                | Effect::WaitSlot
                | Effect::Event(_)
                | Effect::Warn(_) => {}
            }
        }
    }

    fn freeze(&mut self) {
        let data = self.world.nodes.get_mut(&self.world.local).expect("the local node");
        data.frozen = Some(self.now);
        self.is_flagged = true;
    }

    fn carry_out_on_node(&mut self, effect: NodeEffect) {
        let local = self.world.local.clone();
        let data = self.world.nodes.get_mut(&local).expect("the local node");
        match effect {
            NodeEffect::Publish(monitor) => data.monitor = Some(*monitor),
            NodeEffect::Freeze | NodeEffect::FreezeItself(_) => self.freeze(),
            NodeEffect::Thaw | NodeEffect::FreezeInstance(_) | NodeEffect::SetInstance { .. } => {
                panic!("no case thaws a node or stops it")
            }
            NodeEffect::LoseSplit => panic!("quorum is off"),
            NodeEffect::Released | NodeEffect::WakeAfter(_) | NodeEffect::Event(_) => {}
        }
    }

    fn outcome(&self, commands: &[Value]) -> Value {
        let mut monitors = Map::new();
        let mut aggregates = Map::new();
        for (path, core) in &self.instances {
            let monitor = core.monitor();
            let mut shown = Map::new();
            shown.insert("status".to_owned(), json!(monitor.status));
            shown.insert("local_expect".to_owned(), json!(monitor.local_expect));
            shown.insert("global_expect".to_owned(), json!(monitor.global_expect));
            shown.insert("placement".to_owned(), json!(monitor.placement));
            if !monitor.restart.is_empty() {
                let retries: BTreeMap<_, _> =
                    monitor.restart.iter().map(|(rid, count)| (rid, count.retries)).collect();
                shown.insert("restart".to_owned(), json!(retries));
            }
            if let Some(stonith) = &monitor.stonith {
                shown.insert("stonith".to_owned(), json!(stonith));
            }
            monitors.insert(path.to_string(), Value::Object(shown));
            let aggregate = &self.world.aggregates[path];
            aggregates.insert(
                path.to_string(),
                json!({
                    "avail": aggregate.avail,
                    "frozen": aggregate.frozen,
                    "placement": aggregate.placement,
                    "provisioned": aggregate.provisioned,
                }),
            );
        }
        let mut outcome = Map::new();
        outcome.insert("monitor".to_owned(), Value::Object(monitors));
        outcome.insert("commands".to_owned(), json!(commands));
        let node = self.core.monitor();
        if node.status != NodeMonitorStatus::Idle || node.global_expect.is_some() {
            outcome.insert(
                "node_monitor".to_owned(),
                json!({ "status": node.status, "global_expect": node.global_expect }),
            );
        }
        if self.is_flagged {
            outcome.insert("node_frozen".to_owned(), json!(true));
        }
        outcome.insert("aggregate".to_owned(), Value::Object(aggregates));
        Value::Object(outcome)
    }
}

fn change(request: &Value) -> Change {
    Change {
        status: request["status"].as_str().map(model::MonitorStatus::from),
        reset_retries: request["reset_retries"] == true,
        ..Change::default()
    }
}

/// Options of an `object_monitor` request, as a case gives them.
pub(crate) fn object_request(request: &Value) -> ObjectRequest {
    let text = |key: &str| request[key].as_str().map(str::to_owned);
    ObjectRequest {
        path: text("path").expect("an object"),
        status: text("status"),
        local_expect: text("local_expect"),
        global_expect: text("global_expect"),
        stonith: text("stonith"),
        reset_retries: request["reset_retries"] == true,
        is_late: false,
    }
}
