//! `ip.host`: an address of the host.

mod address;
mod kept;
mod route;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conf::{EvalError, SectionReader};
use model::Status;
use serde_json::Value;

use machine::durable::FileLock;

use crate::driver::{Driver, Scene};
use crate::exec::{Output, Program};
use crate::failure::Failure;
use crate::ip_host::address::Address;
use crate::report::Report;
use crate::setup::Setup;

/// How long a new address may take to answer, and an old one to fall silent.
const PATIENCE: Duration = Duration::from_secs(15);

struct Ip {
    name: Option<String>,
    dev: String,
    label_index: Option<String>,
    netmask: Option<String>,
    is_carrier_checked: bool,
    gateway: Option<String>,
    is_nonrouted: bool,
    index: String,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let dev = section.text("ipdev")?.unwrap_or_default();
    let (dev, label_index) = match dev.split_once(':') {
        Some((dev, index)) => (dev.to_owned(), Some(index.to_owned())),
        None => (dev, None),
    };
    Ok(Box::new(Ip {
        name: section.text("ipname")?,
        // `name@parent` is how links show themselves; the name is what counts here.
        dev: dev.split('@').next().unwrap_or_default().to_owned(),
        label_index,
        netmask: section.text("netmask")?,
        is_carrier_checked: section.tristate("check_carrier")?.unwrap_or(true),
        gateway: section.text("gateway")?,
        is_nonrouted: section.words("tags")?.iter().any(|tag| tag == "nonrouted"),
        index: setup.rid.index().to_owned(),
    }))
}

/// A prefix length from `24`, `255.255.255.0` or the same in octal digits.
fn prefix(text: &str) -> Option<u8> {
    if let Ok(length) = text.parse::<u8>() {
        return (length <= 128).then_some(length);
    }
    let parts: Vec<u8> = text
        .split('.')
        .map(|part| {
            let is_octal = part.len() == 4 && part.starts_with('0');
            if is_octal { u8::from_str_radix(part, 8) } else { part.parse() }
        })
        .collect::<Result<_, _>>()
        .ok()?;
    let bytes: [u8; 4] = parts.try_into().ok()?;
    let bits = u32::from_be_bytes(bytes);
    let length = bits.leading_ones();
    (bits.checked_shl(length).unwrap_or(0) == 0).then(|| u8::try_from(length).ok()).flatten()
}

impl Ip {
    fn resolve(&self) -> Result<IpAddr, Failure> {
        let name = self.name.as_deref().ok_or_else(|| Failure::refused("ipname is not set"))?;
        if let Ok(addr) = name.parse() {
            return Ok(addr);
        }
        let found = (name, 0)
            .to_socket_addrs()
            .map_err(|error| Failure::refused(format!("could not resolve name {name}: {error}")))?;
        let all: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
        let first = all.iter().find(|addr| addr.is_ipv4()).or(all.first());
        first.copied().ok_or_else(|| Failure::refused(format!("could not resolve name {name}")))
    }

    fn link(&self) -> PathBuf {
        PathBuf::from("/sys/class/net").join(&self.dev)
    }

    fn configured(&self, scene: &Scene<'_>, addr: IpAddr) -> Result<Option<Address>, Failure> {
        Ok(kept::addresses(&self.dev, scene)?.into_iter().find(|address| address.addr == addr))
    }

    fn has_carrier(&self) -> bool {
        std::fs::read_to_string(self.link().join("carrier")).is_ok_and(|text| text.trim() == "1")
    }

    /// The prefix length: the keyword's, else that of the link's first address of the family.
    fn prefix(&self, scene: &Scene<'_>, addr: IpAddr) -> Result<u8, Failure> {
        if let Some(text) = &self.netmask {
            return prefix(text)
                .ok_or_else(|| Failure::refused(format!("netmask {text} is not one")));
        }
        let same = kept::addresses(&self.dev, scene)?
            .into_iter()
            .find(|address| address.addr.is_ipv4() == addr.is_ipv4() && !address.is_secondary);
        Ok(same.map_or(if addr.is_ipv4() { 32 } else { 128 }, |address| address.prefix))
    }

