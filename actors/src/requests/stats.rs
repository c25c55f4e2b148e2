//! What the daemon and the objects use: processor time and memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::ObjectPath;
use serde_json::{Map, Value, json};
use wire::DaemonStats;

use super::selection::select;
use super::{Context, Outcome, blocking};
use crate::clock;

/// Kernel clock ticks per second, as `/proc` counts processor time: fixed by the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// GET `daemon_stats`.
pub(super) async fn daemon_stats(context: &Context, options: &DaemonStats) -> Outcome {
    let selected =
        select(context, options.selector.as_deref(), options.namespace.as_deref(), None).await;
    let paths = match selected {
        Ok(paths) => paths,
        Err(refusal) => return refusal.into(),
    };
    let snapshot = context.snapshot();
    let threads: Vec<(String, Option<u64>)> = snapshot
        .threads()
        .iter()
        .map(|(id, block)| (id.clone(), block.get("tid").and_then(Value::as_u64)))
        .collect();
    match blocking(move || read(&threads, &paths)).await {
        Ok(data) => wire::reply::data(data).into(),
        Err(not_now) => not_now.into(),
    }
}

fn read(threads: &[(String, Option<u64>)], paths: &[ObjectPath]) -> Value {
    let memory = resident_pages(Path::new("/proc/self/statm"));
    let mut data = Map::new();
    data.insert("timestamp".into(), json!(clock::now()));
    let cpu = cpu_seconds(Path::new("/proc/self/stat"));
    let (tasks, procs) = tasks_and_children(Path::new("/proc/self/task"));
    data.insert(
        "daemon".into(),
        json!({"threads": tasks, "procs": procs, "cpu": {"time": cpu}, "mem": {"total": memory}}),
    );
    data.insert("node".into(), json!({"cpu": {"time": node_cpu_seconds()}}));
    let services: BTreeMap<&str, Value> =
        paths.iter().filter_map(|path| Some((path.as_str(), cgroup(path)?))).collect();
    data.insert("services".into(), json!(services));
    let is_process = |id: &str| matches!(id, "daemon" | "cluster");
    for (id, tid) in threads.iter().filter(|(id, _)| !is_process(id)) {
        let cpu = tid
            .map_or(0.0, |tid| cpu_seconds(&PathBuf::from(format!("/proc/self/task/{tid}/stat"))));
        data.insert(
            id.clone(),
            json!({
                // Actors share threads: one is counted where it lives.
                "threads": u8::from(tid.is_some()),
                // Children belong to the one that runs commands.
                "procs": if id == "runner" { procs } else { 0 },
                "cpu": {"time": cpu},
                "mem": {"total": memory},
            }),
        );
    }
    Value::Object(data)
}

/// Threads of the process, and their children that were not waited for.
fn tasks_and_children(folder: &Path) -> (usize, usize) {
    let tasks: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    let children = tasks.iter().map(|task| {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        text.split_whitespace().count()
    });
    (tasks.len(), children.sum())
}

/// User and system time of a `stat` file, 0 if it is gone.
fn cpu_seconds(file: &Path) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The name stands in parentheses and may hold anything; times are the 12th and 13th word behind it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    ticks(rest.split_whitespace().skip(11).take(2)) / TICKS_PER_SECOND
}

/// Resident memory in pages, the unit of the field.
fn resident_pages(file: &Path) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn node_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    ticks(line.split_whitespace().skip(1)) / TICKS_PER_SECOND
}

fn ticks<'a>(words: impl Iterator<Item = &'a str>) -> f64 {
    // Not `sum`: that of nothing is -0.0.
    words.filter_map(|word| word.parse::<f64>().ok()).fold(0.0, |sum, ticks| sum + ticks)
}

/// What the processes of an object use, by its control group; none without one.
fn cgroup(path: &ObjectPath) -> Option<Value> {
    let mut folder = PathBuf::from("/sys/fs/cgroup/opensvc");
    if let Some(namespace) = path.namespace() {
        folder.extend(["namespaces", namespace]);
    }
    folder.extend([path.kind().as_str(), path.name()]);
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    };
    let cpu = std::fs::read_to_string(folder.join("cpu.stat")).ok()?;
    let used: f64 = cpu.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()?;
    let tasks = number("pids.current").unwrap_or(0);
    let memory = number("memory.current").unwrap_or(0);
    Some(json!({"cpu": {"time": used / 1e6}, "mem": {"total": memory}, "tasks": tasks}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_behind_the_last_parenthesis() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stat");
        let text = "12 (a) b (c)) S 1 12 12 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 1 0 100 0 0";
        std::fs::write(&file, text).unwrap();
        assert_eq!(cpu_seconds(&file).to_bits(), 4.0_f64.to_bits());
        assert_eq!(cpu_seconds(&folder.path().join("gone")).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn threads_and_children_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        for (task, children) in [("1", "12 13 "), ("2", "14 "), ("3", "")] {
            std::fs::create_dir(folder.path().join(task)).unwrap();
            std::fs::write(folder.path().join(task).join("children"), children).unwrap();
        }
        assert_eq!(tasks_and_children(folder.path()), (3, 3));
        let data = read(&[("daemon".into(), None), ("runner".into(), Some(1))], &[]);
        assert!(data["daemon"]["threads"].as_u64().unwrap() >= 1);
        assert_eq!(data["runner"]["threads"], 1);
    }

    #[test]
    fn a_thread_that_is_gone_used_nothing() {
        let data = read(&[("listener".into(), Some(u64::MAX)), ("x".into(), None)], &[]);
        assert_eq!(data["listener"]["cpu"]["time"], 0.0);
        assert!(data["daemon"]["mem"]["total"].as_f64().unwrap() > 0.0);
        assert!(data["node"]["cpu"]["time"].as_f64().unwrap() > 0.0);
    }
}
