//! `volume`: uses a vol object, which it makes of a pool when it is provisioned.
//!
//! Up when the local instance of the volume is, and this resource was started: a volume may have other users.

mod install;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use conf::{Context, EvalError, ObjectConf, SectionReader};
use model::{InstanceStatus, Kind, ObjectPath, Provisioned, Status};

use files::pool;
use files::pool::Wanted;
use machine::clock::NODENAME_VARIABLE;
use machine::durable;
use machine::durable::FileLock;
use machine::paths::{Paths, ROOT_VARIABLE};

use crate::driver::{Driver, Scene};
use crate::exec::{Output, Program};
use crate::failure::Failure;
use crate::mounts;
use crate::report::Report;
use crate::setup::Setup;
use crate::volume::install::Content;

/// How long an instance that is not the leader waits for the leader's volume, in deployed agents as well.
const PROPAGATION: Duration = Duration::from_secs(10);

/// How long another creator of the same volume is waited for, in deployed agents as well.
const CREATION: Duration = Duration::from_secs(20);

/// How long a volume that another service provisions is waited for, in deployed agents as well.
const WAITLOCK: &str = "5m";

/// How long an action on a volume may take to roll back when it is asked to end.
const ORDERLY_END: Duration = Duration::from_secs(60);

struct Volume {
    name: String,
    path: Option<ObjectPath>,
    /// What the volume is made of, unless it exists.
    wanted: Wanted,
    content: Content,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let mut access = section.text("access")?.unwrap_or_else(|| "rwo".to_owned());
    if setup.settings.topology == model::Topology::Flex && access.len() == 3 {
        // Many use it at once.
        access.replace_range(2.., "x");
    }
    let own = section.words("nodes").unwrap_or_default();
    let nodes = setup.settings.nodes.iter().map(ToString::to_string).collect();
    Ok(Box::new(Volume {
        name: name_of(section),
        path: path_of(section),
        wanted: Wanted {
            name: section.text("pool")?,
            kind: section.text("type").ok().flatten(),
            access,
            size: section.size("size")?.unwrap_or(0),
            is_formatted: section.tristate("format")?.unwrap_or(true),
            is_shared: section.bool("shared")?,
            nodes: if own.is_empty() { nodes } else { own },
        },
        content: Content::read(section)?,
    }))
}

fn name_of(section: &SectionReader<'_>) -> String {
    let index = section.name().split_once('#').map_or("", |(_, index)| index);
    let default = || format!("{}-vol-{index}", section.object().name());
    section.text("name").ok().flatten().unwrap_or_else(default)
}

/// The vol object that a `volume` section names.
pub(crate) fn path_of(section: &SectionReader<'_>) -> Option<ObjectPath> {
    vol_path(&name_of(section), section.object().namespace())
}

fn vol_path(name: &str, namespace: Option<&str>) -> Option<ObjectPath> {
    ObjectPath::parse(&format!("{}/{}/{name}", namespace.unwrap_or("root"), Kind::Vol.as_str()))
        .ok()
}

/// The state of the local instance of an object, from its status file.
fn state(scene: &Scene<'_>, path: &ObjectPath) -> Option<InstanceStatus> {
    crate::status_file::read(&scene.host.paths, path)
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
    let folder = mount_point_of(&path, &scene.host.paths, &scene.host.context)?;
    Some(folder.join(inside))
}

/// The folder that `<volume>[/<rest>]` names, and whether the volume is read only. None when there is no such volume, or no
/// instance of it that is up here.
pub(crate) fn find(word: &str, scene: &Scene<'_>) -> Option<(PathBuf, bool)> {
    let name = word.split('/').next()?;
    let path = vol_path(name, scene.instance.path.namespace())?;
    let is_up = state(scene, &path).is_some_and(|status| {
        matches!(status.avail, Some(Status::Up | Status::StdbyUp | Status::NotApplicable))
    });
    let folder = match word.split_once('/') {
        Some(_) => resolve(word, scene)?,
        None => mount_point_of(&path, &scene.host.paths, &scene.host.context)?,
    };
    let conf = load(&path, &scene.host.paths)?;
    let access = conf.section(&scene.host.context, "DEFAULT").text("access").ok().flatten();
    is_up.then_some((folder, access.is_some_and(|access| access.starts_with("ro"))))
}

