//! Evaluation of an instance: every resource at once, each within a deadline, then their sum.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use machine::{last_failure, regular};
use model::{EncapData, InstanceStatus, Kind, ObjectPath, ResourceStatus, Status, Timestamp};
use monitor::{InstanceFacts, ProvisionedReport, ResourceReport};

use crate::driver::{Instance, Phase, Resource, Scene};
use crate::host::{Host, Parked};
use crate::journal::Journal;
use crate::report::Report;
use crate::{leftovers, status_file};

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The whole instance status, without its monitor.
    pub status: InstanceStatus,
    /// What to watch until the next evaluation.
    pub watch: Watch,
}

/// What changes the state of a resource without telling anybody, by resource id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch {
    /// Processes whose end matters.
    pub pids: BTreeMap<String, BTreeSet<u32>>,
    /// Files and folders whose appearance, change or end matters. Their folder is to be watched, never themselves.
    pub files: BTreeMap<String, BTreeSet<PathBuf>>,
}

impl Watch {
    /// Takes over what another one watches for a resource.
    fn keep(&mut self, other: &Self, rid: &str) {
        if let Some(pids) = other.pids.get(rid) {
            self.pids.insert(rid.to_owned(), pids.clone());
        }
        if let Some(files) = other.files.get(rid) {
            self.files.insert(rid.to_owned(), files.clone());
        }
    }
}

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
    // What was asked and changed: whatever looks at it is asked too.
    let mut has_changed = false;
    for phase in [Phase::Base, Phase::App, Phase::Last] {
        let mut asked = vec![];
        for (index, resource) in instance.resources.iter().enumerate() {
            if resource.driver.phase() != phase {
                continue;
            }
            let rid = resource.rid.as_str();
            if !has_changed
                && is_kept(rid)
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
        let mut changes = false;
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
            let published = publish(host, instance, resource, updated, found);
            let old = kept.and_then(|kept| kept.get(&rid)).map(|old| &**old);
            changes |= old.is_none_or(|old| old.status != published.status);
            status_file::note(instance, &rid, updated, &published, old);
            states.insert(rid.clone(), published.status.clone());
            let resource = match old {
                // What did not change is not held twice while somebody looks at the status before.
                Some(_) if old == Some(&published) => kept.and_then(|kept| kept.get(&rid)).cloned(),
                _ => None,
            };
            resources.insert(rid, resource.unwrap_or_else(|| Arc::new(published)));
        }
        has_changed |= changes;
    }
    for (rid, left, pids) in leftovers::of_removed(host, instance) {
        watch.pids.insert(rid.clone(), pids);
        resources.insert(rid, Arc::new(left));
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
            let limit = resource.driver.deadline().unwrap_or(host.deadline);
            found[place] = Some(late(limit, false, &key));
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
    let started = Instant::now();
    let limit = |place: usize| {
        let own = instance.resources[asked[place]].driver.deadline();
        own.map_or(host.deadline, |own| own.min(host.deadline))
    };
    loop {
        let pending: Vec<usize> =
            (0..found.len()).filter(|place| found[*place].is_none()).collect();
        let Some(next) = pending.iter().map(|place| limit(*place)).min() else { break };
        match receiver.recv_timeout(next.saturating_sub(started.elapsed())) {
            // One that is late has its answer already.
            Ok((place, outcome)) => {
                found[place].get_or_insert(outcome);
            }
            Err(RecvTimeoutError::Disconnected) => {
                for place in pending {
                    let gone = Found::undef("the driver failed on an error of its own");
                    found[place] = Some(gone);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                for place in pending {
                    if started.elapsed() < limit(place) {
                        continue;
                    }
                    let rid = instance.resources[asked[place]].rid.to_string();
                    let key = (instance.path.clone(), rid);
                    if let Some(done) = parked_flags.remove(&place) {
                        park(host, &key, &done);
                    }
                    found[place] = Some(late(limit(place), true, &key));
                }
            }
        }
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

fn late(limit: Duration, is_new: bool, (path, rid): &(ObjectPath, String)) -> Found {
    let text = format!("evaluation takes longer than {limit:?}");
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
    evaluate_one(&scene(host, instance, resource, &journal, states, known_pids))
}

/// What a driver sees during an evaluation.
fn scene<'a>(
    host: &'a Host,
    instance: &'a Instance,
    resource: &'a Resource,
    journal: &'a Journal,
    states: &'a BTreeMap<String, Status>,
    known_pids: Option<&'a BTreeSet<u32>>,
) -> Scene<'a> {
    Scene {
        host,
        instance,
        resource,
        journal,
        states,
        state: None,
        known_pids,
        is_forced: false,
        is_leader: false,
        is_scheduled: false,
        is_confirmed: false,
        runs: None,
    }
}

/// Turns what was found into what is published, and notes that what is up is provisioned.
fn publish(
    host: &Host,
    instance: &Instance,
    resource: &Resource,
    now: Timestamp,
    found: Found,
) -> ResourceStatus {
    let Found { status, report } = found;
    let flag = provisioned(host, instance, resource);
    let mut published = monitor::resource_status(
        now,
        &resource.settings(),
        ResourceReport {
            status,
            label: report.label.unwrap_or_else(|| resource.driver.label()),
            log: report.log,
            info: report.info,
            provisioned: flag,
            tags: resource.tags.iter().cloned().collect(),
            subset: resource.subset.clone(),
            encap: resource.is_encap,
        },
    );
    let is_noted = match flag {
        ProvisionedReport::NoProvisioner => true,
        ProvisionedReport::NoFlag(_) => false,
        ProvisionedReport::Flag(flag) => flag.state,
    };
    let is_up = matches!(published.status, Status::Up | Status::StdbyUp);
    if is_up && !is_noted && published.provisioned.is_some() {
        let folder = instance.var_dir.join(resource.rid.as_str());
        match status_file::set_provisioned(&folder, true, None) {
            Ok(()) => published.provisioned = status_file::provisioned(&folder),
            Err(error) => {
                instance.journal.resource(resource.rid.as_str()).warn(format_args!("{error}"));
            }
        }
    }
    published
}

/// What flag file and driver tell of the provisioned state of a resource.
fn provisioned(host: &Host, instance: &Instance, resource: &Resource) -> ProvisionedReport {
    if !resource.has_provisioned_state() {
        return ProvisionedReport::NoProvisioner;
    }
    let folder = instance.var_dir.join(resource.rid.as_str());
    if let Some(flag) = status_file::provisioned(&folder) {
        return ProvisionedReport::Flag(flag);
    }
    // A disabled resource is not touched, not even to look.
    if resource.is_disabled || resource.tags.contains("noaction") {
        return ProvisionedReport::NoFlag(None);
    }
    let journal = instance.journal.resource(resource.rid.as_str());
    let states = BTreeMap::new();
    let scene = scene(host, instance, resource, &journal, &states, None);
    ProvisionedReport::NoFlag(resource.driver.is_provisioned(&scene))
}

/// The slices of a scaler that are configured here, by number.
fn slices(host: &Host, instance: &Instance) -> Vec<String> {
    if instance.settings.scale.is_none() {
        return vec![];
    }
    let file = host.paths.config_file(&instance.path);
    let mut slices = BTreeMap::new();
    for entry in file.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten() {
        let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
        let number = name.to_str().and_then(|name| name.split_once('.')?.0.parse().ok());
        let slice = number.map(|number: usize| (number, instance.path.slice(number)));
        if let Some((number, path)) =
            slice.filter(|(_, path)| host.paths.config_file(path).file_name() == Some(&name))
        {
            slices.insert(number, path.to_string());
        }
    }
    slices.into_values().collect()
}

/// Adds the resources up to the status of the instance.
fn sum(
    host: &Host,
    instance: &Instance,
    updated: Timestamp,
    resources: BTreeMap<String, Arc<ResourceStatus>>,
    running: Vec<String>,
) -> InstanceStatus {
    let kind = instance.path.kind();
    if !kind.has_instances() {
        let config_csum = instance.config_csum;
        let kind = Some(kind);
        let mut status = InstanceStatus { updated, config_csum, kind, ..InstanceStatus::default() };
        status.csum = Some(monitor::digest(&status));
        return status;
    }
    let section = instance.section("DEFAULT");
    let text = |keyword: &str| section.text(keyword).ok().flatten();
    let here = &host.nodename;
    let encapnodes = section.words("encapnodes").unwrap_or_default();
    let is_guest = encapnodes.iter().any(|node| node == here.as_str());
    let is_vol = kind == Kind::Vol;
    let frozen = regular::last_written(&host.paths.instance_frozen(&instance.path));
    let facts = InstanceFacts {
        updated,
        config_csum: instance.config_csum,
        kind,
        app: text("app").unwrap_or_else(|| "default".to_owned()),
        env: text("env").unwrap_or_else(|| host.node.env.clone()),
        frozen: frozen.unwrap_or(Timestamp::NEVER),
        running,
        parallel_subsets: instance.parallel.iter().cloned().collect(),
        scaler_slaves: slices(host, instance),
        drp: instance.settings.drpnodes.contains(here),
        pool: if is_vol { text("pool") } else { None },
        size: if is_vol { section.integer("size").ok().flatten() } else { None },
        encap: is_guest.then_some(EncapData::Guest(true)),
        last_failure: last_failure::read(&host.paths, &instance.path),
    };
    monitor::instance_status(&instance.settings, facts, resources)
}
