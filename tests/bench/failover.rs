//! How long a service is not started anywhere: three nodes with the fast profile, one of which dies, or hands over.

use std::time::{Duration, Instant};

use harness::Scene;
use serde_json::json;

use crate::{Bound, Options, Row};

/// Longest wait for what follows, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is the case, and tells for how long. Looks often: a look is cheap.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    begin.elapsed()
}

fn is_settled(scene: &Scene, viewer: usize, on: usize) -> bool {
    let status = scene.cluster.nodes[viewer].status();
    let nodes = &status["monitor"]["nodes"];
    (0..3).all(|at| {
        let node = &nodes[format!("n{}", at + 1)];
        let web = &node["services"]["status"]["web"];
        node["monitor"]["status"] == "idle"
            && web["monitor"]["status"] == "idle"
            && web["monitor"]["global_expect"].is_null()
            && (web["avail"] == "up") == (at == on)
    })
}

fn settle(scene: &Scene, on: usize) {
    for viewer in 0..3 {
        until("all is quiet", || is_settled(scene, viewer, on));
    }
}

/// The node dies; what is measured ends when the start command runs on another one.
fn fail_over(scene: &mut Scene, on: usize) -> (Duration, usize) {
    let before = scene.journal("web").len();
    let begin = Instant::now();
    scene.kill(on);
    until("it is started elsewhere", || scene.journal("web").len() > before);
    let time = begin.elapsed();
    let started = scene.journal("web")[before].clone();
    let to = (0..3).find(|at| started.starts_with(&format!("start n{}", at + 1)));
    scene.cluster.nodes[on].start();
    scene.cluster.wait_beating();
    let to = to.expect("a start on a node");
    settle(scene, to);
    assert_eq!(scene.journal("web").len(), before + 1, "started once");
    (time, to)
}

/// From the request to the end of the start elsewhere.
fn switch(scene: &Scene, on: usize) -> (Duration, usize) {
    let to = (on + 1) % 3;
    let target = format!("placed@n{}", to + 1);
    let request =
        json!({"action": "object_monitor", "options": {"path": "web", "global_expect": target}});
    let begin = Instant::now();
    let reply = scene.cluster.nodes[on].request(&request);
    assert_eq!(reply["status"], 0, "{reply}");
    until("it is up elsewhere", || scene.file("web", &format!("up.n{}", to + 1)).exists());
    let time = begin.elapsed();
    settle(scene, to);
    (time, to)
}

/// What the stop and the start of the service take by themselves: its two commands.
fn own_time(scene: &Scene) -> Duration {
    let run = |action: &str| {
        let mut command = std::process::Command::new("/bin/sh");
        command.arg(scene.file("web", "../service")).arg(scene.file("web", "../own"));
        let done = command.args(["n9", action]).status();
        assert!(done.is_ok_and(|status| status.success()), "{action} works");
    };
    std::fs::create_dir_all(scene.file("own", "")).expect("a folder");
    let begin = Instant::now();
    for action in ["start", "stop"] {
        run(action);
    }
    begin.elapsed()
}

fn row(name: &str, times: &[Duration], at: f64, target: u32, note: String) -> Row {
    let mut times = times.to_vec();
    times.sort();
    let index = ((times.len() - 1) as f64 * at).round() as usize;
    let value = times[index].as_secs_f64() * 1e3;
    let target = Some((f64::from(target), Bound::AtMost));
    Row { name: name.into(), value, unit: "ms", target, note }
}

/// The load of this machine, averaged over a minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn scene() -> Scene {
    let scene = Scene::of(crate::cluster(), &[("web", "")], |_| {});
    settle(&scene, 0);
    scene
}

fn show(rows: Vec<Row>) -> Vec<Row> {
    rows.iter().for_each(Row::print);
    println!();
    rows
}

/// Failovers.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    println!("Failover\n");
    let mut scene = scene();
    let (mut on, mut failovers) = (0, vec![]);
    for _ in 0..if options.quick { 20 } else { 50 } {
        let (time, to) = fail_over(&mut scene, on);
        failovers.push(time);
        on = to;
    }
    let note = format!("{} runs, load {}", failovers.len(), load());
    show(vec![
        row("failover, death to start command, median", &failovers, 0.5, 1_500, note.clone()),
        row("failover, death to start command, p99", &failovers, 0.99, 2_000, note),
    ])
}

/// Switches.
pub(crate) fn measure_switch(options: &Options) -> Vec<Row> {
    println!("Switch\n");
    let scene = scene();
    let (mut on, mut switches) = (0, vec![]);
    for _ in 0..if options.quick { 20 } else { 50 } {
        let (time, to) = switch(&scene, on);
        switches.push(time.saturating_sub(own_time(&scene)));
        on = to;
    }
    let note = format!("{} runs, load {}", switches.len(), load());
    let name = |which: &str| format!("switch beyond the stop and start commands, {which}");
    show(vec![
        row(&name("median"), &switches, 0.5, 150, note.clone()),
        row(&name("p99"), &switches, 0.99, 150, note),
    ])
}
