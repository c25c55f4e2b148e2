//! Promise: a mistake on the command line is told on stderr, in words that say what to do, with exit code 1, or 2 when
//! the line itself is wrong; what is right is done.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::mpsc;

use harness::{Node, PATIENCE, wait_for};
use serde_json::json;

/// What a command line does: words, exit code, what stdout and stderr contain.
type Case = (&'static [&'static str], i32, &'static str, &'static str);

fn check(node: &Node, cases: &[Case]) {
    for (words, code, out, err) in cases {
        let output = node.om(words);
        let told = format!("om {words:?}: {output:?}");
        assert_eq!(output.code, Some(*code), "{told}");
        assert!(output.out.contains(out), "{told}");
        assert!(output.err.contains(err), "{told}");
        assert_eq!(output.err.is_empty(), err.is_empty(), "{told}");
        assert!(!output.err.contains("panicked"), "{told}");
    }
}

#[test]
fn without_a_daemon_it_is_said_how_to_start_one() {
    let node = Node::new("n1");
    let down = "the daemon is not running: start it with `om daemon start`";
    check(
        &node,
        &[
            (&["mon"], 1, "", down),
            (&["daemon", "status"], 1, "", down),
            (&["daemon", "running"], 1, "", down),
            (&["daemon", "stop"], 0, "", "the daemon is not running"),
            (&["web", "start"], 1, "", "object web does not exist"),
            (&["node", "dequeue", "actions"], 0, "", "node.dbopensvc is not set"),
        ],
    );
}

#[test]
fn a_mistake_is_answered_with_what_would_be_right() {
    let node = Node::started("n1");
    check(
        &node,
        &[
            (&["wrong"], 2, "", "is no group"),
            (&["web", "strat"], 2, "", "start"),
            (&["daemon", "stpo"], 2, "", "stop"),
            (&["web", "set", "--kw", "x"], 2, "", "sets nothing"),
            (&["a b", "create"], 2, "", "a name has letters"),
            (&["../x", "create"], 2, "", "no path of an object"),
            (&["a\nb", "create"], 2, "", "no path of an object"),
            (&["web", "create", "--config", "/nonexistent"], 1, "", "neither a file nor an object"),
            (&["web", "create", "--template", "none"], 1, "", "no such file"),
            (&["web", "create", "--kw", "app#1.type=none"], 1, "", "unknown driver app.none"),
            (&["web", "print", "status"], 1, "", "object web does not exist"),
            (&["node", "wait", "--filter", "$["], 1, "", "a bracket is not closed"),
            (&["daemon", "start"], 0, "", "already running with pid"),
            (
                &["daemon", "stop", "--thread-id", "x"],
                1,
                "",
                "thread x does not exist: it is one of",
            ),
            (
                &["daemon", "join", "--node", "127.0.0.1:1", "--secret", "x"],
                1,
                "",
                "cannot connect to 127.0.0.1:1:",
            ),
        ],
    );
}

#[test]
fn keys_are_added_changed_decoded_and_removed() {
    let node = Node::started("n1");
    node.write("files/sub/bin", "two\nlines\n");
    let folder = node.path("files");
    node.om_ok(&["test/cfg/c1", "create"]);
    node.om_ok(&["test/sec/s1", "create"]);
    // A folder is part of the name, unless a slash ends it, or a key is given for it: as deployed agents do.
    for (end, key) in [("", None), ("/", None), ("", Some("own"))] {
        let from = format!("{}{end}", folder.display());
        let words = ["test/cfg/c1", "add", "--from", &from].into_iter();
        let words = words.chain(key.into_iter().flat_map(|key| ["--key", key]));
        node.om_ok(&words.collect::<Vec<_>>());
    }
    let add = node.om_stdin(&["test/sec/s1", "add", "--key", "pw", "--from", "-"], "secret\n");
    assert_eq!(add.code, Some(0), "{add:?}");
    check(
        &node,
        &[
            (&["test/cfg/c1", "add", "--key", "k", "--value", "v"], 0, "", ""),
            (&["test/cfg/c1", "add", "--key", "k", "--value", "w"], 1, "", "has a key k already"),
            (&["test/cfg/c1", "change", "--key", "k", "--value", "w"], 0, "", ""),
            (&["test/cfg/c1", "keys"], 0, "files/sub/bin\nk\nown/sub/bin\nsub/bin\n", ""),
            (&["test/cfg/c1", "decode", "--key", "sub/bin"], 0, "two\nlines\n", ""),
            (&["test/cfg/c1", "remove", "--key", "k"], 0, "", "key k removed"),
            (&["test/cfg/c1", "decode", "--key", "k"], 1, "", "has no key k"),
            (&["test/cfg/c1", "add", "--key", "a=b", "--value", "x"], 1, "", "no line break, ="),
            (&["test/cfg/c1", "add", "--key", "k"], 2, "", "needs --value or --from"),
            (&["test/sec/s1", "decode", "--key", "pw"], 0, "secret\n", ""),
        ],
    );
    assert!(!node.read("etc/namespaces/test/sec/s1.conf").contains("secret\n"));
}

