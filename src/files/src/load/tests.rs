use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use model::Timestamp;

use super::*;
use crate::first_start::ensure_cluster_conf;
use crate::in_force::{load_node_in_force, load_object_in_force};
use crate::last_good::{copy_of, file_in_force, is_kept, note_other_cluster};

struct Root {
    _folder: tempfile::TempDir,
    paths: Paths,
    node: NodeName,
}

fn root() -> Root {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    Root { _folder: folder, paths, node: NodeName::new("n1").unwrap() }
}

impl Root {
    fn write(&self, file: &str, text: &[u8]) {
        let file = self.paths.etc.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn load(&self) -> LoadedConfig {
        LoadedConfig::load(&self.paths, &self.node)
    }
}

fn object(path: &str) -> ObjectPath {
    ObjectPath::parse(path).unwrap()
}

#[test]
fn the_first_start_writes_a_secret_that_only_its_owner_reads_and_the_next_keeps_it() {
    let root = root();
    ensure_cluster_conf(&root.paths, &root.node).unwrap();
    let file = root.paths.cluster_conf();
    let first = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let ini = conf::Ini::parse(&first).unwrap();
    assert_eq!(ini.get("cluster", "name"), Some("default"));
    assert_eq!(ini.get("cluster", "nodes"), Some("n1"));
    assert_eq!(ini.get("cluster", "secret").unwrap().len(), 32);
    assert_eq!(ini.get("hb#1", "type"), Some("unicast"), "who joins is heard");
    ensure_cluster_conf(&root.paths, &root.node).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
}

#[test]
fn an_existing_cluster_configuration_only_gets_what_it_lacks() {
    let root = root();
    root.write("cluster.conf", b"# ours\n[cluster]\nname = prod\nsecret = abcdefghijklmnop\n");
    root.write("node.conf", b"[cluster]\nid = here\n");
    ensure_cluster_conf(&root.paths, &root.node).unwrap();
    let text = fs::read_to_string(root.paths.cluster_conf()).unwrap();
    assert!(
        text.starts_with("# ours\n[cluster]\nname = prod\nsecret = abcdefghijklmnop\n"),
        "{text}"
    );
    let ini = conf::Ini::parse(&text).unwrap();
    assert_eq!(ini.get("cluster", "nodes"), None);
    assert_eq!(ini.get("cluster", "id"), None);
    assert!(ini.get("DEFAULT", "id").is_some());
    assert!(!ini.has_section("hb#1"), "a heartbeat is not lacking: it is told");
}

#[test]
fn a_heartbeat_of_node_conf_is_that_of_the_first_start() {
    let root = root();
    root.write("node.conf", b"[hb#2]\ntype = multicast\n");
    ensure_cluster_conf(&root.paths, &root.node).unwrap();
    let text = fs::read_to_string(root.paths.cluster_conf()).unwrap();
    assert!(!text.contains("[hb#"), "{text}");
}

#[test]
fn in_the_place_of_a_deployed_agent_its_peers_are_heard_unless_it_is_said_otherwise() {
    const PEERS: &str = "[cluster]\nsecret = abcdefghijklmnop\nnodes = n1 n2\n";
    let envelope_after = |cluster: &str, node: &str, was_deployed: bool| {
        let root = root();
        root.write("cluster.conf", cluster.as_bytes());
        root.write("node.conf", node.as_bytes());
        if was_deployed {
            fs::write(root.paths.deployed_mark(), "").unwrap();
        }
        ensure_cluster_conf(&root.paths, &root.node).unwrap();
        assert!(!root.paths.deployed_mark().exists(), "asked once");
        root.load().node.envelope
    };
    assert_eq!(envelope_after(PEERS, "", true), conf::Envelope::Any);
    assert_eq!(envelope_after(PEERS, "", false), conf::Envelope::Sealed);
    assert_eq!(
        envelope_after(&format!("{PEERS}envelope = sealed\n"), "", true),
        conf::Envelope::Sealed
    );
    assert_eq!(
        envelope_after(PEERS, "[cluster]\nenvelope = sealed\n", true),
        conf::Envelope::Sealed
    );
    assert_eq!(
        envelope_after("[cluster]\nsecret = abcdefghijklmnop\nnodes = n1\n", "", true),
        conf::Envelope::Sealed
    );
}

#[test]
fn objects_of_all_kinds_and_namespaces_are_found_and_get_an_id() {
    let root = root();
    for file in [
        "svc1.conf",
        "vol/v1.conf",
        "namespaces/test/svc/web.conf",
        "namespaces/test/namespace.conf",
    ] {
        root.write(file, b"[DEFAULT]\nnodes = n1\n");
    }
    root.write("svc2.conf.tmp", b"");
    root.write(".svc3.conf", b"");
    root.write("namespaces/test/other/x.conf", b"");
    let config = root.load();
    let found: Vec<&str> = config.objects.keys().map(ObjectPath::as_str).collect();
    assert_eq!(found, ["svc1", "test/", "test/svc/web", "vol/v1"]);
    let loaded = config.objects.get(&object("svc1")).unwrap();
    let bytes = fs::read(root.paths.config_file(&loaded.path)).unwrap();
    assert_eq!(loaded.csum, csum(&bytes));
    assert_eq!(loaded.conf().id().map(str::len), Some(36));
    assert_eq!(config.complaints, BTreeMap::new());
}

#[test]
fn a_file_that_loses_its_id_keeps_the_one_that_this_node_knows() {
    let root = root();
    let svc1 = object("svc1");
    let id = |config: &LoadedConfig| {
        let loaded = config.objects.get(&svc1).unwrap().conf();
        let text = fs::read_to_string(root.paths.config_file(&svc1)).unwrap();
        assert_eq!(loaded.text(), text, "it is in the file");
        loaded.id().unwrap().to_owned()
    };
    root.write("svc1.conf", b"[DEFAULT]\nid = one\nnodes = n1\n");
    let mut config = root.load();
    let rewritten = b"# rewritten\n[DEFAULT]\nnodes = n1\n";
    root.write("svc1.conf", rewritten);
    config.reload_objects(&root.paths, std::slice::from_ref(&svc1));
    assert_eq!(id(&config), "one");
    // The next daemon knows what was launched, by the latest note that is plain.
    let note = |rid: &str, text: &str, second: u64| {
        let file = root.paths.var_dir(&svc1).join(rid).join(known_id::LAUNCHED);
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + second);
        machine::durable::write_at(&file, text.as_bytes(), 0o600, time).unwrap();
    };
    note("app#1", "boot\nuser 0\nid two\n12 34\n", 2);
    note("app#2", "boot\nid three\n", 1);
    note("app#3", "boot\nid four\nid five\n", 3);
    root.write("svc1.conf", rewritten);
    assert_eq!(id(&root.load()), "two");
    // And what was in force, if that is not the file.
    let copy = copy_of(&root.paths, "svc1.conf");
    machine::durable::write(&copy, b"[DEFAULT]\nid = six\nnodes = n1\n", 0o600).unwrap();
    root.write("svc1.conf", rewritten);
    assert_eq!(id(&root.load()), "six");
    // What was deleted does not come back as itself.
    root.write("svc1.conf", rewritten);
    let mut deletions = crate::deletions::Deletions::read(&root.paths);
    let at = Timestamp(1.0);
    let deletion = model::Deletion { id: Some("two".into()), at, purged: false, followed: true };
    deletions.add(&svc1, deletion);
    deletions.write(&root.paths).unwrap();
    let loaded = root.load();
    assert_eq!(id(&loaded).len(), 36, "a new one");
}

