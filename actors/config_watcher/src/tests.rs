use std::fs;
use std::path::Path;

use arc_swap::ArcSwap;
use model::{Alert, NodeName, Severity};
use tokio::sync::mpsc;

use super::*;

/// What the neighbours of the watcher heard.
#[derive(Debug)]
enum Heard {
    Entries,
    Node(NodePublic),
    Objects(Vec<ObjectPath>),
    Schedules(Option<Vec<ObjectPath>>),
    Changed(NodeConfigChanged),
    Report(ThreadReport),
    Wake,
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl Actor for Ear {
    type Context = Context<Self>;
}

macro_rules! hears {
    ($($message:ty => |$msg:pat_param| $heard:expr;)+) => {
        $(impl Handler<$message> for Ear {
            type Result = ();

            fn handle(&mut self, $msg: $message, _: &mut Context<Self>) {
                _ = self.0.send($heard);
            }
        })+
    };
}

hears! {
    SetConfigEntries => |_| Heard::Entries;
    SetNode => |msg| Heard::Node(msg.0.settings.unwrap());
    ObjectsChanged => |ObjectsChanged(paths)| Heard::Objects(paths);
    SchedulesChanged => |SchedulesChanged(paths)| Heard::Schedules(paths);
    NodeConfigChanged => |msg| Heard::Changed(msg);
    ThreadReport => |msg| Heard::Report(msg);
    Wake => |_| Heard::Wake;
}

struct Bench {
    _folder: tempfile::TempDir,
    paths: Arc<Paths>,
    cell: ConfigCell,
    heard: mpsc::UnboundedReceiver<Heard>,
    watcher: Addr<ConfigWatcher>,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Arc::new(Paths::under(folder.path()));
        paths.create().unwrap();
        let (sender, heard) = mpsc::unbounded_channel();
        let ear = Ear(sender).start();
        let first = Snapshot::empty(NodeName::new("n1").unwrap());
        let neighbours = Neighbours {
            look: |_, _, _, _| crate::Left::new(),
            snapshot: Arc::new(ArcSwap::from_pointee(first)),
            cluster_data: (ear.clone().recipient(), ear.clone().recipient()),
            node_monitor: (ear.clone().recipient(), ear.clone().recipient()),
            scheduler: ear.clone().recipient(),
            root: (ear.clone().recipient(), ear.recipient()),
        };
        let config = LoadedConfig::empty(&paths, NodeName::new("n1").unwrap());
        let cell: ConfigCell = Arc::new(ArcSwap::from_pointee(config));
        for (file, text) in files {
            write(&paths.etc.join(file), text);
        }
        let watcher = ConfigWatcher::with(paths.clone(), cell.clone(), neighbours).start();
        Self { _folder: folder, paths, cell, heard, watcher }
    }

    /// Waits for the next changed objects; what else is heard before is dropped.
    async fn objects(&mut self) -> Vec<String> {
        loop {
            if let Heard::Objects(paths) = self.next().await {
                return paths.iter().map(ToString::to_string).collect();
            }
        }
    }

    async fn next(&mut self) -> Heard {
        let next = tokio::time::timeout(Duration::from_secs(10), self.heard.recv());
        next.await.expect("heard in time").expect("ears are open")
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.paths.etc.join(name)
    }
}

fn write(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

const GOOD: &str = "[DEFAULT]\nid = 1\n";

#[actix::test]
async fn files_that_are_there_are_told_once_and_the_configuration_is_loaded() {
    let mut bench = Bench::new(&[("svc1.conf", GOOD), ("namespaces/ns/vol/v1.conf", GOOD)]);
    assert_eq!(bench.objects().await, ["ns/vol/v1", "svc1"]);
    let config = bench.cell.load();
    assert!(config.is_loaded);
    assert_eq!(config.objects.len(), 2);
}

#[actix::test]
async fn a_node_without_objects_is_told_that_all_was_read() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.objects().await, Vec::<String>::new());
}

