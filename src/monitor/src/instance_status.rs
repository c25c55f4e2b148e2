//! From what drivers report to the status of an instance (src/monitor/README.md, States).

use std::collections::BTreeMap;
use std::sync::Arc;

use md5::{Digest, Md5};
use model::{
    ConfigCsum, DriverFacts, EncapData, GuestReports, InstanceStatus, Kind, LastFailure,
    ObjectSettings, Orchestrate, Provisioned, ProvisionedState, ResourceSettings, ResourceStatus,
    Status, SubsetStatus, Timestamp, Topology,
};
use serde_json::Value;

use crate::fold;

/// Sections that have a line in `status_group`, as the deployed agents list them.
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

/// Whether a resource is provisioned, as far as its driver and its flag file tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ProvisionedReport {
    /// The driver provisions nothing: nothing is published.
    #[default]
    NoProvisioner,
    /// There is no flag file; the driver's own test, if it has one.
    NoFlag(Option<bool>),
    /// The flag file says so.
    Flag(ProvisionedState),
}

/// What a driver found.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceReport {
    /// `up`, `down`, `warn`, `n/a` or `undef`.
    pub status: Status,
    /// What the resource is, for a reader.
    pub label: String,
    /// Lines `level: text`, levels `info`, `warn` and `error`.
    pub log: Vec<String>,
    /// Driver facts.
    pub info: DriverFacts,
    /// Whether it is provisioned.
    pub provisioned: ProvisionedReport,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Name of its resource set.
    pub subset: Option<String>,
    /// The agent of a guest handles it.
    pub encap: bool,
}

impl Default for ResourceReport {
    fn default() -> Self {
        Self {
            status: Status::NotApplicable,
            label: String::new(),
            log: vec![],
            info: BTreeMap::new(),
            provisioned: ProvisionedReport::NoProvisioner,
            tags: vec![],
            subset: None,
            encap: false,
        }
    }
}

/// Whether the driver is asked for the state of the resource at all.
#[must_use]
pub fn is_evaluated(settings: &ResourceSettings, tags: &[String]) -> bool {
    !settings.disabled && !tags.iter().any(|tag| tag == "nostatus")
}

/// State of a resource, from what its driver found. A resource that is up is provisioned: where the flag says
/// otherwise, it is to be written.
#[must_use]
pub fn resource_status(
    now: Timestamp,
    settings: &ResourceSettings,
    report: ResourceReport,
) -> ResourceStatus {
    let has_tag = |name: &str| report.tags.iter().any(|tag| tag == name);
    let status = match report.status {
        _ if !is_evaluated(settings, &report.tags) => Status::NotApplicable,
        Status::Up if settings.standby => Status::StdbyUp,
        Status::Down if settings.standby => Status::StdbyDown,
        status => status,
    };
    let is_up = matches!(status, Status::Up | Status::StdbyUp);
    let provisioned = match report.provisioned {
        ProvisionedReport::NoProvisioner => None,
        ProvisionedReport::NoFlag(_) | ProvisionedReport::Flag(_) if has_tag("noaction") => None,
        ProvisionedReport::Flag(flag) if flag.state || !is_up => Some(flag),
        ProvisionedReport::Flag(_) | ProvisionedReport::NoFlag(_) if is_up => {
            Some(ProvisionedState { state: true, mtime: Some(now) })
        }
        ProvisionedReport::Flag(flag) => Some(flag),
        ProvisionedReport::NoFlag(found) => {
            Some(ProvisionedState { state: found.unwrap_or(false), mtime: None })
        }
    };
    ResourceStatus {
        status,
        driver: settings.driver.clone(),
        label: report.label,
        provisioned,
        disable: settings.disabled,
        standby: settings.standby,
        encap: report.encap,
        optional: settings.optional || has_tag("noaction"),
        monitor: settings.monitor,
        restart: settings.restart,
        log: report.log,
        info: report.info,
        tags: report.tags,
        subset: report.subset,
    }
}

/// States of an instance over its resources.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceStates {
    /// Over the resources that matter.
    pub avail: Status,
    /// Over everything, warnings included.
    pub overall: Status,
    /// Over the optional resources.
    pub optional: Status,
    /// Per driver group, all groups.
    pub status_group: BTreeMap<String, Status>,
    /// Over the resources that count; none without such a resource.
    pub provisioned: Option<Provisioned>,
}

