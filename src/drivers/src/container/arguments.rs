//! The arguments of `<tool> container run`: pure, from what keywords say.
//!
//! A keyword wins over the same option in `run_args`, which stays where no keyword speaks: what deployed agents do.

/// What keywords say of a container, references to other resources and objects resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Keyword `run_args`, read as options.
    pub run_args: Vec<String>,
    /// Name of the container.
    pub name: String,
    /// Labels, `name=value`.
    pub labels: Vec<String>,
    /// It runs in the background.
    pub is_detached: bool,
    /// Keyword `hostname`.
    pub hostname: Option<String>,
    /// Keyword `entrypoint`.
    pub entrypoint: Option<String>,
    /// Keyword `netns`.
    pub net: Option<String>,
    /// The network where nothing names one.
    pub default_net: Option<&'static str>,
    /// Keyword `pidns`.
    pub pid: Option<String>,
    /// Keyword `ipcns`.
    pub ipc: Option<String>,
    /// Keyword `utsns`.
    pub uts: Option<String>,
    /// Keyword `userns`.
    pub userns: Option<String>,
    /// Keyword `user`.
    pub user: Option<String>,
    /// Keyword `privileged`, as all of three states: unset leaves what `run_args` says.
    pub privileged: Option<bool>,
    /// Keyword `interactive`.
    pub interactive: Option<bool>,
    /// Keyword `tty`.
    pub tty: Option<bool>,
    /// Mounts, of `run_args` as well, `source:target[:options]`.
    pub volumes: Vec<String>,
    /// Devices, of `run_args` as well.
    pub devices: Vec<String>,
    /// The control group above those of the container.
    pub cgroup_parent: Option<String>,
    /// Name servers of the cluster.
    pub dns: Vec<String>,
    /// Domains searched where the cluster has name servers.
    pub dns_search: Vec<String>,
    /// The option that sets an option of the resolver.
    pub dns_option: &'static str,
    /// Environment: `NAME=value`, or `NAME` for a value that is in the environment of the tool.
    pub variables: Vec<String>,
    /// Keyword `image`.
    pub image: String,
    /// Keyword `command`.
    pub command: Vec<String>,
}

/// Options of the resolver that names of the cluster need.
const DNS_OPTIONS: [&str; 3] = ["ndots:2", "edns0", "use-vc"];

impl Arguments {
    /// Everything after `container run`.
    pub(super) fn words(&self) -> Vec<String> {
        let mut args = self.run_args.clone();
        drop_options(&mut args, &["-d", "--detach"], false);
        drop_options(&mut args, &["--name", "-v", "--volume", "--device"], true);
        let hostname = self.hostname.clone().or_else(|| values(&args, &["--hostname", "-h"]).pop());
        drop_options(&mut args, &["--hostname", "-h"], true);
        if self.is_detached {
            args.push("--detach".to_owned());
        }
        args.push(format!("--name={}", self.name));
        args.extend(self.labels.iter().map(|label| format!("--label={label}")));
        // A name of its own needs a network of its own.
        if !self.net.as_deref().is_some_and(|net| net == "host" || net.starts_with("container:")) {
            args.extend(hostname.into_iter().flat_map(|name| ["--hostname".to_owned(), name]));
        }
        if let Some(entrypoint) = &self.entrypoint {
            drop_options(&mut args, &["--entrypoint"], true);
            args.extend(["--entrypoint".to_owned(), entrypoint.clone()]);
        }
        self.add_namespaces(&mut args);
        if let Some(user) = &self.user {
            drop_options(&mut args, &["--user", "-u"], true);
            args.extend(["--user".to_owned(), user.clone()]);
        }
        for (names, wanted) in [
            (&["--privileged"][..], self.privileged),
            (&["--interactive", "-i"], self.interactive),
            (&["--tty", "-t"], self.tty),
        ] {
            if let Some(wanted) = wanted {
                drop_options(&mut args, names, false);
                args.extend(wanted.then(|| names[0].to_owned()));
            }
        }
        args.extend(self.volumes.iter().map(|volume| format!("--volume={volume}")));
        args.extend(self.devices.iter().map(|device| format!("--device={device}")));
        if let Some(parent) = &self.cgroup_parent {
            args.extend(["--cgroup-parent".to_owned(), parent.clone()]);
        }
        self.add_dns(&mut args);
        for variable in &self.variables {
            args.extend(["--env".to_owned(), variable.clone()]);
        }
        args.push(self.image.clone());
        args.extend(self.command.iter().cloned());
        args
    }

