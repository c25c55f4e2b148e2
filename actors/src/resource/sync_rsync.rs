//! `sync.rsync`: copies files to other nodes, and the internal `sync#i0` that copies the configuration.

use std::path::PathBuf;
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::{NodeName, Status, Topology};

use super::SyncTo;
use super::driver::{Driver, Failure, Phase, Report, Scene};
use super::exec::{Output, Program};
use super::instance::{Resource, Setup};
use super::status_file::modified;
use crate::{clock, durable};

/// Options of a copy: everything a file is, one file system, and gone what is gone.
const OPTIONS: [&str; 4] = ["-HAXpogDtrlvx", "--stats", "--delete", "--force"];

/// Longest delay of the internal sync (config.md §11).
const INTERNAL_MAX_DELAY: Duration = Duration::from_secs(3660);

struct Rsync {
    label: String,
    sources: Vec<String>,
    destination: String,
    targets: Vec<String>,
    options: Vec<String>,
    is_options_reset: bool,
    bandwidth: Option<i64>,
    max_delay: Duration,
    nodes: Vec<NodeName>,
    drpnodes: Vec<NodeName>,
    is_internal: bool,
}

fn with_targets(words: &[String], setup: &Setup<'_>) -> (Vec<NodeName>, Vec<NodeName>) {
    let here = &setup.host.nodename;
    let others = |word: &str, nodes: &[NodeName]| -> Vec<NodeName> {
        let wanted = words.iter().any(|target| target == word);
        nodes.iter().filter(|node| wanted && *node != here).cloned().collect()
    };
    (others("nodes", &setup.settings.nodes), others("drpnodes", &setup.settings.drpnodes))
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let sources = section.words("src")?;
    let targets = section.words("target")?;
    let (nodes, drpnodes) = with_targets(&targets, setup);
    Ok(Box::new(Rsync {
        label: format!("rsync {} to {}", sources.join(", "), targets.join(", ")),
        sources,
        destination: section.text("dst")?.unwrap_or_default(),
        targets,
        options: section.words("options")?,
        is_options_reset: section.bool("reset_options")?,
        bandwidth: section.integer("bwlimit")?,
        max_delay: section.duration("sync_max_delay")?.unwrap_or(Duration::from_secs(97_200)),
        nodes,
        drpnodes,
        is_internal: false,
    }))
}

/// The id of the sync that each object with resources and more than one node has.
pub(crate) const INTERNAL: &str = "sync#i0";

/// The internal sync. None for an object of one node.
pub(crate) fn internal(setup: &Setup<'_>, section: &SectionReader<'_>) -> Option<Resource> {
    let settings = setup.settings;
    if settings.nodes.len() + settings.drpnodes.len() < 2 {
        return None;
    }
    let is_disabled = settings.disabled || section.bool("disable").unwrap_or(false);
    let mut targets = vec![];
    if settings.nodes.len() > 1 {
        targets.push("nodes".to_owned());
    }
    if !settings.drpnodes.is_empty() {
        targets.push("drpnodes".to_owned());
    }
    let (nodes, drpnodes) = with_targets(&targets, setup);
    let paths = &setup.host.paths;
    let sources = [paths.config_file(setup.path), paths.launchers(setup.path)];
    let driver = Rsync {
        label: format!("rsync {} config to {}", setup.path.kind().as_str(), targets.join(", ")),
        sources: sources.iter().map(|source| source.display().to_string()).collect(),
        destination: "/".to_owned(),
        targets,
        options: vec![],
        is_options_reset: false,
        bandwidth: None,
        max_delay: INTERNAL_MAX_DELAY,
        nodes,
        drpnodes,
        is_internal: true,
    };
    Some(Resource {
        rid: setup.rid.clone(),
        kind: "sync.rsync".to_owned(),
        is_disabled,
        is_optional: true,
        is_standby: false,
        is_monitored: false,
        restart: 0,
        is_shared: false,
        is_provisionable: true,
        is_unprovisionable: true,
        is_encap: false,
        subset: None,
        tags: Default::default(),
        driver: Box::new(driver),
    })
}

