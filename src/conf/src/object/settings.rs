//! What the monitors need of an object's configuration (src/conf/README.md, What the monitors read).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{
    FlexBounds, NodeName, ObjectSettings, Orchestrate, PlacementPolicy, ResourceSettings, Topology,
    resolve_path,
};

use crate::complaint::{Complaint, Severity};
use crate::context::Context;
use crate::convert::Converter;
use crate::eval::MAX_DOCUMENT_WORK;
use crate::eval::error::EvalError;
use crate::object::ObjectConf;
use crate::object::section::SectionReader;
use crate::value::Value;

/// Keyword `restart_reset` where it does not parse: its default.
const RESTART_RESET: Duration = Duration::from_secs(60);

/// Evaluates, and gathers mistakes on the way.
struct Gatherer<'a> {
    conf: &'a ObjectConf,
    ctx: &'a Context,
    complaints: Vec<Complaint>,
}

pub(super) fn settings(conf: &ObjectConf, ctx: &Context) -> (ObjectSettings, Vec<Complaint>) {
    let mut gatherer = Gatherer { conf, ctx, complaints: vec![] };
    let mut settings = ObjectSettings::default();
    if !conf.path().kind().has_instances() {
        settings.nodes = conf.scope(ctx);
        settings.peers.clone_from(&settings.nodes);
        settings.disabled = gatherer.bool("disable", false);
        return (settings, gatherer.complaints);
    }
    gatherer.placement(&mut settings);
    gatherer.relations(&mut settings);
    gatherer.resources(&mut settings);
    (settings, gatherer.complaints)
}

