//! What a user without root may write into the configuration of an object: nothing that runs as root, or reads the machine.

mod allowed;

use std::collections::BTreeSet;

use conf::Ini;
use model::{Kind, ObjectPath};

use crate::grants::{ClusterRole, Grants, ROOT_NAMESPACE, Role};

/// Groups of resources that work on the machine.
const OF_THE_MACHINE: [&str; 5] = ["disk", "fs", "app", "share", "sync"];

/// The one of them that every service has.
const OWN_SYNC: &str = "sync#i0";

/// Types of containers, which keep to themselves what runs in them.
const CONTAINERS: [&str; 2] = ["docker", "podman"];

/// What may be taken from the machine into a container.
const HARMLESS_FILES: [&str; 2] = ["/etc/localtime", "/etc/timezone"];

/// Beginnings of the names of commands that run on the machine.
const COMMANDS: [&str; 3] = ["pre_", "post_", "blocking_"];

/// What happens to a node whose service fails, that harms nobody else.
const HARMLESS_ACTIONS: [&str; 3] = ["", "freezestop", "switch"];

/// Arguments of a container that open nothing of the machine to it.
const ARGUMENTS: [&str; 20] = [
    "--cpu-shares",
    "--cpus",
    "--entrypoint",
    "--env",
    "--hostname",
    "--init",
    "--interactive",
    "--label",
    "--memory",
    "--name",
    "--read-only",
    "--rm",
    "--shm-size",
    "--stop-timeout",
    "--tmpfs",
    "--tty",
    "--user",
    "--workdir",
    "-e",
    "-m",
];

/// Who writes, and where.
#[derive(Debug)]
pub struct Writer<'a> {
    /// What it may.
    pub grants: &'a Grants,
    /// The namespaces that there are.
    pub namespaces: &'a BTreeSet<String>,
}

impl Writer<'_> {
    /// All that speaks against a configuration; nothing for who has root. `before` is what is in force.
    #[must_use]
    pub fn faults(&self, path: &ObjectPath, before: Option<&Ini>, ini: &Ini) -> Vec<String> {
        if self.grants.is_root() {
            return vec![];
        }
        let mut faults = self.place_faults(path);
        for section in ini.sections() {
            faults.extend(resource_fault(ini, section));
        }
        for section in ini.sections() {
            for (keyword, value) in ini.keywords(section) {
                let old = before.and_then(|before| before.get(section, keyword));
                self.keyword_faults(section, keyword, value, old, &mut faults);
            }
            faults.extend(missing_netns(ini, section));
        }
        faults.into_iter().map(|fault| format!("{path}: {fault}")).collect()
    }

    fn place_faults(&self, path: &ObjectPath) -> Vec<String> {
        let namespace = path.namespace().unwrap_or(ROOT_NAMESPACE);
        let is_new = !self.namespaces.contains(namespace);
        let squats = self.grants.has(ClusterRole::Squatter);
        let mut faults = vec![];
        match path.kind() {
            Kind::Vol => faults.push("volume create requires the root privilege".to_owned()),
            Kind::Ccfg => faults.push("cluster create requires the root privilege".to_owned()),
            Kind::Nscfg if !squats => {
                faults
                    .push("namespace configuration requires the squatter cluster role".to_owned());
            }
            _ => {}
        }
        if is_new && namespace == "system" {
            faults.push("namespace system requires the root privilege".to_owned());
        } else if is_new && !squats {
            faults.push(format!("new namespace {namespace} requires the squatter cluster role"));
        }
        faults
    }

    fn keyword_faults(
        &self,
        section: &str,
        keyword: &str,
        value: &str,
        old: Option<&str>,
        faults: &mut Vec<String>,
    ) {
        let name = keyword.split_once('@').map_or(keyword, |(name, _)| name);
        let refuse = |shown: &str| format!("keyword {shown}={value} requires the root role");
        let scoped = || format!("{section}.{keyword}");
        let is_reference = value.contains('{');
        let group = section.split_once('#').map_or(section, |(group, _)| group);
        let is_command = COMMANDS.iter().any(|prefix| name.starts_with(prefix));
        if !allowed::has(group, name) || name.contains("trigger") || is_command {
            faults.push(refuse(&scoped()));
            return;
        }
        // A value that is read as an option does something else than it says.
        let is_in_container = matches!(group, "container" | "task");
        let is_text = !matches!(name, "run_args" | "command" | "run_command");
        if is_in_container && is_text && value.trim_start().starts_with('-') {
            faults.push(refuse(&scoped()));
            return;
        }
        match name {
            "container_data_dir" if is_reference || value.starts_with('/') => {
                faults.push(refuse(&scoped()));
            }
            "devices" | "volume_mounts" if value.split_whitespace().any(is_of_the_machine) => {
                faults.push(refuse(&scoped()));
            }
            "monitor_action"
                if !value.split_whitespace().all(|it| HARMLESS_ACTIONS.contains(&it)) =>
            {
                faults.push(refuse(&scoped()));
            }
            "netns"
                if matches!(group, "container" | "ip" | "task")
                    && (value == "host" || is_reference) =>
            {
                faults.push(refuse(&scoped()));
            }
            "privileged" if !is_false(value) => {
                faults.push(format!("keyword {}=True requires the root role", scoped()));
            }
            "run_args" if opens(value) => faults.push(refuse(&scoped())),
            "cn" if section == "DEFAULT" && old != Some(value) => faults.push(refuse(keyword)),
            "grant" if section == "DEFAULT" && old != Some(value) => {
                self.grant_faults(value, faults)
            }
            _ => {}
        }
    }

    /// Nobody grants what it does not have.
    fn grant_faults(&self, value: &str, faults: &mut Vec<String>) {
        let (wanted, _) = Grants::parse(value);
        for role in ClusterRole::ALL {
            let is_wanted =
                if wanted.is_root() { role == ClusterRole::Root } else { wanted.has(role) };
            if is_wanted && !self.grants.has(role) {
                let role = role.as_str();
                faults.push(format!("keyword grant={value} requires the {role} cluster role"));
            }
        }
        for (role, pattern) in wanted.scoped() {
            for role in Role::ALL.into_iter().filter(|lower| *lower <= role) {
                // A pattern grants on namespaces that are to come: it has to be one's own, or a name.
                let is_own = self.grants.covers(role, pattern);
                if !is_own {
                    let role = role.as_str();
                    faults.push(format!(
                        "keyword grant={value} requires the {role}:{pattern} privilege"
                    ));
                }
            }
        }
    }
}

