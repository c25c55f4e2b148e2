//! The service manager, where it is the one that runs the daemon.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use machine::paths::Paths;

use crate::om::{Failure, note};

/// The unit that a package installs.
const UNIT: &str = "opensvc-agent.service";

/// The service manager, if it may run the daemon of this root.
pub(crate) struct Systemd {
    /// `systemctl`; none for a root of its own (`OSVC_ROOT_PATH`), which is never systemd's, and where there is no systemd.
    program: Option<PathBuf>,
}

/// What systemd says of the unit, by its own words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    /// `loaded`, `not-found`, `masked`.
    load: String,
    /// `active`, `activating` also while it waits for its next start, `inactive`, `failed`.
    active: String,
    /// `enabled`, `disabled`.
    file: String,
    /// The process that it runs; 0 for none.
    pid: u32,
}

impl Unit {
    /// Reads the lines of `systemctl show`, in whatever order they come.
    fn parse(text: &str) -> Self {
        let mut unit = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => unit.load = value.to_owned(),
                "ActiveState" => unit.active = value.to_owned(),
                "UnitFileState" => unit.file = value.to_owned(),
                "MainPID" => unit.pid = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        unit
    }

    /// Whether systemd runs it, or is about to: a unit that waits for its next start starts a daemon that was just stopped.
    fn is_at_work(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading" | "deactivating")
    }
}

impl Systemd {
    pub(crate) fn of(paths: &Paths) -> Self {
        let is_there = *paths == Paths::packaged() && Path::new("/run/systemd/system").exists();
        Self { program: is_there.then(|| "systemctl".into()) }
    }

    /// What systemd knows of the unit; none where the unit is not installed.
    fn unit(&self) -> Option<Unit> {
        let output = Command::new(self.program.as_ref()?)
            .args(["show", "-p", "LoadState,ActiveState,UnitFileState,MainPID", UNIT])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let unit = Unit::parse(&String::from_utf8_lossy(&output.stdout));
        (output.status.success() && matches!(unit.load.as_str(), "loaded" | "masked"))
            .then_some(unit)
    }

    fn does(&self, action: &str) -> Result<(), Failure> {
        let Some(program) = &self.program else { return Ok(()) };
        match Command::new(program).args([action, UNIT]).stdin(Stdio::null()).status()? {
            status if status.success() => Ok(()),
            _ => Err(Failure::new(format!(
                "systemctl {action} {UNIT} failed: see `systemctl status {UNIT}`"
            ))),
        }
    }

    /// Has an installed unit started, whether it is enabled or not; false where none is installed. A daemon that is started
    /// beside its unit lives in the session of who typed it, and keeps the unit from starting.
    pub(crate) fn start(&self) -> Result<bool, Failure> {
        let Some(unit) = self.unit() else { return Ok(false) };
        if unit.load == "masked" {
            return Err(Failure::new(format!(
                "{UNIT} is masked, which forbids to start it: `systemctl unmask {UNIT}` first"
            )));
        }
        self.does("start")?;
        if unit.file == "disabled" {
            note(&format!(
                "{UNIT} is not enabled, so a boot does not start it: `systemctl enable {UNIT}`"
            ));
        }
        Ok(true)
    }

    /// Has the unit stopped if it is at work, so that it does not start the daemon again.
    pub(crate) fn stop(&self) -> Result<(), Failure> {
        match self.unit() {
            Some(unit) if unit.is_at_work() => self.does("stop"),
            _ => Ok(()),
        }
    }

    /// Has the unit restarted if `pid` is its daemon; false if that one was started beside it.
    pub(crate) fn restart(&self, pid: Option<u32>) -> Result<bool, Failure> {
        match self.unit() {
            Some(unit) if unit.is_at_work() && unit.pid != 0 && Some(unit.pid) == pid => {
                self.does("restart").map(|()| true)
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A stand-in for `systemctl` that notes its words, and knows the unit as this text says; its actions end with `code`.
    fn stand_in(folder: &Path, known: &str, code: u8) -> Systemd {
        let file = folder.join("systemctl");
        let lines = format!(
            "#!/bin/sh\necho \"$1\" >> {0}/asked\ncase \"$1\" in show) printf '{known}';; *) exit {code};; esac\n",
            folder.display()
        );
        // By another process: a file that is open for writing here cannot be run.
        let status = Command::new("/bin/sh")
            .args(["-c", "printf %s \"$1\" > \"$0\""])
            .args([file.as_os_str(), lines.as_ref()])
            .status();
        assert!(status.unwrap().success());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Systemd { program: Some(file) }
    }

    /// What `systemctl` was told to do, the questions left out.
    fn told(folder: &Path) -> String {
        let asked = std::fs::read_to_string(folder.join("asked")).unwrap_or_default();
        asked.lines().filter(|word| *word != "show").collect::<Vec<_>>().join(" ")
    }

    fn known(load: &str, active: &str, pid: u32) -> String {
        format!(
            "MainPID={pid}\\nLoadState={load}\\nActiveState={active}\\nUnitFileState=disabled\\n"
        )
    }

    #[test]
    fn an_installed_unit_starts_the_daemon_whether_it_is_enabled_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let systemd = stand_in(folder.path(), &known("loaded", "inactive", 0), 0);
        assert_eq!(systemd.start(), Ok(true));
        assert_eq!(told(folder.path()), "start");
        assert_eq!(
            stand_in(folder.path(), &known("not-found", "inactive", 0), 0).start(),
            Ok(false)
        );
        assert_eq!(
            stand_in(folder.path(), "", 0).start(),
            Ok(false),
            "no answer, as without systemd"
        );
        assert_eq!(told(folder.path()), "start");
    }

    #[test]
    fn a_unit_that_waits_for_its_restart_is_stopped() {
        for (active, expected) in
            [("active", "stop"), ("activating", "stop"), ("inactive", ""), ("failed", "")]
        {
            let folder = tempfile::tempdir().unwrap();
            let systemd = stand_in(folder.path(), &known("loaded", active, 0), 0);
            assert_eq!(systemd.stop(), Ok(()));
            assert_eq!(told(folder.path()), expected, "{active}");
        }
    }

    #[test]
    fn a_daemon_beside_its_unit_is_no_matter_of_the_unit() {
        let folder = tempfile::tempdir().unwrap();
        let systemd = stand_in(folder.path(), &known("loaded", "active", 17), 0);
        assert_eq!(systemd.restart(Some(18)), Ok(false));
        assert_eq!(told(folder.path()), "");
        assert_eq!(systemd.restart(Some(17)), Ok(true));
        assert_eq!(told(folder.path()), "restart");
    }

    #[test]
    fn what_systemd_refuses_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let failed = stand_in(folder.path(), &known("loaded", "active", 0), 3).stop().unwrap_err();
        let text = "systemctl stop opensvc-agent.service failed: see `systemctl status opensvc-agent.service`";
        assert_eq!(failed, Failure::new(text));
        let masked =
            stand_in(folder.path(), &known("masked", "inactive", 0), 0).start().unwrap_err();
        assert!(masked.lines[0].contains("systemctl unmask"), "{masked:?}");
        let private = Systemd::of(&Paths::under(folder.path()));
        assert_eq!(private.start(), Ok(false));
    }
}