#[test]
fn what_cannot_be_read_keeps_the_last_good_configuration_and_names_the_line() {
    let root = root();
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\nnodes = n1\n");
    root.write("node.conf", b"[node]\nenv = PRD\n");
    let mut config = root.load();
    let good = config.objects.get(&object("svc1")).unwrap().clone();
    for (bad, line) in
        [(&b"[DEFAULT]\nid = 1\n\xff\xfe\n"[..], 3), (b"[DEFAULT]\nnodes\0", 2), (b"\nx = 1\n", 2)]
    {
        root.write("svc1.conf", bad);
        assert_eq!(config.reload_objects(&root.paths, &[object("svc1")]), []);
        assert_eq!(config.objects.get(&object("svc1")).unwrap().csum, good.csum);
        let complaints = &config.complaints["svc1.conf"];
        assert_eq!((complaints.len(), complaints[0].line), (1, line), "{complaints:?}");
    }
    root.write("node.conf", b"[node]\n\xff\n");
    assert!(!config.reload_node(&root.paths, &BTreeSet::new()));
    assert_eq!(config.complaints["node.conf"][0].line, 2);
    root.write("node.conf", b"[node]\nenv = PRD\nmax_parallel = 3\n");
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\nnodes = n1\n");
    assert!(config.reload_node(&root.paths, &BTreeSet::new()));
    config.reload_objects(&root.paths, &[object("svc1")]);
    assert_eq!(config.complaints, BTreeMap::new());
}

