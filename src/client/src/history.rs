//! `om <path> history`, `om node history`: what happened, why, and for how long the object was down.
//!
//! Each node tells its own journal; they are put in order here. Without a daemon, what the files of this node have.

use std::collections::BTreeMap;

use cli::render::{Downtime, HistoryLine, downtime, history};
use cli::{HistoryOptions, Target};
use link::link::Link;
use link::link::error::AskError;
use model::{NodeName, ObjectPath, Record, Timestamp};
use monitor::history::{Outage, Told, outages};
use serde_json::{Value, json};
use wire::{NodeSpec, Request};

use crate::logs::entries::local_time;
use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, node_spec, note, print};

/// The history of objects.
pub(super) fn objects(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    options: &HistoryOptions,
    target: &Target,
) -> Done {
    let spec = node_spec(target, Some(NodeSpec::Selector("*".to_owned())));
    let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    let mut failures = vec![];
    for path in paths {
        let request = wire::ObjectHistory { path: path.to_string(), since: None };
        let read = ask(om, link, Request::new(request), spec.clone(), Some(path))?;
        failures.extend(read.failures);
        told.insert(path.to_string(), read.told);
    }
    let now = machine::clock::now();
    let from = from(options, now);
    let objects: Vec<(String, Vec<Told>, Vec<Outage>)> = told
        .into_iter()
        .map(|(path, told)| {
            let mut outages = outages(&told);
            outages.retain(|outage| outage.until.is_none_or(|until| until.0 > from.0));
            let told = told.into_iter().filter(|it| it.record.t.0 >= from.0).collect();
            (path, told, outages)
        })
        .collect();
    if om.is_machine_readable() {
        let value: serde_json::Map<String, Value> = objects
            .iter()
            .map(|(path, told, outages)| (path.clone(), object_json(told, outages, from, now)))
            .collect();
        let value = match objects.len() {
            1 => value.into_iter().next().map(|(_, value)| value).unwrap_or_default(),
            _ => value.into(),
        };
        om.show(&value, cli::render::json);
    } else {
        show(&objects, options, from, now);
    }
    finish(&failures, objects.iter().all(|(_, told, _)| told.is_empty()))
}

/// The history of an object, the newest first, then what it adds up to.
#[cfg(feature = "tui")]
pub(crate) fn newest_first(
    om: &Om,
    link: &Link,
    path: &ObjectPath,
) -> Result<cli::render::Text, Failure> {
    let request = Request::new(wire::ObjectHistory { path: path.to_string(), since: None });
    let spec = Some(NodeSpec::Selector("*".to_owned()));
    let Read { told, .. } = ask(om, link, request, spec, Some(path))?;
    let sum = sum(&outages(&told), Timestamp::NEVER, machine::clock::now());
    let mut text = downtime(path.as_str(), &sum);
    let lines: Vec<HistoryLine<'_>> = lines(&told, None).into_iter().rev().collect();
    text.extend(history(&lines, false));
    Ok(text)
}

/// The history of nodes.
pub(super) fn nodes(om: &Om, link: &Link, options: &HistoryOptions, target: &Target) -> Done {
    let request = Request::new(wire::NodeHistory { since: None });
    // Who is asked from outside tells its name that way.
    let spec = node_spec(target, link.is_remote().then_some(NodeSpec::Any));
    let Read { mut told, failures } = ask(om, link, request, spec, None)?;
    let from = from(options, machine::clock::now());
    told.retain(|it| it.record.t.0 >= from.0);
    if om.is_machine_readable() {
        om.show(&json!(told.iter().map(record_json).collect::<Vec<_>>()), cli::render::json);
    } else {
        print(&history(&lines(&told, None), options.is_verbose).to_string());
    }
    finish(&failures, told.is_empty())
}

fn from(options: &HistoryOptions, now: Timestamp) -> Timestamp {
    options.since.map_or(Timestamp::NEVER, |since| now.plus(-since))
}

fn show(
    objects: &[(String, Vec<Told>, Vec<Outage>)],
    options: &HistoryOptions,
    from: Timestamp,
    now: Timestamp,
) {
    let is_one = objects.len() == 1;
    let mut all: Vec<(f64, HistoryLine<'_>)> = vec![];
    for (path, told, _) in objects {
        let times = told.iter().map(|it| it.record.t.0);
        all.extend(times.zip(lines(told, (!is_one).then_some(path.as_str()))));
    }
    all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let all: Vec<HistoryLine<'_>> = all.into_iter().map(|(_, line)| line).collect();
    print(&history(&all, options.is_verbose).to_string());
    for (path, told, outages) in objects {
        let is_known = told.iter().any(|it| it.record.what == model::Happening::Object);
        if is_known || !outages.is_empty() {
            print(&downtime(path, &sum(outages, from, now)).to_string());
        }
    }
}

fn lines<'a>(told: &'a [Told], path: Option<&'a str>) -> Vec<HistoryLine<'a>> {
    let line = |it: &'a Told| HistoryLine {
        time: local_time(it.record.t.0),
        node: it.node.as_str(),
        path,
        record: &it.record,
    };
    told.iter().map(line).collect()
}

