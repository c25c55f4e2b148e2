//! That every keyword of the tables is read, or told to be read by nobody: one that is accepted in silence and does nothing
//! is a mistake that its writer finds when it is too late.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use conf::Context;
use model::{Kind, NodeName, ObjectPath, SyncAction};
use serde_json::Value;

use machine::clock;
use machine::paths::Paths;

use crate::action::verb::Verb;
use crate::host::Host;
use crate::triggers::{Moment, Triggers};
use crate::{evaluation, requires};

/// What is read only when something happens, and where: the file has to name it.
const LATER: &[(&str, &str, &str)] = &[
    ("DEFAULT", "id", "src/conf/src/object.rs"),
    ("DEFAULT", "flex_primary", "src/drivers/src/sync_rsync.rs"),
    // A name of nodes that a keyword may be scoped to.
    ("DEFAULT", "drp_flex_primary", "src/conf/src/eval.rs"),
    ("DEFAULT", "pre_monitor_action", "src/drivers/src/action/toc.rs"),
    ("DEFAULT", "status_schedule", "actors/scheduler/src/entries.rs"),
    ("DEFAULT", "monitor_schedule", "actors/scheduler/src/entries.rs"),
    ("DEFAULT", "create_pg", "src/drivers/src/groups.rs"),
    ("DEFAULT", "docker_exe", "src/drivers/src/container.rs"),
    // Of volumes.
    ("DEFAULT", "access", "src/drivers/src/volume.rs"),
    ("DEFAULT", "pool", "src/drivers/src/evaluation.rs"),
    ("DEFAULT", "size", "src/drivers/src/evaluation.rs"),
    // Inherited by resources.
    ("DEFAULT", "stat_timeout", "src/drivers/src/fs_mount.rs"),
    ("DEFAULT", "sync_max_delay", "src/drivers/src/sync_rsync.rs"),
    ("DEFAULT", "bwlimit", "src/drivers/src/sync_rsync.rs"),
    ("DEFAULT", "registry_creds", "src/drivers/src/container.rs"),
    ("DEFAULT", "run_schedule", "src/conf/src/keywords/drivers/processes.rs"),
    ("DEFAULT", "sync_schedule", "src/conf/src/keywords/drivers/replication.rs"),
    ("task", "schedule", "actors/scheduler/src/entries.rs"),
    ("sync", "schedule", "actors/scheduler/src/entries.rs"),
    ("", "pg_cpus", CAPS),
    ("", "pg_mems", CAPS),
    ("", "pg_cpu_shares", CAPS),
    ("", "pg_cpu_quota", CAPS),
    ("", "pg_mem_limit", CAPS),
    ("", "pg_vmem_limit", CAPS),
    ("", "pg_mem_oom_control", CAPS),
    ("", "pg_mem_swappiness", CAPS),
    ("", "pg_blkio_weight", CAPS),
];

const CAPS: &str = "src/drivers/src/cgroup/caps.rs";

/// A row of the tables.
struct Row {
    keyword: String,
    is_required: bool,
    is_unread: bool,
}

/// The tables of a kind of object: rows by section and driver.
fn tables(kind: Kind) -> BTreeMap<(String, String), Vec<Row>> {
    let mut tables: BTreeMap<_, Vec<Row>> = BTreeMap::new();
    for (section, rows) in &conf::Book::Object(kind).listed() {
        for row in rows.as_array().unwrap() {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            // The word that names the driver is no keyword of it.
            if section != "DEFAULT" && text("keyword") == "type" && row.get("type").is_none() {
                continue;
            }
            tables.entry((section.clone(), text("type"))).or_default().push(Row {
                keyword: text("keyword"),
                is_required: row["required"] == true,
                is_unread: row["unread"] != Value::Null,
            });
        }
    }
    tables
}

