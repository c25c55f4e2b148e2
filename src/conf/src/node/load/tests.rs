use super::*;
use crate::node::settings::ListenerSettings;

fn settings(cluster: &str, node: &str) -> NodeSettings {
    NodeSettings::parse(NodeName::new("n1").unwrap(), cluster, node).unwrap()
}

fn complaints(settings: &NodeSettings) -> Vec<String> {
    settings.complaints.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_configured_means_the_defaults_of_the_field() {
    let found = settings("", "");
    assert_eq!(complaints(&found), Vec::<String>::new());
    assert_eq!(found.cluster_name, "default");
    assert_eq!(found.nodes, [NodeName::new("n1").unwrap()]);
    assert_eq!(found.listener, ListenerSettings::default());
    assert_eq!(found.ready_period, Duration::from_secs(5));
    assert_eq!(found.rejoin_grace_period, Duration::from_secs(90));
    assert_eq!(found.min_avail_mem, Threshold::Percent(2));
    assert_eq!((found.max_parallel, found.secret, found.env.as_str()), (None, None, "TST"));
}

#[test]
fn members_that_are_references_are_the_same_for_all_who_ask() {
    let cluster = "[cluster]\nnodes = {env.members} n3\ndrpnodes = {env.site}\n[env]\nmembers = n1 N2\nsite = d1\n";
    let found = settings(cluster, "");
    assert_eq!(found.nodes, ["n1", "n2", "n3"].map(|name| NodeName::new(name).unwrap()));
    assert_eq!(found.conf.cluster_nodes(), found.nodes);
    assert_eq!(found.conf.cluster_drpnodes(), [NodeName::new("d1").unwrap()]);
    // What resolves to nothing names nobody but this node.
    let lost = settings("[cluster]\nnodes = {env.nope}\n", "");
    assert_eq!(lost.conf.cluster_nodes(), [NodeName::new("n1").unwrap()]);
}

#[test]
fn a_scope_of_objects_is_no_group_of_the_cluster() {
    let cluster = "[cluster]\nnodes = n1 n2\ndrpnodes = d1\n[listener]\nport@encapnodes = 2001\nport@drpnodes = 2002\nport = 2000\n";
    let conf = settings(cluster, "").conf;
    let port = |node: &str| {
        let ctx = Context::new(conf.clone()).impersonating(&NodeName::new(node).unwrap());
        conf.cluster.eval(&ctx, "listener", "port").unwrap().value.to_string()
    };
    assert_eq!((port("n2"), port("d1")), ("2000".to_owned(), "2002".to_owned()));
}

#[test]
fn the_node_wins_over_the_cluster_keyword_by_keyword() {
    let cluster = "[cluster]\nname = Demo\nnodes = n1 N2\nsecret = abcdefghijklmnop\nquorum = true\n[node]\nenv = PRD\nready_period = 1\n[listener]\nport = 2000\n";
    let node = "[node]\nready_period = 2\nmin_avail_mem = 1g\n[listener]\naddr = 127.0.0.1\n[labels]\nzone = a\nzone@n2 = b\n";
    let found = settings(cluster, node);
    assert_eq!(complaints(&found), Vec::<String>::new());
    assert_eq!(found.cluster_name, "demo");
    assert_eq!(found.nodes, ["n1", "n2"].map(|name| NodeName::new(name).unwrap()));
    assert_eq!(found.secret.as_ref().unwrap().expose(), "abcdefghijklmnop");
    assert!(found.quorum);
    assert_eq!((found.env.as_str(), found.ready_period), ("PRD", Duration::from_secs(2)));
    assert_eq!((found.listener.port, found.listener.addr.as_str()), (2_000, "127.0.0.1"));
    assert_eq!(found.min_avail_mem, Threshold::Bytes(1 << 30));
    assert_eq!(found.labels, BTreeMap::from([("zone".into(), "a".into())]));
    assert!(!format!("{found:?}").contains("abcdefghijklmnop"));
}

#[test]
fn the_fast_profile_changes_defaults_not_what_is_set() {
    let text = "[cluster]\nprofile = fast\n[hb#1]\ntype = unicast\n[hb#2]\ntype = unicast\ntimeout = 3500ms\n";
    let found = settings(text, "[node]\nrejoin_grace_period = 7\n");
    assert_eq!(complaints(&found), Vec::<String>::new());
    assert_eq!(found.ready_period, Duration::from_millis(200));
    assert_eq!(found.rejoin_grace_period, Duration::from_secs(7));
    let times: Vec<_> = found.heartbeats.iter().map(|hb| (hb.interval, hb.timeout)).collect();
    let ms = Duration::from_millis;
    assert_eq!(times, [(ms(250), ms(1_000)), (ms(250), ms(3_500))]);
}

#[test]
fn a_bad_keyword_has_its_default_and_a_complaint_with_its_line() {
    let cluster =
        "[cluster]\nname = c\nenvelope = open\nnodes = n1 a/b\n\n[hb#1]\n[hb#2]\ntype = pigeon\n";
    let node = "[node]\nready_period = xs\nloglevel = loud\nmin_avail_swap = many\nmax_parallel = 0\n[listener]\nport = 70000\n[nosuch]\na = 1\n";
    let found = settings(cluster, node);
    assert_eq!(found.envelope, Envelope::Sealed);
    assert_eq!(found.ready_period, Duration::from_secs(5));
    assert_eq!(found.loglevel, LogLevel::Info);
    assert_eq!(found.listener.port, 1_214);
    assert_eq!(found.max_parallel, None);
    assert_eq!(found.heartbeats, []);
    let places: BTreeSet<(String, usize, String)> = found
        .complaints
        .iter()
        .map(|complaint| {
            let keyword = format!("{}.{}", complaint.section, complaint.keyword);
            (complaint.file.clone(), complaint.line, keyword)
        })
        .collect();
    let expected = [
        ("cluster.conf", 3, "cluster.envelope"),
        ("cluster.conf", 4, "cluster.nodes"),
        ("cluster.conf", 6, "hb#1.type"),
        ("cluster.conf", 8, "hb#2.type"),
        ("node.conf", 2, "node.ready_period"),
        ("node.conf", 3, "node.loglevel"),
        ("node.conf", 4, "node.min_avail_swap"),
        ("node.conf", 5, "node.max_parallel"),
        ("node.conf", 7, "listener.port"),
        ("node.conf", 8, "nosuch."),
    ];
    let expected = expected.map(|(file, line, keyword)| (file.into(), line, keyword.into()));
    assert_eq!(places, BTreeSet::from(expected));
}

#[test]
fn a_secret_that_makes_no_key_is_named_and_never_shown() {
    let of = |text: &str| complaints(&settings(text, ""));
    assert_eq!(
        of("[cluster]\nsecret = short\n"),
        ["cluster.conf line 2: cluster.secret: has 5 bytes, expected at least 16"]
    );
    let twenty = "abcdefghijklmnopqrst";
    assert_eq!(of(&format!("[cluster]\nsecret = {twenty}\n")), Vec::<String>::new());
    for envelope in ["any", "classic"] {
        assert_eq!(
            of(&format!("[cluster]\nenvelope = {envelope}\nsecret = {twenty}\n")),
            ["cluster.conf line 3: cluster.secret: has 20 bytes, expected 16, 24, or at least 32"]
        );
    }
    let others = "[hb#1]\ntype = relay\nrelay = r\nsecret = short\n[arbitrator#1]\nname = a\nsecret = short\n";
    assert_eq!(
        of(others),
        [
            "cluster.conf line 4: hb#1.secret: has 5 bytes, expected 16, 24, or at least 32",
            "cluster.conf line 7: arbitrator#1.secret: has 5 bytes, expected 16, 24, or at least 32",
        ]
    );
}

#[test]
fn what_is_no_value_of_the_node_is_an_error_whatever_deployed_agents_make_of_it() {
    let text = "[listener]\nport = abc\nmax_connections_per_address = abc\n[node]\nready_period = abc\n[hb#1]\ntype = unicast\ninterval = -1\ntimeout = x\nport = abc\n";
    let found = settings(text, "").complaints;
    let bad: Vec<String> = found
        .iter()
        .filter(|complaint| complaint.severity == Severity::Error)
        .map(|complaint| format!("{}.{}", complaint.section, complaint.keyword))
        .collect();
    for keyword in [
        "listener.port",
        "listener.max_connections_per_address",
        "node.ready_period",
        "hb#1.interval",
        "hb#1.timeout",
        "hb#1.port",
    ] {
        assert!(bad.contains(&keyword.to_owned()), "{keyword}: {found:?}");
    }
}

#[test]
fn heartbeats_arbitrators_and_stonith_are_those_of_this_node() {
    let cluster = "[cluster]\nnodes = n1 n2 n3\n[hb#1]\ntype = unicast\naddr@n1 = 10.0.0.1\nport@n2 = 1\nnodes = n1 n2 n9\n[hb#r]\ntype = relay\nrelay = r1:1214\nsecret = relay-secret-16b\n[arbitrator#1]\nname = a1\nsecret = voter-secret-16b\n[stonith#n2]\ncmd = /bin/off 'n 2'\n";
    let found = settings(cluster, "");
    let told = complaints(&found);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("[stonith#n2]: not read: this agent runs no command"), "{told:?}");
    let names = |names: &[&str]| -> Vec<NodeName> {
        names.iter().map(|name| NodeName::new(name).unwrap()).collect()
    };
    let [one, relay] = &found.heartbeats[..] else { panic!("{:?}", found.heartbeats) };
    assert_eq!(one.nodes, names(&["n1", "n2"]));
    assert_eq!(one.keywords["addr"], "10.0.0.1");
    assert_eq!(one.keywords["port"], "10000");
    assert_eq!(one.peers, BTreeMap::from([(names(&["n2"])[0].clone(), ("n2".into(), 1))]));
    assert_eq!(relay.peers, BTreeMap::new());
    assert_eq!(relay.nodes, names(&["n1", "n2", "n3"]));
    assert_eq!(relay.secret, Some(Secret::new("relay-secret-16b")));
    assert_eq!(found.arbitrators[0].host, "a1");
    assert_eq!(found.stonith[&names(&["n2"])[0]], ["/bin/off", "n 2"]);
}