    fn add_namespaces(&self, args: &mut Vec<String>) {
        for (names, wanted) in [
            (&["--net", "--network"][..], &self.net),
            (&["--pid"], &self.pid),
            (&["--ipc"], &self.ipc),
            (&["--uts"], &self.uts),
            (&["--userns"], &self.userns),
        ] {
            if let Some(wanted) = wanted {
                drop_options(args, names, true);
                args.push(format!("{}={wanted}", names[0]));
            }
        }
        if let Some(default) = self.default_net.filter(|_| self.net.is_none())
            && values(args, &["--net", "--network"]).is_empty()
        {
            args.push(format!("--net={default}"));
        }
    }

    fn add_dns(&self, args: &mut Vec<String>) {
        let net = values(args, &["--net", "--network"]).pop().unwrap_or_default();
        let has_own = !values(args, &["--dns"]).is_empty();
        // Who shares a network shares its resolver.
        if self.dns.is_empty() || has_own || net == "host" || net.starts_with("container:") {
            return;
        }
        let own = values(args, &[self.dns_option]);
        let is_set = |option: &str| {
            let name = option.split(':').next().unwrap_or(option);
            own.iter().any(|own| own.split(':').next() == Some(name))
        };
        let options =
            DNS_OPTIONS.iter().filter(|option| !is_set(option)).map(|option| (*option).to_owned());
        for (name, value) in self
            .dns
            .iter()
            .map(|server| ("--dns", server.clone()))
            .chain(self.dns_search.iter().map(|domain| ("--dns-search", domain.clone())))
            .chain(options.map(|option| (self.dns_option, option)))
        {
            args.extend([name.to_owned(), value]);
        }
    }
}

/// Removes options, with the word after them when they take one.
fn drop_options(args: &mut Vec<String>, names: &[&str], takes_value: bool) {
    let mut is_value = false;
    args.retain(|arg| {
        if std::mem::take(&mut is_value) {
            return false;
        }
        if names.contains(&arg.as_str()) {
            is_value = takes_value;
            return false;
        }
        value_of(arg, names).is_none()
    });
}

/// The values of an option, written `--option value` or `--option=value`.
pub(super) fn values(args: &[String], names: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for (position, arg) in args.iter().enumerate() {
        if names.contains(&arg.as_str()) {
            found.extend(args.get(position + 1).cloned());
        }
        found.extend(value_of(arg, names));
    }
    found
}

fn value_of(arg: &str, names: &[&str]) -> Option<String> {
    let (name, value) = arg.split_once('=')?;
    names.contains(&name).then(|| value.to_owned())
}

