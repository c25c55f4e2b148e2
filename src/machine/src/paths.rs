//! Where the files of this node are (src/machine/README.md, Files).

use std::path::{Path, PathBuf};

use model::{ObjectPath, ResourceId};

/// Environment variable that moves everything under one folder.
pub const ROOT_VARIABLE: &str = "OSVC_ROOT_PATH";

/// The folders of the node, and the names of the files in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Configurations: `/etc/opensvc`, or `<root>/etc`.
    pub etc: PathBuf,
    /// States: `/var/lib/opensvc`, or `<root>/var`.
    pub var: PathBuf,
    /// Logs: `/var/log/opensvc`, or `<root>/log`.
    pub log: PathBuf,
    /// Scratch files: `/var/tmp/opensvc`, or `<root>/tmp`.
    pub tmp: PathBuf,
}

impl Paths {
    /// The folders of the environment: under `OSVC_ROOT_PATH` if it is set, else the packaged ones.
    #[must_use]
    pub fn from_env() -> Self {
        match std::env::var_os(ROOT_VARIABLE) {
            Some(root) if !root.is_empty() => Self::under(Path::new(&root)),
            _ => Self::packaged(),
        }
    }

    /// The folders of a package.
    #[must_use]
    pub fn packaged() -> Self {
        Self {
            etc: "/etc/opensvc".into(),
            var: "/var/lib/opensvc".into(),
            log: "/var/log/opensvc".into(),
            tmp: "/var/tmp/opensvc".into(),
        }
    }