#[actix::test]
async fn every_way_of_writing_a_file_is_seen() {
    let mut bench = Bench::new(&[]);
    bench.objects().await;
    write(&bench.file("svc1.conf"), GOOD);
    assert_eq!(bench.objects().await, ["svc1"]);
    // Replaced by a rename, as editors and deployed agents do.
    write(&bench.file("svc1.conf.new"), "[DEFAULT]\nid = 2\n");
    fs::rename(bench.file("svc1.conf.new"), bench.file("svc1.conf")).unwrap();
    assert_eq!(bench.objects().await, ["svc1"]);
    // Truncated and written.
    write(&bench.file("svc1.conf"), "[DEFAULT]\nid = 3\n");
    assert_eq!(bench.objects().await, ["svc1"]);
    // Touched.
    let file = fs::File::options().append(true).open(bench.file("svc1.conf")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    assert_eq!(bench.objects().await, ["svc1"]);
    // A link.
    write(&bench.paths.tmp.join("x"), "[DEFAULT]\nid = 4\n");
    std::os::unix::fs::symlink(bench.paths.tmp.join("x"), bench.file("svc2.conf")).unwrap();
    assert_eq!(bench.objects().await, ["svc2"]);
    fs::remove_file(bench.file("svc1.conf")).unwrap();
    assert_eq!(bench.objects().await, ["svc1"]);
    assert_eq!(bench.cell.load().objects.len(), 1);
}

#[actix::test]
async fn folders_that_appear_later_are_watched_too() {
    let mut bench = Bench::new(&[]);
    bench.objects().await;
    write(&bench.file("namespaces/ns/svc/web.conf"), GOOD);
    assert_eq!(bench.objects().await, ["ns/svc/web"]);
    write(&bench.file("namespaces/ns/svc/db.conf"), GOOD);
    assert_eq!(bench.objects().await, ["ns/svc/db"]);
    fs::remove_dir_all(bench.file("namespaces/ns")).unwrap();
    let mut gone = bench.objects().await;
    if gone.len() < 2 {
        gone.extend(bench.objects().await);
    }
    gone.sort();
    assert_eq!(gone, ["ns/svc/db", "ns/svc/web"]);
}

#[actix::test]
async fn a_burst_is_told_in_few_messages() {
    let mut bench = Bench::new(&[]);
    bench.objects().await;
    for number in 0..300 {
        write(&bench.file(&format!("svc{number}.conf")), GOOD);
    }
    let mut messages = 0;
    let mut told = BTreeSet::new();
    while told.len() < 300 {
        told.extend(bench.objects().await);
        messages += 1;
    }
    assert!(messages < 20, "{messages}");
}

#[actix::test]
async fn a_bad_file_raises_an_alert_and_a_good_one_ends_it() {
    let mut bench = Bench::new(&[("svc1.conf", GOOD)]);
    bench.objects().await;
    fs::write(bench.file("svc1.conf"), b"[DEFAULT]\nid = 1\n\xff\n").unwrap();
    let alert = loop {
        if let Heard::Report(report) = bench.next().await
            && let [alert] = &report.alerts[..]
        {
            break alert.clone();
        }
    };
    assert_eq!(alert.severity, Severity::Error);
    let message = &alert.message;
    assert!(message.contains("svc1.conf") && message.contains('3'), "{message}");
    assert!(bench.cell.load().objects.contains_key(&ObjectPath::parse("svc1").unwrap()));
    write(&bench.file("svc1.conf"), GOOD);
    loop {
        if let Heard::Report(report) = bench.next().await
            && *report.id == *"monitor"
            && report.alerts.is_empty()
        {
            break;
        }
    }
}

#[actix::test]
async fn a_node_change_is_told_to_those_it_concerns() {
    let mut bench = Bench::new(&[("node.conf", "[node]\nenv = PRD\n")]);
    bench.objects().await;
    write(&bench.file("node.conf"), "[node]\nenv = PRD\n[listener]\nport = 4321\n");
    let mut told = Vec::new();
    loop {
        match bench.next().await {
            Heard::Node(public) => {
                told.push(format!("csum of {} digits", public.config_csum.len()))
            }
            Heard::Changed(change) => {
                assert_ne!(change.old.conf, change.new.conf);
                told.push("root".to_owned());
            }
            Heard::Schedules(paths) => told.push(format!("schedules {paths:?}")),
            Heard::Objects(paths) => {
                assert_eq!(paths, []);
                break;
            }
            Heard::Entries | Heard::Report(_) | Heard::Wake => {}
        }
    }
    assert_eq!(told, ["csum of 32 digits", "root", "schedules None"]);
}

#[actix::test]
async fn a_reload_answers_when_what_it_found_is_in_force() {
    let mut bench = Bench::new(&[]);
    bench.objects().await;
    write(&bench.file("svc1.conf"), GOOD);
    bench.watcher.send(Reload).await.unwrap();
    assert!(bench.cell.load().objects.contains_key(&ObjectPath::parse("svc1").unwrap()));
}

#[actix::test]
async fn the_frozen_flag_of_the_node_wakes_its_monitor() {
    let mut bench = Bench::new(&[]);
    bench.objects().await;
    machine::durable::touch(&bench.paths.node_frozen()).unwrap();
    while !matches!(bench.next().await, Heard::Wake) {}
}

#[actix::test]
async fn what_is_wrong_in_cluster_conf_is_an_alert_that_says_what_applies() {
    let good = "[cluster]\nid = i\nsecret = abcdefghijklmnop\nnodes = n1\n";
    let mut bench = Bench::new(&[("cluster.conf", good)]);
    bench.objects().await;
    write(&bench.file("cluster.conf"), &format!("{good}[hb#9]\ntype = bogus\n[foo]\n"));
    let alerts = loop {
        if let Heard::Report(report) = bench.next().await
            && !report.alerts.is_empty()
        {
            break report.alerts;
        }
    };
    let told: Vec<String> = alerts
        .iter()
        .map(|Alert { severity, message }| format!("{severity:?} {message}"))
        .collect();
    assert_eq!(
        told,
        [
            "Error cluster.conf line 6: hb#9.type: \"bogus\" is not one of unicast, multicast, disk, relay: the last good configuration stays in force",
            "Warning cluster.conf line 7: [foo]: unknown section",
        ]
    );
    assert!(bench.cell.load().objects.contains_key(&ObjectPath::cluster()));
}

#[actix::test]
async fn a_pipe_among_the_files_holds_nobody_up() {
    let mut bench = Bench::new(&[]);
    bench.objects().await;
    let pipe = bench.file("pipe.conf");
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe, rustix::fs::Mode::RWXU).unwrap();
    loop {
        if let Heard::Report(report) = bench.next().await
            && report.alerts.iter().any(|it| it.message.contains("pipe.conf: not a regular file"))
        {
            break;
        }
    }
    write(&bench.file("svc1.conf"), GOOD);
    while bench.objects().await != ["svc1"] {}
}

