//! The id that an object had here, for a file that has lost it: what runs bears the id that it was started under.

use std::time::{Duration, Instant};

use model::ObjectPath;

use dataset::config::parse_object;
use machine::paths::Paths;
use machine::{daemon_lock, regular};

use crate::deletions::Deletions;
use crate::last_good::read_copy;

/// What was launched for a resource, in its private folder.
pub const LAUNCHED: &str = "launched";

/// Before the id that the object had then, in a line of that file.
pub const ID: &str = "id ";

/// Most bytes of such a file.
pub const MOST_BYTES: u64 = 64 << 10;

/// How long a command waits for the daemon to give an id: it gathers changes for a tenth of that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The id that the daemon of this node, if one runs, gives to the file: it knows what the object had.
pub(crate) fn of_daemon(paths: &Paths, path: &ObjectPath) -> Option<String> {
    // Where nobody may tell whether one runs, none is waited for.
    daemon_lock::running_pid(paths).ok()??;
    let start = Instant::now();
    loop {
        let text = regular::read_text(&paths.config_file(path)).ok()?;
        if let Some(id) = parse_object(path, &text).ok()?.id() {
            return Some(id.to_owned());
        }
        if start.elapsed() >= PATIENCE {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The id that was noted here: with the last good content, else when something was launched. None of an object that was
/// deleted: what is put in its place is another one.
pub(crate) fn noted(paths: &Paths, path: &ObjectPath) -> Option<String> {
    let copy = read_copy(paths, &path.config_file());
    let copy = copy.and_then(|(text, _)| parse_object(path, &text).ok());
    let id =
        copy.and_then(|conf| conf.id().map(str::to_owned)).or_else(|| launched(paths, path))?;
    let deletions = Deletions::read(paths);
    let is_deleted = deletions.get(path).is_some_and(|it| it.deletion.id.as_ref() == Some(&id));
    (!is_deleted).then_some(id)
}

/// The id of the latest launch that names one only: of several, nobody knows the last one.
fn launched(paths: &Paths, path: &ObjectPath) -> Option<String> {
    let folders = std::fs::read_dir(paths.var_dir(path)).into_iter().flatten().flatten();
    let files = folders.map(|folder| folder.path().join(LAUNCHED));
    let noted = files.filter_map(|file| {
        let modified = std::fs::metadata(&file).and_then(|it| it.modified()).ok()?;
        let text = String::from_utf8(regular::read(&file, MOST_BYTES).ok()?).ok()?;
        let mut ids = text.lines().filter_map(|line| line.strip_prefix(ID));
        let id = ids.next().filter(|id| !id.is_empty() && ids.next().is_none())?;
        Some((modified, id.to_owned()))
    });
    noted.max().map(|(_, id)| id)
}
