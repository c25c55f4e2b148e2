//! An example for each action whose options do not speak for themselves.

/// Those of `om doc`.
pub(crate) const DOC: &str = "  om doc\n  om doc app\n  om doc app.restart\n  om doc fs.xfs.mkfs_opt --format json\n  \
                              om doc --format man > om-keywords.5";

/// What the signs of `om mon` mean, and examples.
pub(crate) const MON: &str = "\
Signs of an instance, below its node:
  O up   X down   ! warn   S standby up   s standby down   ? unknown, or not evaluated yet   / n/a
  then: ! a warning   ^ the leader   * frozen   P not provisioned
  then what it does, and >what it shall become
Signs of an object, behind its state:
  ! an instance warns   ^ not where it belongs   1/1 instances up, and wanted
Signs of a node: O heard   X lost   / not asked   * frozen   ! behind a score: short of memory
Threads are those of the field, and any that does not run: --sections threads shows all.

Examples:
  om mon
  om mon --watch
  om mon 'web*' --node n1,n2
  om mon --sections services";
pub(crate) const API: &str = "  om api\n  om api /api/cluster/status\n  om api '/api/object?path=prod/**&limit=10'\n  \
                              om api /api/cluster/status --filter cluster.nodes";

/// Those of `om ctx`, and what a context is.
pub(crate) const CTX: &str = "  om ctx ls\n  om ctx use prod\n  om ctx unset\n  OSVC_CONTEXT=prod om mon --watch\n  \
                              OSVC_USER=alice OSVC_CACERT=ca.pem om mon --server https://n1:1215\n\n\
                              A context is a section of ~/.config/opensvc/contexts:\n  [prod]\n  \
                              server = https://n1:1215 https://n2:1215\n  cacert = ~/prod-ca.pem\n  user = alice\n\n\
                              Its keywords, and the variables that go before them: cacert (OSVC_CACERT), cert (OSVC_CERT: \
                              key and\ncertificate, as `om system/usr/alice fullpem` prints them), user (OSVC_USER), \
                              password_file\n(OSVC_PASSWORD_FILE, OSVC_PASSWORD), token_file (OSVC_TOKEN_FILE, OSVC_TOKEN), \
                              namespace, insecure\n(OSVC_INSECURE).";

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
        ("node", "support") => "om support\nom support --node '*' --output /tmp/case.tar.gz",
        ("node", "doctor") => "om doctor\nom doctor --node '*'\nom doctor --format json",
        ("node", "ping") => "om node ping n2\nom node ping --node 'n*'",
        ("node" | "cluster", "freeze") => {
            "om node freeze --local\nom node freeze --wait --time 30s"
        }
        ("daemon", "leave") => "om node drain --wait\nom daemon leave",
        ("node", "drain") => "om node drain --dry-run\nom node drain --wait --time 5m",
        ("node", "exec") => {
            "om node exec --node n2 --id n2.1 --run 'apt-get -y upgrade'\nom node exec --node n2 --id n2.1"
        }
        ("cluster", "whatif") => "om cluster whatif --down n2\nom cluster whatif --down n2,n3",
        ("cluster", "roll") => {
            "om cluster roll --reboot --dry-run\nom cluster roll --run 'apt-get -y upgrade' --nodes n2,n3\nom cluster roll --resume"
        }
        (_, "drill") => {
            "om web drill --dry-run\nom web drill --probe http://10.0.0.5:8080/ --to n2\nom db drill --run 'pg_isready -h db' --stay"
        }
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
        ("node", "doc") => "om node doc\nom node doc node.split_action",
        ("cluster", "doc") => "om cluster doc hb\nom cluster doc cluster.quorum",
        ("sec" | "cfg" | "usr" | "nscfg", "doc") => "om sec doc\nom sec doc DEFAULT.cn",
        (_, "doc") => "om svc doc app\nom svc doc app.restart",
        (_, "unset") => "om web unset --kw app#1.restart",
        (_, "get" | "eval") => {
            "om web get --kw app#1.start\nom web eval --kw flex_max --impersonate n2"
        }
        (_, "print config") => "om web print config\nom web print config --eval --format json",
        (_, "config show") => {
            "om web config show --diff\nom web config show 3\nom node config show 3 --diff"
        }
        (_, "config revert") => {
            "om web config revert\nom web config revert 3\nom cluster config revert 3"
        }
        (_, "edit config") => "om web edit config\nom web config edit --recover",
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
        ("node", "history") => {
            "om node history --since 1d\nom node history --node '*' --format json"
        }
        (_, "history") => {
            "om web history --since 2h\nom '**' history --since 1d\nom web history --format json"
        }
        (_, "logs") => {
            "om web logs --follow\nom web logs --since 2h --level warning\nom web logs --grep 'exec .*stop' --node n2\nom node logs --since 17:30 --until 17:45"
        }
        (_, "create" | "deploy") => {
            "om web create --kw app#1.type=simple --kw app#1.start='/usr/bin/sleep 1d'\n\
             om web create --config web.conf --provision\n\
             om web2 create --config web\n\
             om web print config --format json | om web3 create --config -"
        }
        (_, "add" | "change") => {
            "om test/sec/s1 add --key password --from ./password\nprintf secret | om test/sec/s1 change --key password --from -"
        }
        ("cluster", "tls") => "om cluster tls\nom system/usr/alice create --kw grant='guest:*'",
        (_, "gen cert") => "om system/sec/cert-prod gen cert",
        (_, "fullpem") => "om system/usr/alice fullpem > alice.pem",
        (_, "pkcs12") => {
            "om system/usr/alice pkcs12 > alice.p12\nprintf secret | om system/usr/alice pkcs12 --password - > alice.p12"
        }
        (_, "revoke") => "om system/usr/alice revoke",
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
                    let line = line.split(" > ").next().unwrap_or(line);
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