/// A mount or a device, `source:target[:options]`, its source resolved: `resolve` tells where a source that is no absolute
/// path is, and whether it is read only. None for what is none, which is left out.
///
/// # Errors
///
/// What `resolve` says.
pub(super) fn mount<E>(
    word: &str,
    resolve: impl FnOnce(&str) -> Result<(String, bool), E>,
) -> Result<Option<String>, E> {
    let parts: Vec<&str> = word.split(':').collect();
    if !(2..=3).contains(&parts.len()) || parts[0].is_empty() {
        return Ok(None);
    }
    let (source, is_read_only) = resolve(parts[0])?;
    if parts[0].starts_with('/') {
        return Ok(Some(word.to_owned()));
    }
    let options = parts.get(2).copied().unwrap_or_default();
    let wants_read_only = options.split(',').any(|option| option == "ro");
    let access = if is_read_only || wants_read_only { "ro" } else { "rw" };
    let others = options.split(',').filter(|option| !matches!(*option, "" | "ro" | "rw"));
    let options: Vec<&str> = std::iter::once(access).chain(others).collect();
    Ok(Some(format!("{source}:{}:{}", parts[1], options.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn arguments(run_args: &str) -> Arguments {
        Arguments {
            run_args: words(run_args),
            name: "c1".to_owned(),
            dns_option: "--dns-option",
            image: "img".to_owned(),
            ..Arguments::default()
        }
    }

    fn line(arguments: &Arguments) -> String {
        arguments.words().join(" ")
    }

    #[test]
    fn a_keyword_wins_over_the_option_it_stands_for() {
        let all = "-d --name other -h far --entrypoint /x --network=bridge --pid host --ipc=host --uts host \
                   --userns=host --user me --privileged -i --tty -v /a:/a --device=/dev/b:/dev/b -p 80:80";
        let mut wanted = arguments(all);
        assert_eq!(
            line(&wanted),
            "--entrypoint /x --network=bridge --pid host --ipc=host --uts host --userns=host --user me --privileged \
             -i --tty -p 80:80 --name=c1 --hostname far img"
        );
        wanted.is_detached = true;
        wanted.hostname = Some("near".into());
        wanted.entrypoint = Some("/y".into());
        wanted.net = Some("none".into());
        wanted.pid = Some("container:c2".into());
        wanted.ipc = Some("private".into());
        wanted.uts = Some("host".into());
        wanted.userns = Some("host".into());
        wanted.user = Some("you".into());
        wanted.privileged = Some(false);
        wanted.interactive = Some(false);
        wanted.tty = Some(true);
        wanted.volumes = words("/c:/c");
        wanted.devices = words("/dev/d:/dev/d");
        wanted.command = words("serve --all");
        assert_eq!(
            line(&wanted),
            "-p 80:80 --detach --name=c1 --hostname near --entrypoint /y --net=none --pid=container:c2 --ipc=private \
             --uts=host --userns=host --user you --tty --volume=/c:/c --device=/dev/d:/dev/d img serve --all"
        );
    }

    #[test]
    fn the_default_network_is_for_who_names_none() {
        let with = |run_args, net: Option<&str>| {
            let net = net.map(str::to_owned);
            line(&Arguments { default_net: Some("none"), net, ..arguments(run_args) })
        };
        assert_eq!(with("", None), "--name=c1 --net=none img");
        assert_eq!(with("--net bridge", None), "--net bridge --name=c1 img");
        assert_eq!(with("--net bridge", Some("host")), "--name=c1 --net=host img");
    }

    #[test]
    fn who_shares_a_network_has_neither_name_nor_resolver_of_its_own() {
        let with = |net: &str| {
            line(&Arguments {
                net: Some(net.to_owned()),
                hostname: Some("h".to_owned()),
                dns: words("10.0.0.1"),
                dns_search: words("ns.svc.c"),
                ..arguments("--dns-option ndots:5")
            })
        };
        assert_eq!(with("host"), "--dns-option ndots:5 --name=c1 --net=host img");
        assert_eq!(with("container:c2"), "--dns-option ndots:5 --name=c1 --net=container:c2 img");
        assert_eq!(
            with("none"),
            "--dns-option ndots:5 --name=c1 --hostname h --net=none --dns 10.0.0.1 --dns-search ns.svc.c \
             --dns-option edns0 --dns-option use-vc img"
        );
    }

    #[test]
    fn a_mount_of_a_volume_has_the_access_of_the_volume() {
        let resolve = |source: &str| match source {
            "vol1" => Ok(("/srv/vol1".to_owned(), false)),
            "vol2" => Ok(("/srv/vol2".to_owned(), true)),
            path if path.starts_with('/') => Ok((path.to_owned(), false)),
            other => Err(format!("{other}?")),
        };
        let told = |word: &str| mount(word, resolve);
        assert_eq!(told("/a:/b"), Ok(Some("/a:/b".into())));
        assert_eq!(told("/a:/b:ro,z"), Ok(Some("/a:/b:ro,z".into())));
        assert_eq!(told("vol1:/b"), Ok(Some("/srv/vol1:/b:rw".into())));
        assert_eq!(told("vol1:/b:ro,z"), Ok(Some("/srv/vol1:/b:ro,z".into())));
        assert_eq!(told("vol2:/b:rw"), Ok(Some("/srv/vol2:/b:ro".into())));
        assert_eq!(told("vol3:/b"), Err("vol3?".into()));
        assert_eq!([told("/a"), told("a:b:c:d"), told(":/b")], [Ok(None), Ok(None), Ok(None)]);
    }

    #[test]
    fn the_tool_that_is_installed_knows_every_option() {
        let all = Arguments {
            is_detached: true,
            labels: words("a=b"),
            hostname: Some("h".into()),
            entrypoint: Some("/y".into()),
            net: Some("none".into()),
            pid: Some("host".into()),
            ipc: Some("private".into()),
            uts: Some("host".into()),
            userns: Some("host".into()),
            user: Some("you".into()),
            privileged: Some(true),
            interactive: Some(true),
            tty: Some(true),
            volumes: words("/c:/c"),
            devices: words("/dev/d:/dev/d"),
            cgroup_parent: Some("/a".into()),
            dns: words("10.0.0.1"),
            dns_search: words("ns.svc.c"),
            variables: words("A B=c"),
            ..arguments("")
        };
        // Options are read before the daemon is asked, and there is none.
        let said = |words: Vec<String>| {
            let ended = std::process::Command::new("docker")
                .args(["container", "run"])
                .args(words)
                .env("DOCKER_HOST", "unix:///proc/no-such-socket")
                .output()
                .ok()?;
            Some(String::from_utf8_lossy(&ended.stderr).into_owned())
        };
        let Some(nonsense) = said(words("--nonsense img")) else {
            _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: needs docker\n");
            return;
        };
        assert!(nonsense.contains("unknown flag"), "{nonsense}");
        let said = said(all.words()).unwrap();
        assert!(!said.contains("flag") || said.contains("server OS"), "{said}");
    }
}
