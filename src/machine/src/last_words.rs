//! What is said before the node is taken down: it has to be found after the boot.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::paths::Paths;

/// The log of the kernel: a console, a crash dump and pstore have it.
const KERNEL: &str = "/dev/kmsg";

/// Where the journal takes messages. It syncs after one that is critical.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// How long a disk that does not answer may hold up the end of the node.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells the kernel and the journal why the node is about to be taken down, and syncs what the log said before. A private
/// tree has neither: only its log is synced.
pub fn say(paths: &Paths, why: &str) {
    let is_private = *paths != Paths::packaged();
    let (kernel, journal) = match is_private {
        true => (None, None),
        false => (Some(KERNEL.as_ref()), Some(JOURNAL.as_ref())),
    };
    say_to(kernel, journal, &paths.node_log(), why);
}

fn say_to(kernel: Option<&Path>, journal: Option<&Path>, log: &Path, why: &str) {
    let why: String = why.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    if let Some(kernel) = kernel
        && let Ok(mut kernel) = OpenOptions::new().write(true).open(kernel)
    {
        // One write is one message. 2: critical.
        _ = kernel.write_all(format!("<2>om: {why}\n").as_bytes());
    }
    if let (Some(journal), Ok(socket)) = (journal, UnixDatagram::unbound())
        // A journal that is stuck takes nothing: the node goes down without it.
        && socket.set_nonblocking(true).is_ok()
    {
        let entry = format!("PRIORITY=2\nSYSLOG_IDENTIFIER=om\nMESSAGE={why}\n");
        _ = socket.send_to(entry.as_bytes(), journal);
    }
    let (done, synced) = mpsc::channel();
    let log: PathBuf = log.into();
    std::thread::spawn(move || {
        _ = File::open(log).and_then(|log| log.sync_all());
        _ = done.send(());
    });
    // Late or failed: there is nobody to tell any more.
    _ = synced.recv_timeout(PATIENCE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_and_the_journal_are_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let [kernel, journal, log] =
            ["kmsg", "journal", "node.log"].map(|name| folder.path().join(name));
        std::fs::write(&kernel, "").unwrap();
        let socket = UnixDatagram::bind(&journal).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        say_to(Some(&kernel), Some(&journal), &log, "split action crash: n2\nis lost");
        let text = "split action crash: n2 is lost";
        assert_eq!(std::fs::read_to_string(&kernel).unwrap(), format!("<2>om: {text}\n"));
        let mut entry = [0; 200];
        let length = socket.recv(&mut entry).unwrap();
        let entry = std::str::from_utf8(&entry[..length]).unwrap();
        assert!(
            entry.contains("PRIORITY=2\n") && entry.contains(&format!("MESSAGE={text}\n")),
            "{entry}"
        );
    }

    #[test]
    fn a_log_that_does_not_open_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        // Who opens a pipe that nobody writes to waits for ever.
        let pipe = folder.path().join("node.log");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        let begin = std::time::Instant::now();
        say_to(Some(&folder.path().join("none")), Some(&folder.path().join("none")), &pipe, "x");
        assert!(
            begin.elapsed() >= PATIENCE && begin.elapsed() < 20 * PATIENCE,
            "{:?}",
            begin.elapsed()
        );
    }
}
