//! What the daemon and the objects use: processor time and memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{ObjectPath, thread};
use serde_json::{Map, Value, json};
use wire::DaemonStats;

use crate::context::{Context, blocking};
use crate::selection::select;
use machine::cgroup::{Hierarchy, Usage};
use machine::clock;
use machine::process::{cpu_seconds, cpu_time, resident_pages};
use mail::requests::{Outcome, Refused};

/// GET `daemon_stats`.
pub(super) async fn daemon_stats(
    context: &Context,
    options: &DaemonStats,
) -> Result<Outcome, Refused> {
    let paths =
        select(context, options.selector.as_deref(), options.namespace.as_deref(), None).await?;
    let snapshot = context.snapshot();
    let threads: Vec<(String, Option<i32>)> =
        snapshot.threads().iter().map(|(id, block)| (id.clone(), block.tid)).collect();
    let data = blocking(move || read(&threads, &paths, &Hierarchy::mounted())).await?;
    Ok(wire::reply::data(data).into())
}

fn read(threads: &[(String, Option<i32>)], paths: &[ObjectPath], hierarchy: &Hierarchy) -> Value {
    let memory = resident_pages();
    let mut data = Map::new();
    data.insert("timestamp".into(), json!(clock::now()));
    let cpu = cpu_seconds(Path::new("/proc/self/stat"));
    let (tasks, procs) = tasks_and_children(Path::new("/proc/self/task"));
    data.insert(
        thread::DAEMON.into(),
        json!({"threads": tasks, "procs": procs, "cpu": {"time": cpu}, "mem": {"total": memory}}),
    );
    data.insert("node".into(), json!({"cpu": {"time": node_cpu_seconds()}}));
    let used = |path: &ObjectPath| {
        let Usage { cpu_seconds, memory, tasks } = hierarchy.usage(path)?;
        Some(json!({"cpu": {"time": cpu_seconds}, "mem": {"total": memory}, "tasks": tasks}))
    };
    let services: BTreeMap<&str, Value> =
        paths.iter().filter_map(|path| Some((path.as_str(), used(path)?))).collect();
    data.insert("services".into(), json!(services));
    let is_process = |id: &str| matches!(id, thread::DAEMON | "cluster");
    for (id, tid) in threads.iter().filter(|(id, _)| !is_process(id)) {
        let cpu = tid
            .map_or(0.0, |tid| cpu_seconds(&PathBuf::from(format!("/proc/self/task/{tid}/stat"))));
        data.insert(
            id.clone(),
            json!({
                // Actors share threads: one is counted where it lives.
                "threads": u8::from(tid.is_some()),
                // Children belong to the one that runs commands.
                "procs": if id == thread::RUNNER { procs } else { 0 },
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

fn node_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    cpu_time(line.split_whitespace().skip(1))
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
        let threads = [("daemon".into(), None), ("runner".into(), Some(1))];
        let data = read(&threads, &[], &Hierarchy::None);
        assert!(data["daemon"]["threads"].as_u64().unwrap() >= 1);
        assert_eq!(data["runner"]["threads"], 1);
    }

    #[test]
    fn a_thread_that_is_gone_used_nothing() {
        let threads = [("listener".into(), Some(i32::MAX)), ("x".into(), None)];
        let data = read(&threads, &[], &Hierarchy::None);
        assert_eq!(data["listener"]["cpu"]["time"], 0.0);
        assert!(data["daemon"]["mem"]["total"].as_f64().unwrap() > 0.0);
        assert!(data["node"]["cpu"]["time"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn the_usage_of_an_object_appears() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("opensvc.slice/svc1.slice");
        std::fs::create_dir_all(&group).unwrap();
        for (file, text) in [
            ("cpu.stat", "usage_usec 2500000\n"),
            ("memory.current", "8192\n"),
            ("pids.current", "2\n"),
        ] {
            std::fs::write(group.join(file), text).unwrap();
        }
        let paths = ["svc1", "svc2"].map(|path| ObjectPath::parse(path).unwrap());
        let data = read(&[], &paths, &Hierarchy::Unified(root.path().into()));
        let svc1 = json!({"cpu": {"time": 2.5}, "mem": {"total": 8192}, "tasks": 2});
        assert_eq!(data["services"], json!({"svc1": svc1}));
    }
}
