//! Log lines: the fan-out to stderr, the journal and the files of the node and its objects.
//!
//! At work on the machine, without actors. One logger for the process, behind the `log` macros. The files of the daemon
//! belong to a keeper with a thread of its own, so that a full or hanging disk silences nobody; commands append by
//! themselves.

pub mod backlog;
pub mod context;
pub mod files;
pub mod filter;
pub mod history;
pub mod journal;
mod line;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use log::{Level, LevelFilter, Log, Record};
use model::{NodeName, ObjectPath};

use machine::clock;
use machine::paths::Paths;

use crate::context::LogContext;
use crate::files::LogFiles;
use crate::journal::Journal;

/// The shortest secret that is looked for in entries: replacing shorter ones would garble everything.
const SHORTEST_SECRET: usize = 6;

/// Entries that may wait for the keeper; more are counted and dropped.
pub const QUEUE: usize = 4_096;

/// Takes an entry for a file, newline included. False: it has no room.
pub type Keeper = Box<dyn Fn(PathBuf, String) -> bool + Send + Sync>;

/// Where the log goes.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Folders.
    pub paths: Arc<Paths>,
    /// Name of this node.
    pub nodename: NodeName,
    /// Words of each entry.
    pub context: LogContext,
    /// The least important level that is written.
    pub level: LevelFilter,
    /// Write to stderr too.
    pub is_verbose: bool,
    /// Write to the log files. Not for commands that only ask.
    pub is_filed: bool,
}

struct Fanout {
    options: LogOptions,
    stderr: Option<Stderr>,
    /// The journal, for what the daemon runs.
    journal: Option<Journal>,
    keeper: ArcSwapOption<Keeper>,
    secrets: ArcSwap<Vec<String>>,
    lost: AtomicU64,
}

enum Stderr {
    /// Under systemd: the journal adds the time. What its socket does not take reaches it through stderr, without fields.
    Journal(Option<Journal>),
    /// A daemon in a terminal, or with a file as its stderr.
    Plain(env_logger::Logger),
    /// Whoever typed a command: what happens to which resource, without what a log needs.
    Prompt,
}

/// Target of the lines that only a log needs: the one who typed the command knows.
pub const BEGIN: &str = "om::begin";

// The log macros have one logger per process, which the `log` crate keeps in a static; this is the handle to it.
static LOGGER: OnceLock<Fanout> = OnceLock::new();

/// Makes the log macros of this process write. A second call changes nothing.
pub fn install(options: LogOptions) {
    let level = options.level;
    if LOGGER.set(Fanout::new(options)).is_ok() {
        let logger = LOGGER.get().expect("set just before");
        if log::set_logger(logger).is_ok() {
            log::set_max_level(level);
        }
    }
}

/// Changes the level while running.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// The secrets to keep out of the log from now on.
pub fn set_secrets(secrets: impl IntoIterator<Item = String>) {
    if let Some(logger) = LOGGER.get() {
        let known = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        logger.secrets.store(Arc::new(known));
    }
}

/// From now on the files are written by `keeper`; with none, by whoever logs.
pub fn set_keeper(keeper: Option<Keeper>) {
    if let Some(logger) = LOGGER.get() {
        logger.keeper.store(keeper.map(Arc::new));
    }
}

/// Whether this process tells the journal, with fields.
#[must_use]
pub fn tells_journal() -> bool {
    LOGGER.get().is_some_and(|logger| matches!(logger.stderr, Some(Stderr::Journal(Some(_)))))
}

/// Entries that were dropped because the keeper could not follow.
#[must_use]
pub fn lost() -> u64 {
    LOGGER.get().map_or(0, |logger| logger.lost.load(Ordering::Relaxed))
}

