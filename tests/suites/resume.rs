//! Promise: who follows a cluster from outside loses nothing and is told nothing twice, however often the connection breaks.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::{Http, Node, Port, basic, wait_for};
use serde_json::Value;

/// Passes connections on to a port, and breaks them when it is told to.
struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_shut: Arc<AtomicBool>,
}

impl Proxy {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let (open, is_shut) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
        let (kept, shut) = (open.clone(), is_shut.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let both = [&client, &server].map(|it| it.try_clone().expect("a clone"));
                kept.lock().expect("a lock").extend(both);
                let back = [&server, &client].map(|it| it.try_clone().expect("a clone"));
                thread::spawn(move || pass(client, server));
                let [from, to] = back;
                thread::spawn(move || pass(from, to));
            }
        });
        Self { port: own, open, is_shut }
    }

    /// Breaks what is open; whoever comes meanwhile is closed too.
    fn shut(&self) {
        self.is_shut.store(true, Ordering::Relaxed);
        for stream in self.open.lock().expect("a lock").drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn reopen(&self) {
        self.is_shut.store(false, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Both);
}

/// A node, and a machine outside that asks it through a proxy.
struct World {
    node: Node,
    port: Port,
    laptop: Node,
    proxy: Proxy,
}

impl World {
    fn start() -> Self {
        let (mut node, port) = Node::for_users("n1", "");
        node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
        node.start();
        node.om_ok(&["cluster", "tls"]);
        node.om_ok(&["system/sec/cert-demo", "set", "--kw", "alt_names=127.0.0.1"]);
        node.om_ok(&["system/sec/cert-demo", "gen", "cert"]);
        node.add_user("alice", "root");
        let mut laptop = Node::new("laptop");
        for file in ["etc/node.conf", "etc/cluster.conf"] {
            std::fs::remove_file(laptop.path(file)).expect("it was there");
        }
        let ca = node.om_ok(&["system/sec/ca-demo", "decode", "--key", "certificate_chain"]);
        laptop.write("tmp/ca.pem", &ca);
        laptop.set_env("OSVC_USER", Some("alice"));
        laptop.set_env("OSVC_PASSWORD", Some("pw-alice"));
        let proxy = Proxy::to(port.number());
        let it = Self { node, port, laptop, proxy };
        wait_for("it is reached", || {
            let words = it.words(&["mon"]);
            it.laptop.om(&words.iter().map(String::as_str).collect::<Vec<_>>()).code == Some(0)
        });
        it.node.wait_instance("svc1", "evaluated", |it| it["avail"].is_string());
        it
    }

    /// A command through the proxy, which trusts the authority that it is told.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let server = format!("https://127.0.0.1:{}", self.proxy.port);
        let cacert = self.laptop.path("tmp/ca.pem").display().to_string();
        let options = ["--server".to_owned(), server, "--cacert".to_owned(), cacert];
        words.iter().map(ToString::to_string).chain(options).collect()
    }

    fn follow(&self, words: &[&str], name: &str) -> std::process::Child {
        let file = |name: &str| File::create(self.laptop.path(name)).expect("a file");
        let words = self.words(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.laptop.spawn_with(&words, file(name), file(&format!("{name}.err")))
    }

    /// Freezes or thaws the service: events and lines of its log.
    fn touch(&self, action: &str) {
        self.node.om_ok(&["svc1", action, "--wait", "--time", "20s"]);
    }

    /// The documents of a file, each on a line.
    fn documents(&self, name: &str) -> Vec<Value> {
        let text = self.laptop.read(name);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn events(&self, name: &str, id: &str) -> usize {
        let documents = self.documents(name);
        documents.iter().filter(|it| it["kind"] == "event" && it.to_string().contains(id)).count()
    }
}

#[test]
fn events_and_logs_go_on_where_they_broke_off() {
    let world = World::start();
    let mut followed = [
        world.follow(&["node", "events"], "tmp/events"),
        world.follow(&["svc1", "logs", "--follow"], "tmp/logs"),
    ];
    let frozen = || world.events("tmp/events", "instance_freeze");
    wait_for("events come", || {
        world.touch("freeze");
        world.touch("thaw");
        frozen() > 0 && world.laptop.read("tmp/logs").contains("thaw")
    });
    for _ in 0..3 {
        world.proxy.shut();
        // Nobody hears of these.
        world.touch("freeze");
        world.touch("thaw");
        world.proxy.reopen();
        let (before, thaws) = (frozen(), world.events("tmp/events", "instance_thaw"));
        wait_for("what happened meanwhile is told", || {
            frozen() == before + 1 && world.events("tmp/events", "instance_thaw") == thaws + 1
        });
    }
    let ids: Vec<u64> = world
        .documents("tmp/events")
        .iter()
        .filter(|it| it["kind"] == "patch")
        .filter_map(|it| it["id"].as_u64())
        .collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "lost or told twice: {ids:?}");
    assert!(world.documents("tmp/events").iter().all(|it| it["kind"] != "gap"));
    let written = world.node.om_ok(&["svc1", "logs", "--backlog", "-1", "--verbose"]);
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("n1")).map(str::to_owned).collect()
    };
    let last = lines(&written).pop().expect("a line");
    wait_for("the log is told to its end", || world.laptop.read("tmp/logs").contains(&last));
    let told = lines(&world.laptop.read("tmp/logs"));
    let all = lines(&written);
    assert!(all.ends_with(&told), "lost or told twice: {told:#?}\nwritten {all:#?}");
    for child in &mut followed {
        child.kill().expect("it runs");
        child.wait().expect("its end");
    }
}

