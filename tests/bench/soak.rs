//! What a cluster takes in the long run: everything goes on at once, and nothing grows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{Cluster, Events, Node, Peer, Scene, id_of};
use serde_json::json;

use crate::failover::load;
use crate::{Bound, Options, Row};

/// Daemons that live as long as the soak.
const MEASURED: usize = 3;

/// The node that dies again and again.
const MORTAL: usize = 3;

/// Services that are a flag, and those with commands of their own.
const FLAGS: usize = 44;
const APPS: usize = 6;

/// How often the daemons are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// Most that a daemon may grow by in an hour, in MiB.
const SLOPE: f64 = 4.0;

/// Most descriptors or threads that it may have more of at the end: connections come and go, on a busy machine slower.
const FEW: f64 = 4.0;

/// What the kernel tells of a daemon at one moment.
struct Sample {
    hours: f64,
    resident_mib: f64,
    descriptors: usize,
    threads: usize,
}

impl Sample {
    fn of(node: &Node, since: Instant) -> Self {
        let entries = |folder: &str| {
            let folder = std::fs::read_dir(format!("/proc/{}/{folder}", node.pid()));
            folder.expect("the daemon runs").count()
        };
        Self {
            hours: since.elapsed().as_secs_f64() / 3_600.0,
            resident_mib: node.resident_kib() as f64 / 1_024.0,
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// Growth in an hour, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (hours, resident) = (mean(&|one| one.hours), mean(&|one| one.resident_mib));
    let product = |one: &Sample| (one.hours - hours) * (one.resident_mib - resident);
    let square = |one: &Sample| (one.hours - hours).powi(2);
    samples.iter().map(product).sum::<f64>() / samples.iter().map(square).sum::<f64>()
}

/// By how much the smallest value of the last third exceeds that of the first third: what comes and goes is not counted.
fn risen(samples: &[Sample], of: impl Fn(&Sample) -> usize) -> f64 {
    let third = samples.len() / 3;
    let least = |part: &[Sample]| part.iter().map(&of).min().unwrap_or_default() as f64;
    least(&samples[samples.len() - third..]) - least(&samples[..third])
}

/// Numbers that look like chance, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

fn byte(dice: &mut Dice) -> u8 {
    u8::try_from(dice.below(256)).expect("a byte")
}

/// What goes on, and how often it went on.
struct Soak<'a> {
    nodes: &'a [Node],
    scene: &'a Scene,
    is_warm: &'a AtomicBool,
    is_over: &'a AtomicBool,
    done: &'a AtomicU64,
}

impl Soak<'_> {
    /// Does something again and again, after a pause each time, until the soak is over.
    fn repeat(&self, pause: Duration, act: impl FnMut(usize)) {
        self.repeat_after(|| pause, act);
    }

