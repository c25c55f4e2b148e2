//! Names that are none, and those that were probably meant.

use cli::{Command, NodeAction, ObjectAction, Target};
use model::{Kind, NodeName, ObjectPath, nearest};

use files::load;
use machine::paths::Paths;

use crate::om::Failure;

/// Refuses a command that names what is no node of the cluster: nothing would be done there, and the rest would be.
///
/// Who asks another server, or pings, may know nodes that this one does not.
pub(super) fn check_nodes(
    command: &Command,
    paths: &Paths,
    nodename: &NodeName,
) -> Result<(), Failure> {
    let named = named_nodes(command);
    if named.is_empty() {
        return Ok(());
    }
    let Ok(settings) = load::load_node(paths, nodename.clone()) else { return Ok(()) };
    let nodes = settings.conf.cluster_nodes().iter().chain(settings.conf.cluster_drpnodes());
    let known: Vec<&str> = nodes.map(NodeName::as_str).collect();
    let lines: Vec<String> = named
        .into_iter()
        .filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|name| no_such_node(name, &known))
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(Failure { lines, code: 1 }) }
}

pub(super) fn no_such_node(name: &str, known: &[&str]) -> String {
    let short: String = name.chars().take(80).collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("{short} is no node of the cluster: did you mean {near}?"),
        None => format!("{short} is no node of the cluster: its nodes are {}", known.join(", ")),
    }
}

/// Names of nodes, as a command has them: what selects by pattern or label is not among them.
fn named_nodes(command: &Command) -> Vec<&str> {
    let (server, selectors): (_, Vec<Option<&str>>) = match command {
        Command::Daemon(command) => (&command.server, vec![of_target(&command.target)]),
        Command::Node(command) if matches!(command.action, NodeAction::Ping) => return vec![],
        Command::Node(command) => (&command.server, vec![of_target(&command.target)]),
        Command::Pool(command) => (&command.server, vec![of_target(&command.target)]),
        Command::Net(command) => (&command.server, vec![of_target(&command.target)]),
        Command::Monitor(command) => (&command.server, vec![command.node.as_deref()]),
        Command::WhatIf(command) => (&command.server, vec![Some(command.down.as_str())]),
        Command::Roll(command) => (&None, vec![command.nodes.as_deref()]),
        Command::Object(command) => {
            let to = match &command.action {
                ObjectAction::Instance { options, .. } => options.to.as_deref(),
                ObjectAction::Drill(options) => options.to.as_deref(),
                _ => None,
            };
            (&command.server, vec![of_target(&command.target), to])
        }
        _ => return vec![],
    };
    if server.is_some() {
        return vec![];
    }
    let is_plain =
        |selector: &&str| !selector.contains(['*', '?', '=', '+', ':', '!', '[', '<', '>']);
    let plain = selectors.into_iter().flatten().filter(is_plain);
    plain.flat_map(|names| names.split([' ', ','])).filter(|name| !name.is_empty()).collect()
}

fn of_target(target: &Target) -> Option<&str> {
    match target {
        Target::Nodes(selector) => Some(selector),
        Target::Default | Target::Local => None,
    }
}

/// An object that does not exist, and what was probably meant: one that does, or a first word of the command line.
pub(super) fn no_such_object(path: &ObjectPath, known: &[ObjectPath]) -> String {
    if path.kind() == Kind::Ccfg {
        return "the cluster has no configuration yet: `om daemon start` writes one".to_owned();
    }
    // `om print status`: its first word was taken for the object.
    if let Some(words) = cli::action_that_begins(path.as_str()) {
        return format!(
            "object {path} does not exist: the object comes first, as in `om <object> {words}`"
        );
    }
    let near = nearest(path.as_str(), known.iter().map(ObjectPath::as_str));
    match near.or_else(|| nearest(path.as_str(), cli::group_names())) {
        Some(near) => format!("object {path} does not exist: did you mean {near}?"),
        None => format!("object {path} does not exist"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_words_and_not_by_patterns() {
        let named = |line: &str| {
            let command = cli::parse(line.split(' ')).unwrap();
            named_nodes(&command).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(named("web start --node n1,paris"), ["n1", "paris"]);
        assert_eq!(named("web switch --to paris"), ["paris"]);
        assert_eq!(named("web drill --to paris"), ["paris"]);
        assert_eq!(named("cluster whatif --down paris,n*"), [""; 0]);
        assert_eq!(named("cluster whatif --down paris,n2"), ["paris", "n2"]);
        assert_eq!(named("cluster roll --reboot --nodes paris"), ["paris"]);
        assert_eq!(named("node ls --node paris"), ["paris"]);
        assert_eq!(named("mon --node paris"), ["paris"]);
        assert_eq!(named("daemon status --node paris"), ["paris"]);
        for line in [
            "web start --node n*",
            "web start --node dc=a",
            "web start",
            "node ping --node paris",
            "node ls --node paris --server n2",
            "daemon join --node paris --secret s",
        ] {
            assert_eq!(named(line), [""; 0], "{line}");
        }
        assert_eq!(
            no_such_node("n11", &["n1", "n2"]),
            "n11 is no node of the cluster: did you mean n1?"
        );
        assert_eq!(
            no_such_node("paris", &["n1", "n2"]),
            "paris is no node of the cluster: its nodes are n1, n2"
        );
    }

    #[test]
    fn an_object_that_is_not_there_has_the_one_that_is_beside_it() {
        let path = |text: &str| ObjectPath::parse(text).unwrap();
        let known = [path("web"), path("test/cfg/c1")];
        for (typed, expected) in [
            ("wbe", "object wbe does not exist: did you mean web?"),
            ("test/cfg/c2", "object test/cfg/c2 does not exist: did you mean test/cfg/c1?"),
            ("daemno", "object daemno does not exist: did you mean daemon?"),
            ("billing", "object billing does not exist"),
            (
                "print",
                "object print does not exist: the object comes first, as in `om <object> print status`",
            ),
            (
                "edit",
                "object edit does not exist: the object comes first, as in `om <object> edit config`",
            ),
            ("cluster", "the cluster has no configuration yet: `om daemon start` writes one"),
        ] {
            assert_eq!(no_such_object(&path(typed), &known), expected);
        }
    }
}
