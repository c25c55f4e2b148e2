//! What one node tells in an archive: texts without its secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use conf::redact::{MASK, redact, scrub};
use files::read;
use machine::regular;
use model::ObjectPath;
use serde_json::json;
use wire::Request;

use crate::om::{ANSWER, Om};
use crate::{doctor, instance};

/// Texts by their names.
pub(super) type Texts = BTreeMap<String, String>;

/// Most bytes of each log, and of all of them.
const EACH_LOG_BYTES: i64 = 512 << 10;
/// Most bytes of the logs of this node.
pub(super) const LOG_BYTES: usize = 16 << 20;
/// The same of a node that sends them in a reply.
pub(super) const REMOTE_LOG_BYTES: usize = 2 << 20;
/// The shortest secret that is looked for everywhere: replacing shorter ones would garble everything.
const SHORTEST: usize = 6;

/// Gathers what is here. What cannot be had is named in `missing.txt`.
pub(super) fn here(om: &Om, log_bytes: usize) -> Texts {
    let mut gathered = Gathered::default();
    let paths: Vec<ObjectPath> = read::list_objects(&om.paths).into_keys().collect();
    gathered.configurations(om, &paths);
    gathered.daemon(om);
    gathered.logs(om, &paths, log_bytes);
    gathered.histories(om, &paths);
    gathered.processes(om, &paths);
    gathered.machine();
    let checks = json!(doctor::found_here(om));
    gathered.add("doctor.json", cli::render::json(&checks));
    gathered.finish()
}

#[derive(Default)]
struct Gathered {
    texts: Texts,
    missing: Vec<String>,
    secrets: BTreeSet<String>,
}

impl Gathered {
    fn add(&mut self, name: &str, text: String) {
        self.texts.insert(name.to_owned(), text);
    }

    fn add_file(&mut self, name: &str, file: &str) {
        match std::fs::read_to_string(file) {
            Ok(text) => self.add(name, scrub_lines(&text)),
            Err(error) => self.missing.push(format!("{file}: {error}")),
        }
    }

    fn configurations(&mut self, om: &Om, paths: &[ObjectPath]) {
        let node = [("node.conf".to_owned(), om.paths.node_conf())];
        let cluster = ObjectPath::cluster();
        let objects = std::iter::once(&cluster)
            .chain(paths)
            .map(|path| (path.config_file(), om.paths.config_file(path)));
        for (name, file) in node.into_iter().chain(objects) {
            match regular::read_text(&file) {
                Ok(text) => {
                    let redacted = redact(&text);
                    self.secrets.extend(redacted.secrets);
                    self.add(&format!("config/{name}"), lines(redacted.lines));
                }
                Err(error) => self.missing.push(format!("{}: {error}", file.display())),
            }
        }
    }

    fn daemon(&mut self, om: &Om) {
        let request = wire::DaemonStatus { selector: None, namespace: None, relatives: false };
        let asked = om.link(None).map_err(|failure| failure.lines.join(", "));
        let asked = asked.and_then(|link| {
            link.ask(&Request::new(request), Some(ANSWER)).map_err(|error| error.to_string())
        });
        match asked {
            Ok(status) => self.add("status.json", scrub_lines(&cli::render::json(&status))),
            Err(error) => self.missing.push(format!("what the daemon tells: {error}")),
        }
    }

    fn logs(&mut self, om: &Om, paths: &[ObjectPath], most: usize) {
        let mut left = most;
        let node = std::iter::once(("node.log".to_owned(), om.paths.node_log()));
        let objects = paths.iter().map(|path| (path.log_file(), om.paths.log_file(path)));
        for (name, file) in node.chain(objects) {
            let backlog = EACH_LOG_BYTES.min(i64::try_from(left).unwrap_or(i64::MAX));
            match logs::backlog::read_backlog(&file, backlog) {
                Ok((text, _)) => {
                    left = left.saturating_sub(text.len());
                    self.add(&format!("logs/{name}"), scrub_lines(&text));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.missing.push(format!("{}: {error}", file.display())),
            }
        }
        if left == 0 {
            self.missing.push(format!("the rest of the logs, behind {} KiB", most >> 10));
        }
    }

    fn histories(&mut self, om: &Om, paths: &[ObjectPath]) {
        let all = std::iter::once(None).chain(paths.iter().map(Some));
        for path in all {
            let records = logs::history::read(&om.paths, path);
            if !records.is_empty() {
                let text: String = records.iter().map(model::Record::to_line).collect();
                let name = path.map_or("node".to_owned(), |path| path.var_dir());
                self.add(&format!("history/{name}.jsonl"), scrub_lines(&text));
            }
        }
    }

    fn processes(&mut self, om: &Om, paths: &[ObjectPath]) {
        let mut text = String::new();
        for path in paths.iter().filter(|path| path.kind().has_instances()) {
            match instance::processes(om, path, None) {
                Ok(found) => {
                    for (rid, pid, command) in found {
                        text.push_str(&format!("{path} {rid} {pid} {}\n", scrub(&command)));
                    }
                }
                Err(failure) => {
                    self.missing.push(format!("processes of {path}: {}", failure.lines.join(", ")))
                }
            }
        }
        self.add("processes.txt", text);
    }

    /// Kernel, distribution, mounts and this program.
    fn machine(&mut self) {
        self.add("version.txt", format!("om {}\n", env!("CARGO_PKG_VERSION")));
        self.add_file("kernel.txt", "/proc/version");
        self.add_file("os-release.txt", "/etc/os-release");
        self.add_file("mounts.txt", "/proc/self/mounts");
        self.add_file("memory.txt", "/proc/meminfo");
        self.add_file("load.txt", "/proc/loadavg");
        if !Path::new("/proc/self").exists() {
            self.missing.push("/proc is not mounted".to_owned());
        }
    }

    /// All texts, without what a configuration told to be a secret, wherever it stands.
    fn finish(mut self) -> Texts {
        self.missing.sort();
        if !self.missing.is_empty() {
            let missing = lines(std::mem::take(&mut self.missing));
            self.add("missing.txt", missing);
        }
        // The longest first: one may be a part of another.
        let mut secrets: Vec<&String> =
            self.secrets.iter().filter(|secret| secret.len() >= SHORTEST).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for text in self.texts.values_mut() {
            for secret in &secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), MASK);
                }
            }
        }
        self.texts
    }
}

/// Each line without what looks like a password, and without keys in armour.
fn scrub_lines(text: &str) -> String {
    let mut is_key = false;
    let scrubbed = text.lines().map(|line| {
        is_key |= line.contains("-----BEGIN");
        let is_hidden = is_key;
        is_key &= !line.contains("-----END");
        if is_hidden { MASK.to_owned() } else { scrub(line) }
    });
    lines(scrubbed)
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}
