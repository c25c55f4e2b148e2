use model::{ActionOptions, InstanceAction, Kind, ObjectPath};

use super::*;
use crate::command::{
    ConfigAction, DaemonAction, DaemonCommand, Edit, NodeAction, NodeCommand, ObjectAction,
    ObjectCommand, Output, SecretSource, Target, Wait,
};

fn command(line: &str) -> Command {
    match parse(line.split(' ').filter(|word| !word.is_empty())) {
        Ok(command) => command,
        Err(error) => panic!("{line}: {error}"),
    }
}

fn refusal(line: &str) -> String {
    match parse(line.split(' ').filter(|word| !word.is_empty())) {
        Err(Usage(text)) => strip(&text),
        Ok(command) => panic!("{line}: {command:?}"),
    }
}

fn strip(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    parts.for_each(|part| plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest)));
    plain
}

#[test]
fn a_selector_before_the_action_is_the_long_form() {
    let long = command("svc -s web start --local --rid app#1");
    for line in [
        "web start --local --rid app#1",
        "web --local start --rid=app#1",
        "web --rid app#1 --local start",
        "-s web start --rid app#1 --local",
        "svc start --local --rids app#1 --service=web",
    ] {
        assert_eq!(command(line), long, "{line}");
    }
    let Command::Object(long) = long else { panic!("not an object command: {long:?}") };
    assert_eq!(
        *long,
        ObjectCommand {
            kind: Kind::Svc,
            selector: Some("web".into()),
            namespace: None,
            status: None,
            action: ObjectAction::Instance {
                action: InstanceAction::Start,
                options: ActionOptions { rid: Some("app#1".into()), ..Default::default() },
                wait: Wait::default(),
            },
            target: Target::Local,
            server: None,
            output: Output::default(),
        }
    );
}

/// As deployed agents list them, but for `om ls` alone, which they refuse.
#[test]
fn the_words_of_an_object_name_it_whatever_it_is_called() {
    for path in ["web", "top", "ns/vol/node", "cfg/mon", "ns/sec/s", "usr/daemon", "cluster"] {
        let path = ObjectPath::parse(path).unwrap();
        let line = format!("{} get --kw a", path.command_words().join(" "));
        let Command::Object(command) = command(&line) else { panic!("{line}") };
        assert_eq!(
            (command.kind, command.selector),
            (path.kind(), Some(path.to_string())),
            "{line}"
        );
    }
}

#[test]
fn a_group_lists_its_kind_and_ls_alone_lists_all() {
    for (line, selector) in [
        ("ls", Some("**")),
        ("ls web*", Some("web*")),
        ("svc ls", Some("*/svc/*")),
        ("svc -s */vol/* ls", Some("*/vol/*")),
        ("web ls", Some("web")),
        ("vol ls", None),
        ("cluster ls", Some("cluster")),
        ("cluster ls --namespace test", Some("cluster")),
    ] {
        let Command::Object(command) = command(line) else { panic!("{line}") };
        assert_eq!((command.selector.as_deref(), &command.action), (selector, &ObjectAction::Ls));
    }
}

#[test]
fn the_manuals_older_spelling_is_understood() {
    assert_eq!(command("node daemon blacklist status"), command("daemon blacklist status"));
}