#[test]
fn a_wait_follows_a_busy_daemon_to_the_end() {
    let node = Node::started("n1");
    node.om_ok(&["web", "create", "--kw", "fs#1.type=flag"]);
    for action in ["provision", "stop", "start", "freeze", "thaw", "purge"] {
        let output = node.om(&["web", action, "--wait", "--time", "20s"]);
        assert_eq!(output.code, Some(0), "{action}: {output:?}");
        assert!(!output.err.contains("error"), "{action}: {output:?}");
    }
    assert_eq!(node.om(&["web", "ls"]).code, Some(1));
}

/// What a command that does not end by itself prints, as it comes. It is killed when this is dropped.
struct Followed {
    command: Child,
    pieces: mpsc::Receiver<String>,
    text: String,
}

impl Followed {
    fn new(command: Child, mut output: impl Read + Send + 'static) -> Self {
        let (sender, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose last user is gone answers with an error.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                _ = sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        });
        Self { command, pieces, text: String::new() }
    }

    /// Through a pipe.
    fn piped(node: &Node, words: &[&str]) -> Self {
        let mut command = node.spawn_into(words, Stdio::piped());
        let output = command.stdout.take().expect("piped");
        Self::new(command, output)
    }

    /// On a terminal.
    fn on_terminal(node: &Node, words: &[&str]) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        let name = ptsname(&master, vec![]).expect("its name").into_string().expect("UTF-8");
        let other = File::options().read(true).write(true).open(name).expect("its other side");
        Self::new(node.spawn_into(words, other), File::from(master))
    }

    /// Waits until what came since the last call contains `wanted`, and returns it.
    fn wait(&mut self, wanted: &str) -> String {
        while !self.text.contains(wanted) {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.text += &piece,
                Err(error) => panic!("{wanted:?} was not printed ({error}): {:?}", self.text),
            }
        }
        std::mem::take(&mut self.text)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        _ = self.command.kill();
        _ = self.command.wait();
    }
}

const FLAG: &str = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";

#[test]
fn a_followed_log_is_printed_as_it_is_written() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", FLAG);
    node.wait_avail("svc1", "down");
    node.om_ok(&["svc1", "freeze", "--local"]);
    let mut log = Followed::piped(&node, &["svc1", "logs", "--follow"]);
    let past = log.wait("do freeze");
    assert!(!past.contains("do thaw"), "{past}");
    node.om_ok(&["svc1", "thaw", "--local"]);
    log.wait("do thaw");
    let log = Followed::piped(&node, &["node", "logs", "--follow", "--backlog", "0"]);
    // The command may have begun to follow only after a line: another one comes until it is seen.
    let mut is_seen = false;
    wait_for("a new line is printed", || {
        node.om_ok(&["daemon", "stop", "--thread-id", "scheduler"]);
        node.om_ok(&["daemon", "start", "--thread-id", "scheduler"]);
        is_seen |= log.pieces.try_iter().any(|piece| piece.contains("scheduler"));
        is_seen
    });
}

#[test]
fn a_watched_monitor_is_drawn_again_at_each_change() {
    const CLEAR: &str = "\u{1b}[H\u{1b}[J";
    let node = Node::started("n1");
    node.write("etc/svc1.conf", FLAG);
    node.wait_avail("svc1", "down");
    let mut piped = Followed::piped(&node, &["mon", "--watch"]);
    let mut drawn = Followed::on_terminal(&node, &["mon", "--watch"]);
    piped.wait("svc1");
    let first = drawn.wait("svc1");
    assert!(first.starts_with(CLEAR), "a terminal is cleared first: {first:?}");
    node.write("etc/svc2.conf", FLAG);
    assert!(!piped.wait("svc2").contains('\u{1b}'), "a pipe gets the text alone");
    let second = drawn.wait("svc2");
    // It is drawn over: at no moment less is seen than before.
    assert!(!second.contains("\u{1b}[2J") && !second.contains(CLEAR), "{second:?}");
    assert!(second.contains("\u{1b}[H") && second.contains("\u{1b}[K\r\n"), "{second:?}");
}