/// What outages add up to, as far as they lie behind `from`.
fn sum(outages: &[Outage], from: Timestamp, now: Timestamp) -> Downtime {
    let secs = |outage: &Outage| {
        Outage { from: Timestamp(outage.from.0.max(from.0)), ..*outage }.secs(now)
    };
    let asked: Vec<&Outage> = outages.iter().filter(|outage| outage.is_asked).collect();
    Downtime {
        times: outages.len(),
        secs: outages.iter().map(secs).fold(0.0, |sum, secs| sum + secs),
        asked_times: asked.len(),
        asked_secs: asked.into_iter().map(secs).fold(0.0, |sum, secs| sum + secs),
        down_for: outages.last().filter(|last| last.until.is_none()).map(|last| last.secs(now)),
    }
}

fn record_json(told: &Told) -> Value {
    let mut value = json!(told.record);
    if let Some(value) = value.as_object_mut() {
        value.insert("node".to_owned(), json!(told.node));
    }
    value
}

fn object_json(told: &[Told], outages: &[Outage], from: Timestamp, now: Timestamp) -> Value {
    let sum = sum(outages, from, now);
    let each: Vec<Value> = outages
        .iter()
        .map(|it| json!({"from": it.from, "until": it.until, "secs": it.secs(now), "asked": it.is_asked}))
        .collect();
    json!({
        "records": told.iter().map(record_json).collect::<Vec<_>>(),
        "outages": each,
        "down": {
            "times": sum.times, "secs": sum.secs,
            "asked_times": sum.asked_times, "asked_secs": sum.asked_secs,
        },
    })
}

fn finish(failures: &[String], is_empty: bool) -> Done {
    failures.iter().for_each(|line| complain(line));
    if is_empty && failures.is_empty() {
        note("nothing has happened in this time");
    }
    Ok(u8::from(!failures.is_empty()))
}

/// What nodes told, by time, and who told nothing.
struct Read {
    told: Vec<Told>,
    failures: Vec<String>,
}

fn ask(
    om: &Om,
    link: &Link,
    request: Request,
    spec: Option<NodeSpec>,
    path: Option<&ObjectPath>,
) -> Result<Read, Failure> {
    let reply = match link.ask(&addressed(request, spec), Some(ANSWER)) {
        Ok(reply) => reply,
        Err(AskError::NotRunning(_)) => {
            note("the daemon is not running: this is what the files of this node have");
            let records = logs::history::read(&om.paths, path);
            let told = records.into_iter().map(|record| Told { node: om.nodename.clone(), record });
            return Ok(Read { told: told.collect(), failures: vec![] });
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(nobody) = crate::om::nobody(&reply) {
        return Err(nobody);
    }
    Ok(read(&reply, &om.nodename))
}

/// Reads the replies of nodes. One without the object has nothing to tell.
fn read(reply: &Value, asked: &NodeName) -> Read {
    let (mut told, mut failures) = (vec![], vec![]);
    let mut add = |node: &str, reply: &Value| {
        let Ok(name) = NodeName::new(node) else { return };
        match reply.get("data").and_then(Value::as_array) {
            Some(records) => {
                let records = records
                    .iter()
                    .filter_map(|record| serde_json::from_value::<Record>(record.clone()).ok());
                told.extend(records.map(|record| Told { node: name.clone(), record }));
            }
            None if wire::reply::status_of(reply) == 404 => {}
            None => {
                let lines = wire::reply::Lines::of(reply).errors;
                failures.extend(lines.into_iter().map(|line| format!("{node}: {line}")));
            }
        }
    };
    match reply.get("nodes").and_then(Value::as_object) {
        Some(nodes) => nodes.iter().for_each(|(node, reply)| add(node, reply)),
        None => add(asked.as_str(), reply),
    }
    told.sort_by(|a, b| a.record.t.0.total_cmp(&b.record.t.0));
    Read { told, failures }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_of_several_nodes_are_put_in_order() {
        let reply = json!({"nodes": {
            "n1": {"status": 0, "data": [{"t": 1.0, "what": "avail"}, {"t": 3.0, "what": "avail"}, "junk"]},
            "n2": {"status": 0, "data": [{"t": 2.0, "what": "peer_lost", "on": ["n1"]}]},
            "n3": {"status": 404, "error": "web not found"},
            "n4": {"status": 500, "error": "not reached"},
        }});
        let Read { told, failures } = read(&reply, &NodeName::new("n1").unwrap());
        let order: Vec<_> = told.iter().map(|it| (it.node.as_str(), it.record.t.0)).collect();
        assert_eq!(order, [("n1", 1.0), ("n2", 2.0), ("n1", 3.0)]);
        assert_eq!(failures, ["n4: not reached"]);
    }

    #[test]
    fn a_sum_counts_what_lies_in_the_asked_time() {
        let outage = |from: f64, until: Option<f64>, is_asked| Outage {
            from: Timestamp(from),
            until: until.map(Timestamp),
            is_asked,
        };
        let outages = [outage(5.0, Some(15.0), true), outage(20.0, None, false)];
        let sum = sum(&outages, Timestamp(10.0), Timestamp(22.0));
        assert_eq!((sum.times, sum.secs, sum.asked_times, sum.asked_secs), (2, 7.0, 1, 5.0));
        assert_eq!(sum.down_for, Some(2.0));
    }
}