fn load(path: &ObjectPath, paths: &Paths) -> Option<ObjectConf> {
    let text = machine::regular::read_text(&paths.config_file(path)).ok()?;
    ObjectConf::parse(path.clone(), &text).ok()
}

/// The mount point of a volume: of its first `fs` resource that has one.
pub(crate) fn mount_point_of(
    path: &ObjectPath,
    paths: &Paths,
    context: &Context,
) -> Option<PathBuf> {
    let conf = load(path, paths)?;
    conf.resources(context).iter().filter(|section| section.group() == "fs").find_map(|section| {
        let keyword = if section.driver().as_deref() == Some("directory") { "path" } else { "mnt" };
        section.text(keyword).ok().flatten().map(PathBuf::from)
    })
}

/// The devices of a volume that are there: those of its `disk.loop` resources.
pub(crate) fn devices_of(path: &ObjectPath, paths: &Paths, context: &Context) -> Vec<PathBuf> {
    let Some(conf) = load(path, paths) else { return vec![] };
    let files = conf.resources(context).into_iter().filter_map(|section| {
        let is_loop = section.group() == "disk" && section.driver().as_deref() == Some("loop");
        section.text("file").ok().flatten().filter(|_| is_loop)
    });
    files.flat_map(|file| mounts::loop_devices(Path::new(&file))).collect()
}

/// What a new ext file system has in it.
const MADE_BY_MKFS: &str = "lost+found";

/// Whether nothing is in the mount point of a volume.
fn is_empty(path: &ObjectPath, scene: &Scene<'_>) -> bool {
    let folder = mount_point_of(path, &scene.host.paths, &scene.host.context);
    folder
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .is_some_and(|all| all.flatten().all(|entry| entry.file_name() == MADE_BY_MKFS))
}

/// The services that claim a volume.
fn claims(path: &ObjectPath, scene: &Scene<'_>) -> Vec<String> {
    let conf = load(path, &scene.host.paths);
    conf.map(|conf| {
        conf.section(&scene.host.context, "DEFAULT").words("children").unwrap_or_default()
    })
    .unwrap_or_default()
}

/// Whether two names are one: a list of claims is read in lower case.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The object that a claim names, as its file has it.
fn written(child: &str, scene: &Scene<'_>) -> Option<ObjectPath> {
    let path = ObjectPath::parse(child).ok()?;
    if scene.host.paths.config_file(&path).exists() {
        return Some(path);
    }
    let all = files::read::list_objects(&scene.host.paths);
    all.into_keys().find(|path| is_same(path.as_str(), child))
}

fn flag(scene: &Scene<'_>) -> PathBuf {
    scene.folder().join("flag")
}

impl Volume {
    fn path(&self) -> Result<&ObjectPath, Failure> {
        self.path
            .as_ref()
            .ok_or_else(|| Failure::refused(format!("{} is no name of a volume", self.name)))
    }

    fn exists(path: &ObjectPath, scene: &Scene<'_>) -> bool {
        scene.host.paths.config_file(path).exists()
    }

