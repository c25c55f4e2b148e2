//! `om cluster rotate secret`: has the daemons give the cluster another secret, and tells how far they are.

use std::time::{Duration, Instant};

use cli::RotateCommand;
use serde_json::Value;
use wire::Request;
use wire::reply::{Lines, status_of};

use link::link::Link;

use crate::interrupted;
use crate::om::{ANSWER, Done, Failure, Om, note, seconds};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// How long `--force` waits for the nodes that are there, unless `--time` says so.
const FORCE_PATIENCE: Duration = Duration::from_secs(30);

/// How far the rotation is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    /// Generation of the secret in force.
    generation: u64,
    /// `none`, `offered` or `used`.
    rotation: String,
    /// Members that the next step waits for.
    waits_for: String,
}

impl Progress {
    fn read(data: &Value) -> Self {
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        let generation = data["generation"].as_u64().unwrap_or_default();
        Self { generation, rotation: text("rotation"), waits_for: text("waits_for") }
    }

    /// Generation of the secret that the cluster is about to have.
    fn target(&self) -> u64 {
        self.generation + u64::from(self.rotation == "offered")
    }

    fn told(&self) -> String {
        let waits = match self.waits_for.as_str() {
            "" => String::new(),
            names => format!(": waits for {names}"),
        };
        match self.rotation.as_str() {
            "offered" => format!("secret {} is handed out{waits}", self.target()),
            "used" => {
                format!("secret {} is in force, the one before is kept{waits}", self.target())
            }
            _ => format!("secret {} is in force", self.target()),
        }
    }
}

pub(super) fn run(om: &Om, command: &RotateCommand) -> Done {
    let link = om.link(command.server.as_deref())?;
    let first = begin(&link, command.force)?;
    let target = first.target();
    interrupted::ends_with(
        "the rotation goes on by itself: `om cluster rotate secret --wait` goes on waiting for it"
            .to_owned(),
    );
    let mut told = String::new();
    let mut last = first;
    let begin_time = Instant::now();
    let patience = command.time.map(seconds);
    loop {
        if told != last.told() {
            told = last.told();
            note(&told);
        }
        let is_used = last.target() == target && last.rotation != "offered";
        let is_over = match (command.wait, command.force) {
            (true, _) => is_used && last.rotation == "none",
            (false, true) => is_used,
            (false, false) => true,
        };
        if is_over {
            return Ok(0);
        }
        let patience =
            patience.or(command.force.then_some(FORCE_PATIENCE).filter(|_| !command.wait));
        if patience.is_some_and(|patience| begin_time.elapsed() >= patience) {
            return Err(Failure::new(format!(
                "not over in time: it goes on by itself ({told}), and `om cluster rotate secret --wait` goes on waiting"
            )));
        }
        std::thread::sleep(PAUSE);
        let Some(now) = look(&link)? else { continue };
        if now.target() < target {
            return Err(Failure::new(
                "the rotation was undone: another node had a newer configuration of the cluster. Start it again",
            ));
        }
        last = match command.force && now.rotation == "offered" && now.target() == target {
            true => begin(&link, true)?,
            false => now,
        };
    }
}

/// Begins a rotation, or goes on with the one that is under way.
fn begin(link: &Link, force: bool) -> Result<Progress, Failure> {
    let reply = link.ask(&Request::new(wire::RotateSecret { force }), Some(ANSWER))?;
    if status_of(&reply) != 0 {
        return Err(Failure { lines: Lines::of(&reply).errors, code: 1 });
    }
    Ok(Progress::read(&reply["data"]))
}

/// What the daemon shows; none while it restarts.
fn look(link: &Link) -> Result<Option<Progress>, Failure> {
    let request = Request::new(wire::DaemonStatus {
        selector: Some(String::new()),
        namespace: None,
        relatives: false,
    });
    let reply = link.ask(&request, Some(ANSWER))?;
    let block = &reply["secret"];
    Ok(block["rotation"].is_string().then(|| Progress::read(block)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_far_it_is_reads_as_a_sentence() {
        let told = |rotation: &str, waits_for: &str| {
            let data = json!({"generation": 2, "rotation": rotation, "waits_for": waits_for});
            Progress::read(&data).told()
        };
        assert_eq!(told("offered", "n2 n3"), "secret 3 is handed out: waits for n2 n3");
        assert_eq!(told("offered", ""), "secret 3 is handed out");
        assert_eq!(
            told("used", "n3"),
            "secret 2 is in force, the one before is kept: waits for n3"
        );
        assert_eq!(told("none", ""), "secret 2 is in force");
    }
}
