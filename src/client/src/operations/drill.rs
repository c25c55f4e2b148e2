//! `om <path> drill`: fails a service over on purpose, measures for how long it did not answer, and puts it back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cli::{DrillOptions, Probe, Target, Wait};
use link::link::Link;
use model::{Forecast, NodeName, ObjectPath};
use monitor::drill::{self, Drill, Silence};
use serde_json::{Value, json};
use wire::Request;

use crate::explain;
use crate::om::{ANSWER, Done, Failure, Om, complain, note, seconds};
use crate::operations::glance;
use crate::operations::probe::{Gauge, Prober};
use crate::target;

/// How long a service that is up may take until its probe answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked whether the probe answers again.
const LOOK: Duration = Duration::from_millis(20);

/// One way of a drill.
struct Way {
    from: NodeName,
    to: NodeName,
    /// Seconds from the order until the target was reached.
    took: f64,
    silences: Vec<Silence>,
    /// When the last one was still not over.
    now: Duration,
    tries: usize,
    failed: usize,
}

impl Way {
    /// For how long nothing answered, all times together.
    fn down(&self) -> Duration {
        self.silences.iter().map(|silence| silence.lasted(self.now)).sum()
    }

    fn is_answered(&self) -> bool {
        self.silences.last().is_none_or(|silence| silence.ended.is_some())
    }

    fn told(&self, path: &ObjectPath, gauge: &Gauge) -> String {
        let Self { from, to, tries, failed, .. } = self;
        let down = match (self.silences.is_empty(), self.is_answered()) {
            (true, _) => "always answered".to_owned(),
            (false, true) => format!("down for {:.2} s", self.down().as_secs_f64()),
            (false, false) => {
                format!("down for {:.2} s, and still", self.down().as_secs_f64())
            }
        };
        let times = match self.silences.len() {
            0 | 1 => String::new(),
            times => format!(" in {times} times"),
        };
        format!(
            "{path}: {from} -> {to}: {down}{times} (by {gauge}, {failed} of {tries} tries failed)"
        )
    }

    fn data(&self) -> Value {
        let each = |silence: &Silence| {
            json!({
                "begun": silence.begun.as_secs_f64(),
                "ended": silence.ended.map(|ended| ended.as_secs_f64()),
            })
        };
        json!({
            "from": self.from, "to": self.to, "took": self.took,
            "down": self.down().as_secs_f64(), "is_answered": self.is_answered(),
            "silences": self.silences.iter().map(each).collect::<Vec<_>>(),
            "tries": self.tries, "failed": self.failed,
        })
    }
}

pub(crate) fn run(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    options: &DrillOptions,
    target: &Target,
) -> Done {
    if *target != Target::Default {
        return Err(Failure::usage(
            "drill moves the object: --to says where, not --local or --node",
        ));
    }
    let [path] = paths else {
        return Err(Failure::usage("drill moves one object at a time"));
    };
    if !path.kind().has_instances() {
        return Err(Failure::usage(format!(
            "{path} runs nowhere: drill is for services and volumes"
        )));
    }
    let plan = plan(link, path, options)?;
    let gauge = gauge(link, path, &plan.from, options);
    if options.dry_run {
        return dry_run(om, path, &plan, &gauge, options);
    }
    if let Err(reason) = gauge.look() {
        return Err(Failure::new(format!(
            "{path} is up, and {gauge} does not answer before anything is done: {reason}"
        )));
    }
    let mut prober = Prober::begin(&gauge);
    let mut ways = vec![];
    let there = go(om, link, path, (&plan.from, &plan.to), options, &mut prober);
    let mut is_fine = take(path, &gauge, there, &mut ways);
    let mut is_back = false;
    if !options.stay {
        let back = go(om, link, path, (&plan.to, &plan.from), options, &mut prober);
        is_back = take(path, &gauge, back, &mut ways);
        is_fine &= is_back;
    }
    drop(prober);
    let place = if is_back { format!("back on {}", plan.from) } else { place(link, path) };
    let found = json!({
        "path": path, "probe": gauge.to_string(), "is_back": is_back, "is_done": is_fine,
        "ways": ways.iter().map(Way::data).collect::<Vec<_>>(),
    });
    om.show(&found, |_| {
        let lines = ways.iter().map(|way| format!("{}\n", way.told(path, &gauge)));
        format!("{}{path} is {place}\n", lines.collect::<String>())
    });
    Ok(u8::from(!is_fine))
}