#[test]
fn every_action_of_the_tree_has_a_command() {
    for group in crate::tree::GROUPS {
        for action in group.all() {
            let line = match (group.name, action.words) {
                ("daemon", "join") => "daemon join --node n1 --secret s".to_owned(),
                ("daemon", "lock release") => "daemon lock release --name a --id b".to_owned(),
                ("node", "exec") => "node exec --id n1.1 --run true".to_owned(),
                ("cluster", "whatif") => "cluster whatif --down n1".to_owned(),
                ("cluster", "roll") => "cluster roll --reboot".to_owned(),
                ("node", "wait") => "node wait --filter $.a=1".to_owned(),
                ("daemon" | "node" | "cluster" | "pool" | "net", words) => {
                    format!("{} {words}", group.name)
                }
                (kind, words) => format!("{kind} -s web {words}"),
            };
            let line = match action.words {
                "get" | "eval" | "unset" => format!("{line} --kw nodes"),
                "set" => format!("{line} --kw nodes=n1"),
                "add" | "change" => format!("{line} --key k --value v"),
                "decode" | "remove" => format!("{line} --key k"),
                "scale" => format!("{line} --to 2"),
                _ => line,
            };
            let command = command(&line);
            // What has no arm of its own would fall to these.
            if !action.words.ends_with("status") {
                assert!(
                    !matches!(
                        command,
                        Command::Daemon(DaemonCommand { action: DaemonAction::Status, .. })
                            | Command::Node(NodeCommand { action: NodeAction::PrintStatus, .. })
                    ),
                    "{line}"
                );
            }
        }
    }
}

#[test]
fn the_older_options_of_set_are_expressions() {
    let Command::Node(NodeCommand { action: NodeAction::Config(action), .. }) =
        command("node set --param cluster.nodes --add n3 --index 0 --remove n1")
    else {
        panic!("not a configuration command")
    };
    assert_eq!(
        action,
        ConfigAction::Set {
            edits: vec![Edit("cluster.nodes[0]+=n3".into()), Edit("cluster.nodes-=n1".into())],
            unset: vec![],
            eval: false,
            force: false,
        }
    );
}

#[test]
fn a_wrong_word_is_answered_with_the_right_one() {
    for (line, expected) in [
        ("daemno", "is no group"),
        ("web strat", "start"),
        ("web prnt status", "print status"),
        ("web print", "print config, edit config"),
        ("web start --lcoal", "--local"),
        ("daemon stpo", "stop"),
        ("web start --time soon", "--time: \"soon\" is not a duration"),
        ("web start --node n1 --local", "exclude each other"),
        ("web set", "--kw"),
        ("web set --kw nodes", "sets nothing"),
        ("svc start", "no object is named"),
        ("web create --kw a=1 --kw DEFAULT.a=2", "a is set twice"),
        ("web set --kw env.a=1 --kw env.a=2", "env.a is set twice"),
        ("web get", "needs a keyword"),
        ("web print status --format yaml", "json or flat_json"),
        ("daemon join --secret s", "--node"),
        ("daemon join --node n1 --secret s --secret-file f", "exclude each other"),
        ("daemon join --node n1 --secret s --envelope x", "classic, sealed"),
        ("test/cfg/c1 add --value v", "--key NAME"),
        ("test/cfg/c1 add --key k", "--value or --from"),
        ("test/sec/c1 decode", "--key NAME"),
        ("web add --key k --value v", "keys are in objects of the kinds cfg, sec and usr"),
    ] {
        let text = refusal(line);
        let expected = if line == "web print" { "print config" } else { expected };
        assert!(text.contains(expected), "{line}: {text}");
    }
}

