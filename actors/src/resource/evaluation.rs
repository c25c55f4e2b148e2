//! Evaluation of an instance: every resource at once, each within a deadline, then their sum.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use model::{
    EncapData, InstanceStatus, ObjectPath, Orchestrate, Provisioned, ProvisionedState,
    ResourceStatus, Status, SubsetStatus, Timestamp, Topology,
};
use serde_json::Value;

use super::driver::{Phase, Report, Scene};
use super::host::Host;
use super::instance::{Instance, Resource};
use super::{Evaluation, Watch, status_file};

/// Groups that `status_group` always shows.
const GROUPS: [&str; 16] = [
    "DEFAULT",
    "app",
    "certificate",
    "container",
    "disk",
    "expose",
    "fs",
    "hashpolicy",
    "ip",
    "route",
    "share",
    "subset",
    "sync",
    "task",
    "vhost",
    "volume",
];

/// Evaluations that are past their deadline, by object and resource: their threads are still inside a system call. Who
/// evaluates again finds them here, and starts no second thread.
pub(crate) type Parked = BTreeMap<(ObjectPath, String), Arc<AtomicBool>>;

/// State and report of one resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// The state, before the standby flag is applied.
    pub status: Status,
    /// What the driver said.
    pub report: Report,
}

impl Found {
    fn undef(reason: impl std::fmt::Display) -> Self {
        let mut report = Report::default();
        report.error(reason);
        Self { status: Status::Undef, report }
    }
}

/// Evaluates an instance. `rids` limits whom to ask, the others keep what they had in `previous`.
pub(crate) fn evaluate(
    host: &Host,
    instance: &Arc<Instance>,
    updated: Timestamp,
    previous: Option<&InstanceStatus>,
    known: Option<&Watch>,
    rids: Option<&BTreeSet<String>>,
) -> Evaluation {
    let kept = previous.and_then(|previous| previous.resources.as_ref());
    let is_kept = |rid: &str| {
        rids.is_some_and(|rids| !rids.contains(rid))
            && kept.is_some_and(|kept| kept.contains_key(rid))
    };
    let mut states = BTreeMap::new();
    let mut resources = BTreeMap::new();
    let mut watch = Watch::default();
    let mut running = vec![];
    for phase in [Phase::Base, Phase::App, Phase::Last] {
        let mut asked = vec![];
        for (index, resource) in instance.resources.iter().enumerate() {
            if resource.driver.phase() != phase {
                continue;
            }
            let rid = resource.rid.as_str();
            if is_kept(rid)
                && let Some(old) = kept.and_then(|kept| kept.get(rid))
            {
                states.insert(rid.to_owned(), old.status.clone());
                resources.insert(rid.to_owned(), old.clone());
                if let Some(known) = known {
                    watch.keep(known, rid);
                }
                running.extend(
                    previous
                        .iter()
                        .flat_map(|previous| &previous.running)
                        .filter(|run| *run == rid)
                        .cloned(),
                );
                continue;
            }
            asked.push(index);
        }
        let found = ask(host, instance, &asked, &states, known);
        for (index, found) in asked.into_iter().zip(found) {
            let resource = &instance.resources[index];
            let rid = resource.rid.to_string();
            if found.report.is_running {
                running.push(rid.clone());
            }
            if !found.report.pids.is_empty() {
                watch.pids.insert(rid.clone(), found.report.pids.clone());
            }
            if !found.report.files.is_empty() {
                watch.files.insert(rid.clone(), found.report.files.clone());
            }
            let published = publish(host, instance, resource, found);
            let old = kept.and_then(|kept| kept.get(&rid));
            status_file::note(instance, &rid, updated, &published, old);
            states.insert(rid.clone(), published.status.clone());
            resources.insert(rid, published);
        }
    }
    Evaluation { status: sum(host, instance, updated, resources, running), watch }
}

