//! Who listens on a TCP port, as far as this user may see.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::accept;
use crate::accept::{BindError, Bound};

/// Whether a daemon with these settings would find its address taken by another process. Anything else that keeps it from
/// listening is not for us to tell: it may come to be right.
pub fn is_taken(addr: &str, port: u16) -> bool {
    let addresses: Vec<IpAddr> = match accept::addresses(addr) {
        Some(addresses) => addresses,
        None => match accept::resolve(addr) {
            Ok(addresses) => addresses,
            Err(_) => return false,
        },
    };
    port != 0 && matches!(Bound::probe(&addresses, port), Err(BindError::InUse))
}

/// The processes that listen on a port: id and command. Empty where this user may not see them.
pub fn holders(port: u16) -> Vec<(u32, String)> {
    let sockets: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return vec![];
    }
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let descriptors =
            std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        if targets.any(|target| target.to_str().is_some_and(|target| sockets.contains(target))) {
            let command = machine::kernel::text(entry.path().join("comm")).unwrap_or_default();
            found.push((pid, command.trim().to_owned()));
        }
    }
    found
}

/// The sockets of a table of the kernel that listen on a port, by inode.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let ending = format!(":{port:04X}");
    let lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| {
            fields.get(1).is_some_and(|local| local.ends_with(&ending))
                && fields.get(3) == Some(&LISTEN)
        })
        .filter_map(|fields| Some((*fields.get(9)?).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = std::process::id();
        assert!(holders(port).iter().any(|(pid, command)| *pid == own && !command.is_empty()));
        assert!(is_taken("127.0.0.1", port) && is_taken("", port));
        drop(listener);
        assert!(!is_taken("127.0.0.1", port));
        // What is not of this machine may come to be.
        assert!(!is_taken("192.0.2.1", port) && !is_taken("127.0.0.1", 0));
    }
}
