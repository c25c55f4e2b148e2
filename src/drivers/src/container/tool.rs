//! The command line tools of containers: what differs from one to another.

use crate::host::Host;

/// The command line tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `docker`.
    Docker,
    /// `podman`.
    Podman,
}

impl Tool {
    /// The tool of a driver type; `oci` is that of keyword `node.oci`, else podman where that is installed.
    pub(crate) fn choose(driver_type: &str, host: &Host) -> Self {
        let is_installed = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
        };
        let own = host.node.conf.get("node.oci").unwrap_or_default();
        let wanted = if driver_type == "oci" { own.as_str() } else { driver_type };
        match wanted {
            "docker" => Self::Docker,
            "podman" => Self::Podman,
            _ if is_installed("podman") || !is_installed("docker") => Self::Podman,
            _ => Self::Docker,
        }
    }

    /// The options of each call. Where systemd runs, podman asks it for control groups, and takes only slices for parents: those
    /// of services are ours, folders.
    pub(crate) fn always(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &[],
            Self::Podman => &["--cgroup-manager", "cgroupfs"],
        }
    }

    /// Its option that sets an option of the resolver.
    pub(super) fn dns_option(self) -> &'static str {
        match self {
            Self::Docker => "--dns-option",
            Self::Podman => "--dns-opt",
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}