/// What a driver needs to be built.
fn value(keyword: &str) -> &'static str {
    match keyword {
        "target" => "nodes",
        "ipdev" => "lo",
        "type" => unreachable!("it is written first"),
        _ => "/no/such/file",
    }
}

const VERBS: [Verb; 12] = [
    Verb::Start,
    Verb::Startstandby,
    Verb::Stop,
    Verb::Shutdown,
    Verb::Provision,
    Verb::Unprovision,
    Verb::Run,
    Verb::Sync(SyncAction::All),
    Verb::Sync(SyncAction::Nodes),
    Verb::Sync(SyncAction::Drp),
    Verb::Sync(SyncAction::Update),
    Verb::Sync(SyncAction::Full),
];

/// All keywords that are read while an instance of this configuration is built, evaluated and acted upon.
fn read_by(text: &str) -> BTreeSet<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let paths = Arc::new(Paths::under(folder.path()));
    paths.create().unwrap();
    let node = files::load::load_node(&paths, NodeName::new("n1").unwrap()).unwrap();
    let reads: Arc<Mutex<BTreeSet<(String, String)>>> = Arc::default();
    let told = reads.clone();
    let context = Context {
        reads: Some(Arc::new(move |section, keyword| {
            told.lock().unwrap().insert((section.to_owned(), keyword.to_owned()));
        })),
        ..files::context::context(&paths, &node)
    };
    let path = ObjectPath::parse("svc1").unwrap();
    std::fs::write(paths.config_file(&path), text).unwrap();
    let object = files::load::load_object(&paths, &node, &path).unwrap();
    _ = object.conf().settings(&context);
    let host = Host::new(paths, Arc::new(node), context);
    let instance = Arc::new(crate::registry::read(&host, &object));
    evaluation::evaluate(&host, &instance, clock::now(), None, None, None);
    let states = BTreeMap::new();
    let has_acted = std::sync::atomic::AtomicBool::new(false);
    for verb in VERBS {
        let triggers = Triggers {
            host: &host,
            instance: &instance,
            verb,
            is_leader: false,
            is_dry_run: true,
            has_acted: &has_acted,
        };
        for moment in [Moment::Pre, Moment::BlockingPre, Moment::Post, Moment::BlockingPost] {
            triggers.of_object(moment).unwrap();
            for resource in &instance.resources {
                triggers.of_resource(resource, moment).unwrap();
            }
        }
        for resource in &instance.resources {
            _ = requires::check(&instance, resource, verb.requires_word(), &states);
        }
    }
    crate::locks::patience(&instance, None);
    std::mem::take(&mut *reads.lock().unwrap())
}

/// The folder of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_read_later(section: &str, keyword: &str) -> bool {
    LATER.iter().any(|(sections, name, file)| {
        let is_meant = (*sections == section || sections.is_empty()) && *name == keyword;
        let file = workspace().join(file);
        is_meant && std::fs::read_to_string(file).unwrap().contains(&format!("\"{keyword}\""))
    })
}

