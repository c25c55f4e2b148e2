//! `sync.rsync`: copies files to other nodes, and the internal `sync#i0` that copies the configuration.

mod glob;
mod stamp;

use std::path::Path;
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::{NodeName, Status, Timestamp, Topology};

use machine::clock;

use crate::driver::{Driver, Phase, Resource, Scene, SyncTo};
use crate::exec::{Output, Program};
use crate::failure::Failure;
use crate::report::Report;
use crate::setup::Setup;
use crate::sync_rsync::glob::glob;

/// How a target is reached.
const SSH: [&str; 7] =
    ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=10"];

/// How long a target may take to tell what is mounted there.
const QUESTION_PATIENCE: Duration = Duration::from_secs(30);

/// Options of a copy: everything a file is, one file system, and gone what is gone.
const OPTIONS: [&str; 4] = ["-HAXpogDtrlvx", "--stats", "--delete", "--force"];

/// How long rsync waits for a target that stands still (as deployed agents have it).
const STANDSTILL: &str = "--timeout=3600";

/// Longest delay of the internal sync: its schedule is each hour, and it may be a minute late.
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
    /// What is mounted on the targets, when anything is copied.
    destination_mount: Option<String>,
    /// Snapshots, which nothing here makes.
    is_snapped: bool,
    /// The sync that an object has without asking: it colours nothing.
    is_unasked: bool,
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
        destination_mount: section.text("dstfs")?,
        is_snapped: section.bool("snap")?,
        is_unasked: false,
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
        max_delay: section.duration("sync_max_delay").ok().flatten().unwrap_or(INTERNAL_MAX_DELAY),
        nodes,
        drpnodes,
        is_internal: true,
        destination_mount: None,
        is_snapped: false,
        is_unasked: !setup.conf.ini().has_section(INTERNAL),
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

/// A word as a shell reads it as one.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
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
            let local = scene.host.nodename.as_str();
            return is_up && primary.is_some_and(|primary| primary.eq_ignore_ascii_case(local));
        }
        is_up
    }

    /// Why nothing is copied: below the mount point of a file system that is not up there is what it covers, or nothing, and
    /// a copy of that deletes the good one.
    fn check_sources_mounted(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        for resource in &scene.instance.resources {
            let rid = resource.rid.as_str();
            let is_up = matches!(scene.states.get(rid), Some(Status::Up | Status::StdbyUp));
            if resource.rid.group() != "fs" || is_up {
                continue;
            }
            let Some(mount) = resource.driver.mount_point() else { continue };
            let real = std::fs::canonicalize(&mount).unwrap_or_else(|_| mount.clone());
            // What is disabled is not evaluated, and perhaps mounted by somebody else.
            let is_mounted =
                || crate::mounts::table().is_ok_and(|all| all.iter().any(|it| it.target == real));
            if resource.is_disabled && is_mounted() {
                continue;
            }
            let is_below = |source: &&String| {
                let source = Path::new(source.as_str());
                source.starts_with(&mount)
                    || std::fs::canonicalize(source).is_ok_and(|it| it.starts_with(&real))
            };
            if let Some(source) = self.sources.iter().find(is_below) {
                let state = scene.states.get(rid).map_or("not known", Status::as_str);
                return Err(Failure::refused(format!(
                    "{source} is below {}, the mount point of {rid}, which is {state}: nothing is copied",
                    mount.display()
                )));
            }
        }
        Ok(())
    }

    /// What there is to copy: patterns are replaced by what they match, as a shell would.
    fn found_sources(&self) -> Vec<String> {
        let is_there = |source: &&String| !self.is_internal || Path::new(source).exists();
        self.sources.iter().filter(is_there).flat_map(|source| glob(source)).collect()
    }

    /// Why nothing is copied to a node: below a mount point that nothing is mounted on, what is deleted is somebody's.
    fn check_mounted(&self, scene: &Scene<'_>, user: &str, node: &NodeName) -> Result<(), Failure> {
        let Some(mount) = &self.destination_mount else { return Ok(()) };
        let words = SSH.map(str::to_owned).into_iter();
        let question = [format!("{user}@{node}"), "mountpoint".into(), "-q".into(), quoted(mount)];
        let program = Program::new(words.chain(question)).timeout(Some(QUESTION_PATIENCE));
        let ended = scene.query(&program)?;
        if ended.is_success() {
            return Ok(());
        }
        let why = match ended.code {
            // Those of ssh itself, and of a shell without that command.
            126 | 127 | 255 => format!("is not known to be mounted there: {}", ended.last_line()),
            _ if ended.is_late => "is not known to be mounted there: no answer".to_owned(),
            _ => "is not mounted there".to_owned(),
        };
        Err(Failure::refused(format!("dstfs {mount} {why}: nothing is copied")))
    }

    fn copy(
        &self,
        scene: &Scene<'_>,
        sources: &[String],
        node: &NodeName,
        began: Timestamp,
    ) -> Result<(), Failure> {
        let user = scene.host.node.conf.get("node.ruser").unwrap_or_else(|| "root".to_owned());
        self.check_mounted(scene, &user, node)?;
        let mut words = vec!["rsync".to_owned()];
        if !self.is_options_reset {
            words.extend(OPTIONS.map(str::to_owned));
        }
        words.extend(self.options.iter().cloned());
        if !self.options.iter().any(|option| option.starts_with("--timeout")) {
            words.push(STANDSTILL.to_owned());
        }
        words.extend(self.bandwidth.map(|limit| format!("--bwlimit={limit}")));
        if self.is_internal {
            words.push("--relative".to_owned());
        }
        words.extend(["-e".to_owned(), SSH.join(" ")]);
        words.extend(sources.iter().cloned());
        words.push(format!("{user}@{node}:{}", self.destination));
        // As long as there is something to copy; rsync itself gives up a target that stands still.
        scene.execute(&Program::new(words).output(Output::Logged).timeout(None))?;
        let stamps = stamp::note(&scene.folder(), node, &scene.host.nodename, began)
            .map_err(Failure::io("stamp"))?;
        // The node that was copied to cannot know else, and would warn for ever.
        let mut words = vec!["rsync".to_owned(), "--times".into(), "--relative".into()];
        words.extend(["-e".to_owned(), SSH.join(" ")]);
        words.extend(stamps.iter().map(|file| file.display().to_string()));
        words.push(format!("{user}@{node}:/"));
        let told = scene.execute(&Program::new(words).output(Output::LoggedAsInfo));
        if let Err(failure) = told {
            scene.journal.warn(format_args!("{node} is not told of its copy: {failure}"));
        }
        Ok(())
    }

    /// Tells that something is late, and what that makes the state.
    fn late(&self, report: &mut Report, text: String, status: Status) -> Status {
        if self.is_unasked {
            report.info(text);
            return Status::NotApplicable;
        }
        report.warn(text);
        status
    }
}

