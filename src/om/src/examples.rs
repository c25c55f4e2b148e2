//! An example for each action whose options do not speak for themselves.

/// Command lines that show an action at work, one on each line; none where the action alone says it all.
pub(crate) fn of(group: &str, action: &str) -> Option<&'static str> {
    Some(match (group, action) {
        ("daemon", "start") => {
            "om daemon start\nom daemon start --foreground\nom daemon start --thread-id listener"
        }
        ("daemon", "stop") => "om daemon stop\nom daemon stop --thread-id scheduler",
        ("daemon", "shutdown") => "om daemon shutdown --time 2m",
        ("daemon", "status") => {
            "om daemon status\nom daemon status --filter monitor.nodes.n1.frozen\nom daemon status --format flat_json | grep alerts"
        }
        ("daemon", "join") => "om daemon join --node n1 --secret \"$SECRET\"",
        ("daemon", "lock release") => {
            "om daemon lock show\nom daemon lock release --name join --id ID"
        }
        ("daemon", "stats") => "om daemon stats -s 'web*'",
        ("node", "ping") => "om node ping n2\nom node ping --node 'n*'",
        ("node" | "cluster", "freeze") => {
            "om node freeze --local\nom node freeze --wait --time 30s"
        }
        ("daemon", "leave") => "om node drain --wait\nom daemon leave",
        ("node", "drain") => "om node drain --wait --time 5m",
        ("node", "wait") => {
            "om node wait --filter \"monitor.services.'web'.avail=up\" --time 1m\nom node wait --filter monitor.nodes.n1.frozen=0"
        }
        ("node", "set") => "om node set --kw node.env=PRD --kw labels.az=fr1",
        ("node", "get" | "eval") => "om node get --kw node.env\nom node eval --kw listener.port",
        ("node", "unset") => "om node unset --kw labels.az",
        ("cluster", "set") => {
            "om cluster set --kw cluster.nodes+=n3\nom cluster set --kw hb#1.type=unicast"
        }
        ("cluster", "rotate secret") => {
            "om cluster rotate secret --wait --time 5m\nom cluster rotate secret --force --wait"
        }
        ("cluster", "get" | "eval") => "om cluster get --kw cluster.nodes",
        (_, "set") => {
            "om web set --kw app#1.restart=2 --kw app#1.timeout@n2=30s\nom web set --kw nodes+=n3 --kw 'nodes-=n1'"
        }
        (_, "unset") => "om web unset --kw app#1.restart",
        (_, "get" | "eval") => {
            "om web get --kw app#1.start\nom web eval --kw flex_max --impersonate n2"
        }
        (_, "print config") => "om web print config\nom web print config --eval --format json",
        (_, "start") => {
            "om web start --wait --time 1m\nom web start --local --rid app#1\nom 'prod/svc/*' start --dry-run"
        }
        (_, "stop") => "om web stop --wait\nom web stop --local --rid fs,app#2",
        (_, "restart") => "om web restart --wait\nom web restart --rid app#1",
        (_, "switch") => "om web switch --to n2 --wait",
        (_, "scale") => "om web scale --to 3",
        (_, "provision") => "om web provision --wait\nom web provision --local --leader",
        (_, "delete") => {
            "om web delete --wait\nom web delete --force --wait\nom web delete --rid app#2"
        }
        (_, "disable" | "enable") => "om web disable --rid app#1\nom web enable",
        (_, "run") => "om web run --rid task#1 --env day=monday",
        (_, "print status") => {
            "om web print status --refresh\nom web print status --filter avail\nom 'web*' print status --format json"
        }
        (_, "print schedule") => "om web print schedule\nom '**' print schedule --format json",
        (_, "print devs") => "om web print devs --rid disk",
        (_, "ls") => "om ls 'prod/*'\nom ls app#1.type=simple+orchestrate=ha",
        (_, "monitor") => "om 'web*' monitor --watch",
        (_, "logs") => "om web logs --follow\nom web logs --backlog 1m --node n2",
        (_, "create" | "deploy") => {
            "om web create --kw app#1.type=simple --kw app#1.start='/usr/bin/sleep 1d'\n\
             om web create --config web.conf --provision\n\
             om web2 create --config web\n\
             om web print config --format json | om web3 create --config -"
        }
        (_, "add" | "change") => {
            "om test/sec/s1 add --key password --from ./password\nprintf secret | om test/sec/s1 change --key password --from -"
        }
        (_, "decode" | "remove") => "om test/sec/s1 decode --key password",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Command, parse};

    /// Words, quotes removed; an example has no escapes.
    fn split(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (vec![], String::new(), None);
        for c in line.chars() {
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (' ', None) => {
                    words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()))
                }
                (c, _) => word.push(c),
            }
        }
        assert_eq!(quote, None, "{line}");
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words
    }

    #[test]
    fn every_example_is_a_command_line_that_reads() {
        for group in crate::tree::GROUPS {
            for action in group.all() {
                for line in super::of(group.name, action.words).into_iter().flat_map(str::lines) {
                    let line = line.rsplit("| om").next().unwrap_or(line);
                    let line = line.split(" | ").next().unwrap_or(line);
                    let line = line.trim().trim_start_matches("om ");
                    match parse(split(line)) {
                        Ok(Command::Help(text)) => panic!("{line}: {text}"),
                        Ok(_) => {}
                        Err(error) => panic!("{line}: {error}"),
                    }
                }
            }
        }
    }
}