impl Fanout {
    fn new(options: LogOptions) -> Self {
        let is_command = options.context.sid.is_some();
        let stderr = options.is_verbose.then(|| match is_journal() {
            true => Stderr::Journal(Journal::at(Path::new(journal::SOCKET)).ok()),
            false if is_command => Stderr::Prompt,
            false => Stderr::Plain(plain_logger()),
        });
        let is_told = is_command && std::env::var_os(journal::VARIABLE).is_some();
        let journal = is_told.then(|| Journal::at(Path::new(journal::SOCKET)).ok()).flatten();
        Self {
            options,
            // It has the line already.
            stderr: stderr.filter(|it| journal.is_none() || !matches!(it, Stderr::Journal(_))),
            journal,
            keeper: ArcSwapOption::empty(),
            secrets: ArcSwap::default(),
            lost: AtomicU64::new(0),
        }
    }

    fn file(&self, record: &Record<'_>, words: &line::Words, secrets: &[String]) {
        let time = clock::zoned().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
        let component = if self.options.context.sid.is_some() {
            ""
        } else {
            record.target().rsplit("::").next().unwrap_or_default()
        };
        let entry = line::format(&time, record.level(), &self.options.nodename, component, words);
        let entry = line::redact(entry, secrets);
        let object = words.path.as_deref().and_then(|path| ObjectPath::parse(path).ok());
        let paths = &self.options.paths;
        // What is told of an object that was just deleted does not bring its log back.
        let has_log =
            |path: &ObjectPath| paths.log_file(path).exists() || paths.config_file(path).exists();
        let object = object.filter(has_log);
        let file = object.map_or_else(|| paths.node_log(), |path| paths.log_file(&path));
        match &*self.keeper.load() {
            Some(keeper) => {
                if !keeper(file, entry) {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => {
                // A command logs a few lines; it opens the file for each, and a failure must not end it.
                _ = LogFiles::new(rotation_lock(paths)).append(&file, &entry);
            }
        }
    }

    fn tell(
        &self,
        journal: Option<&Journal>,
        level: Level,
        words: &line::Words,
        secrets: &[String],
        is_streamed: bool,
    ) {
        let priority = match level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let object = words.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
        let text = words.message.replace('\n', "\\n");
        let message = line::redact(format!("{object}{text}"), secrets);
        let safe = |word: &Option<String>| word.clone().map(|word| line::redact(word, secrets));
        let (object, rid) = (safe(&words.path), safe(&words.rid));
        let node = self.options.nodename.as_str();
        let entry = journal::Line {
            priority,
            message: &message,
            node,
            object: object.as_deref(),
            rid: rid.as_deref(),
        };
        let is_refused = journal.is_none_or(|journal| journal.send(entry).is_err());
        if is_refused && is_streamed {
            // The level as a stream of the journal reads it.
            _ = std::io::stderr().write_all(format!("<{priority}>{message}\n").as_bytes());
        }
    }

    fn print(&self, stderr: &Stderr, record: &Record<'_>, words: &line::Words, secrets: &[String]) {
        match stderr {
            Stderr::Journal(journal) => {
                self.tell(journal.as_ref(), record.level(), words, secrets, true);
            }
            Stderr::Prompt if record.target() == BEGIN => {}
            Stderr::Prompt => {
                let text = line::redact(line::prompt(record.level(), words), secrets);
                anstream::eprint!("{text}");
            }
            Stderr::Plain(logger) => {
                let text = line::redact(record.args().to_string(), secrets);
                logger.log(
                    &Record::builder()
                        .args(format_args!("{text}"))
                        .level(record.level())
                        .target(record.target())
                        .key_values(record.key_values())
                        .build(),
                );
            }
        }
    }
}

fn plain_logger() -> env_logger::Logger {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .format_target(false)
        .write_style(if std::io::stderr().is_terminal() {
            env_logger::WriteStyle::Auto
        } else {
            env_logger::WriteStyle::Never
        })
        .build()
}

/// Whether stderr is a stream of the journal (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Where our own log lines come from: the crates of this workspace.
const OURS: &[&str] = &[
    "certs",
    "cli",
    "client",
    "cluster_data",
    "conf",
    "config_watcher",
    "dataset",
    "demo",
    "drivers",
    "files",
    "front",
    "heartbeat",
    "keepers",
    "link",
    "listener",
    "logs",
    "machine",
    "mail",
    "membership",
    "metrics",
    "model",
    "monitor",
    "monitors",
    "om",
    "peers",
    "propagation",
    "quorum",
    "requests",
    "root",
    "runner",
    "scheduler",
    "standing",
    "supervision",
    "web",
    "wire",
];

fn is_ours(target: &str) -> bool {
    target.split("::").next().is_some_and(|name| OURS.contains(&name))
}

/// The lock that whoever rotates a log file holds.
#[must_use]
pub fn rotation_lock(paths: &Paths) -> PathBuf {
    paths.locks().join("log_rotation")
}

impl Log for Fanout {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // Of the libraries only what matters: their details would be ours to explain.
        let is_ours = is_ours(record.target());
        if !self.enabled(record.metadata()) || (!is_ours && record.level() > Level::Warn) {
            return;
        }
        let secrets = self.secrets.load();
        let words = line::Words::of(record, &self.options.context);
        if let Some(stderr) = &self.stderr {
            self.print(stderr, record, &words, &secrets);
        }
        if self.journal.is_some() {
            // Its stderr is nobody's, or the answer to who asked: what the journal has no room for is in the files.
            self.tell(self.journal.as_ref(), record.level(), &words, &secrets, false);
        }
        if self.options.is_filed {
            self.file(record, &words, &secrets);
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::Stand;

    fn fanout(folder: &std::path::Path, context: LogContext) -> Fanout {
        Fanout::new(LogOptions {
            paths: Arc::new(Paths::under(folder)),
            nodename: NodeName::new("n1").unwrap(),
            context,
            level: LevelFilter::Info,
            is_verbose: false,
            is_filed: true,
        })
    }

    fn record<'a>(text: std::fmt::Arguments<'a>, pairs: &'a dyn log::kv::Source) -> Record<'a> {
        Record::builder()
            .args(text)
            .level(Level::Error)
            .target("listener")
            .key_values(pairs)
            .build()
    }

    fn configure(fanout: &Fanout, path: &str) {
        let file = fanout.options.paths.config_file(&ObjectPath::parse(path).unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }

    fn messages(folder: &std::path::Path, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(folder.join("log").join(file)).unwrap_or_default();
        text.lines().map(|line| line[24..].to_owned()).collect()
    }

    #[test]
    fn entries_of_objects_go_to_their_files_and_the_rest_to_the_node() {
        log::set_max_level(LevelFilter::Info);
        let folder = tempfile::tempdir().unwrap();
        let fanout = fanout(folder.path(), LogContext::default());
        configure(&fanout, "ns1/svc/web");
        fanout.log(&record(format_args!("one"), &("path", "ns1/svc/web")));
        // Deleted: its log does not come back.
        fanout.log(&record(format_args!("last"), &("path", "gone")));
        fanout.secrets.store(Arc::new(vec!["0123456789abcdef".into()]));
        fanout.log(&record(format_args!("two 0123456789abcdef"), &("port", 1214)));
        assert_eq!(
            messages(folder.path(), "namespaces/ns1/svc/web.log"),
            ["ERROR n:n1 c:listener o:ns1/svc/web | one"]
        );
        assert_eq!(
            messages(folder.path(), "node.log"),
            ["ERROR n:n1 c:listener o:gone | last", "ERROR n:n1 c:listener | two xxxx port=1214"]
        );
    }

    #[test]
    fn the_journal_learns_which_node_object_and_resource_a_line_is_about() {
        log::set_max_level(LevelFilter::Info);
        let folder = tempfile::tempdir().unwrap();
        let mut fanout = fanout(folder.path(), LogContext::default());
        fanout.options.is_filed = false;
        let stand = Stand::new();
        fanout.stderr = Some(Stderr::Journal(Some(stand.journal())));
        fanout.secrets.store(Arc::new(vec!["0123456789abcdef".into()]));
        let pairs = [("path", "ns1/svc/web"), ("rid", "app#1"), ("delay_ms", "40")];
        fanout.log(&record(format_args!("fell\nwith 0123456789abcdef"), &&pairs[..]));
        let expected = [
            ("MESSAGE", "ns1/svc/web: fell\\nwith xxxx delay_ms=40"),
            ("NODE", "n1"),
            ("OBJ_PATH", "ns1/svc/web"),
            ("PRIORITY", "3"),
            ("RID", "app#1"),
            ("SYSLOG_IDENTIFIER", "om"),
        ];
        assert_eq!(stand.next(), expected.map(|(name, value)| (name.into(), value.into())).into());
    }

    #[test]
    fn what_an_action_of_the_daemon_tells_reaches_the_journal_once() {
        log::set_max_level(LevelFilter::Info);
        let folder = tempfile::tempdir().unwrap();
        let path = ObjectPath::parse("ns1/svc/web").ok();
        let context = LogContext { sid: Some("s1".into()), path, is_scheduled: None };
        let mut fanout = fanout(folder.path(), context);
        configure(&fanout, "ns1/svc/web");
        let stand = Stand::new();
        fanout.journal = Some(stand.journal());
        fanout.secrets.store(Arc::new(vec!["0123456789abcdef".into()]));
        fanout.log(&record(format_args!("up 0123456789abcdef"), &("rid", "app#1")));
        fanout.log(&record(format_args!("last"), &("rid", "app#2")));
        let expected = [
            ("MESSAGE", "ns1/svc/web: up xxxx"),
            ("NODE", "n1"),
            ("OBJ_PATH", "ns1/svc/web"),
            ("PRIORITY", "3"),
            ("RID", "app#1"),
            ("SYSLOG_IDENTIFIER", "om"),
        ];
        assert_eq!(stand.next(), expected.map(|(name, value)| (name.into(), value.into())).into());
        assert_eq!(stand.next()["RID"], "app#2", "the first line came once");
        let filed = messages(folder.path(), "namespaces/ns1/svc/web.log");
        assert_eq!(filed.len(), 2, "{filed:?}");
    }

    #[test]
    fn every_crate_of_this_workspace_may_log() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for folder in ["src", "actors"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap().flatten() {
                if entry.path().join("Cargo.toml").exists() {
                    let name = entry.file_name().into_string().unwrap();
                    assert!(is_ours(&format!("{name}::part")), "{name}");
                }
            }
        }
        assert!(!is_ours("rustls::client"));
    }

    #[test]
    fn what_a_keeper_has_no_room_for_is_counted() {
        log::set_max_level(LevelFilter::Info);
        let folder = tempfile::tempdir().unwrap();
        let fanout = fanout(folder.path(), LogContext::default());
        let (sender, kept) = std::sync::mpsc::sync_channel(1);
        let keeper: Keeper = Box::new(move |file, entry| sender.try_send((file, entry)).is_ok());
        fanout.keeper.store(Some(Arc::new(keeper)));
        for number in 0..3 {
            fanout.log(&record(format_args!("{number}"), &("port", 1214)));
        }
        let (file, entry) = kept.recv().unwrap();
        assert!(file.ends_with("node.log") && entry.ends_with("| 0 port=1214\n"), "{entry}");
        assert_eq!(fanout.lost.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn entries_of_an_action_carry_its_session_and_its_object() {
        log::set_max_level(LevelFilter::Info);
        let folder = tempfile::tempdir().unwrap();
        let context = LogContext {
            sid: Some("s1".into()),
            path: ObjectPath::parse("svc1").ok(),
            is_scheduled: Some(false),
        };
        let fanout = fanout(folder.path(), context);
        configure(&fanout, "svc1");
        fanout.log(&record(format_args!("up"), &("rid", "app#1")));
        assert_eq!(
            messages(folder.path(), "svc1.log"),
            ["ERROR sid:s1 n:n1 o:svc1 r:app#1 sc:n | up"]
        );
    }
}
