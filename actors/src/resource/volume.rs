//! `volume`: uses a vol object; up when the local instance of that is.

use std::path::{Component, Path, PathBuf};

use conf::{EvalError, ObjectConf, SectionReader};
use model::{InstanceStatus, Kind, ObjectPath, Status};

use super::driver::{Driver, Failure, Report, Scene};
use super::instance::Setup;

struct Volume {
    name: String,
    path: Option<ObjectPath>,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let name = section
        .text("name")?
        .unwrap_or_else(|| format!("{}-vol-{}", setup.path.name(), setup.rid.index()));
    let path = vol_path(&name, setup.path.namespace());
    Ok(Box::new(Volume { name, path }))
}

fn vol_path(name: &str, namespace: Option<&str>) -> Option<ObjectPath> {
    ObjectPath::parse(&format!("{}/{}/{name}", namespace.unwrap_or("root"), Kind::Vol.as_str()))
        .ok()
}

/// The state of the local instance of a volume, from its status file.
fn state(scene: &Scene<'_>, path: &ObjectPath) -> Option<InstanceStatus> {
    super::status_file::read(&scene.host.paths, path)
}

/// The file that `<volume>/<rest>` names: below the mount point of the volume.
pub(crate) fn resolve(word: &str, scene: &Scene<'_>) -> Option<PathBuf> {
    let (name, rest) = word.split_once('/')?;
    let inside = Path::new(rest);
    // Nothing reaches out of the volume.
    if inside.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return None;
    }
    let path = vol_path(name, scene.instance.path.namespace())?;
    Some(mount_point(scene, &path)?.join(inside))
}

/// The mount point of a volume: of its first `fs` resource that has one.
fn mount_point(scene: &Scene<'_>, path: &ObjectPath) -> Option<PathBuf> {
    let text = std::fs::read_to_string(scene.host.paths.config_file(path)).ok()?;
    let conf = ObjectConf::parse(path.clone(), &text).ok()?;
    let context = &scene.instance.context;
    conf.resources(context).iter().filter(|section| section.group() == "fs").find_map(|section| {
        let keyword = if section.driver().as_deref() == Some("directory") { "path" } else { "mnt" };
        section.text(keyword).ok().flatten().map(PathBuf::from)
    })
}

impl Volume {
    fn path(&self) -> Result<&ObjectPath, Failure> {
        self.path
            .as_ref()
            .ok_or_else(|| Failure::refused(format!("{} is no name of a volume", self.name)))
    }

    fn act(&self, scene: &Scene<'_>, verb: &str) -> Result<(), Failure> {
        let path = self.path()?;
        if !scene.host.paths.config_file(path).exists() {
            return Err(Failure::refused(format!("volume {} does not exist", self.name)));
        }
        // In a process of its own: the volume has its own lock, log and order.
        let program = super::exec::Program::new([
            scene.host.agent.as_os_str(),
            path.as_str().as_ref(),
            verb.as_ref(),
            "--local".as_ref(),
        ])
        .output(super::exec::Output::LoggedAsInfo);
        scene.execute(&program).map(drop)
    }
}

impl Driver for Volume {
    fn label(&self) -> String {
        self.name.clone()
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        let path = self.path()?;
        report.files.insert(scene.host.paths.var_dir(path).join("status.json"));
        if !scene.host.paths.config_file(path).exists() {
            report.info(format_args!("volume {} does not exist", self.name));
            return Ok(Status::Down);
        }
        let Some(status) = state(scene, path) else {
            report.info(format_args!("volume {} has not been evaluated", self.name));
            return Ok(Status::Undef);
        };
        Ok(match status.avail {
            Some(Status::Up | Status::StdbyUp | Status::NotApplicable) => Status::Up,
            Some(Status::Warn) => {
                report.warn(format_args!("volume {} has warnings", self.name));
                Status::Warn
            }
            Some(Status::Undef) => Status::Undef,
            _ => Status::Down,
        })
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let path = self.path()?;
        let is_up = state(scene, path).is_some_and(|status| status.avail == Some(Status::Up));
        if is_up { Ok(()) } else { self.act(scene, "start") }
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let path = self.path()?;
        if !scene.host.paths.config_file(path).exists() {
            return Ok(());
        }
        self.act(scene, "stop")
    }

    fn has_provisioner(&self) -> bool {
        true
    }

    fn is_provisioned(&self, scene: &Scene<'_>) -> Option<bool> {
        let path = self.path.as_ref()?;
        if !scene.host.paths.config_file(path).exists() {
            return Some(false);
        }
        let status = state(scene, path)?;
        Some(status.provisioned == Some(model::Provisioned::Yes))
    }

    fn provision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        self.act(scene, "provision")
    }

    fn unprovision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !scene.host.paths.config_file(self.path()?).exists() {
            return Ok(());
        }
        self.act(scene, "unprovision")
    }
}