    fn repeat_after(&self, pause: impl Fn() -> Duration, mut act: impl FnMut(usize)) {
        for round in 0.. {
            let until = Instant::now() + pause();
            while Instant::now() < until {
                if self.is_over.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            act(round);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn peer(&self, at: usize) -> Peer {
        let cluster = &self.scene.cluster;
        Peer::sealed(&self.nodes[at])
            .named("n4")
            .at(cluster.address(at))
            .to(self.nodes[at].port())
            .from_address(cluster.address(MORTAL))
    }

    /// Members and local users ask.
    fn ask(&self) {
        let mut dice = Dice(1);
        self.repeat(Duration::from_millis(50), |_| {
            let at = dice.below(MEASURED);
            let service = format!("svc{}", dice.below(FLAGS));
            let request = match dice.below(5) {
                0 => json!({"action": "daemon_status", "method": "GET"}),
                1 => json!({"action": "object_config", "method": "GET", "options": {"path": service}}),
                2 => json!({"action": "daemon_status", "options": {"selector": "svc*,!svc1*+avail=up"}}),
                3 => json!({"action": "object_explain", "method": "GET", "options": {"path": service}}),
                _ => json!({"action": "no_such_request", "options": {"x": "y".repeat(10_000)}}),
            };
            if dice.below(2) == 0 {
                _ = self.peer(at).ask(&request);
            } else {
                _ = self.nodes[at].try_request(&request);
            }
        });
    }

    /// Strangers send what does not open, or nothing, to the listener and to the heartbeat.
    fn send_junk(&self) {
        let mut dice = Dice(2);
        let mut silent: Vec<TcpStream> = vec![];
        // While it warms up, ten times as often: what is kept of strangers has a bound, which is reached then.
        let pause = || match self.is_warm.load(Ordering::Relaxed) {
            true => Duration::from_millis(100),
            false => Duration::from_millis(10),
        };
        self.repeat_after(pause, |_| {
            let at = dice.below(MEASURED);
            let cluster = &self.scene.cluster;
            let from = Ipv4Addr::new(127, 1 + byte(&mut dice) % 250, byte(&mut dice), byte(&mut dice));
            let to = [cluster.port(at), cluster.heartbeat_port(at)][dice.below(2)];
            let peer = self.peer(at).from_address(from).to(to);
            let junk: Vec<u8> = match dice.below(6) {
                0 => (0..dice.below(5_000)).map(|_| byte(&mut dice)).collect(),
                1 => vec![b'['; 100_000],
                2 => b"{\"clustername\": \"demo\", \"nodename\": \"n2\", \"iv\": \"AAAA\", \"data\": \"AAAA\"}\0".to_vec(),
                3 => peer.frame(&json!({"action": "daemon_status"}))[..200].to_vec(),
                4 => {
                    silent.push(peer.connect());
                    if silent.len() > 50 {
                        silent.clear();
                    }
                    return;
                }
                _ => {
                    let stranger = peer.with_secret("81ec81d6e68c11f1ae3f02fcffffffff");
                    let frame = stranger.frame(&json!({"action": "daemon_status"}));
                    _ = stranger.exchange(&frame);
                    return;
                }
            };
            let mut stream = peer.connect();
            _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
            _ = stream.write_all(&junk);
            _ = stream.read(&mut [0; 64]);
        });
    }

    /// Files are edited, well and badly.
    fn edit(&self) {
        let mut dice = Dice(3);
        self.repeat(Duration::from_secs(2), |round| {
            let at = dice.below(MEASURED);
            let node = &self.nodes[at];
            let number = dice.below(FLAGS);
            let name = format!("etc/svc{number}.conf");
            let text = flag(number);
            match dice.below(8) {
                0 => node.write(&name, &text[..text.len() / 2]),
                1 => {
                    let conf = node.read("etc/cluster.conf");
                    let conf: Vec<&str> =
                        conf.lines().filter(|line| !line.starts_with("# ")).collect();
                    node.write("etc/cluster.conf", &format!("{}\n# {round}\n", conf.join("\n")));
                }
                2 => {
                    _ = node.om(&["many", "create"]);
                    _ = node.om(&["many", "delete"]);
                }
                _ => {}
            }
            node.write(&name, &format!("{text}\n[env]\nround = {round}\n"));
        });
    }

    /// An operator moves, stops, freezes.
    fn operate(&self) {
        let mut dice = Dice(4);
        self.repeat(Duration::from_secs(3), |_| {
            let node = &self.nodes[dice.below(MEASURED)];
            let number = dice.below(FLAGS);
            let service = match dice.below(2) {
                0 => format!("svc{number}"),
                _ => format!("app{}", number % APPS),
            };
            let to = format!("n{}", 1 + dice.below(MEASURED));
            let words: &[&str] = match dice.below(4) {
                0 => &["stop"],
                1 => &["freeze"],
                _ => &["switch", "--to", &to],
            };
            let words = [&[service.as_str()], words, &["--wait", "--time", "20s"]].concat();
            _ = node.om(&words);
            _ = node.om(&[&service, "start", "--wait", "--time", "20s"]);
            _ = node.om(&[&service, "thaw"]);
        });
    }

    /// Events and logs are followed, for ever and for a while.
    fn follow(&self) {
        let subscribe = |at: usize| Events::subscribe(&self.nodes[at], &json!({}));
        let mut kept: Vec<Events> = (0..MEASURED).map(subscribe).collect();
        self.repeat(Duration::from_millis(500), |round| {
            // One that reads slowly is dropped, and comes again.
            let at = round % MEASURED;
            for _ in 0..20 {
                let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    kept[at].next_document()
                }));
                if !matches!(read, Ok(Some(_))) {
                    kept[at] = subscribe(at);
                    break;
                }
            }
            if round % 30 == 0 {
                let words = ["logs", "--follow", "--node", "*"];
                let mut follower = self.nodes[at].spawn(&words);
                std::thread::sleep(Duration::from_secs(3));
                _ = follower.kill();
                _ = follower.wait();
            }
        });
    }
}