/// What is wrong with a section, if it is a resource.
fn resource_fault(ini: &Ini, section: &str) -> Option<String> {
    let (group, _) = section.split_once('#')?;
    if OF_THE_MACHINE.contains(&group) && section != OWN_SYNC {
        return Some(format!("resource {section} requires the root privilege"));
    }
    let (usual, allowed): (&str, &[&str]) = match group {
        "task" => ("host", &CONTAINERS),
        "container" => ("docker", &CONTAINERS),
        "ip" => ("host", &["cni"]),
        _ => return None,
    };
    let types: Vec<&str> = ini
        .keywords(section)
        .filter(|(keyword, _)| *keyword == "type" || keyword.starts_with("type@"))
        .map(|(_, value)| value)
        .collect();
    let types = if types.is_empty() { vec![usual] } else { types };
    let wrong = types.into_iter().find(|kind| !allowed.contains(kind))?;
    Some(format!("resource {section} type {group}.{wrong} requires the root privilege"))
}

/// An address without network namespace is one of the machine.
fn missing_netns(ini: &Ini, section: &str) -> Option<String> {
    let is_address = section.starts_with("ip#");
    let has_one = ini
        .keywords(section)
        .any(|(keyword, _)| keyword == "netns" || keyword.starts_with("netns@"));
    (is_address && !has_one).then(|| format!("keyword {section}.netns=host requires the root role"))
}

/// Whether a device or mount is a path of the machine, or may become one.
fn is_of_the_machine(word: &str) -> bool {
    let source = word.split_once(':').map_or(word, |(source, _)| source);
    let is_own = source.starts_with("{name}") || source.starts_with("{namespace}");
    let goes_up = source.split('/').any(|part| part == "..");
    goes_up
        || source.starts_with('/') && !HARMLESS_FILES.contains(&source)
        || source.starts_with('{') && !is_own
}

/// Whether arguments of a container may open the machine to it: read as who runs them reads them.
fn opens(arguments: &str) -> bool {
    let Ok(words) = conf::split_words(arguments) else { return true };
    words.iter().any(|word| {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        word.contains('{') || word.starts_with('-') && !ARGUMENTS.contains(&name)
    })
}

fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "" | "no" | "n" | "false" | "f" | "0" | "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(grant: &str, path: &str, before: &str, text: &str) -> Vec<String> {
        let (grants, _) = Grants::parse(grant);
        let namespaces: BTreeSet<String> = ["prod", "root", "test"].map(str::to_owned).into();
        let ini = |text: &str| Ini::parse(text).unwrap();
        let writer = Writer { grants: &grants, namespaces: &namespaces };
        let path = ObjectPath::parse(path).unwrap();
        let strip = |fault: String| fault.split_once(": ").unwrap().1.to_owned();
        writer.faults(&path, Some(&ini(before)), &ini(text)).into_iter().map(strip).collect()
    }

    #[test]
    fn what_runs_on_the_machine_needs_root_and_all_of_it_is_told() {
        let text = "[DEFAULT]\nnodes = n81\npriority = 1\nmonitor_action = reboot\n[container#1]\ntype = docker\n\
                    privileged = true\nnetns = host\n[fs#1]\ntype = directory\npath = /srv\n[task#1]\ntype = host\ncommand = /bin/true\n";
        assert_eq!(
            faults("admin:test", "test/svc/bad", "", text),
            [
                "resource fs#1 requires the root privilege",
                "resource task#1 type task.host requires the root privilege",
                "keyword DEFAULT.monitor_action=reboot requires the root role",
                "keyword container#1.privileged=True requires the root role",
                "keyword container#1.netns=host requires the root role",
            ]
        );
        assert_eq!(faults("root", "test/svc/bad", "", text), Vec::<String>::new());
    }

    #[test]
    fn what_a_container_keeps_to_itself_is_allowed() {
        let text = "[DEFAULT]\nnodes = *\nmonitor_action = freezestop switch\n[container#1]\ntype = podman\nimage = x\n\
                    volume_mounts = {name}-vol/data:/data /etc/localtime:/etc/localtime:ro\n[sync#i0]\nschedule = @60\n\
                    [ip#1]\ntype = cni\nnetns = container#1\n[env]\nx = /etc\n";
        assert_eq!(faults("admin:test", "test/svc/web", "", text), Vec::<String>::new());
    }

    #[test]
    fn each_way_around_is_closed() {
        let refused = |section: &str, text: &str| {
            let text = format!("[{section}]\n{text}\n");
            assert_eq!(faults("admin:test squatter", "test/svc/x", "", &text).len(), 1, "{text}");
        };
        for text in [
            "type = docker\nvolume_mounts = /:/mnt",
            "type = docker\nvolume_mounts = vol/../../etc:/mnt",
            "type = docker\nvolume_mounts = {env.x}:/mnt",
            "type = docker\nvolume_mounts@n1 = /:/mnt",
            "type = docker\ndevices = /dev/sda",
            "type = docker\nprivileged@n1 = 1",
            "type = docker\nprivileged = {env.x}",
            "type = docker\nnetns = {env.x}",
            "type = docker\npre_start = /bin/true",
            "type = docker\nstart_trigger = /bin/true",
            "type = docker\nrun_args = --privileged",
            "type = docker\nrun_args = -v/:/mnt",
            "type = docker\nrun_args = \"--privileged\"",
            "type = docker\nrun_args = --env-file=/etc/shadow",
            "type = docker\nrun_args = --volumes-from x",
            "type = docker\nrun_args = -itv/:/mnt",
            "type = docker\nnet = host",
            "type = docker\npidns = host",
            "type = docker\nuserns = host",
            "type = docker\nrun_image = x",
            "type = docker\nimage = --privileged",
            "type = docker\ndocker_exe = /tmp/x",
            "type = docker\nkeyword_that_is_new = x",
            "type = docker\ncontainer_data_dir = /etc",
            "type = {env.x}",
            "type = docker\ntype@n1 = lxc",
        ] {
            refused("container#1", text);
        }
        refused("DEFAULT", "docker_exe = /tmp/x");
        refused("DEFAULT", "docker_exe@n1 = /tmp/x");
        refused("DEFAULT", "docker_daemon_args = -H tcp://");
        refused("task#1", "command = /bin/true");
        refused("ip#1", "type = cni");
        refused("ip#1", "type = netns\nnetns = container#1");
        refused("app#1", "type = simple");
    }

    #[test]
    fn nobody_grants_what_it_does_not_have() {
        assert_eq!(
            faults(
                "admin:test squatter",
                "test/usr/evil",
                "",
                "[DEFAULT]\ngrant = root admin:prod\n"
            ),
            [
                "keyword grant=root admin:prod requires the root cluster role",
                "keyword grant=root admin:prod requires the admin:prod privilege",
                "keyword grant=root admin:prod requires the operator:prod privilege",
                "keyword grant=root admin:prod requires the guest:prod privilege",
            ]
        );
        assert_eq!(
            faults("admin:test", "test/usr/u", "", "[DEFAULT]\ngrant = guest:test\n").len(),
            0
        );
        assert_eq!(
            faults("admin:test", "test/usr/u", "", "[DEFAULT]\ngrant = guest:te*\n").len(),
            1
        );
        assert_eq!(
            faults("admin:te*", "test/usr/u", "", "[DEFAULT]\ngrant = guest:te*\n").len(),
            0
        );
        let same = "[DEFAULT]\ngrant = root\ncn = x\n";
        assert_eq!(faults("admin:test", "test/usr/u", same, same).len(), 0);
        assert_eq!(
            faults("admin:test", "test/usr/u", "", "[DEFAULT]\ncn = admin\n"),
            ["keyword cn=admin requires the root role"]
        );
    }

    #[test]
    fn volumes_and_new_namespaces_have_their_roles() {
        assert_eq!(
            faults("admin:test", "test/vol/v", "", ""),
            ["volume create requires the root privilege"]
        );
        assert_eq!(
            faults("admin:*", "new/cfg/c", "", ""),
            ["new namespace new requires the squatter cluster role"]
        );
        assert_eq!(faults("admin:* squatter", "new/cfg/c", "", "").len(), 0);
        assert_eq!(faults("admin:* squatter", "system/cfg/c", "", "").len(), 1);
    }
}
