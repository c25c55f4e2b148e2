//! The local instance of an object: its resources, each with its driver, read from the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use conf::{Context, EvalError, ObjectConf, SectionReader};
use model::{ConfigCsum, ObjectPath, ObjectSettings, ResourceId, ResourceSettings};

use super::driver::{Broken, Driver};
use super::host::Host;
use super::journal::Journal;
use super::{
    app, container, disk_loop, fs_directory, fs_flag, fs_mount, ip_host, sync_rsync, task_host,
    volume,
};
use crate::config::LoadedObject;

/// A resource and what holds for all kinds of them.
pub(crate) struct Resource {
    /// Its id.
    pub rid: ResourceId,
    /// `<group>.<driver>` as published, or the group alone.
    pub kind: String,
    /// Disabled, by its own flag or the object's.
    pub is_disabled: bool,
    /// Left out of `avail`, errors ignored.
    pub is_optional: bool,
    /// Kept up on this node whatever the instance is.
    pub is_standby: bool,
    /// Keyword `monitor`.
    pub is_monitored: bool,
    /// Keyword `restart`.
    pub restart: u32,
    /// Keyword `shared`: provisioned by the leader only.
    pub is_shared: bool,
    /// Keyword `provision`.
    pub is_provisionable: bool,
    /// Keyword `unprovision`.
    pub is_unprovisionable: bool,
    /// Keyword `encap`: handled in a guest.
    pub is_encap: bool,
    /// Keyword `subset`.
    pub subset: Option<String>,
    /// Keyword `tags`.
    pub tags: BTreeSet<String>,
    /// What it does.
    pub driver: Box<dyn Driver>,
}

impl Resource {
    /// Name of its resource set: the group, or `group:subset`.
    pub(crate) fn set(&self) -> String {
        match &self.subset {
            Some(subset) => format!("{}:{subset}", self.rid.group()),
            None => self.rid.group().to_owned(),
        }
    }

    /// Whether actions leave it alone, whatever is asked.
    pub(crate) fn is_untouchable(&self) -> bool {
        self.is_disabled || self.is_encap || self.tags.contains("noaction")
    }

    /// What the monitors know of it.
    pub(crate) fn settings(&self) -> ResourceSettings {
        ResourceSettings {
            restart: self.restart,
            restart_delay: 0.0,
            restart_reset: 0.0,
            monitor: self.is_monitored,
            standby: self.is_standby,
            disabled: self.is_disabled,
            optional: self.is_optional,
            ignore_provisioned: !(self.is_provisionable && self.is_unprovisionable),
            driver: self.kind.clone(),
        }
    }

    /// Whether its provisioned state is published and counts.
    pub(crate) fn has_provisioned_state(&self) -> bool {
        self.driver.has_provisioner()
    }

    fn read(host: &Host, setup: &Setup<'_>, section: &SectionReader<'_>) -> Self {
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
        let resource = |driver| Self {
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
}

/// What a driver is read with, besides its section.
pub(crate) struct Setup<'a> {
    /// The object.
    pub path: &'a ObjectPath,
    /// The resource.
    pub rid: ResourceId,
    /// Its configuration.
    pub conf: &'a ObjectConf,
    /// The object's settings.
    pub settings: &'a ObjectSettings,
    /// Identity of the object.
    pub id: &'a str,
    /// Keyword `disable` of the object.
    pub is_disabled: bool,
    /// The node.
    pub host: &'a Host,
}

impl Setup<'_> {
    /// The obsolete form of standby.
    fn is_always_on(&self, section: &SectionReader<'_>) -> bool {
        let here = &self.host.nodename;
        let words = section.words("always_on").unwrap_or_default();
        words.iter().any(|word| match word.to_ascii_lowercase().as_str() {
            "nodes" => self.settings.nodes.contains(here),
            "drpnodes" => self.settings.drpnodes.contains(here),
            name => here.as_str().eq_ignore_ascii_case(name),
        })
    }
}

type Made = Result<Box<dyn Driver>, EvalError>;

/// The published kind and the driver of a section.
fn make(
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
        ("app", "simple") => ("app.simple".into(), app::simple(section, setup)),
        ("app", "forking") => ("app.forking".into(), app::forking(section, setup)),
        ("task", "host") => ("task.host".into(), task_host::read(section, setup)),
        ("fs", "flag") => ("fs.flag".into(), fs_flag::read(section, setup)),
        ("fs", "directory") => ("fs.directory".into(), fs_directory::read(section, setup)),
        ("fs", _) => ("fs".into(), fs_mount::read(section, setup, driver_type)),
        ("ip", "host") => ("ip".into(), ip_host::read(section, setup)),
        ("disk", "loop") => ("disk.loop".into(), disk_loop::read(section, setup)),
        ("container", "docker" | "podman" | "oci") => {
            let tool = container::Tool::choose(driver_type, host);
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

fn unknown(section: &SectionReader<'_>, driver_type: &str) -> (String, Box<dyn Driver>) {
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

/// The local instance.
pub(crate) struct Instance {
    /// The object.
    pub path: ObjectPath,
    /// Its configuration.
    pub conf: ObjectConf,
    /// What its keywords are evaluated with.
    pub context: Arc<Context>,
    /// What the monitors know of it.
    pub settings: Arc<ObjectSettings>,
    /// Checksum of the file that the configuration is of.
    pub config_csum: Option<ConfigCsum>,
    /// Its identity, empty when it has none yet.
    pub id: String,
    /// Its private folder.
    pub var_dir: PathBuf,
    /// Where to log in its name.
    pub journal: Journal,
    /// In the order of the configuration.
    pub resources: Vec<Resource>,
    /// Resource sets that act in parallel.
    pub parallel: BTreeSet<String>,
}

impl Instance {
    /// Reads the resources of an object.
    pub(crate) fn read(host: &Host, object: &LoadedObject) -> Self {
        let (conf, settings) = (&object.conf(), &object.settings);
        let context = super::devices::context(conf, &host.context, &host.paths);
        let path = conf.path().clone();
        let id = conf.id().unwrap_or_default().to_owned();
        let mut instance = Self {
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
                Some(Resource::read(host, &setup(rid), section))
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

    /// A resource by its id.
    pub(crate) fn resource(&self, rid: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.rid.as_str() == rid)
    }

    /// The users that a section says its resource runs as.
    pub(crate) fn users_of(&self, rid: &str) -> BTreeSet<u32> {
        let user = self.section(rid).text("user").ok().flatten();
        let user = user.and_then(|user| super::exec_context::find_user(&user).ok());
        user.map(|user| user.uid.as_raw()).into_iter().collect()
    }

    /// A section of the configuration.
    pub(crate) fn section<'a>(&'a self, name: &'a str) -> SectionReader<'a> {
        self.conf.section(&self.context, name)
    }
}