#[test]
fn a_relay_and_an_arbitrator_are_asked_in_the_dialects_of_the_cluster_or_their_own() {
    let others = "secret = 0123456789abcdef0123456789abcdef\n[hb#1]\ntype = relay\nrelay = r\nsecret = relay-secret-16b\n[arbitrator#1]\nname = a1\nsecret = voter-secret-16b\n";
    for (cluster, own, expected) in [
        ("", "", Envelope::Sealed),
        ("envelope = any\n", "", Envelope::Any),
        ("", "envelope = classic\n", Envelope::Classic),
        ("envelope = any\n", "envelope = sealed\n", Envelope::Sealed),
    ] {
        let both = others.replace("-16b\n", &format!("-16b\n{own}"));
        let found = settings(&format!("[cluster]\n{cluster}{both}"), "");
        assert_eq!(complaints(&found), Vec::<String>::new());
        assert_eq!(found.heartbeats[0].envelope, expected, "{cluster}{own}");
        assert_eq!(found.arbitrators[0].envelope, expected, "{cluster}{own}");
    }
}

#[test]
fn the_listener_of_each_node_may_stand_in_cluster_conf() {
    let cluster = "[cluster]\nnodes = n1 n2\n[listener]\naddr@n1 = 127.0.0.1\nport@n1 = 7\naddr@n2 = 127.0.0.2\nport@n2 = 8\n";
    let found = settings(cluster, "");
    assert_eq!(complaints(&found), Vec::<String>::new());
    assert_eq!((found.listener.addr.as_str(), found.listener.port), ("127.0.0.1", 7));
}