#[actix::test]
async fn a_host_whose_name_is_none_of_the_cluster_is_told_what_to_do() {
    let text =
        "[cluster]\nname = c\nid = 1\nsecret = 81ec81d6e68c11f1ae3f02fc00000001\nnodes = n2 n3\n";
    let mut bench = Bench::new(&[("cluster.conf", text)]);
    loop {
        let Heard::Report(report) = bench.next().await else { continue };
        let text = "this host is called n1, which is none of cluster.nodes (n2 n3)";
        if report.alerts.iter().any(|alert| alert.message.contains(text)) {
            break;
        }
    }
}

#[actix::test]
async fn several_nodes_without_a_heartbeat_are_told_to_add_one() {
    let text = "[cluster]\nid = 1\nsecret = 81ec81d6e68c11f1ae3f02fc00000001\nnodes = n1 n2\n";
    let mut bench = Bench::new(&[("cluster.conf", text)]);
    let is_told = |report: &ThreadReport| {
        let mut alerts = report.alerts.iter();
        alerts.any(|alert| alert.message.contains("om cluster set --kw hb#1.type=unicast"))
    };
    loop {
        if matches!(bench.next().await, Heard::Report(report) if is_told(&report)) {
            break;
        }
    }
    write(&bench.file("cluster.conf"), &format!("{text}[hb#1]\ntype = unicast\n"));
    loop {
        if matches!(bench.next().await, Heard::Report(report) if !is_told(&report)) {
            break;
        }
    }
}