#[test]
fn an_id_is_written_into_a_file_with_a_text_and_not_into_one_that_is_being_written() {
    let root = root();
    root.write("svc1.conf", b"[DEFAULT]\nnodes = n1\n");
    root.write("svc2.conf", b"");
    root.write("svc3.conf", b"\n\n");
    let config = root.load();
    let text = |file: &str| fs::read_to_string(root.paths.etc.join(file)).unwrap();
    assert!(text("svc1.conf").contains("id = "));
    assert_eq!((text("svc2.conf").as_str(), text("svc3.conf").as_str()), ("", "\n\n"));
    assert_eq!(config.objects.len(), 1);
    let left = fs::read_dir(&root.paths.etc).unwrap().flatten();
    assert!(left.into_iter().all(|file| !file.file_name().as_encoded_bytes().starts_with(b".svc")));
}

#[test]
fn a_cluster_conf_that_is_truncated_or_taken_away_is_no_order_to_leave_the_cluster() {
    let root = root();
    root.write("cluster.conf", b"[cluster]\nnodes = n1 n2\n");
    let mut config = root.load();
    let none = BTreeSet::new();
    root.write("cluster.conf", b"");
    assert!(!config.reload_node(&root.paths, &none));
    let cluster = [ObjectPath::cluster()];
    assert_eq!(config.reload_objects(&root.paths, &cluster), [], "not published");
    fs::remove_file(root.paths.cluster_conf()).unwrap();
    assert!(!config.reload_node(&root.paths, &none));
    assert_eq!((config.node.nodes.len(), config.complaints["cluster.conf"].len()), (2, 1));
    root.write("cluster.conf", b"[cluster]\nnodes = n1 n2 n3\n");
    assert!(config.reload_node(&root.paths, &none));
    assert_eq!(config.reload_objects(&root.paths, &cluster), cluster);
    assert_eq!((config.node.nodes.len(), config.complaints.len()), (3, 0));
}

#[test]
fn a_mistake_in_cluster_conf_is_told_until_it_is_mended_whoever_reads_the_file() {
    let root = root();
    let conf = |timeout: &str| {
        format!("[cluster]\nnodes = n1 n2\n[hb#1]\ntype = unicast\ntimeout = {timeout}\n")
    };
    root.write("cluster.conf", conf("1s\ninterval = 2s").as_bytes());
    let mut config = root.load();
    let cluster = [ObjectPath::cluster()];
    let told =
        |config: &LoadedConfig| match config.complaints.get("cluster.conf").map(Vec::as_slice) {
            None => false,
            Some([complaint]) => complaint.section == "hb#1",
            Some(others) => panic!("{others:?}"),
        };
    assert!(told(&config));
    config.reload_objects(&root.paths, &cluster);
    config.reevaluate();
    assert!(told(&config));
    root.write("cluster.conf", conf("3s\ninterval = 2s").as_bytes());
    assert!(config.reload_node(&root.paths, &BTreeSet::new()));
    config.reload_objects(&root.paths, &cluster);
    assert!(!told(&config));
}