#[test]
fn a_unicast_peer_is_called_where_it_listens() {
    let cluster = "[cluster]\nnodes = n1 n2 n3 n4\n[hb#1]\ntype = unicast\naddr = ::\naddr@n2 = 127.0.0.2\nport = 77\nport@n3 = 99\naddr@n4 = x4\n";
    let found = settings(cluster, "");
    let peers: Vec<String> = found.heartbeats[0]
        .peers
        .iter()
        .map(|(peer, (host, port))| format!("{peer} {host} {port}"))
        .collect();
    assert_eq!(peers, ["n2 127.0.0.2 77", "n3 n3 99", "n4 x4 77"]);
}

#[test]
fn an_unreadable_file_is_named_with_its_line() {
    let error = NodeSettings::parse(NodeName::new("n1").unwrap(), "", "[node]\nenv = PRD\noops\n");
    assert_eq!(
        error.unwrap_err().to_string(),
        "node.conf line 3: \"oops\" is neither a comment, a [section], nor `keyword = value`"
    );
}

#[test]
fn a_cluster_conf_may_say_where_each_node_listens() {
    let cluster =
        "[cluster]\nnodes = n1 n2\n[listener]\naddr@n1 = 127.0.0.11\nport@n1 = 1300\nport = 1214\n";
    for (name, addr, port) in [("n1", "127.0.0.11", 1300), ("n2", "", 1214)] {
        let settings = NodeSettings::parse(NodeName::new(name).unwrap(), cluster, "").unwrap();
        assert_eq!((settings.listener.addr.as_str(), settings.listener.port), (addr, port));
        assert_eq!(settings.complaints, []);
    }
}

#[test]
fn authorities_and_certificate_are_sec_objects() {
    let shown = |found: &NodeSettings| -> Vec<String> {
        found.ca.iter().chain(&found.cert).map(ToString::to_string).collect()
    };
    let found = settings("[cluster]\nname = prod\n", "");
    assert_eq!(shown(&found), ["system/sec/ca-prod", "system/sec/cert-prod"]);
    let found = settings("[cluster]\nca = sec/a web system/sec/b\ncert = test/sec/c\n", "");
    assert_eq!(shown(&found), ["sec/a", "system/sec/b", "test/sec/c"]);
    let told = complaints(&found);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("\"web\" is not the path of a sec object"), "{told:?}");
}
