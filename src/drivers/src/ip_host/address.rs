//! The addresses of a link, as `ip -j addr` tells them.

use std::net::IpAddr;

use serde_json::Value;

/// An address of a link, as `ip -j addr` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) addr: IpAddr,
    pub(crate) prefix: u8,
    /// Not the first of its network.
    pub(crate) is_secondary: bool,
    /// Its own name, where it has one beside that of its link.
    pub(crate) label: Option<String>,
}

pub(crate) fn parse_addresses(json: &str) -> Option<Vec<Address>> {
    let links: Vec<Value> = serde_json::from_str(json).ok()?;
    let read = |(link, info): (&Value, &Value)| {
        Some(Address {
            addr: info.get("local")?.as_str()?.parse().ok()?,
            prefix: u8::try_from(info.get("prefixlen")?.as_u64()?).ok()?,
            is_secondary: info.get("secondary").and_then(Value::as_bool).unwrap_or(false),
            label: label(info, link),
        })
    };
    let infos = links.iter().flat_map(|link| {
        let infos = link.get("addr_info").and_then(Value::as_array).into_iter().flatten();
        infos.map(move |info| (link, info))
    });
    Some(infos.filter_map(read).collect())
}

/// The label of an address that is not the name of its link.
fn label(info: &Value, link: &Value) -> Option<String> {
    let label = info.get("label")?.as_str()?;
    (link.get("ifname").and_then(Value::as_str) != Some(label)).then(|| label.to_owned())
}