#[test]
fn a_change_that_a_deployed_agent_cannot_follow_is_not_in_force_and_not_published() {
    let root = root();
    let conf = |hb: &str| format!("[cluster]\nnodes = n1 n2 n3\n{hb}");
    let before = conf("[hb#1]\ntype = unicast\n");
    root.write("cluster.conf", before.as_bytes());
    let mut config = root.load();
    let cluster = [ObjectPath::cluster()];
    let csum = |config: &LoadedConfig| config.objects.get(&cluster[0]).unwrap().csum.clone();
    let good = csum(&config);
    let deployed = BTreeSet::from([NodeName::new("n3").unwrap()]);
    root.write("cluster.conf", conf("[hb#1]\ntype = multicast\n").as_bytes());
    assert!(!config.reload_node(&root.paths, &deployed));
    assert_eq!(config.reload_objects(&root.paths, &cluster), []);
    assert_eq!((config.node.heartbeats[0].kind.as_str(), csum(&config)), ("unicast", good));
    let complaint = config.complaints["cluster.conf"][0].to_string();
    assert!(complaint.contains("hb#1") && complaint.contains("the agent of n3"), "{complaint}");
    // It is, once that agent is gone; and so is what such an agent follows.
    assert!(config.clone().reload_node(&root.paths, &BTreeSet::new()));
    for followed in [
        "[hb#1]\ntype = unicast\nport = 10001\n",
        "[hb#2]\ntype = multicast\n",
        "[hb#1]\ntype = unicast\n",
        "[hb#1]\ntype = multicast\nnodes = n1 n2\n",
    ] {
        root.write("cluster.conf", conf(followed).as_bytes());
        assert!(config.reload_node(&root.paths, &deployed), "{followed}");
        assert_eq!(config.reload_objects(&root.paths, &cluster), cluster);
    }
}

#[test]
fn a_touched_file_is_a_change_and_an_untouched_one_is_none() {
    let root = root();
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\n");
    let mut config = root.load();
    let paths = [object("svc1")];
    assert_eq!(config.reload_objects(&root.paths, &paths), []);
    let file = fs::File::options().append(true).open(root.paths.config_file(&paths[0])).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(5)).unwrap();
    assert_eq!(config.reload_objects(&root.paths, &paths), paths);
    assert_eq!(config.objects.get(&paths[0]).unwrap().updated, Timestamp(5.0));
    fs::remove_file(root.paths.config_file(&paths[0])).unwrap();
    assert_eq!(config.reload_objects(&root.paths, &paths), paths);
    assert!(config.objects.is_empty());
}

#[test]
fn work_done_in_parallel_keeps_its_order() {
    let items: Vec<u32> = (0..1_000).collect();
    assert_eq!(
        in_parallel(&items, |item| item * 2),
        items.iter().map(|item| item * 2).collect::<Vec<_>>()
    );
}

