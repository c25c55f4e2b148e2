//! What runs on this node and may be started by other members, once they do not know this one any more.

use model::{InstanceStatus, NodeName, ObjectPath, Status};
use serde_json::Value;
use wire::Request;

use dataset::config::LoadedConfig;
use files::load::Load as _;
use link::link::Link;
use link::link::error::AskError;

use crate::instance;
use crate::om::{ANSWER, Failure, Om};

/// The objects that run on this node and that other members may run. Without a daemon, their instances are evaluated here.
pub(super) fn shared_instances(om: &Om, link: &Link) -> Result<Vec<String>, Failure> {
    let request =
        Request::new(wire::DaemonStatus { selector: None, namespace: None, relatives: false });
    let known = match link.ask(&request, Some(ANSWER)) {
        Ok(status) => told(&status, &om.nodename),
        Err(AskError::NotRunning(_)) => evaluated(om),
        Err(error) => return Err(error.into()),
    };
    Ok(known.into_iter().filter_map(|(path, avail)| running(om, &path, avail)).collect())
}

/// The state of an instance, or why it is not known.
type Avail = Result<Option<Status>, String>;

/// What the daemon knows.
fn told(status: &Value, local: &NodeName) -> Vec<(ObjectPath, Avail)> {
    let services = &status["monitor"]["nodes"][local.as_str()]["services"];
    let is_shared = |path: &str| {
        let scope = services["config"][path]["scope"].as_array();
        scope.is_some_and(|scope| scope.iter().any(|node| node != local.as_str()))
    };
    let instances = services["status"].as_object().into_iter().flatten();
    let shared = instances.filter(|(path, _)| is_shared(path));
    let read = shared.filter_map(|(path, instance)| {
        let status: InstanceStatus = serde_json::from_value(instance.clone()).ok()?;
        Some((ObjectPath::parse(path).ok()?, Ok(status.avail)))
    });
    read.collect()
}

/// What is found now.
fn evaluated(om: &Om) -> Vec<(ObjectPath, Avail)> {
    let config = LoadedConfig::load(&om.paths, &om.nodename);
    let shared = config.objects.values().filter(|object| {
        object.has_instance(&om.nodename) && object.scope.iter().any(|node| *node != om.nodename)
    });
    let look = |path: &ObjectPath| match instance::status(om, path, true) {
        Ok(status) => Ok(status.avail),
        Err(failure) => Err(failure.lines.join(", ")),
    };
    shared.map(|object| (object.path.clone(), look(&object.path))).collect()
}

/// How an instance that runs is named; none for one that does not. One whose state says nothing, as that of an application
/// without `check`, runs while processes of it do.
fn running(om: &Om, path: &ObjectPath, avail: Avail) -> Option<String> {
    match avail {
        Ok(Some(Status::Up | Status::Warn)) => Some(path.to_string()),
        Ok(None | Some(Status::NotApplicable | Status::Undef | Status::Unknown)) => {
            match instance::processes(om, path, None) {
                Ok(processes) if processes.is_empty() => None,
                Ok(processes) => {
                    let pids: Vec<String> =
                        processes.iter().map(|(_, pid, _)| pid.to_string()).collect();
                    Some(format!("{path} (processes {})", pids.join(" ")))
                }
                Err(failure) => Some(format!("{path} ({})", failure.lines.join(", "))),
            }
        }
        Ok(Some(_)) => None,
        Err(reason) => Some(format!("{path} ({reason})")),
    }
}
