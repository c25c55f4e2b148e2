use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

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
    assert_eq!(config.objects.len(), 3);
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
    let reply = |config: &LoadedConfig| config.objects.get(&svc1).unwrap().reply(&file);
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