#[test]
fn a_configuration_is_answered_from_memory_as_long_as_its_file_is_the_one_that_was_read() {
    let root = root();
    let text = "[DEFAULT]\nid = 11111111-2222-3333-4444-555555555555\nnodes = n1\n";
    root.write("svc1.conf", text.as_bytes());
    let mut config = root.load();
    let (svc1, file) = (object("svc1"), root.paths.etc.join("svc1.conf"));
    let reply =
        |config: &LoadedConfig| config.objects.get(&svc1).unwrap().reply(crate::read::stamp(&file));
    let first = reply(&config).unwrap();
    let mtime = modified(&fs::metadata(&file).unwrap());
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&first.json()).unwrap(),
        serde_json::json!({"status": 0, "data": text, "mtime": mtime})
    );
    assert!(Arc::ptr_eq(&first, &reply(&config).unwrap()), "made once");
    // Another file, another length, another time: each has to be read.
    root.write("svc1.conf.tmp", text.as_bytes());
    fs::rename(root.paths.etc.join("svc1.conf.tmp"), &file).unwrap();
    assert!(reply(&config).is_none());
    // The same text and time is no change of the object, but the file that counts from now on.
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + Duration::from_secs_f64(mtime.0))
        .unwrap();
    config.reload_objects(&root.paths, std::slice::from_ref(&svc1));
    assert!(reply(&config).is_some());
    root.write("svc1.conf", format!("{text}app = x\n").as_bytes());
    assert!(reply(&config).is_none());
    fs::remove_file(&file).unwrap();
    assert!(reply(&config).is_none());
}

const CLUSTER: &[u8] =
    b"[DEFAULT]\nid = 1\n[cluster]\nid = i\nsecret = abcdefghijklmnop\nnodes = n1 n2\n";

/// What is told of a file, in the words of the log.
fn told(config: &LoadedConfig, file: &str) -> Vec<String> {
    config.complaints.get(file).into_iter().flatten().map(ToString::to_string).collect()
}

#[test]
fn a_cluster_conf_that_is_gone_or_emptied_leaves_the_node_in_its_cluster() {
    let root = root();
    root.write("cluster.conf", CLUSTER);
    let mut config = root.load();
    let cluster = ObjectPath::cluster();
    let look = |config: &mut LoadedConfig| {
        let is_changed = config.reload_node(&root.paths, &BTreeSet::new());
        let changed = config.reload_objects(&root.paths, std::slice::from_ref(&cluster));
        (is_changed, changed.len())
    };
    let csum = config.objects.get(&cluster).unwrap().csum.clone();
    let file = root.paths.cluster_conf();
    for (text, reason) in [
        (None, "cluster.conf: does not exist"),
        (Some("\n"), "cluster.conf: is empty"),
        (Some("[cluster]\nid = i\n"), "cluster.conf: cluster.secret: was set, and is not any more"),
    ] {
        match text {
            Some(text) => root.write("cluster.conf", text.as_bytes()),
            None => fs::remove_file(&file).unwrap(),
        }
        assert_eq!(look(&mut config), (false, 0), "{reason}");
        assert_eq!(config.node.nodes.len(), 2);
        assert!(config.node.secret.is_some());
        assert_eq!(config.objects.get(&cluster).unwrap().csum, csum);
        assert!(told(&config, "cluster.conf").contains(&reason.to_owned()), "{config:?}");
        // The next daemon is in the same cluster, and writes no other one.
        ensure_cluster_conf(&root.paths, &root.node).unwrap();
        let next = root.load();
        assert_eq!((next.node.nodes.len(), next.node.cluster_id.as_str()), (2, "i"));
        assert_eq!(next.objects.get(&cluster).unwrap().csum, csum);
        assert!(!told(&next, "cluster.conf").is_empty());
    }
    let copy = copy_of(&root.paths, "cluster.conf");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    root.write("cluster.conf", &[CLUSTER, b"quorum = true\n"].concat());
    assert_eq!(look(&mut config), (true, 1));
    assert!(config.node.quorum && config.complaints.is_empty());
    assert!(!copy.exists());
}