    /// All folders under `root`, made absolute.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self {
            etc: root.join("etc"),
            var: root.join("var"),
            log: root.join("log"),
            tmp: root.join("tmp"),
        }
    }

    /// The folder that everything is under; none for the folders of a package.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.etc.parent().filter(|root| *self == Self::under(root))
    }

    /// Creates the folders that every command needs.
    ///
    /// # Errors
    ///
    /// The first folder that could not be created, with its name in the text.
    pub fn create(&self) -> std::io::Result<()> {
        let folders = [
            self.etc.clone(),
            self.var.clone(),
            self.log.clone(),
            self.tmp.clone(),
            self.locks(),
            self.node_var(),
            self.listener_folder(),
        ];
        for folder in folders {
            std::fs::create_dir_all(&folder).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
            })?;
        }
        Ok(())
    }

    /// `<etc>/node.conf`.
    #[must_use]
    pub fn node_conf(&self) -> PathBuf {
        self.etc.join("node.conf")
    }

    /// `<etc>/cluster.conf`.
    #[must_use]
    pub fn cluster_conf(&self) -> PathBuf {
        self.etc.join("cluster.conf")
    }

    /// The configuration file of an object.
    #[must_use]
    pub fn config_file(&self, path: &ObjectPath) -> PathBuf {
        self.etc.join(path.config_file())
    }

    /// The folder of an object's launchers, beside its configuration file: `<name>.d`.
    #[must_use]
    pub fn launchers(&self, path: &ObjectPath) -> PathBuf {
        self.config_file(path).with_file_name(format!("{}.d", path.name()))
    }

    /// The private folder of an object.
    #[must_use]
    pub fn var_dir(&self, path: &ObjectPath) -> PathBuf {
        self.var.join(path.var_dir())
    }

    /// The private folder of a resource.
    #[must_use]
    pub fn resource_dir(&self, path: &ObjectPath, rid: &ResourceId) -> PathBuf {
        self.var_dir(path).join(rid.as_str())
    }

    /// The log file of an object.
    #[must_use]
    pub fn log_file(&self, path: &ObjectPath) -> PathBuf {
        self.log.join(path.log_file())
    }

    /// The log file of the node.
    #[must_use]
    pub fn node_log(&self) -> PathBuf {
        self.log.join("node.log")
    }

    /// The state folder of the node, `<var>/node`.
    #[must_use]
    pub fn node_var(&self) -> PathBuf {
        self.var.join("node")
    }

    /// The peers that shut down in order and have not been heard since, one a line.
    #[must_use]
    pub fn node_departed(&self) -> PathBuf {
        self.node_var().join("departed")
    }

    /// What tells messages that were accepted before a restart.
    #[must_use]
    pub fn freshness(&self) -> PathBuf {
        self.node_var().join("freshness.json")
    }

    /// What was fetched last from the address of revocations.
    #[must_use]
    pub fn node_revocations(&self) -> PathBuf {
        self.node_var().join("revocations")
    }

    /// The requests of deployed agents that asked for a change, by 16 bytes each: none is carried out twice.
    #[must_use]
    pub fn node_classic(&self) -> PathBuf {
        self.node_var().join("classic_requests")
    }

    /// The file whose existence freezes the node and whose time tells since when.
    #[must_use]
    pub fn node_frozen(&self) -> PathBuf {
        self.node_var().join("frozen")
    }

    /// There while a join or a leave has the node frozen that was not frozen before.
    #[must_use]
    pub fn node_frozen_by_join(&self) -> PathBuf {
        self.node_var().join("frozen_by_join")
    }

    /// Checksums of the files with which the node joined or left a cluster last, one a line: their secret and their name
    /// are those of another cluster because somebody asked for that.
    #[must_use]
    pub fn other_cluster(&self) -> PathBuf {
        self.node_var().join("other_cluster")
    }

    /// The file whose existence freezes an instance.
    #[must_use]
    pub fn instance_frozen(&self, path: &ObjectPath) -> PathBuf {
        self.var_dir(path).join("frozen")
    }

    /// The status of an instance, as it was evaluated last.
    #[must_use]
    pub fn instance_status(&self, path: &ObjectPath) -> PathBuf {
        self.var_dir(path).join("status.json")
    }

    /// What happened to an object on this node, one line each.
    #[must_use]
    pub fn history(&self, path: &ObjectPath) -> PathBuf {
        self.var_dir(path).join("history")
    }

    /// The same of the node.
    #[must_use]
    pub fn node_history(&self) -> PathBuf {
        self.node_var().join("history")
    }

    /// Why the last action on an instance failed.
    #[must_use]
    pub fn last_failure(&self, path: &ObjectPath) -> PathBuf {
        self.var_dir(path).join("last_failure.json")
    }

    /// The lock that an action on an instance holds, and names itself in.
    #[must_use]
    pub fn action_lock(&self, path: &ObjectPath) -> PathBuf {
        self.var_dir(path).join("lock.generic")
    }

    /// The lock that a sync of an instance holds: other actions go on beside it.
    #[must_use]
    pub fn sync_lock(&self, path: &ObjectPath) -> PathBuf {
        self.var_dir(path).join("lock.generic.sync")
    }

    /// Locks that belong to no object, `<var>/lock`.
    #[must_use]
    pub fn locks(&self) -> PathBuf {
        self.var.join("lock")
    }

    /// `<var>/lsnr`, where the control socket is: that is readable and writable by its owner only.
    #[must_use]
    pub fn listener_folder(&self) -> PathBuf {
        self.var.join("lsnr")
    }

    /// The control socket, `<var>/lsnr/lsnr.sock`.
    #[must_use]
    pub fn lsnr_socket(&self) -> PathBuf {
        self.listener_folder().join("lsnr.sock")
    }

    /// The HTTP socket, `<var>/lsnr/h2.sock`.
    #[must_use]
    pub fn http_socket(&self) -> PathBuf {
        self.listener_folder().join("h2.sock")
    }

    /// The pid file of the daemon, locked as long as it runs.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.var.join("osvcd.pid")
    }

    /// The command line of the daemon, ours or a deployed one, by which deployed commands see that it runs.
    #[must_use]
    pub fn deployed_mark(&self) -> PathBuf {
        self.var.join("osvcd.pid.args")
    }

    /// The lock that a deployed agent takes when it starts, and this one holds while it runs.
    #[must_use]
    pub fn deployed_lock(&self) -> PathBuf {
        self.locks().join("osvcd.lock")
    }

    /// Labels and storage targets of the nodes, as they published them last: `<var>/nodes_info.json`.
    #[must_use]
    pub fn nodes_info(&self) -> PathBuf {
        self.var.join("nodes_info.json")
    }

    /// The file whose time tells when the daemon stopped last.
    #[must_use]
    pub fn last_shutdown(&self) -> PathBuf {
        self.var.join("last_shutdown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths::under(Path::new("/r"))
    }

    fn object(text: &str) -> ObjectPath {
        ObjectPath::parse(text).expect(text)
    }

    #[test]
    fn each_kind_has_its_folder() {
        let config = |text| paths().config_file(&object(text)).display().to_string();
        assert_eq!(config("svc1"), "/r/etc/svc1.conf");
        assert_eq!(config("cluster"), "/r/etc/cluster.conf");
        assert_eq!(config("vol/v1"), "/r/etc/vol/v1.conf");
        assert_eq!(config("ns1/svc/web"), "/r/etc/namespaces/ns1/svc/web.conf");
        assert_eq!(config("ns1/cfg/c"), "/r/etc/namespaces/ns1/cfg/c.conf");
    }

    #[test]
    fn states_and_logs_follow_the_object() {
        let paths = paths();
        let text = |path: PathBuf| path.display().to_string();
        assert_eq!(text(paths.var_dir(&object("svc1"))), "/r/var/svc/svc1");
        assert_eq!(text(paths.var_dir(&object("cluster"))), "/r/var/ccfg/cluster");
        assert_eq!(text(paths.var_dir(&object("ns1/svc/web"))), "/r/var/namespaces/ns1/svc/web");
        assert_eq!(text(paths.log_file(&object("svc1"))), "/r/log/svc1.log");
        assert_eq!(text(paths.log_file(&object("vol/v1"))), "/r/log/vol/v1.log");
        assert_eq!(
            text(paths.log_file(&object("ns1/svc/web"))),
            "/r/log/namespaces/ns1/svc/web.log"
        );
        assert_eq!(
            text(paths.launchers(&object("ns1/svc/web"))),
            "/r/etc/namespaces/ns1/svc/web.d"
        );
    }
}