/// Whether a copy is too old. One that is dated as far ahead was made by a clock that has been set back since: nothing tells
/// how old it is, and the next copy is dated right.
fn is_late(now: Timestamp, last: Timestamp, max_delay: Duration) -> bool {
    now.since(last).abs() > max_delay.as_secs_f64()
}

impl Driver for Rsync {
    fn label(&self) -> String {
        self.label.clone()
    }

    /// Of one that nobody asked for they are nice to have: the daemons carry the configurations.
    fn tools(&self) -> Vec<(String, bool)> {
        if self.nodes.is_empty() && self.drpnodes.is_empty() {
            return vec![];
        }
        ["rsync", "ssh"].map(|tool| (tool.to_owned(), !self.is_unasked)).to_vec()
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        if self.nodes.is_empty() && self.drpnodes.is_empty() {
            report.info("no destination nodes");
            return Ok(Status::NotApplicable);
        }
        let now = clock::now();
        let late = |node: &NodeName| {
            stamp::read(&scene.folder(), node).is_none_or(|last| is_late(now, last, self.max_delay))
        };
        if !self.is_source_side(scene) {
            if late(&scene.host.nodename) {
                let text = "passive node needs update".to_owned();
                return Ok(self.late(report, text, Status::Warn));
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
        let text = format!("{} need update", needy.join(" "));
        Ok(self.late(report, text, Status::Down))
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
        if self.is_snapped {
            return Err(Failure::refused(
                "snap is set, and this agent makes no snapshots: nothing is copied",
            ));
        }
        if !Path::new(&self.destination).is_absolute() {
            let text = format!("dst {:?} is no absolute path: nothing is copied", self.destination);
            return Err(Failure::refused(text));
        }
        if !self.is_internal {
            self.check_sources_mounted(scene)?;
        }
        let sources = self.found_sources();
        if sources.is_empty() {
            let text = format!("{} matches no file: nothing is copied", self.sources.join(" "));
            return Err(Failure::refused(text));
        }
        let began = clock::now();
        let mut failed = vec![];
        for node in nodes.iter().chain(drpnodes) {
            if let Err(error) = self.copy(scene, &sources, node, began) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_dated_far_ahead_is_late_too() {
        let is_late = |last: f64| is_late(Timestamp(10_000.0), Timestamp(last), INTERNAL_MAX_DELAY);
        assert!(!is_late(10_000.0 - 3_600.0) && is_late(10_000.0 - 3_700.0));
        assert!(!is_late(10_060.0), "the clock of the source is a minute ahead");
        assert!(is_late(1e9), "the clock was set back");
    }
}