#[test]
fn a_mistyped_value_of_the_node_does_not_become_its_default() {
    let root = root();
    root.write("cluster.conf", &[CLUSTER, b"[listener]\nport = 21401\n"].concat());
    root.write("node.conf", b"[node]\nready_period = 2\n");
    let mut config = root.load();
    for (file, text, place) in [
        ("cluster.conf", "[listener]\nport = abc\n", "listener.port"),
        ("cluster.conf", "[listener]\nport = 99999\n", "listener.port"),
        ("cluster.conf", "[hb#1]\ntype = unicast\ninterval = -1\n", "hb#1.interval"),
        ("cluster.conf", "[hb#9]\ntype = bogus\n", "hb#9.type"),
        ("node.conf", "[node]\nready_period = abc\n", "node.ready_period"),
    ] {
        let before = fs::read(root.paths.etc.join(file)).unwrap();
        let first = if file == "cluster.conf" { CLUSTER } else { b"" };
        root.write(file, &[first, text.as_bytes()].concat());
        assert!(!config.reload_node(&root.paths, &BTreeSet::new()), "{text}");
        // The object is read with it, and says nothing else.
        config.reload_objects(&root.paths, &[ObjectPath::cluster()]);
        assert_eq!(config.node.listener.port, 21_401);
        assert_eq!(config.node.ready_period, Duration::from_secs(2));
        assert!(config.kept.contains(file));
        let told = told(&config, file);
        assert!(told.iter().any(|it| it.contains(place) && it.contains(" line ")), "{told:?}");
        root.write(file, &before);
        config.reload_node(&root.paths, &BTreeSet::new());
        assert_eq!((config.complaints.len(), config.kept.len()), (0, 0));
    }
    // One good file is followed while the other one is not.
    root.write("cluster.conf", b"no section\n");
    root.write("node.conf", b"[node]\nready_period = 3\n");
    assert!(config.reload_node(&root.paths, &BTreeSet::new()));
    assert_eq!((config.node.nodes.len(), config.node.ready_period.as_secs()), (2, 3));
}

