//! Reading the settings: a keyword that can not be used has its default, and a complaint.

mod listener;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Kind, NodeName, ObjectPath, SecretUse};

use crate::complaint::{Complaint, Severity};
use crate::context::Context;
use crate::doc::Doc;
use crate::node::settings::{
    ArbitratorSettings, Envelope, HeartbeatSettings, LogLevel, NodeSettings, Secret, SplitAction,
    Threshold,
};
use crate::node::{NodeConf, node_names};
use crate::value::Value;

/// Shortest and longest of the durations that decide: a zero would spin, and a century overflows timers.
const DURATIONS: std::ops::RangeInclusive<f64> = 0.001..=86_400.0 * 365.0;

impl NodeSettings {
    /// Settings of a configuration. A keyword that can not be used has its default, and a complaint.
    #[must_use]
    pub fn new(conf: Arc<NodeConf>) -> Self {
        let ctx = Context::new(conf.clone());
        let mut loader = Loader { conf: &conf, ctx: &ctx, complaints: vec![] };
        let mut settings = loader.load();
        settings.complaints = loader.complaints;
        settings.complaints.extend(mistakes(&conf, &ctx, &settings.complaints));
        settings
    }

    /// Reads both files. See [`NodeConf::parse`] and [`NodeSettings::new`].
    ///
    /// # Errors
    ///
    /// As [`NodeConf::parse`].
    pub fn parse(nodename: NodeName, cluster: &str, node: &str) -> Result<Self, Box<Complaint>> {
        Ok(Self::new(Arc::new(NodeConf::parse(nodename, cluster, node)?)))
    }
}

/// What validation finds in both files and reading did not.
fn mistakes(conf: &NodeConf, ctx: &Context, known: &[Complaint]) -> Vec<Complaint> {
    let place = |complaint: &Complaint| {
        (complaint.file.clone(), complaint.section.clone(), complaint.keyword.clone())
    };
    let mut seen: BTreeSet<_> = known.iter().map(place).collect();
    let mut all = conf.cluster.validate(ctx);
    all.extend(conf.validate(ctx));
    all.retain(|complaint| seen.insert(place(complaint)));
    all
}

/// `hb#n.port` of a unicast heartbeat that says none.
const UNICAST_PORT: u16 = 10_000;

struct Loader<'a> {
    conf: &'a NodeConf,
    ctx: &'a Context,
    complaints: Vec<Complaint>,
}