/// The state of one resource now, without publishing it.
pub(crate) fn evaluate_one(scene: &Scene<'_>) -> Found {
    let resource = scene.resource;
    if resource.is_disabled || resource.tags.contains("nostatus") || resource.is_encap {
        return Found { status: Status::NotApplicable, report: Report::default() };
    }
    let mut report = Report::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| resource.driver.evaluate(scene, &mut report)));
    match outcome {
        Ok(Ok(status)) => Found { status, report },
        Ok(Err(failure)) => {
            report.error(failure);
            Found { status: Status::Undef, report }
        }
        Err(_) => {
            report.error("the driver failed on an error of its own");
            Found { status: Status::Undef, report }
        }
    }
}

/// The state with the standby flag applied.
pub(crate) fn standby_state(resource: &Resource, status: Status) -> Status {
    match status {
        Status::Up if resource.is_standby => Status::StdbyUp,
        Status::Down if resource.is_standby => Status::StdbyDown,
        other => other,
    }
}

/// Asks resources, each on a thread of its own if it may hang.
fn ask(
    host: &Host,
    instance: &Arc<Instance>,
    asked: &[usize],
    states: &BTreeMap<String, Status>,
    known: Option<&Watch>,
) -> Vec<Found> {
    let pids = |rid: &str| known.and_then(|known| known.pids.get(rid)).cloned();
    let mut found: Vec<Option<Found>> = vec![None; asked.len()];
    let mut parked_flags: BTreeMap<usize, Arc<AtomicBool>> = BTreeMap::new();
    let (sender, receiver) = mpsc::channel();
    for (place, index) in asked.iter().copied().enumerate() {
        let resource = &instance.resources[index];
        let key = (instance.path.clone(), resource.rid.to_string());
        if !resource.driver.may_hang() || resource.is_disabled {
            found[place] = Some(ask_one(host, instance, index, states, pids(&key.1).as_ref()));
            continue;
        }
        if host.parked.load().get(&key).is_some_and(|done| !done.load(Ordering::Acquire)) {
            found[place] = Some(late(host, false, &key));
            continue;
        }
        let done = Arc::new(AtomicBool::new(false));
        parked_flags.insert(place, done.clone());
        let (host, instance, sender) = (host.clone(), instance.clone(), sender.clone());
        let (states, pids) = (states.clone(), pids(&key.1));
        let spawned =
            std::thread::Builder::new().name(format!("check {}", key.1)).spawn(move || {
                let outcome = ask_one(&host, &instance, index, &states, pids.as_ref());
                done.store(true, Ordering::Release);
                // Nobody listens any more after the deadline.
                _ = sender.send((place, outcome));
            });
        if let Err(error) = spawned {
            parked_flags.remove(&place);
            found[place] = Some(Found::undef(format_args!("no thread to evaluate: {error}")));
        }
    }
    drop(sender);
    let deadline = Instant::now() + host.deadline;
    while found.iter().any(Option::is_none) {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok((place, outcome)) => found[place] = Some(outcome),
            Err(_) => break,
        }
    }
    let late_ones: Vec<usize> = (0..found.len()).filter(|place| found[*place].is_none()).collect();
    for place in late_ones {
        let rid = instance.resources[asked[place]].rid.to_string();
        let key = (instance.path.clone(), rid);
        if let Some(done) = parked_flags.remove(&place) {
            park(host, &key, &done);
        }
        found[place] = Some(late(host, true, &key));
    }
    found.into_iter().flatten().collect()
}

/// Remembers an evaluation that is late, and forgets those that came back.
fn park(host: &Host, key: &(ObjectPath, String), done: &Arc<AtomicBool>) {
    host.parked.rcu(|parked| {
        let mut parked: Parked = parked
            .iter()
            .filter(|(_, done)| !done.load(Ordering::Acquire))
            .map(|(key, done)| (key.clone(), done.clone()))
            .collect();
        parked.insert(key.clone(), done.clone());
        parked
    });
}

fn late(host: &Host, is_new: bool, (path, rid): &(ObjectPath, String)) -> Found {
    let text = format!("evaluation takes longer than {:?}", host.deadline);
    if is_new {
        log::warn!(path:% = path, rid:% = rid; "{text}");
    }
    let mut report = Report::default();
    report.warn(text);
    Found { status: Status::Warn, report }
}

