//! What an address shares with others of the node, and must not take along: the addresses beside it.

use std::path::PathBuf;

use crate::driver::Scene;
use crate::exec::{Output, Program};
use crate::failure::Failure;
use crate::ip_host::address::{Address, parse_addresses};

/// Removes an address from a link, and no other: where it is the first of its network, the kernel removes the others with it,
/// unless it is told to promote one of them.
pub(super) fn delete_address(
    dev: &str,
    scene: &Scene<'_>,
    address: &Address,
) -> Result<(), Failure> {
    let before = addresses(dev, scene)?;
    let depends = |other: &&Address| other.is_secondary && is_same_network(address, other);
    let has_others = !address.is_secondary && before.iter().any(|other| depends(&other));
    let own = format!("{}/{}", address.addr, address.prefix);
    if !has_others {
        return scene.tool(["ip", "addr", "del", &own, "dev", dev]).map(drop);
    }
    let promote = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{}/promote_secondaries", dev));
    let was = std::fs::read_to_string(&promote).unwrap_or_default();
    let is_set = was.trim() != "0" || std::fs::write(&promote, "1").is_ok();
    let done = scene.tool(["ip", "addr", "del", &own, "dev", dev]);
    if is_set && was.trim() == "0" {
        _ = std::fs::write(&promote, "0");
    }
    done?;
    // Where that may not be set, they are given back at once.
    let after = addresses(dev, scene)?;
    for lost in before.iter().filter(|one| one.addr != address.addr) {
        if after.iter().any(|one| one.addr == lost.addr) {
            continue;
        }
        let name = format!("{}/{}", lost.addr, lost.prefix);
        let mut words = vec!["ip", "addr", "add", &name, "dev", dev];
        words.extend(lost.label.iter().flat_map(|label| ["label", label.as_str()]));
        scene.execute(&Program::new(words).output(Output::Logged))?;
    }
    Ok(())
}

/// The addresses of a link.
pub(super) fn addresses(dev: &str, scene: &Scene<'_>) -> Result<Vec<Address>, Failure> {
    let program = Program::new(["ip", "-j", "addr", "show", "dev", dev]);
    let ended = scene.query(&program)?;
    parse_addresses(&ended.out).ok_or_else(|| Failure::Exit {
        command: program.to_string(),
        code: ended.code,
        line: ended.last_line().to_owned(),
    })
}

/// Whether two addresses are of one network, as the kernel takes it: of one length, and the same in that length.
fn is_same_network(one: &Address, other: &Address) -> bool {
    let (std::net::IpAddr::V4(left), std::net::IpAddr::V4(right)) = (one.addr, other.addr) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(one.prefix.min(32))).unwrap_or(0);
    one.prefix == other.prefix && left.to_bits() & mask == right.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_the_same_bits_in_the_same_length() {
        let address = |text: &str, prefix| Address {
            addr: text.parse().unwrap(),
            prefix,
            is_secondary: true,
            label: None,
        };
        let one = address("192.0.2.1", 24);
        assert!(is_same_network(&one, &address("192.0.2.200", 24)));
        assert!(!is_same_network(&one, &address("192.0.2.200", 25)));
        assert!(!is_same_network(&one, &address("192.0.3.1", 24)));
        assert!(!is_same_network(&one, &address("2001:db8::1", 24)));
        assert!(is_same_network(&address("1.0.0.0", 0), &address("2.0.0.0", 0)));
    }
}
