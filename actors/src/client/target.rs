//! Targets: orders to the monitors, and waiting until they are carried out.
//!
//! What is to be made of the data is decided by [`Waiting`]; here it is asked for, again at each change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::{GlobalExpect, ObjectPath};
use om::{Target, Verdict, Wait, Waiting};
use serde_json::Value;
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use super::object::{Known, known_all};
use super::select::{Selection, scope_of};
use super::{
    ANSWER, Done, Failure, Link, Om, addressed, complain, interrupted, mon, node_spec, note,
    seconds,
};

/// How often a wait looks at the data when no event comes.
const LOOK: Duration = Duration::from_secs(1);

/// The pause after a look at several objects, in durations of that look: a wait takes a fifth of a processor at most.
const PAUSE_LOOKS: u32 = 4;

/// Longest wait for the answer to an order: a new object may still have to be read, which the daemon
/// waits 5 s for.
const ORDER: Duration = Duration::from_secs(10);

/// The same, for the deletion of what has no instances: it is carried out here before it is answered.
const DELETION: Duration = Duration::from_secs(90);

/// Sets a target on each object. One that is refused is told, and the others are waited for all the same.
pub(super) fn set(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    expect: &GlobalExpect,
    wait: &Wait,
) -> Done {
    let mut waits = Waits::begin(link, paths, wait)?;
    for path in paths {
        let request = Request::new(wire::SetObjectMonitor {
            path: path.to_string(),
            local_expect: None,
            global_expect: Some(expect.to_string()),
            status: None,
            reset_retries: false,
            stonith: None,
        });
        let patience = if path.kind().has_instances() { ORDER } else { DELETION };
        let reply = match link.ask(&request, Some(patience)) {
            Ok(reply) => reply,
            Err(error) => {
                complain(&format!("{path}: {error}"));
                waits.code = 1;
                // What does not answer now has nothing to say about the next one.
                break;
            }
        };
        let lines = Lines::of(&reply);
        lines.infos.iter().for_each(|line| note(line));
        lines.errors.iter().for_each(|line| complain(line));
        if lines.errors.iter().any(|line| line.ends_with("ing state")) {
            note(&format!("an action runs: `om {path} abort` ends it"));
        }
        if status_of(&reply) != 0 {
            waits.code = 1;
            if lines.errors.is_empty() {
                complain(&format!("{path}: refused with status {}", lines.status));
            }
        }
        let chosen = reply.pointer("/data/global_expect").and_then(Value::as_str);
        waits.add(path, expect, chosen, &lines);
    }
    if wait.wait {
        return waits.run(wait);
    }
    if wait.watch && waits.code == 0 {
        let names: Vec<&str> = paths.iter().map(ObjectPath::as_str).collect();
        return mon::watch(om, link, &names.join(","), None);
    }
    Ok(waits.code)
}

/// Forgets failed actions, on all nodes of each object.
pub(super) fn clear(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    target: &Target,
    wait: &Wait,
) -> Done {
    let mut waits = Waits::begin(link, paths, wait)?;
    for path in paths {
        let names: Vec<String> = scope_of(om, path).iter().map(ToString::to_string).collect();
        let scope = (!names.is_empty()).then_some(NodeSpec::Names(names));
        let request = Request::new(wire::ObjectClear { path: path.to_string() });
        let reply = link.ask(&addressed(request, node_spec(target, scope)), Some(ANSWER))?;
        match om.report(&reply) {
            Ok(code) => waits.code |= code,
            Err(failure) => {
                failure.lines.iter().for_each(|line| complain(line));
                waits.code = failure.code;
                continue;
            }
        }
        if let Some(before) = waits.before.get(path) {
            waits.left.push(Waiting::for_clear(path, before.seen()));
        }
    }
    if wait.wait { waits.run(wait) } else { Ok(waits.code) }
}

/// Tells what a clear would forget.
pub(super) fn clear_dry_run(om: &Om, link: &Link, paths: &[ObjectPath], target: &Target) -> Done {
    let known = known_all(link, paths)?;
    for (path, known) in &known {
        let mut is_clean = true;
        for (node, instance) in &known.instances {
            let Some(monitor) = &instance.monitor else { continue };
            if *target == Target::Local && node != om.nodename.as_str() {
                continue;
            }
            let status = &monitor.status;
            if status.is_transitioning() {
                note(&format!("dry run: {path} would not be cleared on {node}: it is {status}"));
            } else if status.is_failed() {
                note(&format!("dry run: would clear {path} on {node}: {status}"));
            } else if monitor.restart.values().any(|restart| restart.retries > 0) {
                note(&format!("dry run: would clear {path} on {node}: counted restarts"));
            } else {
                continue;
            }
            is_clean = false;
        }
        if is_clean {
            note(&format!("dry run: {path} has no failure to clear"));
        }
    }
    Ok(0)
}

/// Waits for the end of a deployment.
pub(super) fn wait_provisioned(
    om: &Om,
    link: &Link,
    selection: &Selection,
    wait: &Wait,
) -> Result<(), Failure> {
    let Some(paths) = selection.literals().filter(|_| wait.wait || wait.watch) else {
        return Ok(());
    };
    if wait.watch && !wait.wait {
        let names: Vec<&str> = paths.iter().map(ObjectPath::as_str).collect();
        return mon::watch(om, link, &names.join(","), None).map(|_| ());
    }
    let mut waits = Waits::begin(link, &[], wait)?;
    waits.left = paths.iter().map(|path| Waiting::for_new(path, GlobalExpect::Started)).collect();
    match waits.run(wait)? {
        0 => Ok(()),
        code => Err(Failure { lines: vec![], code }),
    }
}