/// Whether it is safe, and where to.
fn plan(link: &Link, path: &ObjectPath, options: &DrillOptions) -> Result<Drill, Failure> {
    let explained = explain::explain(link, path)?;
    let glance = glance::ask(link)?;
    let to = options.to.as_deref().map(NodeName::new).transpose();
    let to = to.map_err(|error| Failure::usage(format!("--to: {error}")))?;
    let refuse = |lines: Vec<String>, hint: &str| {
        let mut lines = lines;
        lines.push(format!("no drill: nothing was done{hint}"));
        Failure { lines, code: 1 }
    };
    let planned = drill::plan(&explained, &glance.nodes, to.as_ref());
    let (plan, mut soft) = planned.map_err(|refusals| refuse(refusals.firm, ""))?;
    let forecast: Forecast = explain::foretold(link, path, &drill::target(&plan.to))?;
    let refusals = drill::of_forecast(&plan, &forecast);
    if !refusals.firm.is_empty() {
        return Err(refuse(refusals.firm, ""));
    }
    soft.extend(refusals.soft);
    if !soft.is_empty() && !options.force {
        return Err(refuse(soft, ": --force does it all the same"));
    }
    soft.iter().for_each(|line| note(&format!("forced: {line}")));
    Ok(plan)
}

fn dry_run(
    om: &Om,
    path: &ObjectPath,
    plan: &Drill,
    gauge: &Gauge,
    options: &DrillOptions,
) -> Done {
    let Drill { from, to } = plan;
    let found = json!({"path": path, "from": from, "to": to, "probe": gauge.to_string(),
        "stay": options.stay});
    om.show(&found, |_| {
        let back = if options.stay { "and stay there" } else { "and back" };
        format!(
            "{path} would move from {from} to {to} {back}, measured by {gauge}\nnothing was done\n"
        )
    });
    Ok(0)
}

/// Moves it, and waits until the probe answers again. The way, and whether it went well.
fn go(
    om: &Om,
    link: &Link,
    path: &ObjectPath,
    (from, to): (&NodeName, &NodeName),
    options: &DrillOptions,
    prober: &mut Prober,
) -> (Way, bool) {
    let (begun, order) = (prober.now(), Instant::now());
    let wait = Wait { wait: true, time: options.time, watch: false };
    let moved = target::set(om, link, std::slice::from_ref(path), &drill::target(to), &wait);
    let took = order.elapsed().as_secs_f64();
    let is_moved = match moved {
        Ok(code) => code == 0,
        Err(failure) => {
            failure.lines.iter().for_each(|line| complain(line));
            false
        }
    };
    // A status that came with the end of the action is not older than a try.
    let within = options.time.map_or(ANSWERS_WITHIN, seconds).min(ANSWERS_WITHIN);
    let up = Instant::now();
    loop {
        let samples: Vec<_> =
            prober.samples().iter().filter(|sample| sample.begun >= begun).copied().collect();
        let silences = drill::silences(&samples);
        let last = samples.iter().max().map(|sample| sample.is_answered);
        let is_answered = last == Some(true);
        if is_answered || up.elapsed() >= within || !is_moved {
            let failed = samples.iter().filter(|sample| !sample.is_answered).count();
            let (from, to, now) = (from.clone(), to.clone(), prober.now());
            let way = Way { from, to, took, silences, now, tries: samples.len(), failed };
            return (way, is_moved && is_answered);
        }
        std::thread::sleep(LOOK);
    }
}

fn take(path: &ObjectPath, gauge: &Gauge, way: (Way, bool), ways: &mut Vec<Way>) -> bool {
    let (way, is_fine) = way;
    if !is_fine {
        complain(&format!("{path} did not get to {} as it should: {gauge} tells", way.to));
    }
    ways.push(way);
    is_fine
}

fn place(link: &Link, path: &ObjectPath) -> String {
    let places = glance::ask(link).map(|glance| glance::places(&glance)).unwrap_or_default();
    let nodes = places.get(path).cloned().unwrap_or_default();
    match &nodes[..] {
        [] => "up nowhere".to_owned(),
        nodes => {
            let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
            format!("up on {}", names.join(", "))
        }
    }
}

