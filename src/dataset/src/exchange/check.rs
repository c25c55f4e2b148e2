//! What no message of ours may lack: deployed agents crash on it, all of them, again and again
//! (src/dataset/README.md, What a node publishes).

use super::*;
use model::Document;

/// What is wrong with the data of a node that is about to be sent whole, by path. Empty when nothing is.
#[must_use]
pub fn faults(data: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: &dyn Fn() -> String| {
        if !holds {
            faults.push(what());
        }
    };
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    let number = |value: Option<&Value>| value.is_some_and(Value::is_number);
    let text = |value: Option<&Value>| value.is_some_and(Value::is_string);
    expect(data.get("compat") == Some(&10.into()), &|| "compat is not 10".to_owned());
    expect(text(data.get("monitor").and_then(|monitor| monitor.get("status"))), &|| {
        "monitor has no status".to_owned()
    });
    expect(is_frozen_time(data.get("frozen")), &|| "frozen is no 0 and no float".to_owned());
    expect(object(data.get("gen")).is_some_and(|gens| gens.values().all(Value::is_u64)), &|| {
        "gen has no generations".to_owned()
    });
    expect(number(data.get("updated")), &|| "updated is no time".to_owned());
    for (name, lock) in object(data.get("locks")).unwrap_or_default() {
        let is_lock =
            text(lock.get("id")) && text(lock.get("requester")) && number(lock.get("requested"));
        expect(is_lock, &|| format!("locks.{name} is no lock"));
    }
    let services = data.get("services");
    let (status, config) =
        (services.and_then(|all| all.get("status")), services.and_then(|all| all.get("config")));
    expect(object(status).is_some() && object(config).is_some(), &|| {
        "services has no status or no config".to_owned()
    });
    for (path, instance) in object(status).unwrap_or_default() {
        let monitor = instance.get("monitor");
        expect(text(monitor.and_then(|monitor| monitor.get("status"))), &|| {
            format!("services.status.{path} has no monitor.status")
        });
        let frozen = instance.get("frozen");
        expect(frozen.is_none() || is_frozen_time(frozen), &|| {
            format!("services.status.{path}.frozen is no 0 and no float")
        });
    }
    for (path, entry) in object(config).unwrap_or_default() {
        expect(number(entry.get("updated")), &|| {
            format!("services.config.{path}.updated is no time")
        });
        let scope = entry.get("scope").and_then(Value::as_array);
        expect(text(entry.get("csum")) && scope.is_some(), &|| {
            format!("services.config.{path} has no csum or no scope")
        });
    }
    faults
}

/// 0, or a float: peers do not follow an integer.
fn is_frozen_time(frozen: Option<&Value>) -> bool {
    frozen.is_some_and(|frozen| *frozen == 0 || frozen.is_f64())
}