impl Loader<'_> {
    fn complain(&mut self, section: &str, keyword: &str, reason: impl Into<String>) {
        let (file, line) = Doc::Node(self.conf).place(section, keyword);
        self.complaints.push(Complaint {
            severity: Severity::Error,
            file,
            line,
            section: section.into(),
            keyword: keyword.into(),
            reason: reason.into(),
        });
    }

    /// The value, and whether it was set; null when it can not be evaluated.
    fn value(&mut self, section: &str, keyword: &str) -> (Value, bool) {
        match self.conf.eval(self.ctx, section, keyword) {
            Ok(found) => (found.value, found.is_set),
            Err(error) => {
                self.complain(section, keyword, error.reason.to_string());
                (Value::Null, false)
            }
        }
    }

    fn text(&mut self, section: &str, keyword: &str) -> Option<String> {
        match self.value(section, keyword).0 {
            Value::Null => None,
            value => Some(value.to_string()).filter(|text| !text.is_empty()),
        }
    }

    /// A secret of a section, used as given: with too few bytes for keys it is complained about, and never shown.
    fn secret(&mut self, section: &str, used: SecretUse) -> Option<Secret> {
        self.secret_of(section, "secret", used)
    }

    fn secret_of(&mut self, section: &str, keyword: &str, used: SecretUse) -> Option<Secret> {
        let text = self.text(section, keyword)?;
        if let Err(length) = used.check(text.len()) {
            self.complain(section, keyword, length.to_string());
        }
        Some(Secret::new(&text))
    }

    fn words(&mut self, section: &str, keyword: &str) -> Vec<String> {
        self.value(section, keyword).0.words()
    }

    fn bool(&mut self, section: &str, keyword: &str) -> bool {
        self.value(section, keyword).0 == Value::Bool(true)
    }

    /// A duration; `default` when unset, and when it is none.
    fn duration(&mut self, section: &str, keyword: &str, default: f64) -> Duration {
        let (value, is_set) = self.value(section, keyword);
        let seconds = match value.as_number() {
            Some(seconds) if is_set && DURATIONS.contains(&seconds) => seconds,
            Some(_) if is_set => {
                self.complain(section, keyword, "it is not between 1ms and a year");
                default
            }
            _ => default,
        };
        Duration::from_secs_f64(seconds)
    }

    /// A number within bounds; `default` when unset, and when it is none.
    fn number<T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        section: &str,
        keyword: &str,
        bounds: std::ops::RangeInclusive<T>,
        default: T,
    ) -> T {
        let (value, is_set) = self.value(section, keyword);
        let number = match value {
            Value::Integer(number) => T::try_from(number).ok(),
            _ => None,
        };
        match number {
            Some(number) if bounds.contains(&number) => number,
            _ if is_set => {
                let (least, most) = (bounds.start(), bounds.end());
                self.complain(section, keyword, format!("not a number from {least} to {most}"));
                default
            }
            _ => default,
        }
    }

    /// One of a few words.
    fn word<T: Copy + Default>(&mut self, section: &str, keyword: &str, words: &[(&str, T)]) -> T {
        let Some(text) = self.text(section, keyword) else { return T::default() };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => *meaning,
            None => {
                let all = words.iter().map(|(word, _)| *word).filter(|word| !word.is_empty());
                let all: Vec<&str> = all.collect();
                let short: String = text.chars().take(80).collect();
                self.complain(
                    section,
                    keyword,
                    format!("{short:?} is not one of {}", all.join(", ")),
                );
                T::default()
            }
        }
    }

    fn nodes(&mut self, section: &str, keyword: &str) -> Vec<NodeName> {
        let mut nodes: Vec<NodeName> = vec![];
        for word in self.words(section, keyword) {
            match NodeName::new(&word) {
                Ok(node) if nodes.contains(&node) => {}
                Ok(node) => nodes.push(node),
                Err(error) => self.complain(section, keyword, error.to_string()),
            }
        }
        nodes
    }

    fn threshold(&mut self, keyword: &str, default: u64) -> Threshold {
        let default = Threshold::Percent(default);
        match self.value("node", keyword) {
            (Value::Integer(bytes), true) => match u64::try_from(bytes) {
                Ok(bytes) => Threshold::Bytes(bytes),
                Err(_) => {
                    self.complain("node", keyword, "a size of zero or more");
                    default
                }
            },
            (Value::Text(text), true) => {
                let percent = text.strip_suffix('%').and_then(|percent| percent.parse().ok());
                if percent.is_none() {
                    self.complain("node", keyword, "not a size, nor a percentage as 10%");
                }
                percent.map_or(default, Threshold::Percent)
            }
            _ => default,
        }
    }

    fn section_texts(&mut self, section: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for ini in [self.conf.cluster.ini(), &self.conf.node] {
            let keywords: Vec<String> = ini
                .keywords(section)
                .map(|(written, _)| {
                    written.split_once('@').map_or(written, |(name, _)| name).into()
                })
                .collect();
            for keyword in keywords {
                if !texts.contains_key(&keyword)
                    && let (value, true) = self.value(section, &keyword)
                {
                    texts.insert(keyword, value.to_string());
                }
            }
        }
        texts
    }

    /// Sections of a group in both files, each once.
    fn sections(&self, group: &str) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let both = self.conf.cluster.ini().sections().chain(self.conf.node.sections());
        both.filter(|name| name.split_once('#').is_some_and(|(prefix, _)| prefix == group))
            .filter(|name| seen.insert(*name))
            .map(str::to_owned)
            .collect()
    }

    fn load(&mut self) -> NodeSettings {
        let is_fast = self.word("cluster", "profile", &[("fast", true)]);
        let fast = |usual: f64, fast: f64| if is_fast { fast } else { usual };
        let quorum = self.bool("cluster", "quorum");
        // Without quorum, a node that is alone may not be the only one that is: machines boot that far apart.
        let rejoin = if is_fast && quorum { 5.0 } else { 90.0 };
        let nodename = self.conf.nodename.clone();
        let mut nodes = self.nodes("cluster", "nodes");
        if nodes.is_empty() {
            nodes.push(nodename.clone());
        }
        let envelope = self.word("cluster", "envelope", &Envelope::WORDS);
        let secret = match envelope {
            Envelope::Sealed => self.secret("cluster", SecretUse::Sealed),
            // Both dialects are spoken, with the same secret.
            Envelope::Any | Envelope::Classic => self.secret("cluster", SecretUse::Classic),
        };
        NodeSettings {
            cluster_name: self.conf.cluster_name(),
            cluster_id: self.text("cluster", "id").unwrap_or_default(),
            secret,
            secret_generation: self.number("cluster", "secret_generation", 1..=u32::MAX, 1),
            secret_next: self.secret_of("cluster", "secret_next", SecretUse::Sealed),
            secret_previous: self.secret_of("cluster", "secret_previous", SecretUse::Sealed),
            drpnodes: self.nodes("cluster", "drpnodes"),
            quorum,
            dns: self.words("cluster", "dns"),
            ca: self.paths("ca"),
            cert: self.paths("cert").pop(),
            vip: self.text("cluster", "vip"),
            envelope,
            is_fast,
            listener: self.listener(),
            env: self.text("node", "env").unwrap_or_else(|| "TST".into()),
            max_parallel: match self.number("node", "max_parallel", 1..=10_000, 0) {
                0 => None,
                limit => usize::try_from(limit).ok(),
            },
            min_avail_mem: self.threshold("min_avail_mem", 2),
            min_avail_swap: self.threshold("min_avail_swap", 10),
            maintenance_grace_period: self.duration("node", "maintenance_grace_period", 60.0),
            rejoin_grace_period: self.duration("node", "rejoin_grace_period", rejoin),
            ready_period: self.duration("node", "ready_period", fast(5.0, 0.2)),
            split_action: self.word(
                "node",
                "split_action",
                &[
                    ("crash", SplitAction::Crash),
                    ("reboot", SplitAction::Reboot),
                    ("stop", SplitAction::Stop),
                ],
            ),
            loglevel: self.word(
                "node",
                "loglevel",
                &[
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("info", LogLevel::Info),
                    ("debug", LogLevel::Debug),
                    ("trace", LogLevel::Trace),
                ],
            ),
            dbopensvc: self.text("node", "dbopensvc").filter(|text| text != "None"),
            dbinsecure: self.bool("node", "dbinsecure"),
            uuid: self.text("node", "uuid").map(|uuid| Secret::new(&uuid)),
            labels: self.section_texts("labels"),
            env_section: self.section_texts("env"),
            heartbeats: self.heartbeats(&nodes, is_fast, envelope),
            arbitrators: self.arbitrators(envelope),
            stonith: self.stonith(),
            complaints: vec![],
            nodename,
            nodes,
            conf: self.ctx.node.clone(),
        }
    }

    /// `cluster.ca` and `cluster.cert`: paths of sec objects.
    fn paths(&mut self, keyword: &str) -> Vec<ObjectPath> {
        let words = self.words("cluster", keyword);
        if words.is_empty() {
            // A cluster name that is no name of an object has none.
            let usual = format!("system/sec/{keyword}-{}", self.conf.cluster_name());
            return ObjectPath::parse(&usual).into_iter().collect();
        }
        let mut paths = vec![];
        for word in words {
            match ObjectPath::parse(&word).ok().filter(|path| path.kind() == Kind::Sec) {
                Some(path) => paths.push(path),
                None => {
                    let reason = format!("{word:?} is not the path of a sec object");
                    self.complain("cluster", keyword, reason);
                }
            }
        }
        paths
    }

    /// The dialects to ask a relay or an arbitrator in: its own keyword, else that of the cluster.
    fn envelope_of(&mut self, section: &str, of_cluster: Envelope) -> Envelope {
        match self.text(section, "envelope").is_some() {
            true => self.word(section, "envelope", &Envelope::WORDS),
            false => of_cluster,
        }
    }

    fn heartbeats(
        &mut self,
        cluster_nodes: &[NodeName],
        is_fast: bool,
        envelope: Envelope,
    ) -> Vec<HeartbeatSettings> {
        let mut heartbeats = vec![];
        for name in self.sections("hb") {
            let kind = self.value(&name, "type").0.to_string();
            let known: &[&str] = match kind.as_str() {
                "unicast" => &["addr", "intf", "port"],
                "multicast" => &["addr", "intf", "port"],
                "disk" => &["dev"],
                "relay" => &["relay"],
                // Missing, it was complained about; unknown, validation does.
                _ => continue,
            };
            let mut nodes = self.nodes(&name, "nodes");
            if nodes.is_empty() {
                nodes = cluster_nodes.to_vec();
            }
            nodes.retain(|node| cluster_nodes.contains(node));
            let mut keywords = BTreeMap::new();
            for keyword in known {
                if let Some(text) = self.text(&name, keyword) {
                    keywords.insert((*keyword).to_owned(), text);
                }
            }
            let interval = self.duration(&name, "interval", if is_fast { 0.25 } else { 5.0 });
            let timeout = self.duration(&name, "timeout", if is_fast { 1.0 } else { 15.0 });
            if timeout <= interval {
                self.complain(&name, "timeout", "not above the interval: peers would be stale");
            }
            // As long as both dialects need it: which one a relay or an arbitrator speaks, it may be told later.
            let (secret, envelope) = match kind.as_str() {
                "relay" => {
                    (self.secret(&name, SecretUse::Classic), self.envelope_of(&name, envelope))
                }
                _ => (None, envelope),
            };
            let peers =
                if kind == "unicast" { self.unicast_peers(&name, &nodes) } else { BTreeMap::new() };
            heartbeats.push(HeartbeatSettings {
                name,
                kind,
                nodes,
                interval,
                timeout,
                keywords,
                peers,
                envelope,
                secret,
            });
        }
        heartbeats
    }

    /// Where the other participants are called.
    fn unicast_peers(
        &self,
        section: &str,
        nodes: &[NodeName],
    ) -> BTreeMap<NodeName, (String, u16)> {
        let mut peers = BTreeMap::new();
        for peer in nodes.iter().filter(|peer| **peer != self.conf.nodename) {
            let seen = self.ctx.impersonating(peer);
            let said = |keyword| match self.conf.eval(&seen, section, keyword).ok()?.value {
                Value::Null => None,
                value => Some(value.to_string().trim().to_owned()),
            };
            let is_any = |host: &String| {
                host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
            };
            let host = said("addr").filter(|host| !host.is_empty() && !is_any(host));
            let port = said("port").and_then(|port| port.parse().ok()).unwrap_or(UNICAST_PORT);
            peers.insert(peer.clone(), (host.unwrap_or_else(|| peer.to_string()), port));
        }
        peers
    }

    fn arbitrators(&mut self, envelope: Envelope) -> Vec<ArbitratorSettings> {
        let mut arbitrators = vec![];
        for name in self.sections("arbitrator") {
            let (host, secret) = (self.text(&name, "name"), self.secret(&name, SecretUse::Classic));
            let timeout = self.duration(&name, "timeout", 5.0);
            let envelope = self.envelope_of(&name, envelope);
            if let (Some(host), Some(secret)) = (host, secret) {
                arbitrators.push(ArbitratorSettings { name, host, envelope, secret, timeout });
            }
        }
        arbitrators
    }

    fn stonith(&mut self) -> BTreeMap<NodeName, Vec<String>> {
        let mut commands = BTreeMap::new();
        for name in self.sections("stonith") {
            let node = name.split_once('#').map(|(_, node)| node.to_owned()).unwrap_or_default();
            let words = self.words(&name, "cmd");
            if let (Some(node), false) = (node_names(&[node]).pop(), words.is_empty()) {
                commands.insert(node, words);
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests;