/// What is measured by: what was said, else a port that an address of the object exposes, else its status.
fn gauge(link: &Link, path: &ObjectPath, from: &NodeName, options: &DrillOptions) -> Gauge {
    if let Some(probe) = &options.probe {
        return Gauge::Probe(probe.clone());
    }
    let guessed = exposed(link, path, from).map(|address| Gauge::Probe(Probe::Tcp(address)));
    let reason = match guessed {
        Some(gauge) if gauge.look().is_ok() => return gauge,
        Some(gauge) => format!("{path} says to expose {gauge}, where nothing answers from here"),
        None => format!("{path} tells no port to try (`expose` of an ip)"),
    };
    note(&format!(
        "{reason}: it is measured by its status, each 100 ms; --probe or --run tries better"
    ));
    Gauge::Status(link.clone(), path.clone())
}

/// The first port that an address of the object exposes by tcp, as the node reads its configuration.
fn exposed(link: &Link, path: &ObjectPath, node: &NodeName) -> Option<String> {
    let request = Request::new(wire::ObjectConfig {
        path: path.to_string(),
        format: "json".to_owned(),
        evaluate: true,
        impersonate: Some(node.to_string()),
    });
    let config: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_value(link.ask(&request, Some(ANSWER)).ok()?).ok()?;
    first_exposed(&config)
}

fn first_exposed(config: &BTreeMap<String, BTreeMap<String, Value>>) -> Option<String> {
    let words = |value: &Value| match value {
        Value::Array(words) => {
            words.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        }
        Value::String(text) => text.split([' ', ',']).map(str::to_owned).collect(),
        _ => vec![],
    };
    let ips = config.iter().filter(|(section, _)| section.starts_with("ip#"));
    ips.filter_map(|(_, keywords)| {
        let name = ["name", "ipname"].iter().find_map(|name| keywords.get(*name)?.as_str())?;
        let exposed = words(keywords.get("expose")?);
        // `443/tcp`, or `443/tcp:8443` where the outer port differs.
        let port = exposed.iter().find_map(|word| {
            let (port, protocol) = word.split_once('/')?;
            let (protocol, outer) = protocol.split_once(':').unwrap_or((protocol, port));
            (protocol == "tcp").then(|| outer.parse::<u16>().ok()).flatten()
        })?;
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        Some(format!("{host}:{port}"))
    })
    .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposed_port_is_a_probe() {
        let first = |value: Value| first_exposed(&serde_json::from_value(value).unwrap());
        let ip = json!({"ip#1": {"name": "10.0.0.5", "expose": "53/udp 80/tcp"}});
        assert_eq!(first(ip).as_deref(), Some("10.0.0.5:80"));
        let outer = json!({"ip#1": {"ipname": "fd00::5", "expose": ["443/tcp:8443"]}});
        assert_eq!(first(outer).as_deref(), Some("[fd00::5]:8443"));
        for other in [
            json!({"ip#1": {"name": "10.0.0.5"}}),
            json!({"ip#1": {"name": "10.0.0.5", "expose": "53/udp"}}),
            json!({"app#1": {"name": "10.0.0.5", "expose": "80/tcp"}}),
        ] {
            assert_eq!(first(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn a_way_tells_for_how_long_nothing_answered() {
        let ms = Duration::from_millis;
        let node = |name| NodeName::new(name).unwrap();
        let way = |silences: &[(u64, Option<u64>)]| Way {
            from: node("n1"),
            to: node("n2"),
            took: 2.0,
            silences: silences
                .iter()
                .map(|(begun, ended)| Silence { begun: ms(*begun), ended: ended.map(ms) })
                .collect(),
            now: ms(9000),
            tries: 100,
            failed: 50,
        };
        let told = |way: Way| {
            let gauge = Gauge::Probe(Probe::Tcp("w:80".to_owned()));
            way.told(&ObjectPath::parse("web").unwrap(), &gauge)
        };
        let end = " (by tcp://w:80, 50 of 100 tries failed)";
        assert_eq!(told(way(&[])), format!("web: n1 -> n2: always answered{end}"));
        assert_eq!(
            told(way(&[(1000, Some(3340))])),
            format!("web: n1 -> n2: down for 2.34 s{end}")
        );
        assert_eq!(
            told(way(&[(1000, Some(2000)), (8000, None)])),
            format!("web: n1 -> n2: down for 2.00 s, and still in 2 times{end}")
        );
    }
}