#[test]
fn an_action_on_many_leaves_alone_what_it_means_nothing_to() {
    let node = Node::started("n1");
    node.om_ok(&["web", "create", "--kw", "fs#1.type=flag"]);
    node.om_ok(&["cfg/c1", "create"]);
    node.om_ok(&["web", "thaw", "--wait"]);
    let freeze = json!({"action": "object_action", "method": "POST",
        "options": {"path": "cluster", "action": "freeze", "sync": true}});
    assert_eq!(node.request(&freeze)["data"]["ret"], 0);
    check(
        &node,
        &[
            (&["**", "freeze", "--node", "n1"], 0, "", "web"),
            (&["web", "frozen"], 1, "", ""),
            (&["node", "frozen"], 0, "", ""),
            (&["**", "thaw", "--wait"], 0, "", "web is down, thawed"),
            (&["cfg/c*", "freeze"], 0, "", ""),
            (&["cfg/c1", "freeze"], 2, "", "freeze means nothing to it"),
            (&["cluster", "print", "config"], 0, "[cluster]", ""),
            (&["node", "thaw", "--node", "*"], 0, "", "thaws n1"),
            (&["w2", "create", "--node", "n1", "--env", "port=80"], 0, "create w2", ""),
            (&["w2", "get", "--kw", "env.port"], 0, "80", ""),
            (&["w2", "delete", "--local"], 0, "", "delete"),
            (&["ls"], 0, "cfg/c1\n", ""),
        ],
    );
    wait_for("the deletion is known", || node.om_ok(&["svc", "ls"]) == "web\n");
}

