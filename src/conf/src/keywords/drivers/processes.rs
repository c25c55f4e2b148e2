//! Keywords of what runs programs: app, task and container.

use crate::convert::Converter::{Boolean, Duration, Integer, Options, Size, Tristate, Words};
use crate::keywords::keyword::{Keyword, table};
use crate::keywords::reasons::{NO_PROMOTION, NO_RESERVATION};

const NO_GUEST: &str = "this agent does nothing inside of guests";

pub(super) const APP: &[Keyword] = table! {
    "script".at():
        "launcher that takes the words start, stop, status and info: a path, or a file of the launchers' folder";
    "start".or_no().at():
        "command that starts the app; true or a number, its place in the order: the script with the word start";
    "stop".or_no().at():
        "command that stops the app; true or a number, its place in the order: the script with the word stop";
    "check".or_no().at():
        "command whose exit code tells the state of the app, by retcodes; true: the script with the word status";
    "info".or_no().at():
        "command that prints facts of the app, one `name: value` a line; true: the script with the word info";
    "timeout".to(Duration).at():
        "longest time of a command of the app, in seconds, where it has none of its own; 0 is without limit";
    "start_timeout".to(Duration).at():
        "longest time of the start command, in seconds; unset, timeout, else 10 minutes";
    "stop_timeout".to(Duration).at():
        "longest time of the stop command, in seconds; unset, timeout, else 10 minutes";
    "check_timeout".to(Duration).at():
        "longest time of the check command, in seconds; unset, timeout";
    "info_timeout".to(Duration).at():
        "longest time of the info command, in seconds; unset, timeout";
    "retcodes".or("0:up 1:down").at():
        "states that exit codes of the check stand for, as code:state; other codes are warn";
    "status_log".to(Boolean).at():
        "show what the check prints with the status: its output as info lines, its errors as warnings";
};

pub(super) const APP_SIMPLE: &[Keyword] = table! {
    "kill".or("parent").one_of(&["parent", "tree"]).at():
        "whom a stop signals: the main process, or all processes of the app";
};

/// Execution context of app and task.
pub(super) const CONTEXT: &[Keyword] = table! {
    "user".at():
        "user that the commands run as; unset, that of the agent";
    "group".at():
        "group that the commands run as; unset, that of the user";
    "cwd".at():
        "folder in which the commands run";
    "umask".at():
        "file mode mask of the commands, octal";
    "environment".to(Words).or("").at():
        "variables for the commands, as NAME=value";
    "configs_environment".to(Words).or("").at():
        "variables with keys of cfg objects of the namespace for the commands, as [NAME=]object/key";
    "secrets_environment".to(Words).or("").at():
        "variables with keys of sec objects of the namespace for the commands, as [NAME=]object/key";
    "limit_as".to(Size).at():
        "most address space of a process, in bytes";
    "limit_core".to(Size).at():
        "longest core file of a process, in bytes";
    "limit_cpu".to(Duration).at():
        "most processor time of a process, in seconds";
    "limit_data".to(Size).at():
        "most data segment of a process, in bytes";
    "limit_fsize".to(Size).at():
        "longest file that a process may write, in bytes";
    "limit_memlock".to(Size).at():
        "most memory that a process may lock, in bytes";
    "limit_nofile".to(Size).at():
        "how many files a process may have open";
    "limit_nproc".to(Size).at():
        "how many processes the user may have";
    "limit_rss".to(Size).at():
        "most resident memory of a process, in bytes";
    "limit_stack".to(Size).at():
        "longest stack of a process, in bytes";
    "limit_vmem".to(Size).at():
        "most virtual memory of a process, in bytes";
};