/// A tip says what to type, and there is none where nothing is near.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_tip_points_where_somebody_meant_to_go() {
    for (line, expected) in [
        ("web strat", "error: \"strat\" is no action of a service: did you mean `om web start`?"),
        (
            "web show",
            "error: \"show\" is no action of a service: did you mean `om web print status`?",
        ),
        (
            "web unfreeze",
            "error: \"unfreeze\" is no action of a service: did you mean `om web thaw`?",
        ),
        ("web list", "error: \"list\" is no action of a service: did you mean `om web ls`?"),
        (
            "web describe",
            "error: \"describe\" is no action of a service: did you mean `om web explain`?",
        ),
        (
            "web migrate --to n2",
            "error: \"migrate\" is no action of a service: did you mean `om web switch`?",
        ),
        (
            "web edit confg",
            "error: \"edit confg\" is no action of a service: did you mean `om web edit config`?",
        ),
        (
            "web print foo",
            "error: \"print foo\" is no action of a service: expected print status, print config mtime",
        ),
        (
            "web frobnicate",
            "error: \"frobnicate\" is no action of a service: `om web --help` lists them",
        ),
        (
            "web wait",
            "error: \"wait\" is no action of a service: an action waits for its end with --wait",
        ),
        (
            "test/cfg/c1 decod",
            "error: \"decod\" is no action of such an object: did you mean `om test/cfg/c1 decode`?",
        ),
        (
            "svc strat -s web",
            "error: \"strat\" is no action of a service: did you mean `om svc start`?",
        ),
        (
            "node unfreeze",
            "error: \"unfreeze\" is no action of a node: did you mean `om node thaw`?",
        ),
        (
            "daemon show",
            "error: \"show\" is no action of the daemon: did you mean `om daemon status`?",
        ),
        (
            "daemon strat",
            "error: \"strat\" is no action of the daemon: did you mean `om daemon start`?",
        ),
        ("svc start web", "error: the object comes first: om web start\n"),
        ("svc web start", "error: \"web\" is no action of a service: om web start\n"),
        ("vol v1 start", "error: \"v1\" is no action of such an object: om vol/v1 start\n"),
        ("cfg keys c1", "error: the object comes first: om cfg/c1 keys\n"),
        ("start web", "error: the object comes first: om web start\n"),
        ("strat web", "error: the object comes first: om web start\n"),
        ("show web", "error: the object comes first: om web print status\n"),
        ("wait web", "error: \"wait\" is no object: an action waits for its end with --wait"),
        ("web start now", "error: unexpected \"now\" after `om web start`\n"),
        ("daemon start now", "error: unexpected \"now\" after `om daemon start`\n"),
        (
            "web switch n2",
            "error: unexpected \"n2\" after `om web switch`: did you mean `om web switch --to n2`?",
        ),
        (
            "web scale 3",
            "error: unexpected \"3\" after `om web scale`: did you mean `om web scale --to 3`?",
        ),
        (
            "web restart app#1",
            "error: unexpected \"app#1\" after `om web restart`: did you mean `om web restart --rid app#1`?",
        ),
        ("web start --ridd app#1", "error: unexpected argument '--ridd' found"),
        ("web logs --tail 3", "error: unexpected argument '--tail' found"),
        ("web print status --fromat json", "error: unexpected argument '--fromat' found"),
        ("om web start", "error: om is typed twice: om web start"),
        ("node status", "error: `node status` is not offered: `om mon` shows the nodes"),
        ("daemon logs", "error: `daemon logs` is not offered: `om node logs` shows"),
        ("pool list", "error: \"list\" is no action of the pools: did you mean `om pool ls`?"),
        ("list", "error: \"list\" is no group: did you mean `om ls`?"),
        ("show", "error: \"show\" is no group: did you mean `om mon`?"),
        ("mno", "error: \"mno\" is no group: did you mean `om mon`?"),
        ("daemno", "error: \"daemno\" is no group: did you mean `om daemon`?"),
        ("strat", "error: \"strat\" is no group: did you mean `om <object> start`?"),
        ("unfreeze", "error: \"unfreeze\" is no group: did you mean `om <object> thaw`?"),
        ("wait", "error: \"wait\" is no group: an action waits for its end with --wait"),
        ("elephants", "error: \"elephants\" is no group: if it is an object, what to do with it?"),
    ] {
        let text = refusal(line);
        assert!(text.starts_with(expected), "{line}: {text}");
    }
}

#[test]
fn usage_repeats_what_was_typed() {
    let text = refusal("web start --lcoal");
    assert!(text.contains("'--local'") && text.contains("Usage: om web start"), "{text}");
    for line in ["svc -s web start --lcoal", "svc start --service=web --lcoal"] {
        let text = refusal(line);
        assert!(text.contains("Usage: om svc -s web start"), "{text}");
        assert!(!text.contains("SELECTOR"), "{text}");
    }
    let Command::Help(text) = command("web start --help") else { panic!("no help") };
    assert!(strip(&text).contains("Usage: om web start"), "{}", strip(&text));
}

