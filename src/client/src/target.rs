//! Targets: orders to the monitors, and waiting until they are carried out.
//!
//! What is to be made of the data is decided by [`Waiting`]; here it is asked for, again at each change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cli::{LONGEST_WAIT, STUCK_AFTER, Target, Verdict, Wait, Waiting, is_refused_for_now};
use model::{GlobalExpect, ObjectPath};
use serde_json::Value;
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use link::link::Link;
use link::link::error::AskError;

use crate::known::{Known, known_all};
use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, node_spec, note, seconds};
use crate::select::{Selection, scope_of};
use crate::{explain, interrupted, mon, streams};

/// How often a wait looks at the data when no event comes.
const LOOK: Duration = Duration::from_secs(1);

/// Most objects of which it is asked at one look whether anything is to come.
const MOST_QUESTIONS: usize = 8;

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
        let reply = match waits.order(path, &request) {
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
        if is_refused_for_now(&lines) {
            tell_how_long(link, path);
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
        return waits.run();
    }
    if wait.watch && waits.code == 0 {
        let names: Vec<&str> = paths.iter().map(ObjectPath::as_str).collect();
        return mon::watch(om, link, &names.join(","), None);
    }
    Ok(waits.code)
}

/// What an order that came too early has to wait for, as far as it is known, and what ends that.
fn tell_how_long(link: &Link, path: &ObjectPath) {
    let explained = explain::explained(link, path);
    let ready = explained.iter().flat_map(|it| &it.timers).find(|timer| timer.id == "ready");
    if let Some(timer) = ready {
        let (node, left) = (&timer.node, timer.left);
        note(&format!("{path} starts on {node} in {left:.1} s: `--wait` waits until it has"));
        return;
    }
    let candidates = explained.iter().flat_map(|it| &it.candidates);
    let acting = candidates.filter_map(|it| Some((&it.node, it.monitor.as_ref()?)));
    for (node, monitor) in acting.filter(|(_, monitor)| monitor.status.is_transitioning()) {
        let since = monitor.status_updated.unwrap_or_default();
        let lasts = machine::clock::now().since(since).max(0.0);
        note(&format!("{path} on {node}: {} for {lasts:.0} s by now", monitor.status));
    }
    note(&format!("an action runs: `--wait` waits for its end, `om {path} abort` ends it"));
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
    if wait.wait { waits.run() } else { Ok(waits.code) }
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
    match waits.run()? {
        0 => Ok(()),
        code => Err(Failure { lines: vec![], code }),
    }
}

/// Objects that are waited for, or are to be.
struct Waits<'a> {
    link: &'a Link,
    /// None when nothing will be waited for.
    changes: Option<streams::Changes>,
    /// The objects and their slaves before the orders.
    before: BTreeMap<ObjectPath, Known>,
    left: Vec<Waiting>,
    /// 1 once something was refused, failed or late.
    code: u8,
    /// When it began, and how long it may last.
    start: Instant,
    within: Duration,
    /// Whether nobody said how long, and that was not told yet.
    is_default: bool,
}

impl<'a> Waits<'a> {
    /// To be called before the orders, or a quick change would be missed.
    fn begin(link: &'a Link, paths: &[ObjectPath], wait: &Wait) -> Result<Self, Failure> {
        let mut waits = Self {
            link,
            changes: None,
            before: BTreeMap::new(),
            left: vec![],
            code: 0,
            start: Instant::now(),
            within: wait.time.map_or(LONGEST_WAIT, seconds),
            is_default: wait.time.is_none(),
        };
        if !wait.wait {
            return Ok(waits);
        }
        waits.changes = Some(streams::Changes::follow(link));
        waits.before = before(link, paths)?;
        Ok(waits)
    }

    /// What is left of the time that the wait may last.
    fn rest(&self) -> Duration {
        self.within.saturating_sub(self.start.elapsed())
    }