/// Objects that are waited for, or are to be.
struct Waits<'a> {
    link: &'a Link,
    /// None when nothing will be waited for.
    changes: Option<mon::Changes>,
    /// The objects and their slaves before the orders.
    before: BTreeMap<ObjectPath, Known>,
    left: Vec<Waiting>,
    /// 1 once something was refused, failed or late.
    code: u8,
}

impl<'a> Waits<'a> {
    /// To be called before the orders, or a quick change would be missed.
    fn begin(link: &'a Link, paths: &[ObjectPath], wait: &Wait) -> Result<Self, Failure> {
        let mut waits =
            Self { link, changes: None, before: BTreeMap::new(), left: vec![], code: 0 };
        if !wait.wait {
            return Ok(waits);
        }
        waits.changes = Some(mon::Changes::follow(link));
        // An order reaches the slaves too, and theirs.
        let mut next = paths.to_vec();
        while !next.is_empty() {
            let found = known_all(link, &next)?;
            let slaves = found.iter().flat_map(|(path, known)| known.seen().slaves(path));
            let slaves: BTreeSet<ObjectPath> = slaves.collect();
            waits.before.extend(found);
            next = slaves.into_iter().filter(|path| !waits.before.contains_key(path)).collect();
        }
        Ok(waits)
    }

    /// Notes what an answered order gives to wait for.
    fn add(
        &mut self,
        path: &ObjectPath,
        expect: &GlobalExpect,
        chosen: Option<&str>,
        lines: &Lines,
    ) {
        if self.changes.is_none() {
            return;
        }
        let mut paths = vec![path.clone()];
        let mut at = 0;
        while let Some(path) = paths.get(at) {
            let slaves = self.before.get(path).map(|known| known.seen().slaves(path));
            let new = slaves.unwrap_or_default().into_iter().filter(|slave| !paths.contains(slave));
            paths.extend(new.collect::<Vec<_>>());
            at += 1;
        }
        for path in paths {
            if self.left.iter().any(|waiting| *waiting.path() == path) {
                continue;
            }
            let before = self.before.get(&path).map(Known::seen);
            self.left.extend(Waiting::for_answer(&path, expect, chosen, lines, before));
        }
    }

    /// Waits until all are where they were wanted, telling what they do meanwhile. The exit code is 1 when one is not,
    /// or not in time.
    fn run(mut self, wait: &Wait) -> Done {
        let within = wait.time.map(seconds);
        let names: Vec<&str> = self.left.iter().map(|waiting| waiting.path().as_str()).collect();
        if !names.is_empty() {
            let names = names.join(",");
            interrupted::ends_with(format!(
                "what was asked goes on: `om mon {names} --watch` follows it, `om {names} abort` gives it up"
            ));
        }
        let changes = match self.changes.take() {
            Some(changes) => changes,
            None => mon::Changes::follow(self.link),
        };
        let start = Instant::now();
        // What was told of each object, and when it became so.
        let mut told: BTreeMap<ObjectPath, (String, Instant)> = BTreeMap::new();
        let are_several = self.left.len() > 1;
        loop {
            let paths: Vec<ObjectPath> =
                self.left.iter().map(|waiting| waiting.path().clone()).collect();
            let look = Instant::now();
            let known = known_all(self.link, &paths)?;
            let empty = Known::default();
            let mut left = vec![];
            for mut waiting in std::mem::take(&mut self.left) {
                let seen = known.get(waiting.path()).unwrap_or(&empty).seen();
                let progress = Waiting::progress(seen);
                let now = Instant::now();
                let (before, since) =
                    told.entry(waiting.path().clone()).or_insert((String::new(), now));
                let is_new = *before != progress;
                if is_new {
                    *since = now;
                }
                match waiting.look(seen, since.elapsed()) {
                    Verdict::Reached => note(&waiting.state(seen)),
                    Verdict::Failed(reason) => {
                        complain(&reason);
                        self.code = 1;
                    }
                    Verdict::Pending => {
                        if is_new && are_several {
                            note(&format!("{}: {progress}", waiting.path()));
                        } else if is_new {
                            note(&progress);
                        }
                        left.push(waiting);
                    }
                }
                *before = progress;
            }
            if left.is_empty() {
                return Ok(self.code);
            }
            self.left = left;
            drop(known);
            // Of many objects one changes all the time: not to look is what leaves the daemon its time. Of one, what is
            // reached may not last.
            if self.left.len() > 1 {
                std::thread::sleep((look.elapsed() * PAUSE_LOOKS).min(LOOK));
            }
            let rest = within.map(|within| within.saturating_sub(start.elapsed()));
            if rest.is_some_and(|rest| rest.is_zero()) {
                for waiting in &self.left {
                    let (path, goal) = (waiting.path(), waiting.goal());
                    let progress = told.get(path).map_or("", |(progress, _)| progress);
                    note(&format!("timeout: {path} is still to be {goal}: {progress}"));
                }
                return Ok(1);
            }
            if !changes.wait(Some(rest.map_or(LOOK, |rest| rest.min(LOOK)))) {
                std::thread::sleep(LOOK / 10);
            }
        }
    }
}