#[test]
fn values_may_look_like_options() {
    let Command::Object(command) = command("web set --kw a=-b --kw app#1.start=-x") else {
        panic!("not an object command")
    };
    assert_eq!(
        command.action,
        ObjectAction::Config(ConfigAction::Set {
            edits: vec![Edit("a=-b".into()), Edit("app#1.start=-x".into())],
            unset: vec![],
            eval: false,
            force: false,
        })
    );
    let Command::Object(command) = self::command("web set --kw a=b --unset c,d.e --unset f") else {
        panic!("not an object command")
    };
    let ObjectAction::Config(ConfigAction::Set { edits, unset, .. }) = command.action else {
        panic!("not a set")
    };
    assert_eq!((edits.len(), unset), (1, ["c", "d.e", "f"].map(str::to_owned).to_vec()));
    assert_eq!(self::command("web logs --backlog -1"), self::command("web logs --backlog=-1"));
}

#[test]
fn help_is_a_command_of_its_own() {
    for line in ["--help", "daemon --help", "web start --help", "web --help", "--version"] {
        assert!(matches!(command(line), Command::Help(_)), "{line}");
    }
    for (line, as_line) in [("help", "--help"), ("help web start", "web start --help")] {
        assert_eq!(command(line), command(as_line), "{line}");
    }
}

#[test]
fn help_shows_what_means_something_under_headings() {
    let help = |line: &str| match command(line) {
        Command::Help(text) => text,
        other => panic!("{line}: {other:?}"),
    };
    let secrets = help("sec --help");
    for word in ["boot", "toc", "scale", "switch", "sync all", "print status"] {
        assert!(!secrets.contains(&format!("\n  \u{1b}[1m{word}\u{1b}[0m")), "{word}");
        assert!(help("svc --help").contains(&format!("\n  \u{1b}[1m{word}\u{1b}[0m")), "{word}");
    }
    assert!(secrets.contains("decode") && secrets.contains("print config"), "{secrets}");
    let start = help("web start --help");
    let at = |heading: &str| start.find(heading).unwrap_or_else(|| panic!("{heading}: {start}"));
    assert!(at("Options:") < at("--force") && at("--force") < at("Resources:"), "{start}");
    assert!(at("Waiting:") < at("--time") && at("Output:") < at("--color"), "{start}");
}

#[test]
fn the_local_form_of_the_monitor_reads_back() {
    let Command::Object(command) =
        command("svc -s ns1/svc/web provision --leader --disable-rollback --local")
    else {
        panic!("not an object command")
    };
    assert_eq!(command.selector.as_deref(), Some("ns1/svc/web"));
    assert_eq!(command.target, Target::Local);
}

#[test]
fn a_joiner_may_keep_the_secret_off_the_command_line() {
    let secret = |line: &str| match command(line) {
        Command::Daemon(DaemonCommand { action: DaemonAction::Join { secret, .. }, .. }) => secret,
        command => panic!("{line}: {command:?}"),
    };
    let head = "daemon join --node n1:1215";
    assert_eq!(secret(head), SecretSource::Environment);
    assert_eq!(secret(&format!("{head} --secret-file /x")), SecretSource::File("/x".into()));
    assert_eq!(secret(&format!("{head} --secret -")), SecretSource::Stdin);
    assert_eq!(secret(&format!("{head} --secret-file -")), SecretSource::Stdin);
    let text = secret(&format!("{head} --secret s3cret"));
    assert_eq!(text, SecretSource::Text("s3cret".into()));
    assert_eq!(format!("{text:?}"), "Text(..)");
}

#[test]
fn sections_of_the_cluster_are_deleted_as_those_of_an_object() {
    let Command::Object(delete) = command("cluster delete --rid hb#2") else { panic!("an object") };
    assert_eq!(delete.selector.as_deref(), Some("cluster"));
}