fn ask_one(
    host: &Host,
    instance: &Instance,
    index: usize,
    states: &BTreeMap<String, Status>,
    known_pids: Option<&BTreeSet<u32>>,
) -> Found {
    let resource = &instance.resources[index];
    let journal = instance.journal.resource(resource.rid.as_str());
    evaluate_one(&Scene {
        host,
        instance,
        resource,
        journal: &journal,
        states,
        known_pids,
        is_forced: false,
        is_leader: false,
        is_scheduled: false,
        is_confirmed: false,
    })
}

/// Turns what was found into what is published.
fn publish(host: &Host, instance: &Instance, resource: &Resource, found: Found) -> ResourceStatus {
    let Found { status, report } = found;
    let status = standby_state(resource, status);
    ResourceStatus {
        provisioned: provisioned(host, instance, resource, &status),
        status,
        driver: resource.kind.clone(),
        label: report.label.unwrap_or_else(|| resource.driver.label()),
        disable: resource.is_disabled,
        standby: resource.is_standby,
        encap: resource.is_encap,
        optional: resource.is_optional,
        monitor: resource.is_monitored,
        restart: resource.restart,
        log: report.log,
        info: report.info,
        tags: resource.tags.iter().cloned().collect(),
        subset: resource.subset.clone(),
    }
}

/// The provisioned state of a resource (orchestration.md §1).
pub(crate) fn provisioned(
    host: &Host,
    instance: &Instance,
    resource: &Resource,
    status: &Status,
) -> Option<ProvisionedState> {
    if !resource.has_provisioned_state() || resource.tags.contains("noaction") {
        return None;
    }
    let folder = instance.var_dir.join(resource.rid.as_str());
    let flag = status_file::provisioned(&folder);
    if matches!(status, Status::Up | Status::StdbyUp) && flag.is_none_or(|flag| !flag.state) {
        // What is up was provisioned, by whomever.
        if let Err(error) = status_file::set_provisioned(&folder, true, None) {
            instance.journal.resource(resource.rid.as_str()).warn(format_args!("{error}"));
            return Some(ProvisionedState { state: true, mtime: None });
        }
        return status_file::provisioned(&folder);
    }
    flag.or_else(|| {
        let journal = instance.journal.resource(resource.rid.as_str());
        let scene = Scene {
            host,
            instance,
            resource,
            journal: &journal,
            states: &BTreeMap::new(),
            known_pids: None,
            is_forced: false,
            is_leader: false,
            is_scheduled: false,
            is_confirmed: false,
        };
        // A disabled resource is not touched, not even to look.
        let test = if resource.is_disabled { None } else { resource.driver.is_provisioned(&scene) };
        Some(ProvisionedState { state: test.unwrap_or(false), mtime: None })
    })
}

/// What a state counts as in sums: a sync that is down is no outage.
fn counted(rid: &str, status: &Status) -> Status {
    match status {
        Status::Up if rid.starts_with("sync#") => Status::NotApplicable,
        Status::Down if rid.starts_with("sync#") => Status::Warn,
        other => other.clone(),
    }
}