impl Gatherer<'_> {
    fn complain(&mut self, error: EvalError) {
        self.complaints.push(Complaint::of(&error, self.conf.path().config_file()));
    }

    fn complain_about(&mut self, keyword: &str, reason: String) {
        self.complaints.push(Complaint {
            severity: Severity::Error,
            file: self.conf.path().config_file(),
            line: self.conf.ini().line_of("DEFAULT", keyword),
            section: "DEFAULT".into(),
            keyword: keyword.into(),
            reason,
        });
    }

    /// A keyword of DEFAULT; null when it can not be evaluated.
    fn value(&mut self, keyword: &str) -> (Value, bool) {
        match self.conf.eval(self.ctx, "DEFAULT", keyword) {
            Ok(found) => (found.value, found.is_set),
            Err(error) => {
                self.complain(error);
                (Value::Null, false)
            }
        }
    }

    fn bool(&mut self, keyword: &str, default: bool) -> bool {
        match self.value(keyword).0 {
            Value::Bool(value) => value,
            _ => default,
        }
    }

    fn nodes(&mut self, keyword: &str) -> Vec<NodeName> {
        let words = self.value(keyword).0.words();
        let mut nodes: Vec<NodeName> = vec![];
        let mut seen = BTreeSet::new();
        for word in &words {
            match NodeName::new(word) {
                Ok(node) if seen.insert(node.clone()) => nodes.push(node),
                Ok(_) => {}
                Err(error) => self.complain_about(keyword, error.to_string()),
            }
        }
        nodes
    }

    /// A word of a closed vocabulary; the default, and a complaint, when it is none of it.
    fn word<T: for<'t> From<&'t str>>(
        &mut self,
        keyword: &str,
        default: T,
        is_known: impl FnOnce(&T) -> bool,
    ) -> T {
        let Some(text) = self.value(keyword).0.as_text().map(str::to_owned) else { return default };
        let word = T::from(&text);
        if is_known(&word) {
            return word;
        }
        self.complain_about(keyword, format!("{text:?} is not one of its values"));
        default
    }

    fn placement(&mut self, settings: &mut ObjectSettings) {
        let node = self.ctx.evaluated_node().clone();
        settings.nodes = self.nodes("nodes");
        if settings.nodes.is_empty() && self.complaints.is_empty() {
            let written = self.conf.get("nodes").unwrap_or_default();
            let left_out = crate::eval::references::left_out_of_dnsnodes(&self.ctx.node);
            let of_dns = (written.contains("dnsnodes}") && !left_out.is_empty()).then(|| {
                let words = left_out.join(" ");
                format!("{words} of cluster.dns is no name of a cluster node: no node is selected")
            });
            let fault = of_dns.or_else(|| self.ctx.node_selector().fault(&written));
            let fault = fault.unwrap_or_else(|| {
                let short: String = written.chars().take(80).collect();
                format!("{short:?} selects no node of the cluster")
            });
            self.complain_about("nodes", fault);
        }
        settings.drpnodes = self.nodes("drpnodes");
        if let Some(first) = self.nodes("drpnode").pop()
            && !settings.drpnodes.contains(&first)
        {
            settings.drpnodes.insert(0, first);
        }
        let is_of_drp = !settings.nodes.contains(&node) && settings.drpnodes.contains(&node);
        let peers = if is_of_drp { &settings.drpnodes } else { &settings.nodes };
        settings.peers.clone_from(peers);
        settings.topology = self.word("topology", Topology::Failover, |topology| {
            matches!(topology, Topology::Failover | Topology::Flex | Topology::Span)
        });
        settings.orchestrate = self.word("orchestrate", Orchestrate::No, |orchestrate| {
            !matches!(orchestrate, Orchestrate::Other(_))
        });
        if self.nodes("encapnodes").contains(&node) {
            settings.orchestrate = Orchestrate::No;
        }
        settings.placement = self.word("placement", PlacementPolicy::NodesOrder, |policy| {
            !matches!(policy, PlacementPolicy::Other(_))
        });
        settings.flex = self.flex(settings);
        settings.priority = match self.value("priority").0 {
            Value::Integer(priority) => priority,
            _ => 100,
        };
        settings.disabled = self.bool("disable", false);
        settings.rollback = self.bool("rollback", true);
        settings.stonith = self.bool("stonith", false);
        settings.constraints = match self.value("constraints") {
            (_, false) => true,
            (value, true) => match Converter::Boolean.convert(value) {
                Ok(Value::Bool(value)) => value,
                _ => {
                    self.complain_about("constraints", "not a condition: it holds".into());
                    true
                }
            },
        };
        settings.monitor_action = self
            .value("monitor_action")
            .0
            .as_text()
            .map(str::to_owned)
            .filter(|text| !text.is_empty());
    }

    /// The bounds of a flex object, with what deployed agents make of odd numbers: `flex_max = 0` means `flex_min`.
    fn flex(&mut self, settings: &ObjectSettings) -> FlexBounds {
        let count = |nodes: usize| i64::try_from(nodes).unwrap_or(i64::MAX);
        let all = count(settings.nodes.len() + settings.drpnodes.len());
        let peers = count(settings.peers.len());
        let min = match self.value("flex_min").0 {
            Value::Integer(min) => min.max(0).min(all),
            _ => 0,
        };
        let max = match self.value("flex_max").0 {
            Value::Integer(max) => max.min(peers),
            _ => peers,
        };
        let target = match self.value("flex_target").0 {
            Value::Integer(target) => target,
            _ => min,
        };
        FlexBounds { min, max: max.max(min), target }
    }

    fn relations(&mut self, settings: &mut ObjectSettings) {
        let namespace = self.conf.path().namespace();
        let mut paths = |keyword| -> Vec<String> {
            let words = self.value(keyword).0.words();
            words.iter().map(|word| resolve_path(word, namespace)).collect()
        };
        settings.parents = paths("parents");
        settings.children = paths("children");
        settings.slaves = paths("slaves");
        let mut set = |keyword| BTreeSet::from_iter(paths(keyword));
        settings.hard_affinity = set("hard_affinity");
        settings.hard_anti_affinity = set("hard_anti_affinity");
        settings.soft_affinity = set("soft_affinity");
        settings.soft_anti_affinity = set("soft_anti_affinity");
        settings.scale = match self.value("scale").0 {
            Value::Integer(scale) => Some(scale),
            _ => None,
        };
        settings.scaler_slave = self.bool("scaler_slave", false);
    }

    fn resources(&mut self, settings: &mut ObjectSettings) {
        // Those of a scaler are for its slices.
        if settings.scale.is_some() {
            return;
        }
        let budget = Cell::new(MAX_DOCUMENT_WORK);
        let node = self.ctx.evaluated_node();
        let is_in = (settings.nodes.contains(node), settings.drpnodes.contains(node));
        for resource in self.conf.resources(self.ctx) {
            let resource = SectionReader { budget: Some(&budget), ..resource };
            let one = self.resource(resource, settings.disabled, is_in);
            settings.resources.insert(resource.name().to_owned(), Arc::new(one));
        }
    }

    fn resource(
        &mut self,
        resource: SectionReader<'_>,
        is_object_disabled: bool,
        (is_in_nodes, is_in_drpnodes): (bool, bool),
    ) -> ResourceSettings {
        let driver = resource.driver();
        if driver.is_none() && resource.group() != "volume" {
            self.complain(EvalError {
                section: resource.name().into(),
                keyword: "type".into(),
                line: self.conf.ini().line_of(resource.name(), "type"),
                reason: crate::eval::error::EvalReason::Required,
            });
        }
        let tags = self.or(resource.words("tags"), vec![]);
        let is_optional =
            matches!(resource.group(), "task" | "sync") || tags.iter().any(|tag| tag == "noaction");
        let standby = self.or(resource.tristate("standby"), None);
        let always_on = self.or(resource.words("always_on"), vec![]);
        let node = self.ctx.evaluated_node();
        let is_always_on = always_on.iter().any(|word| match word.as_str() {
            "nodes" => is_in_nodes,
            "drpnodes" => is_in_drpnodes,
            name => name.eq_ignore_ascii_case(node.as_str()),
        });
        let restart = self.or(resource.integer("restart"), None).unwrap_or(0);
        let delay = self.or(resource.duration("restart_delay"), None).unwrap_or_default();
        let reset = self.or(resource.duration("restart_reset"), None).unwrap_or(RESTART_RESET);
        ResourceSettings {
            restart: u32::try_from(restart.max(0)).unwrap_or(u32::MAX),
            restart_delay: delay.as_secs_f64(),
            restart_reset: reset.as_secs_f64(),
            monitor: self.or(resource.bool("monitor"), false),
            standby: standby.unwrap_or(is_always_on),
            disabled: is_object_disabled || self.or(resource.bool("disable"), false),
            optional: self.or(resource.tristate("optional"), None).unwrap_or(is_optional),
            ignore_provisioned: !self.or(resource.bool("provision"), true)
                || !self.or(resource.bool("unprovision"), true),
            driver: match driver {
                Some(driver) => format!("{}.{driver}", resource.group()),
                None => resource.group().to_owned(),
            },
        }
    }

    fn or<T>(&mut self, value: Result<T, EvalError>, default: T) -> T {
        value.unwrap_or_else(|error| {
            self.complain(error);
            default
        })
    }
}
