//! Log lines: the fan-out to stderr, the journal and the files of the node and its objects.
//!
//! One logger for the process, behind the `log` macros. The daemon's files belong to the log keeper, an actor with a
//! thread of its own, so that a full or hanging disk silences nobody; commands append by themselves.
//! Hears: whoever logs. Restart: the keeper opens its files again; entries in its queue are kept.

mod files;
mod line;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption};
use log::{Level, LevelFilter, Log, Record};
use model::{NodeName, ObjectPath};

use self::files::LogFiles;
use crate::clock;
use crate::paths::Paths;

/// The shortest secret that is looked for in entries: replacing shorter ones would garble everything.
const SHORTEST_SECRET: usize = 6;

/// Entries that may wait for the keeper; more are counted and dropped.
pub const QUEUE: usize = 4_096;

/// Words that belong to each entry of a process.
#[derive(Debug, Clone, Default)]
pub struct LogContext {
    /// Session id: each run of a command has one, and its children share it.
    pub sid: Option<String>,
    /// The object that the process acts on.
    pub path: Option<ObjectPath>,
    /// Run by the scheduler.
    pub is_scheduled: Option<bool>,
}

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
    keeper: ArcSwapOption<Addr<LogKeeper>>,
    secrets: ArcSwap<Vec<String>>,
    lost: AtomicU64,
}

enum Stderr {
    /// Under systemd: the journal adds the time and reads the level from `<N>`.
    Journal,
    /// A daemon in a terminal, or with a file as its stderr.
    Plain(env_logger::Logger),
    /// Whoever typed a command: what happens to which resource, without what a log needs.
    Prompt,
}

/// Target of the lines that only a log needs: the one who typed the command knows.
pub const BEGIN: &str = "actors::begin";

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
pub fn set_keeper(keeper: Option<Addr<LogKeeper>>) {
    if let Some(logger) = LOGGER.get() {
        logger.keeper.store(keeper.map(Arc::new));
    }
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
            true => Stderr::Journal,
            false if is_command => Stderr::Prompt,
            false => Stderr::Plain(plain_logger()),
        });
        Self {
            options,
            stderr,
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
                if keeper.try_send(Entry { file, entry }).is_err() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => {
                // A command logs a few lines; it opens the file for each, and a failure must not end it.
                _ = LogFiles::new(rotation_lock(paths)).append(&file, &entry);
            }
        }
    }

    fn print(&self, stderr: &Stderr, record: &Record<'_>, words: &line::Words, secrets: &[String]) {
        match stderr {
            Stderr::Journal => {
                let priority = match record.level() {
                    Level::Error => 3,
                    Level::Warn => 4,
                    Level::Info => 6,
                    Level::Debug | Level::Trace => 7,
                };
                let object =
                    words.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
                let text = words.message.replace('\n', "\\n");
                let text = line::redact(format!("<{priority}>{object}{text}\n"), secrets);
                _ = std::io::stderr().write_all(text.as_bytes());
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

fn rotation_lock(paths: &Paths) -> PathBuf {
    paths.locks().join("log_rotation")
}

impl Log for Fanout {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // Of the libraries only what matters: their details would be ours to explain.
        let is_ours = record.target().starts_with("actors") || record.target().starts_with("om");
        if !self.enabled(record.metadata()) || (!is_ours && record.level() > Level::Warn) {
            return;
        }
        let secrets = self.secrets.load();
        let words = line::Words::of(record, &self.options.context);
        if let Some(stderr) = &self.stderr {
            self.print(stderr, record, &words, &secrets);
        }
        if self.options.is_filed {
            self.file(record, &words, &secrets);
        }
    }

    fn flush(&self) {}
}

/// An entry for a file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Entry {
    file: PathBuf,
    entry: String,
}

/// Opens the files again by name (SIGHUP). Answered when all entries before are written.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reopen;

/// The actor that owns the log files of the daemon.
pub struct LogKeeper {
    paths: Arc<Paths>,
    files: LogFiles,
    /// Entries that could not be written since one was.
    unwritten: u64,
    lost: u64,
}

impl std::fmt::Debug for LogKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKeeper").field("unwritten", &self.unwritten).finish_non_exhaustive()
    }
}

impl LogKeeper {
    /// A keeper of the files under `paths`.
    #[must_use]
    pub fn new(paths: Arc<Paths>) -> Self {
        let files = LogFiles::new(rotation_lock(&paths));
        Self { paths, files, unwritten: 0, lost: lost() }
    }
}

impl Actor for LogKeeper {
    type Context = Context<Self>;
}

impl Supervised for LogKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self { unwritten: self.unwritten, ..Self::new(self.paths.clone()) };
    }
}

impl Handler<Entry> for LogKeeper {
    type Result = ();

    fn handle(&mut self, Entry { file, entry }: Entry, _: &mut Context<Self>) {
        match self.files.append(&file, &entry) {
            Err(error) => {
                if self.unwritten == 0 {
                    // Not through the log: that would come back here.
                    _ = writeln!(std::io::stderr(), "cannot write {}: {error}", file.display());
                }
                self.unwritten += 1;
            }
            Ok(()) if self.unwritten > 0 => {
                let count = std::mem::take(&mut self.unwritten);
                log::warn!(count; "log entries were lost: they could not be written");
            }
            Ok(()) => {}
        }
        let lost = lost();
        if lost > self.lost {
            let count = lost - std::mem::replace(&mut self.lost, lost);
            log::warn!(count; "log entries were lost: the disk could not follow");
        }
    }
}

impl Handler<Reopen> for LogKeeper {
    type Result = ();

    fn handle(&mut self, _: Reopen, _: &mut Context<Self>) {
        self.files.reopen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            .target("actors::listener")
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

    #[actix::test]
    async fn entries_of_objects_go_to_their_files_and_the_rest_to_the_node() {
        log::set_max_level(LevelFilter::Info);
        let folder = tempfile::tempdir().unwrap();
        let fanout = fanout(folder.path(), LogContext::default());
        configure(&fanout, "ns1/svc/web");
        fanout.log(&record(format_args!("one"), &("path", "ns1/svc/web")));
        // Deleted: its log does not come back.
        fanout.log(&record(format_args!("last"), &("path", "gone")));
        let keeper = LogKeeper::new(fanout.options.paths.clone()).start();
        fanout.keeper.store(Some(Arc::new(keeper.clone())));
        fanout.secrets.store(Arc::new(vec!["0123456789abcdef".into()]));
        fanout.log(&record(format_args!("two 0123456789abcdef"), &("port", 1214)));
        keeper.send(Reopen).await.unwrap();
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