    /// Whether the address answers; none when it cannot be asked.
    fn ping(&self, scene: &Scene<'_>, addr: IpAddr) -> Option<bool> {
        let family = if addr.is_ipv4() { "-4" } else { "-6" };
        let program = Program::new(["ping", family, "-c", "1", "-W", "2", &addr.to_string()])
            .timeout(Some(Duration::from_secs(5)));
        scene.query(&program).ok().map(|ended| ended.is_success())
    }

    fn show(&self) -> String {
        self.name.clone().unwrap_or_default()
    }
}

impl Driver for Ip {
    fn label(&self) -> String {
        let netmask = self.netmask.as_ref().map(|mask| format!("/{mask}")).unwrap_or_default();
        format!("{}{netmask} {}", self.show(), self.dev)
    }

    fn tools(&self) -> Vec<(String, bool)> {
        let mut tools = vec![("ip".to_owned(), true)];
        if self.dev != "lo" {
            tools.push(("arping".to_owned(), false));
        }
        tools
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        report.info.insert("ipdev".to_owned(), self.dev.clone().into());
        let netmask = self.netmask.as_deref().and_then(prefix);
        report.info.insert(
            "netmask".to_owned(),
            netmask.map_or(Value::Null, |length| length.to_string().into()),
        );
        let addr = match self.resolve() {
            Ok(addr) => addr,
            Err(error) => {
                report.info.insert("ipaddr".to_owned(), Value::Null);
                report.warn(error);
                return Ok(Status::Warn);
            }
        };
        report.info.insert("ipaddr".to_owned(), addr.to_string().into());
        if !self.link().exists() {
            report.info(format_args!("interface {} does not exist", self.dev));
            return Ok(Status::Down);
        }
        let Some(address) = self.configured(scene, addr)? else { return Ok(Status::Down) };
        if self.is_carrier_checked && !self.has_carrier() {
            report.error(format_args!("no carrier on {}", self.dev));
            return Ok(Status::Down);
        }
        if netmask.is_none() {
            report.info.insert("netmask".to_owned(), address.prefix.to_string().into());
            report.label = Some(format!("{}/{} {}", self.show(), address.prefix, self.dev));
        }
        Ok(Status::Up)
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let addr = self.resolve()?;
        if !self.link().exists() {
            return Err(Failure::refused(format!("interface {} does not exist", self.dev)));
        }
        if self.configured(scene, addr)?.is_some() {
            scene.journal.info(format_args!("{addr} is already up on {}", self.dev));
            return Ok(());
        }
        if self.is_carrier_checked && !self.has_carrier() {
            return Err(Failure::refused(format!("no carrier on {}", self.dev)));
        }
        let lock =
            FileLock::take(&scene.host.paths.locks().join("startip"), Duration::from_secs(30))
                .map_err(Failure::io("lock"))?;
        let address = format!("{addr}/{}", self.prefix(scene, addr)?);
        let mut words = vec!["ip", "addr", "add", &address, "dev", &self.dev];
        let label = self.label_index.as_ref().map(|index| format!("{}:{index}", self.dev));
        words.extend(label.iter().flat_map(|label| ["label", label.as_str()]));
        if addr.is_ipv6() {
            // It was asked for by ping; waiting for the kernel to find out again delays the start.
            words.push("nodad");
        }
        scene.execute(&Program::new(words).output(Output::Logged))?;
        drop(lock);
        self.take_default_route(scene)?;
        if self.is_nonrouted {
            return Ok(());
        }
        let start = Instant::now();
        while self.ping(scene, addr) == Some(false) {
            if start.elapsed() >= PATIENCE {
                return Err(Failure::refused(format!("{addr} does not answer after {PATIENCE:?}")));
            }
        }
        self.announce(scene, addr);
        Ok(())
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        // The address first: that is what another node is going to have.
        self.stop_address(scene)?;
        self.give_default_route_back(scene);
        Ok(())
    }

    fn boot(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        Self::forget_default_route(scene)
    }