#[test]
fn a_new_daemon_is_followed_with_all_that_is() {
    let mut world = World::start();
    let mut followed = [
        world.follow(&["node", "events"], "tmp/events"),
        world.follow(&["mon", "--watch", "--format", "json"], "tmp/mon"),
    ];
    wait_for("both are told", || {
        world.touch("freeze");
        world.touch("thaw");
        world.events("tmp/events", "instance_thaw") > 0 && !world.laptop.read("tmp/mon").is_empty()
    });
    world.node.om_ok(&["daemon", "stop"]);
    world.node.wait_end();
    let size = world.laptop.read("tmp/mon").len();
    world.node.start();
    wait_for("what is lost is told, and all that is", || {
        let documents = world.documents("tmp/events");
        let gap = documents.iter().position(|it| it["kind"] == "gap");
        gap.is_some_and(|at| documents.get(at + 1).is_some_and(|next| next["kind"] == "full"))
    });
    wait_for("it is drawn again", || world.laptop.read("tmp/mon").len() > size);
    for child in &mut followed {
        assert_eq!(child.try_wait().expect("a child"), None, "it ended");
        child.kill().expect("it runs");
        child.wait().expect("its end");
    }
}

#[test]
fn a_log_is_resumed_by_its_ids_or_tells_a_gap() {
    let world = World::start();
    let http = Http::tls(world.port.number(), None);
    let header = basic("alice", "pw-alice");
    let ask = |target: &str, last: Option<&str>, end: &str| {
        let mut headers = vec![("authorization", header.as_str()), ("accept", "text/event-stream")];
        headers.extend(last.map(|last| ("last-event-id", last)));
        http.stream(target, &headers, || (), end)
    };
    let id = |text: &str| {
        text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().map(str::to_owned)
    };
    let target = "/object_logs?path=svc1";
    // Before anything is told, it says where it is.
    let begin = id(&ask(target, None, "id: ")).expect("an id");
    world.touch("freeze");
    let news = ask(target, Some(&begin), "freeze");
    assert!(!news.contains("\"gap\""), "{news}");
    let again = ask(target, Some(&begin), "freeze");
    let data =
        |text: &str| text.lines().find(|line| line.starts_with("data: [")).map(str::to_owned);
    assert_eq!(data(&news), data(&again), "the same entries behind the same id");
    for wrong in ["none", "0123456789abcdef.1.2", "0123456789abcdef.x"] {
        let told = ask(target, Some(wrong), "id: ");
        assert!(told.contains("\"kind\":\"gap\""), "{wrong}: {told}");
    }
    // The log of all nodes has ids of all of them.
    let all = format!("{target}&backlog=10k");
    let headers =
        [("authorization", header.as_str()), ("accept", "text/event-stream"), ("o-node", "*")];
    let told = http.stream(&all, &headers, || (), "data: [");
    let last = id(&told).expect("an id");
    assert!(last.contains(".n1="), "{last}");
    world.touch("thaw");
    let headers = [headers[0], headers[1], headers[2], ("last-event-id", last.as_str())];
    let told = http.stream(target, &headers, || (), "thaw");
    assert!(!told.contains("\"gap\""), "{told}");
}
