//! The program that runs a container: what keywords say, with what they refer to.
//!
//! Part of the `impl` of [`Container`], in a file of its own for its length.

use std::path::Path;

use model::Kind;

use crate::container::arguments::Arguments;
use crate::container::tool::Tool;
use crate::container::{Container, QUERY_TIMEOUT, arguments, container_name};
use crate::driver::Scene;
use crate::exec::Program;
use crate::failure::Failure;
use crate::{keys, volume};

impl Container {
    /// A namespace of another container is named by its resource id.
    fn namespace(value: &str, scene: &Scene<'_>) -> Result<String, Failure> {
        if !value.starts_with("container#") {
            return Ok(value.to_owned());
        }
        if scene.instance.resource(value).is_none() {
            return Err(Failure::refused(format!("resource {value} does not exist")));
        }
        let path = &scene.instance.path;
        let index = value.split_once('#').map_or("", |(_, index)| index);
        let own = scene.instance.section(value).text("name").ok().flatten();
        let name = own.unwrap_or_else(|| container_name(path.namespace(), path.name(), index));
        Ok(format!("container:{name}"))
    }

    /// The paths of mounts and devices on this node.
    fn mounts(words: &[String], scene: &Scene<'_>) -> Result<Vec<String>, Failure> {
        let resolve = |source: &str| {
            if !source.starts_with('/') {
                let (folder, is_read_only) = volume::find(source, scene)
                    .ok_or_else(|| Failure::refused(format!("volume {source} is not available")))?;
                return Ok((folder.display().to_string(), is_read_only));
            }
            match Path::new(source).exists() {
                true => Ok((source.to_owned(), false)),
                false => {
                    Err(Failure::refused(format!("{source} does not exist, and is to be mounted")))
                }
            }
        };
        let mut mounts: Vec<String> = vec![];
        for word in words {
            let Some(mount) = arguments::mount(word, resolve)? else {
                scene.journal.info(format_args!(
                    "mount {word} is ignored: source:target[:options] expected"
                ));
                continue;
            };
            let target = |mount: &str| mount.split(':').nth(1).map(str::to_owned);
            if mounts.iter().any(|other| target(other) == target(&mount)) {
                let text = format!("two mounts have the same target: {mount}");
                return Err(Failure::refused(text));
            }
            mounts.push(mount);
        }
        Ok(mounts)
    }

    /// The parent of the container's control groups, where the tool makes them by itself.
    fn cgroup_parent(&self, scene: &Scene<'_>) -> Option<String> {
        let parent = scene.host.cgroups.parent(scene)?;
        if self.tool == Tool::Podman {
            return Some(format!("{parent}/libpod"));
        }
        let words = ["info", "--format", "{{.CgroupDriver}}"];
        let ended = scene.query(&self.words(words).timeout(Some(QUERY_TIMEOUT))).ok()?;
        (ended.out.trim() == "cgroupfs").then_some(parent)
    }

    pub(super) fn run_program(&self, scene: &Scene<'_>) -> Result<Program, Failure> {
        let namespace = |value: &Option<String>| {
            value.as_deref().map(|value| Self::namespace(value, scene)).transpose()
        };
        // Only names in the arguments: values, secrets among them, travel in the tool's environment.
        let mut hidden = keys::environment(scene, Kind::Cfg, &self.configs)?;
        hidden.extend(keys::environment(scene, Kind::Sec, &self.secrets)?);
        let is_open =
            |name: &str| is_read_by_tool(name) && !hidden.iter().any(|(is, _)| is == name);
        let (open, environment): (Vec<_>, Vec<_>) =
            self.environment.iter().cloned().partition(|(name, _)| is_open(name));
        hidden.splice(0..0, environment);
        let mut variables: Vec<String> =
            open.iter().map(|(name, value)| format!("{name}={value}")).collect();
        variables.extend(hidden.iter().map(|(name, _)| name.clone()));
        let (path, node) = (&scene.instance.path, &scene.host.node);
        let arguments = Arguments {
            net: namespace(&self.arguments.net)?,
            pid: namespace(&self.arguments.pid)?,
            ipc: namespace(&self.arguments.ipc)?,
            uts: namespace(&self.arguments.uts)?,
            userns: namespace(&self.arguments.userns)?,
            volumes: Self::mounts(&self.mounts, scene)?,
            devices: Self::mounts(&self.devices, scene)?,
            cgroup_parent: self.cgroup_parent(scene),
            dns: node.dns.clone(),
            dns_search: search_domains(path.namespace(), path.name(), &node.cluster_name),
            variables,
            ..self.arguments.clone()
        };
        let credentials = self.credentials(scene)?;
        let (before, after) = self.credential_words(credentials.as_deref());
        let words = arguments.words();
        let words = before
            .iter()
            .map(String::as_str)
            .chain(["container", "run"])
            .chain(after.iter().map(String::as_str))
            .chain(words.iter().map(String::as_str));
        Ok(self.words(words).environment(hidden))
    }
}

/// The domains that names of the cluster are searched in: those of the object, of its namespace and of services.
fn search_domains(namespace: Option<&str>, name: &str, cluster: &str) -> Vec<String> {
    let (namespace, cluster) = (namespace.unwrap_or("root").to_lowercase(), cluster.to_lowercase());
    // A slice of a scaler has the name of the scaler.
    let name = match name.split_once('.') {
        Some((slice, rest)) if slice.parse::<u32>().is_ok() => rest,
        _ => name,
    };
    vec![
        format!("{name}.{namespace}.svc.{cluster}"),
        format!("{namespace}.svc.{cluster}"),
        format!("svc.{cluster}"),
    ]
}

/// Variables that the tool itself looks at: in its environment, a value for the container would mislead it.
fn is_read_by_tool(name: &str) -> bool {
    const PREFIXES: [&str; 9] =
        ["DOCKER_", "BUILDX_", "CONTAINER", "PODMAN_", "XDG_", "LD_", "SSL_CERT_", "OTEL_", "GO"];
    matches!(name, "PATH" | "HOME" | "USER" | "TMPDIR" | "REGISTRY_AUTH_FILE" | "STORAGE_DRIVER")
        || name.ends_with("_PROXY")
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_cluster_are_searched_from_the_object_upwards() {
        assert_eq!(
            search_domains(Some("Ns"), "3.web", "C1"),
            ["web.ns.svc.c1", "ns.svc.c1", "svc.c1"]
        );
        assert_eq!(search_domains(None, "web", "c1")[0], "web.root.svc.c1");
    }

    #[test]
    fn a_variable_that_the_tool_reads_is_not_put_in_its_environment() {
        let names = ["PATH", "DOCKER_HOST", "HTTPS_PROXY", "TOKEN", "MY_PATH"];
        assert_eq!(names.map(is_read_by_tool), [true, true, true, false, false]);
    }
}