#[test]
fn each_keyword_of_a_resource_is_read_or_told_to_be_read_by_nobody() {
    let mut wrong = vec![];
    for ((group, driver), rows) in tables(Kind::Svc) {
        if group == "DEFAULT" || !conf::has_driver(&group, &driver) {
            continue;
        }
        let section = format!("{group}#1");
        let mut text =
            format!("[DEFAULT]\nid = abc\nnodes = n1 n2\n[{section}]\ntype = {driver}\n");
        for row in &rows {
            let is_trigger =
                ["pre_", "post_", "blocking_"].iter().any(|prefix| row.keyword.starts_with(prefix));
            if is_trigger {
                text += &format!("{} = /bin/true\n", row.keyword);
            } else if row.is_required && row.keyword != "type" {
                text += &format!("{} = {}\n", row.keyword, value(&row.keyword));
            }
        }
        let reads = read_by(&text);
        for Row { keyword, is_unread, .. } in rows {
            let is_read = keyword == "type"
                || reads.contains(&(section.clone(), keyword.clone()))
                || is_read_later(&group, &keyword);
            if is_read == is_unread {
                wrong.push(format!(
                    "{group}.{driver} {keyword}: read {is_read}, told unread {is_unread}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_keyword_of_an_object_is_read_or_told_to_be_read_by_nobody() {
    let mut text = "[DEFAULT]\nid = abc\nnodes = n1 n2\n".to_owned();
    let rows = tables(Kind::Svc).remove(&("DEFAULT".to_owned(), String::new())).unwrap();
    text += "[fs#1]\ntype = flag\n";
    let reads = read_by(&text);
    let mut wrong = vec![];
    for Row { keyword, is_unread, .. } in rows {
        let is_read = reads.contains(&("DEFAULT".to_owned(), keyword.clone()))
            || is_read_later("DEFAULT", &keyword);
        if is_read == is_unread {
            wrong.push(format!("DEFAULT.{keyword}: read {is_read}, told unread {is_unread}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All that is written outside of tests below a folder of sources, without its line breaks.
fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            all.extend(text.split_whitespace().flat_map(|word| [word, " "]));
        }
    }
}

#[test]
fn each_keyword_of_a_node_is_read_or_told_to_be_read_by_nobody() {
    let root = workspace();
    let loader = root.join("src/conf/src/node");
    let (mut loading, mut all) = (String::new(), String::new());
    sources(&loader, &mut loading);
    for folder in ["actors", "src/client", "src/dataset", "src/drivers", "src/files", "src/link"] {
        sources(&root.join(folder), &mut all);
    }
    all += &std::fs::read_to_string(root.join("src/conf/src/node.rs")).unwrap();
    all += &std::fs::read_to_string(root.join("src/conf/src/node/evaluated.rs")).unwrap();
    let pools = std::fs::read_to_string(root.join("src/files/src/pool.rs")).unwrap();
    let mut wrong = vec![];
    for (section, keyword, unread) in conf::node_keyword_list() {
        // Sections of which there may be several are read by a name that is not written.
        let is_named = matches!(section, "hb" | "arbitrator" | "listener");
        let is_read = all.contains(&format!("\"{section}.{keyword}\""))
            || section == "pool" && pools.contains(&format!("get(\"{keyword}\")"))
            || loading.contains(&format!("\"{section}\", \"{keyword}\""))
            || loading.contains(&format!("threshold(\"{keyword}\""))
            || section == "cluster" && loading.contains(&format!("paths(\"{keyword}\")"))
            || keyword == "secret" && loading.contains(&format!("secret(\"{section}\""))
            || is_named && loading.contains(&format!("\"{keyword}\""));
        if !is_read && unread.is_none() {
            wrong.push(format!("{section}.{keyword} is read by nobody, and nobody says so"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_keyword_of_another_kind_is_read_or_told_to_be_read_by_nobody() {
    // Those of all objects, whatever they hold.
    let common = ["id", "nodes", "drpnodes", "disable", "env", "app", "lock_timeout"];
    let mut certificates = String::new();
    sources(&workspace().join("src/files/src/certificates"), &mut certificates);
    for kind in [Kind::Cfg, Kind::Sec, Kind::Usr, Kind::Nscfg, Kind::Ccfg] {
        // The other sections of the cluster are those of a node.
        let rows = tables(kind).remove(&("DEFAULT".to_owned(), String::new())).unwrap();
        let of_certificates = matches!(kind, Kind::Sec | Kind::Usr);
        let is_read =
            |row: &&Row| of_certificates && certificates.contains(&format!("\"{}\"", row.keyword));
        let silent = rows.iter().filter(|row| !row.is_unread && !is_read(row));
        let silent: Vec<&str> = silent.map(|row| row.keyword.as_str()).collect();
        assert!(silent.iter().all(|keyword| common.contains(keyword)), "{kind}: {silent:?}");
    }
}