#[test]
fn an_object_keeps_its_last_good_configuration_and_the_next_daemon_has_it_too() {
    let root = root();
    root.write("cluster.conf", CLUSTER);
    let good = b"[DEFAULT]\nid = 1\nnodes = n1\n[app#1]\ntype = simple\nstart = /bin/true\n";
    root.write("svc1.conf", good);
    let mut config = root.load();
    let path = [object("svc1")];
    let app = |config: &LoadedConfig| {
        config.objects.get(&path[0]).unwrap().settings.resources["app#1"].driver.clone()
    };
    for (text, place) in [
        (
            "[DEFAULT]\nid = 1\nnodes = n1\n[app#1]\ntype = smple\nstart = /bin/true\n",
            "line 5: app#1.type",
        ),
        ("[DEFAULT]\nid = 1\nnodes = nn1\n[app#1]\ntype = simple\n", "line 3: DEFAULT.nodes"),
        ("", "is empty"),
        ("garbage\n", "line 1"),
    ] {
        root.write("svc1.conf", text.as_bytes());
        assert_eq!(config.reload_objects(&root.paths, &path), [], "{text}");
        let told = told(&config, "svc1.conf");
        assert!(told.iter().any(|it| it.contains(place)), "{told:?}");
        assert!(config.kept.contains("svc1.conf"));
        assert!(config.objects.get(&path[0]).unwrap().has_instance(&root.node));
        assert_eq!(fs::read(root.paths.etc.join("svc1.conf")).unwrap(), text.as_bytes());
        let next = root.load();
        assert_eq!((app(&next).as_str(), next.kept.len()), ("app.simple", 1));
        // Peers are given what was published.
        let given = file_in_force(&root.paths, &path[0]);
        assert_eq!(fs::read(&given).unwrap(), good);
        let updated = config.objects.get(&path[0]).unwrap().updated;
        assert_eq!(modified(&fs::metadata(&given).unwrap()), updated);
        // A child of the daemon acts on the same.
        let node = load_node_in_force(&root.paths, &root.node);
        let seen = load_object_in_force(&root.paths, &node, &path[0]).unwrap();
        assert_eq!(seen.csum, csum(good));
    }
    // Good again, with another driver.
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\nnodes = n1\n[app#1]\nstart = /bin/true\n");
    assert_eq!(config.reload_objects(&root.paths, &path), path);
    assert_eq!(app(&config), "app.forking");
    assert!(config.complaints.is_empty() && !is_kept(&root.paths, &path[0]));
    // Deleted is deleted, also when it was not good before.
    root.write("svc1.conf", b"garbage\n");
    config.reload_objects(&root.paths, &path);
    fs::remove_file(root.paths.config_file(&path[0])).unwrap();
    assert_eq!(config.reload_objects(&root.paths, &path), path);
    assert!(config.complaints.is_empty() && !is_kept(&root.paths, &path[0]));
    assert!(!root.load().objects.contains_key(&path[0]));
}

#[test]
fn a_mistake_of_the_start_is_told_and_does_not_block_the_next_change() {
    let root = root();
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\n[app#1]\ntype = smple\n[share#1]\ntype = nfs\n");
    let mut config = root.load();
    assert_eq!(
        told(&config, "svc1.conf"),
        [
            "svc1.conf line 4: app#1.type: unknown driver app.smple: did you mean simple? The drivers of app are forking, simple, winservice"
        ]
    );
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\napp = x\n[app#1]\ntype = smple\n");
    let path = [object("svc1")];
    assert_eq!(config.reload_objects(&root.paths, &path), path);
    assert!(config.kept.is_empty());
}

#[test]
fn what_is_no_file_is_told_and_nobody_waits_for_it() {
    let root = root();
    for name in ["pipe.conf", "node.conf"] {
        rustix::fs::mkfifoat(rustix::fs::CWD, root.paths.etc.join(name), rustix::fs::Mode::RWXU)
            .unwrap();
    }
    root.write("svc1.conf", b"[DEFAULT]\nid = 1\n");
    ensure_cluster_conf(&root.paths, &root.node).unwrap();
    let config = root.load();
    assert!(config.objects.contains_key(&object("svc1")));
    for name in ["pipe.conf", "node.conf"] {
        assert_eq!(told(&config, name), [format!("{name}: not a regular file")]);
    }
}

#[test]
fn a_secret_or_a_name_that_nobody_else_has_is_not_followed_now_nor_after_a_restart() {
    let root = root();
    root.write("cluster.conf", CLUSTER);
    let mut config = root.load();
    let text = String::from_utf8_lossy(CLUSTER).into_owned();
    let changes = [
        (text.replace("abcdefghijklmnop", "another-good-secret"), "om cluster rotate secret"),
        (format!("{text}name = other\n"), "om daemon leave"),
    ];
    for (text, command) in changes {
        root.write("cluster.conf", text.as_bytes());
        assert!(!config.reload_node(&root.paths, &BTreeSet::new()));
        assert!(told(&config, "cluster.conf")[0].contains(command), "{config:?}");
        for config in [&config, &root.load()] {
            assert_eq!(config.node.secret.as_ref().unwrap().expose(), "abcdefghijklmnop");
            assert_eq!(config.node.cluster_name, "default");
            assert!(!format!("{:?}", config.complaints).contains("another-good-secret"));
        }
        root.write("cluster.conf", CLUSTER);
        config.reload_node(&root.paths, &BTreeSet::new());
        assert!(config.complaints.is_empty() && !copy_of(&root.paths, "cluster.conf").exists());
    }
}

#[test]
fn a_node_that_joins_or_leaves_follows_the_files_that_it_wrote_for_that_and_no_others() {
    let root = root();
    root.write("cluster.conf", CLUSTER);
    let mut config = root.load();
    let joined = "[cluster]\nid = j\nname = other\nsecret = ponmlkjihgfedcba\nnodes = n1 n9\n";
    note_other_cluster(&root.paths, [joined].into_iter()).unwrap();
    root.write("cluster.conf", format!("{joined}quorum = true\n").as_bytes());
    assert!(!config.reload_node(&root.paths, &BTreeSet::new()));
    root.write("cluster.conf", joined.as_bytes());
    assert!(config.reload_node(&root.paths, &BTreeSet::new()));
    assert_eq!(config.node.cluster_name, "other");
}