fn stamp(scene: &Scene<'_>, node: &NodeName) -> PathBuf {
    scene.folder().join(format!("last_sync_{node}"))
}

impl Rsync {
    fn is_source_side(&self, scene: &Scene<'_>) -> bool {
        let states = scene.instance.resources.iter().filter(|resource| !resource.is_optional);
        let states = states.filter_map(|resource| scene.states.get(resource.rid.as_str()));
        let is_up = monitor::fold(states) == Status::Up;
        let settings = &scene.instance.settings;
        if settings.topology == Topology::Flex {
            let primary = scene.instance.section("DEFAULT").text("flex_primary").ok().flatten();
            let primary = primary.or_else(|| settings.nodes.first().map(ToString::to_string));
            return is_up && primary.as_deref() == Some(scene.host.nodename.as_str());
        }
        is_up
    }

    fn copy(&self, scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
        let user = scene.host.node.conf.get("node.ruser").unwrap_or_else(|| "root".to_owned());
        let mut words = vec!["rsync".to_owned()];
        if !self.is_options_reset {
            words.extend(OPTIONS.map(str::to_owned));
        }
        words.extend(self.options.iter().cloned());
        words.extend(self.bandwidth.map(|limit| format!("--bwlimit={limit}")));
        if self.is_internal {
            words.push("--relative".to_owned());
        }
        words.extend([
            "-e".to_owned(),
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=no".to_owned(),
        ]);
        let sources = self
            .sources
            .iter()
            .filter(|source| !self.is_internal || PathBuf::from(source).exists());
        words.extend(sources.cloned());
        words.push(format!("{user}@{node}:{}", self.destination));
        scene.execute(&Program::new(words).output(Output::Logged))?;
        durable::touch(&stamp(scene, node)).map_err(Failure::io("stamp"))
    }
}

impl Driver for Rsync {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        if self.nodes.is_empty() && self.drpnodes.is_empty() {
            report.info("no destination nodes");
            return Ok(Status::NotApplicable);
        }
        let now = clock::now();
        let late = |node: &NodeName| {
            modified(&stamp(scene, node))
                .is_none_or(|last| now.since(last) > self.max_delay.as_secs_f64())
        };
        if !self.is_source_side(scene) {
            if late(&scene.host.nodename) {
                report.warn("passive node needs update");
                return Ok(Status::Warn);
            }
            return Ok(Status::NotApplicable);
        }
        let needy: Vec<String> = self
            .nodes
            .iter()
            .chain(&self.drpnodes)
            .filter(|node| late(node))
            .map(ToString::to_string)
            .collect();
        if needy.is_empty() {
            return Ok(Status::Up);
        }
        report.warn(format_args!("{} need update", needy.join(" ")));
        Ok(Status::Down)
    }

    fn start(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn may_hang(&self) -> bool {
        false
    }

    fn phase(&self) -> Phase {
        Phase::Last
    }

    fn sync(&self, scene: &Scene<'_>, to: SyncTo) -> Result<(), Failure> {
        let (nodes, drpnodes) = match to {
            SyncTo::All => (&self.nodes[..], &self.drpnodes[..]),
            SyncTo::Nodes => (&self.nodes[..], &[][..]),
            SyncTo::DrpNodes => (&[][..], &self.drpnodes[..]),
        };
        if nodes.is_empty() && drpnodes.is_empty() {
            scene
                .journal
                .info(format_args!("no destination nodes among {}", self.targets.join(" ")));
            return Ok(());
        }
        if !scene.is_forced && !self.is_internal && !self.is_source_side(scene) {
            return Err(Failure::refused("the instance is not up here: its files may be old"));
        }
        let mut failed = vec![];
        for node in nodes.iter().chain(drpnodes) {
            if let Err(error) = self.copy(scene, node) {
                scene.journal.error(format_args!("{node}: {error}"));
                failed.push(node.to_string());
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!("not synced: {}", failed.join(" "))))
    }
}