/// States of an instance over its resources, and over what the guests of its containers report.
#[must_use]
pub fn instance_states(
    settings: &ObjectSettings,
    resources: &BTreeMap<String, Arc<ResourceStatus>>,
    guests: &GuestReports,
) -> InstanceStates {
    let counted: Vec<(&String, &ResourceStatus, Status)> = resources
        .iter()
        .filter(|(_, resource)| !resource.encap)
        .map(|(rid, resource)| (rid, &**resource, counts_as(rid, &resource.status)))
        .collect();
    let guest_states = |key: &str| -> Vec<Status> {
        guests.values().filter_map(|guest| guest.get(key)?.as_str().map(Status::from)).collect()
    };
    let of_optional = |optional: bool| {
        counted
            .iter()
            .filter(move |(_, resource, _)| resource.optional == optional)
            .map(|(_, _, status)| status)
    };
    let guests_avail = guest_states("avail");
    let avail = fold(of_optional(false).chain(&guests_avail));
    let optional = fold(of_optional(true));
    let warnings = resources.values().filter(|resource| is_warning(resource)).map(|_| Status::Warn);
    let more: Vec<Status> = warnings.chain(guest_states("overall")).collect();
    let overall = fold([&avail, &optional].into_iter().chain(&more));
    let status_group = GROUPS
        .iter()
        .map(|group| {
            let of_group =
                counted.iter().filter(|(rid, ..)| group_of(rid) == *group).map(|(_, _, s)| s);
            ((*group).to_owned(), fold(of_group))
        })
        .collect();
    InstanceStates {
        avail,
        overall,
        optional,
        status_group,
        provisioned: provisioned(settings, resources),
    }
}

fn group_of(rid: &str) -> &str {
    rid.split_once('#').map_or(rid, |(group, _)| group)
}

/// A synchronization that is done changes nothing; one that is late is a warning.
fn counts_as(rid: &str, status: &Status) -> Status {
    match (group_of(rid), status) {
        ("sync", Status::Up) => Status::NotApplicable,
        ("sync", Status::Down) => Status::Warn,
        (_, status) => status.clone(),
    }
}

fn is_warning(resource: &ResourceStatus) -> bool {
    resource.log.iter().any(|line| line.starts_with("warn: ") || line.starts_with("error: "))
}

fn provisioned(
    settings: &ObjectSettings,
    resources: &BTreeMap<String, Arc<ResourceStatus>>,
) -> Option<Provisioned> {
    let is_ignored = |rid: &String| {
        settings.resources.get(rid).is_some_and(|resource| resource.ignore_provisioned)
    };
    let mut counted = resources
        .iter()
        .filter(|(rid, resource)| !resource.disable && !is_ignored(rid))
        .map(|(_, resource)| resource.provisioned.map(|provisioned| provisioned.state))
        .peekable();
    counted.peek()?;
    let states: Vec<bool> = counted.flatten().collect();
    Some(if states.iter().all(|state| *state) {
        Provisioned::Yes
    } else if states.iter().all(|state| !*state) {
        Provisioned::No
    } else {
        Provisioned::Mixed
    })
}

/// What the status of an instance tells beside its resources.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceFacts {
    /// When the evaluation was done.
    pub updated: Timestamp,
    /// Checksum of the configuration it was made from.
    pub config_csum: Option<ConfigCsum>,
    /// Kind of the object.
    pub kind: Kind,
    /// Keyword `app`.
    pub app: String,
    /// Keyword `env`.
    pub env: String,
    /// Modification time of the instance frozen flag, never if there is none.
    pub frozen: Timestamp,
    /// Resources with a task running.
    pub running: Vec<String>,
    /// Resource sets that act in parallel.
    pub parallel_subsets: Vec<String>,
    /// Slices of a scaler that are configured.
    pub scaler_slaves: Vec<String>,
    /// This node is a disaster recovery node of the object.
    pub drp: bool,
    /// Pool of a volume.
    pub pool: Option<String>,
    /// Size of a volume in bytes.
    pub size: Option<i64>,
    /// Encapsulation.
    pub encap: Option<EncapData>,
    /// Why the last action on it failed.
    pub last_failure: Option<LastFailure>,
}