fn flag(number: usize) -> String {
    let order = ["n1 n2 n3 n4", "n2 n3 n4 n1", "n3 n4 n1 n2", "n4 n1 n2 n3"][number % 4];
    format!(
        "[DEFAULT]\nid = {}\nnodes = {order}\norchestrate = ha\n\n[fs#1]\ntype = flag\nprovision = false\n\
         unprovision = false\n\n[sync#i0]\ndisable = true\n",
        id_of(&format!("svc{number}"))
    )
}

fn scene(options: &Options) -> Scene {
    let mut cluster: Cluster = crate::cluster_of(MEASURED + 1, &harness::ClusterConf::default());
    if let Some(program) = &options.om {
        cluster.nodes =
            cluster.nodes.into_iter().map(|node| node.with_program(program.into())).collect();
    }
    let apps: Vec<String> = (0..APPS).map(|number| format!("app{number}")).collect();
    let apps: Vec<(&str, &str)> = apps.iter().map(|name| (name.as_str(), "")).collect();
    Scene::of(cluster, &apps, |scene| {
        for number in 0..FLAGS {
            scene.configure(&format!("svc{number}"), &flag(number));
        }
    })
}

/// Measures for `minutes`, after half as many of warming up: tables fill, and the allocator finds its size.
pub(crate) fn measure(options: &Options, minutes: u64) -> Vec<Row> {
    let measured = Duration::from_secs(minutes * 60);
    println!("Soak of {minutes} minutes, {} services, load {}\n", FLAGS + APPS, load());
    let mut scene = scene(options);
    let mut mortal = scene.cluster.nodes.remove(MORTAL);
    let (is_warm, is_over, done) =
        (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let deaths = AtomicU64::new(0);
    let mut samples: Vec<Vec<Sample>> = (0..MEASURED).map(|_| vec![]).collect();
    let nodes = &scene.cluster.nodes;
    let soak = Soak { nodes, scene: &scene, is_warm: &is_warm, is_over: &is_over, done: &done };
    std::thread::scope(|scope| {
        scope.spawn(|| soak.ask());
        scope.spawn(|| soak.send_junk());
        scope.spawn(|| soak.edit());
        scope.spawn(|| soak.operate());
        scope.spawn(|| soak.follow());
        scope.spawn(|| {
            soak.repeat(Duration::from_secs(20), |_| {
                mortal.kill();
                // With the machine, all that was up on it.
                for number in 0..APPS {
                    soak.scene.remove(&format!("app{number}"), "up.n4");
                }
                _ = std::fs::remove_dir_all(mortal.path("tmp/flags"));
                std::thread::sleep(Duration::from_secs(5));
                mortal.start();
                deaths.fetch_add(1, Ordering::Relaxed);
            });
        });
        let since = Instant::now();
        while since.elapsed() < measured + measured / 2 {
            std::thread::sleep(INTERVAL);
            is_warm.store(since.elapsed() >= measured / 2, Ordering::Relaxed);
            for (node, samples) in soak.nodes.iter().zip(&mut samples) {
                samples.push(Sample::of(node, since));
            }
            let latest: Vec<String> = samples
                .iter()
                .filter_map(|samples| samples.last())
                .map(|one| {
                    format!(
                        "{:.1} MiB {} fd {} thr",
                        one.resident_mib, one.descriptors, one.threads
                    )
                })
                .collect();
            println!("{:>5} s  {}", since.elapsed().as_secs(), latest.join(" | "));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let note = format!(
        "{} rounds of what goes on, {} deaths of n4, load {}",
        done.load(Ordering::Relaxed),
        deaths.load(Ordering::Relaxed),
        load()
    );
    let mut rows = vec![];
    for (at, samples) in samples.iter().enumerate() {
        let samples = &samples[samples.len() / 3..];
        let mut row = |what: &str, value, unit, target| {
            let name = format!("soak, n{}: {what}", at + 1);
            rows.push(Row {
                name,
                value,
                unit,
                target: Some((target, Bound::AtMost)),
                note: note.clone(),
            });
        };
        row("resident memory, growth", slope(samples), "MiB/h", SLOPE);
        row("open descriptors, growth", risen(samples, |one| one.descriptors), "", FEW);
        row("threads, growth", risen(samples, |one| one.threads), "", FEW);
    }
    rows.iter().for_each(Row::print);
    rows
}
