//! `om support`: one archive for who helps, without secrets.
//!
//! Each node tells its own part, as texts by name, with its secrets removed before they leave it; here they are put in one
//! `.tar.gz`. What cannot be had is named in `missing.txt`.

mod gather;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use cli::Target;
use cli::render::size;
use flate2::Compression;
use flate2::write::GzEncoder;
use link::link::Link;
use serde_json::{Map, Value, json};
use wire::Request;

use crate::nodes::meant;
use crate::om::{Done, Failure, Om, note, print};
use crate::support::gather::Texts;

/// How long the daemon of another node may take: its doctor asks all members.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes the archive of these nodes. The exit code is 1 where a node tells nothing.
pub(super) fn run(om: &Om, target: &Target, server: Option<&str>, file: Option<&str>) -> Done {
    let names = meant(om, target, server)?;
    if om.is_machine_readable() {
        // Asked by another node, for its archive.
        print(&cli::render::json(&json!(gather::here(om, gather::REMOTE_LOG_BYTES))));
        return Ok(0);
    }
    let local = om.link(None)?;
    let (mut parts, mut silent) = (BTreeMap::new(), vec![]);
    for name in &names {
        let link = match server {
            // By way of the server, where this machine is no member.
            Some(server) if om.link(Some(server))?.is_remote() && server != name => {
                om.link(Some(server))?.to_node(name)
            }
            Some(_) => om.link(Some(name))?,
            None => local.to_node(name),
        };
        let told = match local.is_local(name) {
            true => Ok(gather::here(om, gather::LOG_BYTES)),
            false => ask(&link),
        };
        match told {
            Ok(texts) => _ = parts.insert(name.clone(), texts),
            Err(reason) => silent.push(format!("{name}: {reason}")),
        }
    }
    if !silent.is_empty() {
        let texts = Texts::from([("missing.txt".to_owned(), format!("{}\n", silent.join("\n")))]);
        parts.insert("not-reached".to_owned(), texts);
    }
    let now = machine::clock::zoned().strftime("%Y%m%d-%H%M%S").to_string();
    let stem = format!("om-support-{}-{now}", om.nodename);
    let file = file.map_or_else(|| format!("{stem}.tar.gz"), str::to_owned);
    let archive = pack(&stem, &parts)?;
    write(Path::new(&file), &archive)?;
    let count: usize = parts.values().map(BTreeMap::len).sum();
    print(&format!("{file}\n"));
    note(&format!(
        "{count} files of {}, {}B",
        names.join(", "),
        size(archive.len() as f64 / 1024.0, 0)
    ));
    note("secrets, keys and passwords were removed: look through it before you send it");
    let missing = parts.values().filter_map(|texts| texts.get("missing.txt"));
    missing.flat_map(|text| text.lines()).for_each(|line| note(&format!("missing: {line}")));
    Ok(u8::from(!silent.is_empty()))
}

/// The texts of another node, as it tells them.
fn ask(link: &Link) -> Result<Texts, String> {
    let options = Map::from_iter([("format".to_owned(), Value::from("json"))]);
    let action = wire::NodeAction {
        sync: true,
        action_mode: true,
        action: Some("support".to_owned()),
        options,
    };
    let reply =
        link.ask(&Request::new(action), Some(PATIENCE)).map_err(|error| error.to_string())?;
    let out = reply.pointer("/data/out").and_then(Value::as_str);
    let texts: Option<Texts> = out.and_then(|out| serde_json::from_str(out).ok());
    let texts = texts.ok_or_else(|| {
        let lines = wire::reply::Lines::of(&reply).errors;
        lines.first().cloned().unwrap_or_else(|| "its agent has no `om support`".to_owned())
    })?;
    // What a peer names is a name in an archive that somebody unpacks.
    Ok(texts.into_iter().filter(|(name, _)| is_safe(name)).collect())
}

/// Whether a name stays below the folder where it is unpacked.
fn is_safe(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(|c: char| c.is_control())
    };
    name.len() <= 200 && name.split('/').all(is_part)
}

/// The archive: `<stem>/<node>/<name>`, readable by its owner only.
fn pack(stem: &str, parts: &BTreeMap<String, Texts>) -> std::io::Result<Vec<u8>> {
    let encoder = GzEncoder::new(vec![], Compression::new(6));
    let mut archive = tar::Builder::new(encoder);
    let now = machine::clock::now().0;
    for (node, texts) in parts {
        for (name, text) in texts {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now as u64);
            archive.append_data(&mut header, format!("{stem}/{node}/{name}"), text.as_bytes())?;
        }
    }
    archive.into_inner()?.finish()
}

/// Writes a file that was not there, readable by its owner only.
fn write(file: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut out| out.write_all(content).and_then(|()| out.sync_all()));
    written.map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_names_nothing_outside_of_the_archive() {
        for name in ["../x", "/etc/x", "a//b", "a/..", "", "x\n"] {
            assert!(!is_safe(name), "{name:?}");
        }
        assert!(is_safe("config/namespaces/test/svc/web.conf"));
    }
}