/// The status of an instance, without its monitor.
#[must_use]
pub fn instance_status(
    settings: &ObjectSettings,
    facts: InstanceFacts,
    resources: BTreeMap<String, Arc<ResourceStatus>>,
) -> InstanceStatus {
    let no_guests = BTreeMap::new();
    let guests = match &facts.encap {
        Some(EncapData::Host(guests)) => guests,
        Some(EncapData::Guest(_)) | None => &no_guests,
    };
    let states = instance_states(settings, &resources, guests);
    let flex = (settings.topology == Topology::Flex).then_some(settings.flex);
    let is_failover = settings.topology == Topology::Failover;
    let subsets =
        facts.parallel_subsets.into_iter().map(|id| (id, SubsetStatus { parallel: true }));
    let mut status = InstanceStatus {
        updated: facts.updated,
        config_csum: facts.config_csum,
        kind: Some(facts.kind),
        app: Some(facts.app),
        env: Some(facts.env),
        placement: Some(settings.placement.as_str().to_owned()),
        topology: Some(settings.topology.as_str().to_owned()),
        frozen: Some(facts.frozen),
        stonith: settings.stonith && is_failover && states.avail == Status::Up,
        avail: Some(states.avail),
        overall: Some(states.overall),
        optional: Some(states.optional),
        status_group: Some(Arc::new(states.status_group)),
        resources: Some(resources),
        subsets: Some(subsets.collect()),
        csum: None,
        priority: (settings.priority != 100).then_some(settings.priority),
        running: facts.running,
        flex_target: flex.map(|flex| flex.target),
        flex_min: flex.map(|flex| flex.min),
        flex_max: flex.map(|flex| flex.max),
        constraints: (!settings.constraints).then_some(false),
        slaves: settings.slaves.clone(),
        parents: settings.parents.clone(),
        children: settings.children.clone(),
        orchestrate: (settings.orchestrate != Orchestrate::No)
            .then(|| settings.orchestrate.as_str().to_owned()),
        scale: settings.scale,
        scaler_slave: settings.scaler_slave,
        scaler_slaves: facts.scaler_slaves,
        drp: facts.drp,
        pool: facts.pool,
        size: facts.size,
        encap: facts.encap,
        provisioned: states.provisioned,
        last_failure: facts.last_failure.map(Box::new),
        monitor: None,
        preserved: false,
    };
    status.csum = Some(digest(&status));
    status
}

/// Digest of an instance status, to tell a change: times are left out.
#[must_use]
pub fn digest(status: &InstanceStatus) -> String {
    let value = serde_json::to_value(status).expect("an instance status has text keys only");
    let mut digest = Md5::new();
    add(&mut digest, &value);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(digest: &mut Md5, value: &Value) {
    match value {
        // Sorted by key, as serde_json keeps maps.
        Value::Object(map) => {
            for (key, value) in map {
                if !matches!(
                    key.as_str(),
                    "status_updated" | "updated" | "mtime" | "csum" | "monitor"
                ) {
                    digest.update(key);
                    add(digest, value);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| add(digest, value)),
        Value::String(text) => {
            digest.update("'");
            digest.update(text);
            digest.update("'");
        }
        Value::Bool(true) => digest.update("True"),
        Value::Bool(false) => digest.update("False"),
        Value::Null => digest.update("None"),
        Value::Number(number) => digest.update(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(avail: Status, updated: f64) -> InstanceStatus {
        InstanceStatus {
            updated: Timestamp(updated),
            avail: Some(avail),
            ..InstanceStatus::default()
        }
    }

    #[test]
    fn a_digest_tells_a_change_and_not_the_time() {
        assert_eq!(digest(&status(Status::Up, 1.0)), digest(&status(Status::Up, 2.0)));
        assert_ne!(digest(&status(Status::Up, 1.0)), digest(&status(Status::Down, 1.0)));
    }

    #[test]
    fn what_the_guests_report_adds_to_the_states_of_the_host() {
        let guests = BTreeMap::from([(
            "container#1".to_owned(),
            serde_json::json!({"avail": "down", "overall": "warn"}),
        )]);
        let up = ResourceStatus {
            status: Status::Up,
            ..resource_status(
                Timestamp(1.0),
                &ResourceSettings::default(),
                ResourceReport::default(),
            )
        };
        let resources = BTreeMap::from([("container#1".to_owned(), Arc::new(up))]);
        let states = instance_states(&ObjectSettings::default(), &resources, &guests);
        assert_eq!((states.avail, states.overall), (Status::Warn, Status::Warn));
    }

    #[test]
    fn stonith_is_published_by_the_active_failover_instance_only() {
        let settings = ObjectSettings { stonith: true, ..ObjectSettings::default() };
        let facts = || InstanceFacts {
            updated: Timestamp(1.0),
            config_csum: None,
            kind: Kind::Svc,
            app: "default".to_owned(),
            env: "TST".to_owned(),
            frozen: Timestamp::NEVER,
            running: vec![],
            parallel_subsets: vec![],
            scaler_slaves: vec![],
            drp: false,
            pool: None,
            size: None,
            encap: None,
            last_failure: None,
        };
        let resource = |status| {
            let report = ResourceReport { status, ..ResourceReport::default() };
            let resource = resource_status(Timestamp(1.0), &ResourceSettings::default(), report);
            BTreeMap::from([("app#1".to_owned(), Arc::new(resource))])
        };
        assert!(instance_status(&settings, facts(), resource(Status::Up)).stonith);
        assert!(!instance_status(&settings, facts(), resource(Status::Down)).stonith);
        let flex = ObjectSettings { topology: Topology::Flex, ..settings };
        assert!(!instance_status(&flex, facts(), resource(Status::Up)).stonith);
    }
}