    fn abort_reason(&self, scene: &Scene<'_>) -> Option<String> {
        if self.is_nonrouted {
            return None;
        }
        let addr = self.resolve().ok()?;
        if !self.link().exists() || self.configured(scene, addr).ok()?.is_some() {
            return None;
        }
        let answers = self.ping(scene, addr) == Some(true);
        answers.then(|| format!("{addr} is already in use: it answers ping"))
    }

    fn has_provisioner(&self) -> bool {
        true
    }

    fn is_provisioned(&self, _: &Scene<'_>) -> Option<bool> {
        // There is nothing to make unless a network manager is asked, which this agent does not do.
        Some(true)
    }

    fn trigger_environment(&self) -> Vec<(String, String)> {
        let addr = self.resolve().map(|addr| addr.to_string()).unwrap_or_default();
        let mask = self.netmask.clone().unwrap_or_default();
        let name = self.show();
        vec![
            ("OPENSVC_IPDEV".to_owned(), self.dev.clone()),
            ("OPENSVC_IPNAME".to_owned(), name.clone()),
            ("OPENSVC_NETMASK".to_owned(), mask.clone()),
            ("OPENSVC_IPADDR".to_owned(), addr.clone()),
            (format!("OPENSVC_IP{}", self.index), format!("{name} {} {addr} {mask}", self.dev)),
        ]
    }
}

impl Ip {
    /// Removes the address, and waits until it is silent.
    fn stop_address(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let Ok(addr) = self.resolve() else { return Ok(()) };
        if !self.link().exists() {
            return Ok(());
        }
        let Some(address) = self.configured(scene, addr)? else {
            scene.journal.info(format_args!("{addr} is already down on {}", self.dev));
            return Ok(());
        };
        let lock =
            FileLock::take(&scene.host.paths.locks().join("startip"), Duration::from_secs(30))
                .map_err(Failure::io("lock"))?;
        kept::delete_address(&self.dev, scene, &address)?;
        drop(lock);
        if self.is_nonrouted {
            return Ok(());
        }
        let start = Instant::now();
        while self.ping(scene, addr) == Some(true) {
            if start.elapsed() >= PATIENCE {
                return Err(Failure::refused(format!("{addr} still answers after {PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Tells the neighbours who has the address now. Best effort: they would find out later.
    fn announce(&self, scene: &Scene<'_>, addr: IpAddr) {
        if !addr.is_ipv4() || self.dev == "lo" {
            return;
        }
        let program = Program::new(["arping", "-U", "-c", "1", "-I", &self.dev, &addr.to_string()])
            .timeout(Some(Duration::from_secs(5)));
        match scene.query(&program) {
            Ok(ended) if ended.is_success() => {
                scene.journal.info(format_args!("gratuitous arp for {addr} sent"));
            }
            Ok(ended) => scene.journal.warn(format_args!("{program}: {}", ended.last_line())),
            Err(error) => scene.journal.debug(format_args!("no gratuitous arp: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip_host::address::parse_addresses;

    #[test]
    fn a_netmask_is_a_length_or_four_parts() {
        assert_eq!(prefix("24"), Some(24));
        assert_eq!(prefix("255.255.255.0"), Some(24));
        assert_eq!(prefix("255.255.255.255"), Some(32));
        assert_eq!(prefix("0.0.0.0"), Some(0));
        assert_eq!(prefix("0377.0377.0.0"), Some(16));
        assert_eq!(prefix("255.0.255.0"), None);
        assert_eq!(prefix("129"), None);
        assert_eq!(prefix("x"), None);
    }

    #[test]
    fn addresses_are_read_from_the_tool() {
        let json = r#"[{"ifname":"eth0","addr_info":[{"family":"inet","local":"10.0.0.1",
            "prefixlen":24},{"family":"inet6","local":"fe80::1","prefixlen":64},{}]}]"#;
        let expected = [
            Address {
                addr: "10.0.0.1".parse().unwrap(),
                prefix: 24,
                is_secondary: false,
                label: None,
            },
            Address {
                addr: "fe80::1".parse().unwrap(),
                prefix: 64,
                is_secondary: false,
                label: None,
            },
        ];
        assert_eq!(parse_addresses(json).unwrap(), expected);
        assert_eq!(parse_addresses("no json"), None);
    }
}