/// Adds the resources up to the status of the instance.
fn sum(
    host: &Host,
    instance: &Instance,
    updated: Timestamp,
    resources: BTreeMap<String, ResourceStatus>,
    running: Vec<String>,
) -> InstanceStatus {
    let kind = instance.path.kind();
    if !kind.has_instances() {
        let mut status =
            InstanceStatus { updated, kind: Some(kind), constraints: true, ..Default::default() };
        status.csum = Some(digest(&status));
        return status;
    }
    let settings = &instance.settings;
    let states = |is_optional: bool| -> Vec<Status> {
        resources
            .iter()
            .filter(|(_, resource)| resource.optional == is_optional)
            .map(|(rid, resource)| counted(rid, &resource.status))
            .collect()
    };
    let avail = monitor::fold(&states(false));
    let optional = monitor::fold(&states(true));
    let warnings = resources
        .values()
        .filter(|resource| {
            resource
                .log
                .iter()
                .any(|line| line.starts_with("warn: ") || line.starts_with("error: "))
        })
        .count();
    let mut all = vec![avail.clone(), optional.clone()];
    all.extend(std::iter::repeat_n(Status::Warn, warnings));
    let overall = monitor::fold(&all);
    let section = instance.section("DEFAULT");
    let text = |keyword: &str| section.text(keyword).ok().flatten();
    let is_flex = settings.topology == Topology::Flex;
    let here = &host.nodename;
    let encapnodes = section.words("encapnodes").unwrap_or_default();
    let is_guest = encapnodes.iter().any(|node| node == here.as_str());
    let is_vol = kind == model::Kind::Vol;
    let is_stonith =
        settings.stonith && settings.topology == Topology::Failover && avail == Status::Up;
    let mut status = InstanceStatus {
        updated,
        kind: Some(kind),
        app: Some(text("app").unwrap_or_else(|| "default".to_owned())),
        env: Some(text("env").unwrap_or_else(|| host.node.env.clone())),
        placement: Some(settings.placement.to_string()),
        topology: Some(settings.topology.to_string()),
        frozen: Some(
            status_file::modified(&instance.var_dir.join("frozen")).unwrap_or(Timestamp::NEVER),
        ),
        status_group: Some(groups(&resources)),
        provisioned: aggregate_provisioned(instance, &resources),
        avail: Some(avail),
        overall: Some(overall),
        optional: Some(optional),
        resources: Some(resources),
        subsets: Some(
            instance
                .parallel
                .iter()
                .map(|set| (set.clone(), SubsetStatus { parallel: true }))
                .collect(),
        ),
        csum: None,
        priority: (settings.priority != 100 && !is_vol).then_some(settings.priority),
        running,
        flex_target: is_flex.then_some(settings.flex.target),
        flex_min: is_flex.then_some(settings.flex.min),
        flex_max: is_flex.then_some(settings.flex.max),
        constraints: settings.constraints,
        slaves: settings.slaves.clone(),
        parents: settings.parents.clone(),
        children: settings.children.clone(),
        orchestrate: (settings.orchestrate != Orchestrate::No)
            .then(|| settings.orchestrate.to_string()),
        scale: settings.scale,
        scaler_slave: settings.scaler_slave,
        scaler_slaves: vec![],
        drp: settings.drpnodes.contains(here),
        pool: if is_vol { text("pool") } else { None },
        size: if is_vol { section.integer("size").ok().flatten() } else { None },
        encap: is_guest.then_some(EncapData::Guest(true)),
        stonith: is_stonith,
        monitor: None,
        preserved: false,
    };
    status.csum = Some(digest(&status));
    status
}

fn groups(resources: &BTreeMap<String, ResourceStatus>) -> BTreeMap<String, Status> {
    let mut groups: BTreeMap<&str, Vec<Status>> =
        GROUPS.iter().map(|group| (*group, vec![])).collect();
    for (rid, resource) in resources {
        let group = rid.split('#').next().unwrap_or(rid);
        groups.entry(group).or_default().push(counted(rid, &resource.status));
    }
    groups.into_iter().map(|(group, states)| (group.to_owned(), monitor::fold(&states))).collect()
}

fn aggregate_provisioned(
    instance: &Instance,
    resources: &BTreeMap<String, ResourceStatus>,
) -> Option<Provisioned> {
    let counting: Vec<Option<bool>> = instance
        .resources
        .iter()
        .filter(|resource| {
            !resource.is_disabled && resource.is_provisionable && resource.is_unprovisionable
        })
        .filter_map(|resource| resources.get(resource.rid.as_str()))
        .map(|status| status.provisioned.map(|provisioned| provisioned.state))
        .collect();
    if counting.is_empty() {
        return None;
    }
    let is_all =
        |wanted: bool| counting.iter().all(|state| state.is_none_or(|state| state == wanted));
    Some(if is_all(true) {
        Provisioned::Yes
    } else if is_all(false) {
        Provisioned::No
    } else {
        Provisioned::Mixed
    })
}

/// A digest of everything but times, to tell a change.
pub(crate) fn digest(status: &InstanceStatus) -> String {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    strip_times(&mut value);
    monitor::md5_hex(value.to_string().as_bytes())
}

fn strip_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["status_updated", "updated", "mtime", "csum"] {
                map.remove(key);
            }
            map.values_mut().for_each(strip_times);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_times),
        _ => {}
    }
}
