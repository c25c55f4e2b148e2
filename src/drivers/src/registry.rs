//! The resources of an object, read from its configuration: the one file that names all drivers.

use std::collections::BTreeSet;

use conf::{EvalError, SectionReader};
use dataset::config::LoadedObject;
use model::{ConfigCsum, ResourceId, Status};

use crate::driver::{Driver, Instance, Resource, Scene};
use crate::failure::Failure;
use crate::host::Host;
use crate::journal::Journal;
use crate::report::Report;
use crate::setup::Setup;
use crate::{
    app_forking, app_simple, container, disk_loop, fs_directory, fs_flag, fs_mount, ip_host,
    sync_rsync, task_host, volume,
};

/// A resource that cannot work: its configuration is wrong, or nothing here knows its type.
struct Broken {
    /// What it is, for a reader.
    pub label: String,
    /// What is wrong.
    pub reason: String,
    /// This agent has no driver for it, so it cannot have started it either.
    pub is_foreign: bool,
}

impl Driver for Broken {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn evaluate(&self, _: &Scene<'_>, _: &mut Report) -> Result<Status, Failure> {
        Err(Failure::refused(self.reason.clone()))
    }

    fn start(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Err(Failure::refused(self.reason.clone()))
    }

    /// What nothing here ever started holds up neither the stop of what is below it, nor a deletion. What was started
    /// before its configuration got a mistake may still run: that is an error.
    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.is_foreign {
            scene.journal.warn(format_args!("left alone: {}", self.reason));
            return Ok(());
        }
        Err(Failure::refused(self.reason.clone()))
    }

    fn may_hang(&self) -> bool {
        false
    }
}

pub(crate) type Made = Result<Box<dyn Driver>, EvalError>;

/// The published kind and the driver of a section.
pub(crate) fn make(
    host: &Host,
    setup: &Setup<'_>,
    section: &SectionReader<'_>,
    driver_type: &str,
) -> (String, Box<dyn Driver>) {
    let group = section.group();
    if !conf::has_driver(group, driver_type) {
        return unknown(section, driver_type);
    }
    let (kind, made): (String, Made) = match (group, driver_type) {
        ("app", "simple") => ("app.simple".into(), app_simple::read(section, setup)),
        ("app", "forking") => ("app.forking".into(), app_forking::read(section, setup)),
        ("task", "host") => ("task.host".into(), task_host::read(section, setup)),
        ("fs", "flag") => ("fs.flag".into(), fs_flag::read(section, setup)),
        ("fs", "directory") => ("fs.directory".into(), fs_directory::read(section, setup)),
        ("fs", _) => ("fs".into(), fs_mount::read(section, setup, driver_type)),
        ("ip", "host") => ("ip".into(), ip_host::read(section, setup)),
        ("disk", "loop") => ("disk.loop".into(), disk_loop::read(section, setup)),
        ("container", "docker" | "podman" | "oci") => {
            let tool = container::tool::Tool::choose(driver_type, host);
            (format!("container.{}", tool.name()), container::read(section, setup, tool))
        }
        ("sync", "rsync") => ("sync.rsync".into(), sync_rsync::read(section, setup)),
        ("volume", _) => ("volume".into(), volume::read(section, setup)),
        _ => return unknown(section, driver_type),
    };
    match made {
        Ok(driver) => (kind, driver),
        Err(error) => {
            let label = kind.clone();
            (kind, Box::new(Broken { label, reason: error.to_string(), is_foreign: false }))
        }
    }
}

pub(crate) fn unknown(section: &SectionReader<'_>, driver_type: &str) -> (String, Box<dyn Driver>) {
    let group = section.group();
    let kind =
        if driver_type.is_empty() { group.to_owned() } else { format!("{group}.{driver_type}") };
    let reason = if driver_type.is_empty() {
        format!("keyword {}.type is required, and not set", section.name())
    } else {
        format!("this agent has no driver {kind}")
    };
    (kind.clone(), Box::new(Broken { label: kind, reason, is_foreign: true }))
}

fn read_resource(host: &Host, setup: &Setup<'_>, section: &SectionReader<'_>) -> Resource {
    let mut complaint = None;
    let mut note = |error: EvalError| complaint = Some(error);
    let tags: BTreeSet<String> = section
        .words("tags")
        .unwrap_or_else(|error| {
            note(error);
            vec![]
        })
        .into_iter()
        .collect();
    let mut flag = |keyword: &str, default: bool| {
        section
            .tristate(keyword)
            .unwrap_or_else(|error| {
                note(error);
                None
            })
            .unwrap_or(default)
    };
    let group = section.group();
    let is_optional =
        flag("optional", matches!(group, "task" | "sync") || tags.contains("noaction"));
    let is_disabled = setup.is_disabled || flag("disable", false);
    let is_standby = flag("standby", setup.is_always_on(section));
    let driver_type = section.driver().unwrap_or_default();
    let (kind, mut driver) = make(host, setup, section, &driver_type);
    let resource = |driver| Resource {
        rid: setup.rid.clone(),
        kind,
        is_disabled,
        is_optional,
        is_standby,
        is_monitored: section.bool("monitor").unwrap_or(false),
        restart: section
            .integer("restart")
            .ok()
            .flatten()
            .map_or(0, |value| u32::try_from(value.max(0)).unwrap_or(u32::MAX)),
        is_shared: section.bool("shared").unwrap_or(false),
        is_provisionable: section.tristate("provision").ok().flatten().unwrap_or(true),
        is_unprovisionable: section.tristate("unprovision").ok().flatten().unwrap_or(true),
        is_encap: section.bool("encap").unwrap_or(false) || tags.contains("encap"),
        subset: section.subset().filter(|subset| !subset.is_empty()),
        tags: tags.clone(),
        driver,
    };
    if let Some(error) = complaint {
        driver = Box::new(Broken {
            label: driver.label(),
            reason: error.to_string(),
            is_foreign: false,
        });
    }
    resource(driver)
}

/// Reads the resources of an object.
pub(crate) fn read(host: &Host, object: &LoadedObject) -> Instance {
    let (conf, settings) = (&object.conf(), &object.settings);
    let context = crate::devices::context(conf, &host.context, &host.paths);
    let path = conf.path().clone();
    let id = conf.id().unwrap_or_default().to_owned();
    let mut instance = Instance {
        config_csum: ConfigCsum::parse(&object.csum),
        conf: conf.clone(),
        context: context.clone(),
        settings: settings.clone(),
        var_dir: host.paths.var_dir(&path),
        journal: Journal::new(&path),
        resources: vec![],
        parallel: BTreeSet::new(),
        path,
        id,
    };
    // A scaler has no resources of its own: they are those of its slices.
    if !instance.path.kind().has_instances() || settings.scale.is_some() {
        return instance;
    }
    let setup = |rid| Setup {
        path: conf.path(),
        conf,
        rid,
        settings,
        id: &instance.id,
        is_disabled: settings.disabled,
        host,
    };
    let resources: Vec<Resource> = conf
        .resources(&context)
        .iter()
        .filter_map(|section| {
            let rid = ResourceId::new(section.name())?;
            if rid.as_str() == sync_rsync::INTERNAL {
                return sync_rsync::internal(&setup(rid), section);
            }
            Some(read_resource(host, &setup(rid), section))
        })
        .collect();
    instance.parallel = conf
        .ini()
        .sections()
        .filter_map(|name| Some((name, name.strip_prefix("subset#")?)))
        .filter(|(name, _)| conf.section(&context, name).bool("parallel").unwrap_or(false))
        .map(|(_, set)| set.to_owned())
        .collect();
    instance.resources = resources;
    instance
}