    /// Gives an order. With `--wait`, one that comes while an instance moves is given again once that has ended.
    fn order(&mut self, path: &ObjectPath, request: &Request) -> Result<Value, AskError> {
        let patience = if path.kind().has_instances() { ORDER } else { DELETION };
        let mut is_told = false;
        loop {
            let reply = self.link.ask(request, Some(patience))?;
            let lines = Lines::of(&reply);
            let Some(changes) = self.changes.as_ref().filter(|_| is_refused_for_now(&lines)) else {
                return Ok(reply);
            };
            if self.rest().is_zero() {
                return Ok(reply);
            }
            if !std::mem::replace(&mut is_told, true) {
                lines.errors.iter().for_each(|line| note(&format!("{line}: waits for its end")));
            }
            if !changes.wait(Some(self.rest().min(LOOK))) {
                std::thread::sleep(LOOK / 10);
            }
            // What the other order brought about is no result of this one.
            if let Ok(found) = before(self.link, std::slice::from_ref(path)) {
                self.before.extend(found);
            }
        }
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
    fn run(mut self) -> Done {
        let names: Vec<&str> = self.left.iter().map(|waiting| waiting.path().as_str()).collect();
        if !names.is_empty() {
            let names = names.join(",");
            interrupted::ends_with(format!(
                "what was asked goes on: `om mon {names} --watch` follows it, `om {names} abort` gives it up"
            ));
        }
        let changes = match self.changes.take() {
            Some(changes) => changes,
            None => streams::Changes::follow(self.link),
        };
        let are_several = self.left.len() > 1;
        let mut told: BTreeMap<ObjectPath, Told> = BTreeMap::new();
        loop {
            let paths: Vec<ObjectPath> =
                self.left.iter().map(|waiting| waiting.path().clone()).collect();
            let look = Instant::now();
            let known = known_all(self.link, &paths)?;
            self.look(&known, &mut told, are_several);
            if self.left.is_empty() {
                return Ok(self.code);
            }
            drop(known);
            // Of many objects one changes all the time: not to look is what leaves the daemon its time. Of one, what is
            // reached may not last.
            if self.left.len() > 1 {
                std::thread::sleep((look.elapsed() * PAUSE_LOOKS).min(LOOK));
            }
            let rest = self.rest();
            if rest.is_zero() {
                for waiting in &self.left {
                    let (path, goal, limit) = (waiting.path(), waiting.goal(), self.within);
                    let progress = told.get(path).map_or("", |told| told.progress.as_str());
                    note(&format!(
                        "timeout after {limit:?}: {path} is still to be {goal}: {progress}"
                    ));
                }
                return Ok(1);
            }
            if !changes.wait(Some(rest.min(LOOK))) {
                std::thread::sleep(LOOK / 10);
            }
        }
    }

    /// Judges what is known now of all that are waited for, and keeps those that are to be waited for further.
    fn look(
        &mut self,
        known: &BTreeMap<ObjectPath, Known>,
        told: &mut BTreeMap<ObjectPath, Told>,
        are_several: bool,
    ) {
        let empty = Known::default();
        let mut questions = MOST_QUESTIONS;
        for mut waiting in std::mem::take(&mut self.left) {
            let path = waiting.path().clone();
            let seen = known.get(&path).unwrap_or(&empty).seen();
            let progress = Waiting::progress(seen);
            let told = told.entry(path.clone()).or_insert_with(|| Told::of(String::new()));
            let is_new = told.progress != progress;
            if is_new {
                *told = Told::of(progress.clone());
            }
            let quiet = told.since.elapsed();
            match waiting.look(seen, quiet) {
                Verdict::Reached => note(&waiting.state(seen)),
                Verdict::Failed(reason) => {
                    complain(&reason);
                    self.code = 1;
                }
                Verdict::Pending => {
                    if questions > 0 && told.is_due() {
                        questions -= 1;
                        let explained = explain::explained(self.link, &path);
                        if let Some(reason) = explained.and_then(|it| waiting.stuck(seen, &it)) {
                            let goal = waiting.goal();
                            complain(&reason);
                            note(&format!(
                                "it is still to be {goal}: `om {path} abort` gives it up"
                            ));
                            self.code = 1;
                            continue;
                        }
                    }
                    if is_new && are_several {
                        note(&format!("{path}: {progress}"));
                    } else if is_new {
                        note(&progress);
                    }
                    self.left.push(waiting);
                    self.tell_limit(quiet);
                }
            }
        }
    }

    /// Tells, once a wait turns out to be one, how long it lasts where nobody said.
    fn tell_limit(&mut self, quiet: Duration) {
        if self.is_default && quiet >= STUCK_AFTER {
            self.is_default = false;
            note(&format!("waits for {:?} at most: --time says how long", self.within));
        }
    }
}

/// What was told of an object, and when it became so.
struct Told {
    progress: String,
    since: Instant,
    /// When it was asked last whether anything is to come.
    asked: Option<Instant>,
}

impl Told {
    fn of(progress: String) -> Self {
        Self { progress, since: Instant::now(), asked: None }
    }

    /// Whether it is time to ask whether anything is to come: then that is noted as asked.
    fn is_due(&mut self) -> bool {
        let last = self.asked.unwrap_or(self.since);
        let is_due = last.elapsed() >= STUCK_AFTER;
        if is_due {
            self.asked = Some(Instant::now());
        }
        is_due
    }
}

/// What is known of some objects before an order, and of those that it reaches too: their slaves, and theirs.
fn before(link: &Link, paths: &[ObjectPath]) -> Result<BTreeMap<ObjectPath, Known>, Failure> {
    let mut known: BTreeMap<ObjectPath, Known> = BTreeMap::new();
    let mut next = paths.to_vec();
    while !next.is_empty() {
        let found = known_all(link, &next)?;
        let slaves = found.iter().flat_map(|(path, known)| known.seen().slaves(path));
        let slaves: BTreeSet<ObjectPath> = slaves.collect();
        known.extend(found);
        next = slaves.into_iter().filter(|path| !known.contains_key(path)).collect();
    }
    Ok(known)
}