pub(super) const TASK: &[Keyword] = table! {
    "command".required().at():
        "command that the task runs";
    "timeout".to(Duration).at():
        "longest time of a run, in seconds; unset, without limit";
    "max_parallel".to(Integer).or("1").at():
        "how many runs of the task may go on at a time";
    "check".one_of(&["last_run"]).at():
        "have the state of the task say how its last run ended: last_run; unset, it is n/a";
    "on_error".at():
        "command after a run that failed";
    "log".to(Boolean).or("true").at():
        "write what the command prints into the log of the service";
    "confirmation".to(Boolean).at():
        "run only for who confirms, with --confirm or at the terminal, and never by schedule";
    "snooze".to(Duration).or("0").at():
        "how long a run by schedule waits before it begins, in seconds";
    "schedule".inherits("run_schedule").at():
        "when the task is run, as @10, 04:00-06:00 or a list of such";
    "pre_run".at():
        "command before a run, whose failure is a warning";
    "post_run".at():
        "command after a run, whose failure is a warning";
    "blocking_pre_run".at():
        "command before a run, whose failure ends the action";
    "blocking_post_run".at():
        "command after a run, whose failure ends the action";
    "run_requires".or("").at():
        "resources that have to be up for a run, as rid or rid(state,..)";
};

pub(super) const CONTAINER: &[Keyword] = table! {
    "image".required().at():
        "image that the container is made of, as registry/name:tag";
    "name".at():
        "name of the container; unset, made of those of the service and the resource";
    "command".to(Words).at():
        "command that the container runs instead of that of its image";
    "entrypoint".at():
        "entry point of the container instead of that of its image";
    "run_args".to(Options).at():
        "more options for the run of the container tool";
    "detach".to(Boolean).or("true").at():
        "leave the container running; with false the start waits for its end, and the state is n/a";
    "rm".to(Boolean).at():
        "remove the container when it stops";
    "image_pull_policy".or("once").one_of(&["once", "always"]).at():
        "whether a start pulls the image where it is missing only, or always";
    "start_timeout".to(Duration).or("5").at():
        "longest time of a start, in seconds, without that of the pull";
    "stop_timeout".to(Duration).or("120").at():
        "how long a stop waits for the container to end, in seconds, before it is killed";
    "pull_timeout".to(Duration).or("2m").at():
        "longest time of a pull of the image, in seconds";
    "netns".at():
        "network namespace of the container: host, none, or the resource whose namespace it shares";
    "ipcns".at():
        "IPC namespace of the container: host, or the resource whose namespace it shares";
    "pidns".at():
        "process namespace of the container: host, or the resource whose namespace it shares";
    "utsns".at():
        "UTS namespace of the container: host, or the resource whose namespace it shares";
    "userns".at():
        "user namespace of the container: host, or the resource whose namespace it shares";
    "hostname".at():
        "host name inside of the container";
    "user".at():
        "user, and group behind a colon, that the container runs as";
    "privileged".to(Tristate).at():
        "give the container all privileges";
    "interactive".to(Tristate).at():
        "keep the standard input of the container open";
    "tty".to(Tristate).at():
        "give the container a terminal";
    "volume_mounts".to(Words).or("").at():
        "what is mounted in the container, as source:target[:options]; a source may begin with the name of a volume";
    "devices".to(Words).or("").at():
        "devices that the container sees, as device[:target]";
    "environment".to(Words).or("").at():
        "variables for the container, as NAME=value";
    "configs_environment".to(Words).or("").at():
        "variables with keys of cfg objects of the namespace for the container, as [NAME=]object/key";
    "secrets_environment".to(Words).or("").at():
        "variables with keys of sec objects of the namespace for the container, as [NAME=]object/key";
    "registry_creds".at():
        "sec object of the namespace whose key config.json has the credentials of the registry";
    "guestos".at().unread(NO_GUEST):
        "operating system inside of the container";
    "osvc_root_path".at().unread(NO_GUEST):
        "folder of the agent inside of the container";
    "promote_rw".to(Boolean).at().unread(NO_PROMOTION):
        "make the disks below writable before a start";
    "scsireserv".to(Boolean).at().unread(NO_RESERVATION):
        "hold a SCSI reservation on the disks below while the resource is up";
};