#[test]
fn what_a_stranger_tries_is_answered() {
    let node = Node::started("n1");
    let secret = ["daemon", "join", "--node", &format!("127.0.0.1:{}", node.port()), "--secret"];
    let join = node.om(&[&secret[..], &["12345678901234567890"]].concat());
    assert!(join.err.contains("the secret is not that of its cluster"), "{join:?}");
    assert!(!join.err.contains("cluster set"), "{join:?}");
    check(
        &node,
        &[
            (&["c10,c11", "create"], 0, "create c10\ncreate c11\n", ""),
            (&["c10,c12", "create"], 1, "create c12\n", "object c10 already exists"),
            (&["c10", "delete", "--rid", "nosuch"], 1, "", "no such section: nosuch"),
            (&["c10", "takeover", "--node", "n1"], 2, "", "it takes no --node"),
            (&["cluster", "set", "--kw", "cluster.profile=text"], 1, "", "is not one of fast\n"),
            (&["ls", "--status", "bogus"], 2, "", "--status bogus: expected up, down"),
            (&["mon", "nope*"], 1, "", "no match"),
            (&["mon", "--node", "nope"], 1, "", "nope is no node of the cluster"),
            (&["mon", "--node", "nope*"], 1, "", "no node is selected"),
            (
                &["node", "ls", "--node", "n9"],
                1,
                "",
                "n9 is no node of the cluster: did you mean n1?",
            ),
            (&["c10", "switch", "--to", "paris"], 1, "", "its nodes are n1"),
            (&["c01", "print", "status"], 1, "", "object c01 does not exist: did you mean c10?"),
            (&["svc", "start", "c10"], 2, "", "the object comes first: om c10 start"),
            (&["mon", "--filter", "nosuch"], 1, "", "--filter selects nothing"),
            (&["daemon", "status", "--node", "n1"], 0, "control_socket", ""),
            (&["daemon", "status", "--node", "nope*"], 1, "", "no node is selected"),
            (&["node", "logs", "--backlog", "abc"], 2, "", "--backlog abc: expected a size"),
            (&["node", "wait", "--filter", "((("], 1, "", "is in no name"),
            (&["node", "ls", "--filter", "((("], 2, "", "--filter: invalid path"),
        ],
    );
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be() {
    let node = Node::started("n1");
    let text =
        "[DEFAULT]\nnodes = n1\n[app#1]\ntype = forking\nstart = /bin/false\ncheck = /bin/false\n";
    node.write("etc/bad.conf", text);
    node.wait_avail("bad", "down");
    let failed = node.om(&["bad", "start", "--wait", "--time", "20s"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.err.contains("bad: start failed on n1"), "{failed:?}");
    let clear = "dry run: would clear bad on n1: start failed";
    check(
        &node,
        &[
            (&["bad", "clear", "--dry-run"], 0, "", clear),
            // It is still there.
            (&["bad", "clear", "--dry-run"], 0, "", clear),
            (&["bad", "freeze", "--local", "--dry-run"], 0, "", "dry run: would freeze"),
            (&["bad", "frozen"], 0, "", ""),
            (&["bad", "thaw", "--local", "--dry-run"], 0, "", "dry run: it is not frozen"),
            (&["bad", "enable", "--dry-run"], 0, "", "dry run: DEFAULT is not disabled"),
            (&["bad", "set", "unprovisioned", "--dry-run"], 0, "", "dry run: no resource"),
            (&["bad", "clear", "--wait", "--time", "20s"], 0, "", "bad is down"),
            (&["bad", "clear", "--dry-run"], 0, "", "dry run: bad has no failure to clear"),
        ],
    );
}

#[test]
fn a_drain_that_does_not_empty_the_node_says_what_is_left() {
    let node = Node::started("n1");
    for (name, stop) in [
        ("h1", "/bin/false\nblocking_pre_stop = /bin/false"),
        ("h2", "/bin/true"),
        ("h3", "/bin/rm {private_var}/up"),
    ] {
        let text = format!(
            "[DEFAULT]\nnodes = n1\n[app#1]\ntype = forking\nstart = /bin/touch {{private_var}}/up\n\
             check = /usr/bin/test -e {{private_var}}/up\nstop = {stop}\n"
        );
        node.write(&format!("etc/{name}.conf"), &text);
        node.wait_avail(name, "down");
        node.om_ok(&[name, "start", "--local"]);
        node.wait_avail(name, "up");
    }
    let drain = node.om(&["node", "drain", "--wait", "--time", "20s"]);
    assert_eq!(drain.code, Some(1), "{drain:?}");
    assert!(drain.err.contains("h1: shutdown failed on n1"), "{drain:?}");
    assert!(drain.err.contains("h2: "), "{drain:?}");
    // What has left is told as such.
    let complains = |line: &str| line.starts_with("error") && line.contains("h3");
    assert!(!drain.err.lines().any(complains), "{drain:?}");
    assert!(drain.err.contains("h3: n1 -> stopped") && !drain.err.contains("timeout"), "{drain:?}");
}

#[test]
fn a_refreshed_status_is_what_was_found() {
    let node = Node::started("n1");
    let up = node.path("tmp/up");
    let text = format!(
        "[DEFAULT]\nnodes = n1\n[app#1]\ntype = forking\ncheck = /usr/bin/test -e {}\n",
        up.display()
    );
    node.write("etc/web.conf", &text);
    node.wait_avail("web", "down");
    for expected in ["up", "down", "up", "down"] {
        // Nobody but who looks can know of it.
        match expected {
            "up" => std::fs::write(&up, "").expect("a file"),
            _ => std::fs::remove_file(&up).expect("it was there"),
        }
        let shown = node.om_ok(&["web", "print", "status", "--refresh", "--format", "json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["avail"], expected);
        assert_eq!(shown["cluster"]["avail"], expected);
    }
}

#[test]
fn the_monitor_fits_the_terminal_and_a_pipe_gets_it_whole() {
    let node = Node::started("n1").with_env("COLUMNS", "30");
    let wide = |text: &str| text.lines().any(|line| line.trim_end().chars().count() > 30);
    assert!(wide(&node.om_ok(&["mon"])));
    let mut drawn = Followed::on_terminal(&node, &["mon"]);
    let text = drawn.wait("*/svc/*");
    assert!(!wide(&text) && text.contains('>'), "{text}");
}

#[test]
fn a_keyword_is_explained_where_it_is_asked_for_and_where_it_is_misspelt() {
    // Neither a daemon nor a configuration is needed.
    let node = Node::new("n1");
    check(
        &node,
        &[
            (&["doc"], 0, "programs that the service starts, stops and checks", ""),
            (&["doc", "app"], 0, "command that starts the app", ""),
            (&["doc", "app.restart"], 0, "default   0\n", ""),
            (&["doc", "app.restart"], 0, "example   om web set --kw app#1.restart=3\n", ""),
            (&["doc", "DEFAULT.orchestrate"], 0, "values    ha, start, no\n", ""),
            (&["doc", "fs.type"], 0, "required  yes\n", ""),
            (&["doc", "fs.prkey"], 0, "not read: this agent takes no SCSI reservations", ""),
            (&["svc", "doc", "app.restart"], 0, "how often a resource", ""),
            (&["web", "doc", "app#1.restart@n1"], 0, "how often a resource", ""),
            (&["vol", "doc", "DEFAULT.pool"], 0, "pool that the volume was made of", ""),
            (&["sec", "doc"], 0, "the keys of the object", ""),
            (&["node", "doc", "node.split_action"], 0, "crash, reboot, stop", ""),
            (
                &["cluster", "doc", "cluster.quorum"],
                0,
                "om cluster set --kw cluster.quorum=true",
                "",
            ),
            (&["doc", "--format", "man"], 0, ".TH OM-KEYWORDS 5", ""),
            (&["doc", "app.restart", "--format", "json"], 0, "\"type\": \"integer\"", ""),
            (&["doc", "app.restart", "--filter", "[0].default"], 0, "0\n", ""),
            (
                &[
                    "web",
                    "create",
                    "--kw",
                    "nodes=n1",
                    "--kw",
                    "app#1.type=simple",
                    "--kw",
                    "app#1.restrat=2",
                ],
                0,
                "",
                "app#1.restrat: did you mean restart? (integer, default 0: how often a resource",
            ),
            (
                &["web", "set", "--kw", "orchestrat=ha"],
                0,
                "",
                "DEFAULT.orchestrat: did you mean orchestrate? (ha|start|no, default no: ",
            ),
            (&["web", "validate", "config"], 2, "", "app#1.restrat: did you mean restart?"),
        ],
    );
}

#[test]
fn keywords_values_and_resources_are_completed() {
    let node = Node::new("n1");
    let text = "[DEFAULT]\nnodes = n1\n[app#1]\ntype = simple\n[fs#data]\ntype = flag\n";
    node.write("etc/web.conf", text);
    node.write("etc/namespaces/test/svc/db.conf", "[DEFAULT]\nnodes = n1\n[disk#1]\ntype = loop\n");
    let words = |line: &str| {
        let words: Vec<&str> = ["__complete", "--"].into_iter().chain(line.split(' ')).collect();
        let told = node.om_ok(&words);
        let words = told.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        words.collect::<Vec<String>>()
    };
    assert_eq!(words("web set --kw app#1.kil"), ["app#1.kill="]);
    assert_eq!(words("web set --kw app#1.kill="), ["app#1.kill=parent", "app#1.kill=tree"]);
    assert_eq!(words("web get --kw app#1.kil"), ["app#1.kill"]);
    // A flag has no mount point.
    assert_eq!(words("web set --kw fs#data.mnt"), [""; 0]);
    assert_eq!(words("web set orchestrate=h"), ["orchestrate=ha"]);
    assert_eq!(words("web start --rid "), ["app#1", "fs#data", "app", "fs"]);
    assert_eq!(words("test/svc/db start --rid d"), ["disk#1", "disk"]);
    assert_eq!(words("db start --namespace test --rid d"), ["disk#1", "disk"]);
    assert_eq!(words("svc create new --kw fs#1.type=tmpfs --kw fs#1.mnt_"), ["fs#1.mnt_opt="]);
    assert_eq!(words("node set --kw node.split_action=r"), ["node.split_action=reboot"]);
    assert_eq!(words("doc app.restart_"), ["app.restart_delay", "app.restart_reset"]);
    assert_eq!(words("nope start --rid "), [""; 0]);
}

#[test]
fn bash_puts_what_it_completes_behind_what_readline_takes_for_a_word() {
    let node = Node::new("n1");
    node.write("etc/web.conf", "[DEFAULT]\nnodes = n1\n[app#1]\ntype = simple\n");
    let script = "source <(om completion bash)\n\
                  try() { COMP_LINE=$1 COMP_POINT=${#1}; compopt() { echo \"$2\"; }; _om; echo \"${COMPREPLY[@]}\"; }\n\
                  try 'om web set --kw app#1.kill=t'\ntry 'om web set --kw app#1.ki'\ntry 'om doc app.restart_d'";
    // The suites' own: what else is built lies in the same folder, and may be older.
    std::os::unix::fs::symlink(node.program(), node.path("tmp/om")).expect("a link");
    let path = format!("{}:{}", node.path("tmp").display(), std::env::var("PATH").expect("a path"));
    let mut shell = std::process::Command::new("/bin/bash");
    shell.args(["--norc", "-c", script]).env("PATH", path);
    shell.env("OSVC_ROOT_PATH", node.root()).env("OSVC_NODENAME", node.name());
    let output = shell.output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    // Readline replaces what stands behind the `=`; nothing ends the word of a keyword.
    assert_eq!(told, "tree\nnospace\napp#1.kill=\napp.restart_delay\n", "{output:?}");
}