    /// Runs a command on the volume, in a process of its own: it has its own lock, log and order.
    fn om<'w>(
        path: &ObjectPath,
        scene: &Scene<'_>,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<(), Failure> {
        let host = scene.host;
        let agent: OsString = host.agent.clone().into();
        let all = [agent, path.as_str().into()];
        let all = all.into_iter().chain(words.into_iter().map(OsString::from));
        let root = host.paths.root().map(|root| root.display().to_string());
        let root = root.map(|root| (ROOT_VARIABLE.to_owned(), root));
        let nodename = (NODENAME_VARIABLE.to_owned(), host.nodename.to_string());
        let program = Program::new(all).environment(root.into_iter().chain([nodename]));
        // What it does has limits of its own, and it rolls back when it is asked to end.
        let program = program.part().timeout(None).last_words(ORDERLY_END);
        scene.execute(&program.output(Output::LoggedAsInfo)).map(drop)
    }

    fn act(&self, scene: &Scene<'_>, verb: &str) -> Result<(), Failure> {
        let path = self.path()?;
        if !Self::exists(path, scene) {
            return Err(Failure::refused(format!("volume {} does not exist", self.name)));
        }
        // The volume of a copy that is wanted is wanted too.
        let force = (verb == "start" && scene.is_forced).then_some("--force");
        Self::om(path, scene, [verb, "--local"].into_iter().chain(force))
    }

    /// Other services whose volume resources are up here, on the same volume.
    fn other_users(&self, path: &ObjectPath, scene: &Scene<'_>) -> Vec<String> {
        let own = scene.instance.path.as_str();
        let uses = |child: &String| {
            let status = written(child, scene).and_then(|child| state(scene, &child));
            status.and_then(|status| status.resources).is_some_and(|resources| {
                resources.values().any(|resource| {
                    resource.driver == "volume"
                        && resource.label == self.name
                        && matches!(resource.status, Status::Up | Status::StdbyUp | Status::Warn)
                })
            })
        };
        let others = claims(path, scene).into_iter().filter(|child| !is_same(child, own));
        others.filter(uses).collect()
    }

    /// The pool of a volume whose data does not follow a service to its other nodes.
    fn pool_of_each_node(&self, path: &ObjectPath, scene: &Scene<'_>) -> Option<String> {
        let settings = &scene.instance.settings;
        if settings.nodes.len() < 2 || settings.topology == model::Topology::Flex {
            return None;
        }
        let conf = load(path, &scene.host.paths)?;
        let wanted = conf.section(&scene.host.context, "DEFAULT").text("pool").ok().flatten()?;
        let pools = pool::pools(&scene.host.node.conf, &scene.host.paths);
        let pool = pools.into_iter().find(|pool| pool.name == wanted)?;
        pool.is_of_each_node().then_some(pool.name)
    }

    /// Makes the object of a pool, unless it is there. Two services may ask for the same one at once.
    fn create(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let path = self.path()?;
        let file = scene.host.paths.var_dir(path).join("create_volume.lock");
        let _lock = FileLock::take(&file, CREATION).map_err(Failure::io("create volume lock"))?;
        if Self::exists(path, scene) {
            scene.journal.info(format_args!("volume {} already exists", self.name));
            return Ok(());
        }
        if !scene.is_leader {
            scene.journal.info(format_args!("wait for volume {} of the leader", self.name));
            let start = Instant::now();
            while !Self::exists(path, scene) {
                if start.elapsed() >= PROPAGATION {
                    let text = format!("volume {} did not come within {PROPAGATION:?}", self.name);
                    return Err(Failure::refused(text));
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            return Ok(());
        }
        if self.wanted.size == 0 {
            return Err(Failure::refused(
                "size is required to make a volume: set it, or name a volume that exists",
            ));
        }
        let node = &scene.host.node;
        let pools = pool::pools(&node.conf, &scene.host.paths);
        let pool =
            pool::choose(&pools, &self.wanted, pool::Pool::free).map_err(Failure::refused)?;
        scene.journal.info(format_args!(
            "create volume {} of pool {}: type {}, access {}, size {}, format {}",
            self.name,
            pool.name,
            pool.kind,
            self.wanted.access,
            self.wanted.size,
            self.wanted.is_formatted
        ));
        let ini = pool
            .configuration(path, &self.wanted, &node.cluster_name)
            .map_err(|error| Failure::refused(error.to_string()))?;
        let file = scene.folder().join("volume.conf");
        durable::write_cache(&file, ini.text().as_bytes(), 0o600)
            .map_err(Failure::io("volume configuration"))?;
        let name = file.display().to_string();
        // What is wrong with the nodes of the service is told where they are written, and keeps no volume from it.
        let done = Self::om(path, scene, ["create", "--config", &name, "--local", "--force"]);
        _ = std::fs::remove_file(file);
        done
    }

    /// Notes in the volume that this service uses it.
    fn claim(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let (path, own) = (self.path()?, scene.instance.path.as_str());
        let claims = claims(path, scene);
        if claims.iter().any(|child| is_same(child, own)) {
            return Ok(());
        }
        let is_together = |child: &String| {
            let here = format!("{child}@{}", scene.host.nodename);
            scene.instance.settings.parents.iter().any(|parent| is_same(parent, &here))
        };
        let others: Vec<&str> =
            claims.iter().filter(|child| !is_together(child)).map(String::as_str).collect();
        if self.wanted.is_shared && !others.is_empty() {
            return Err(Failure::refused(format!(
                "shared volume {} is claimed by {}, no local parents of this service",
                self.name,
                others.join(", ")
            )));
        }
        scene.journal.info(format_args!("claim volume {}", self.name));
        Self::om(path, scene, ["set", "--kw", &format!("children+={own}"), "--local"])
    }

    /// Owner and content, once it is mounted.
    fn fill(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let Some(folder) = mount_point_of(self.path()?, &scene.host.paths, &scene.host.context)
        else {
            return Ok(());
        };
        self.content.own(&folder, scene)?;
        self.content.install(&folder, scene)
    }
}

impl Driver for Volume {
    fn label(&self) -> String {
        self.name.clone()
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        let path = self.path()?;
        report.files.insert(scene.host.paths.instance_status(path));
        if !Self::exists(path, scene) {
            report.info(format_args!("volume {} does not exist", self.name));
            return Ok(Status::Down);
        }
        self.content.check(scene, report);
        let Some(status) = state(scene, path) else {
            report.info(format_args!("volume {} has not been evaluated", self.name));
            return Ok(Status::Undef);
        };
        if status.overall == Some(Status::Warn) {
            report.warn(format_args!("volume {} has warnings", self.name));
        }
        if let Some(pool) = self.pool_of_each_node(path, scene) {
            report.info(format_args!("its data is of this node only: pool {pool} is not shared"));
        }
        let avail = status.avail.unwrap_or(Status::Undef);
        report.files.insert(flag(scene));
        if !flag(scene).exists() {
            report.info(format_args!("{path} avail {avail}"));
            return Ok(Status::Down);
        }
        Ok(match avail {
            Status::StdbyUp => Status::Up,
            Status::StdbyDown => Status::Down,
            other => other,
        })
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let path = self.path()?;
        let is_up = state(scene, path).is_some_and(|status| status.avail == Some(Status::Up));
        if !is_up {
            self.act(scene, "start")?;
        }
        durable::touch(&flag(scene)).map_err(Failure::io("flag"))?;
        if let Some(pool) = self.pool_of_each_node(path, scene)
            && is_empty(path, scene)
        {
            scene.journal.warn(format_args!(
                "volume {} is empty here: pool {pool} is not shared, so what other nodes wrote stays there. Copy it with a \
                 sync#, or use a volume of a pool that all nodes reach",
                self.name
            ));
        }
        self.fill(scene)
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        durable::remove(&flag(scene)).map_err(Failure::io("flag"))?;
        let path = self.path()?;
        if !Self::exists(path, scene) {
            scene.journal.info(format_args!("volume {} does not exist", self.name));
            return Ok(());
        }
        let users = self.other_users(path, scene);
        if !users.is_empty() {
            let users = users.join(", ");
            scene.journal.info(format_args!("volume {} stays up for {users}", self.name));
            return Ok(());
        }
        self.act(scene, "stop")
    }

    fn boot(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        durable::remove(&flag(scene)).map_err(Failure::io("flag"))
    }

    fn has_provisioner(&self) -> bool {
        true
    }

    fn is_provisioned(&self, scene: &Scene<'_>) -> Option<bool> {
        let path = self.path.as_ref()?;
        let own = scene.instance.path.as_str();
        if !claims(path, scene).iter().any(|child| is_same(child, own)) {
            return Some(false);
        }
        let status = state(scene, path)?;
        Some(status.provisioned == Some(Provisioned::Yes))
    }

    fn provision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        self.create(scene)?;
        self.claim(scene)?;
        let options = [("--leader", scene.is_leader), ("--force", scene.is_forced)];
        let options = options.into_iter().filter(|(_, is_set)| *is_set).map(|(option, _)| option);
        let words = ["provision", "--local", "--disable-rollback", "--waitlock", WAITLOCK];
        Self::om(self.path()?, scene, words.into_iter().chain(options))
    }

    /// The volume and its data stay: they are unprovisioned by an operator, as an object of their own.
    fn unprovision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let (path, own) = (self.path()?, scene.instance.path.as_str());
        if !claims(path, scene).iter().any(|child| is_same(child, own)) {
            return Ok(());
        }
        scene.journal.info(format_args!("unclaim volume {}", self.name));
        Self::om(path, scene, ["set", "--kw", &format!("children-={own}"), "--local"])
    }
}
