use super::*;
use serde_json::json;

const NOW: Timestamp = Timestamp(1_000_000.0);

fn cluster() -> Value {
    let node = |frozen: f64, avail: &str, monitor: Value| {
        json!({
            "agent": "2.1", "frozen": frozen, "min_avail_mem": 2, "min_avail_swap": 0,
            "monitor": {"status": "idle"},
            "stats": {"load_15m": 0.9, "mem_avail": 96, "mem_total": 24105, "score": 70, "swap_total": 0, "swap_avail": 0},
            "services": {"status": {"svc1": {
                "avail": avail, "overall": "warn", "topology": "failover", "orchestrate": "ha", "frozen": frozen,
                "provisioned": true, "monitor": monitor,
            }}},
        })
    };
    json!({
        "cluster": {"nodes": ["n1", "n2", "n3"]},
        "daemon": {"state": "running"},
        "listener": {"state": "running", "config": {"addr": "", "port": 1214}},
        "scheduler": {"state": "restarting", "alerts": [{"severity": "warning", "message": "it fell\u{1b}"}]},
        "hb#1.rx": {"state": "running", "config": {"addr": "::", "port": 10000},
            "peers": {"n1": {}, "n2": {"beating": true, "last": 1.0}, "n3": {"beating": false, "last": 1.0}}},
        "hb#2.rx": {"state": "running", "config": {"relay": "relay1", "timeout": 15}, "peers": {"n1": {}}},
        "hb#3.rx": {"state": "running", "config": {"dev": "/dev/hb", "timeout": 15}, "peers": {"n1": {}}},
        "hb#3.tx": {"state": "running", "peers": {"n1": {"slot": 0}, "n2": {"slot": 1, "beating": true}}},
        "monitor": {
            "state": "running",
            "nodes": {
                "n1": node(0.0, "up", json!({"status": "idle", "placement": "leader"})),
                "n2": node(12.5, "down", json!({"status": "starting", "global_expect": "started"})),
            },
            "services": {"svc1": {"avail": "up", "overall": "warn", "placement": "non-optimal"}},
        },
    })
}

#[test]
fn the_cluster_reads_at_a_glance() {
    let text = monitor(&cluster(), None, &Sections::ALL, "*/svc/*", Room::ENDLESS, NOW);
    assert_eq!(
        text.plain(),
        "\
Threads                                n1          n2                    n3
 daemon    running                   |
 hb#1.rx   running        [::]:10000 | /           O                     X
 hb#2.rx   running            relay1 | /           /                     /
 hb#3.rx   running           /dev/hb | /           /                     /
 hb#3.tx   running                   | /           O                     /
 listener  running             :1214 |
 monitor   running                   |
 scheduler restarting!               |

Nodes                                  n1          n2                    n3
 score                               | 70          70
  load 15m                           | 0.9         0.9
  mem                                | 4/98%:23.5g 4/98%:23.5g
  swap                               | -           -
 state                               |             *                     unknown

*/svc/*                                n1          n2                    n3
 svc1      up!^        ha        1/1 | O!^         X!* starting >started

3 nodes, 1 service: 1 up

Alerts
 scheduler: warning: it fell\\u{1b}
"
    );
}

#[test]
fn versions_are_compared_between_nodes_of_one_kind() {
    let row = |versions: [(&str, &str); 3]| {
        let mut data = cluster();
        for (node, (agent, release)) in ["n1", "n2", "n3"].into_iter().zip(versions) {
            data["monitor"]["nodes"][node]["agent"] = json!(agent);
            data["monitor"]["nodes"][node]["release"] = json!(release);
        }
        let text =
            monitor(&data, None, &Sections::named(&["nodes".to_owned()]), "**", Room::ENDLESS, NOW);
        let row = text.plain().lines().find(|line| line.contains("version")).map(str::to_owned);
        row.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(row([("2.1", ""), ("2.1", ""), ("", "0.1.0")]), None);
    let mixed = row([("2.1", ""), ("2.2", ""), ("", "0.1.0")]);
    assert_eq!(mixed.as_deref(), Some("version warn | 2.1 2.2 0.1.0"));
    let ours = row([("2.1", ""), ("", "0.2.0"), ("", "0.1.0")]);
    assert_eq!(ours.as_deref(), Some("version warn | 2.1 0.2.0 0.1.0"));
}

#[test]
fn a_member_that_told_nothing_of_itself_is_unknown() {
    let mut data = cluster();
    data["monitor"]["nodes"]["n3"] = json!({"monitor": {}, "services": {}});
    let text =
        monitor(&data, None, &Sections::named(&["nodes".to_owned()]), "**", Room::ENDLESS, NOW)
            .plain();
    let state = text.lines().find(|line| line.starts_with(" state")).unwrap();
    assert_eq!(state.split_whitespace().collect::<Vec<_>>(), ["state", "|", "*", "unknown"]);
}

#[test]
fn sections_and_columns_can_be_chosen() {
    let text = monitor(
        &cluster(),
        Some(&["n2".to_owned()]),
        &Sections::named(&["services".to_owned()]),
        "svc1",
        Room::ENDLESS,
        NOW,
    );
    assert_eq!(text.plain(), "svc1                n2\n svc1 up!^ ha 0/1 | X!* starting >started\n");
}

#[test]
fn anything_a_peer_may_say_is_shown_without_a_fall() {
    for data in [
        json!(null),
        json!([]),
        json!({"monitor": {"nodes": [], "services": {"a": null}}, "cluster": {"nodes": "n1"}}),
        json!({"hb#1.rx": {"state": "running", "peers": [], "config": "x", "alerts": ["a", 1]}}),
        json!({"monitor": {"nodes": {"n1": {"services": {"status": {"a": 1}}, "monitor": [], "stats": []}}, "services": {"a": {}}}}),
    ] {
        _ = monitor(&data, None, &Sections::ALL, "**", Room::ENDLESS, NOW).to_string();
    }
}

#[test]
fn a_small_screen_shows_the_services_first_and_all_of_the_nodes() {
    let mut data = cluster();
    data["scheduler"]["alerts"][0]["message"] = json!(
        "the clock of n2 is 31 s ahead: set it, or what n2 says is not heard; until then its services are not moved"
    );
    for node in ["n1", "n2"] {
        let node = &mut data["monitor"]["nodes"][node];
        node["min_avail_swap"] = json!(10);
        node["stats"]["swap_total"] = json!(20_480);
        node["stats"]["swap_avail"] = json!(98);
    }
    data["monitor"]["nodes"]["n3"] = data["monitor"]["nodes"]["n1"].clone();
    data["monitor"]["nodes"]["n4"] = data["monitor"]["nodes"]["n1"].clone();
    data["cluster"]["nodes"] = json!(["n1", "n2", "n3", "n4"]);
    for service in ["svc2", "svc3", "svc4", "svc5"] {
        data["monitor"]["services"][service] = data["monitor"]["services"]["svc1"].clone();
    }
    let room = Room { width: 80, height: 24 };
    let wide = monitor(&data, None, &Sections::ALL, "*/svc/*", Room::ENDLESS, NOW);
    assert!(wide.width() > 80, "{}", wide.plain());
    let text = monitor(&data, None, &Sections::ALL, "*/svc/*", room, NOW);
    assert!(text.width() <= 80, "{}", text.plain());
    let plain = text.plain();
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines[0].starts_with("*/svc/*") && lines[1].starts_with(" svc1"), "{plain}");
    assert!(
        lines.iter().any(|line| line.starts_with("  mem  ") && line.contains(" 4% ")),
        "{plain}"
    );
    assert!(plain.contains("\n   "), "an alert goes on in the next line: {plain}");
    assert!(plain.trim_end().ends_with("not moved"), "{plain}");
    // With room for all, the order is that of deployed agents.
    let room = Room { width: 80, height: 60 };
    let text = monitor(&data, None, &Sections::ALL, "*/svc/*", room, NOW).plain();
    assert!(text.starts_with("Threads"), "{text}");
}

#[test]
fn why_an_action_failed_stands_under_its_object_and_fits_the_screen() {
    let mut data = cluster();
    let failure = json!({
        "action": "start", "rid": "ip#1", "reason": "interface eth7 does not exist",
        "at": 1_000_000.0 - 60.0, "utc_offset": 7_200, "tries": 3,
    });
    data["monitor"]["nodes"]["n2"]["services"]["status"]["svc1"]["last_failure"] = failure;
    let sections = Sections::named(&["services".to_owned()]);
    let text = monitor(&data, None, &sections, "*/svc/*", Room::ENDLESS, NOW).plain();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].trim_start().starts_with("svc1"), "{text}");
    assert_eq!(lines[2], "   n2: ip#1: interface eth7 does not exist (15:45, 3 tries)");
    let room = Room { width: 30, height: 50 };
    let text = monitor(&data, None, &sections, "*/svc/*", room, NOW).plain();
    assert_eq!(text.lines().nth(2), Some("   n2: ip#1: interface eth7 d>"));
}

#[test]
fn threads_that_run_are_those_of_the_field_unless_all_are_wanted() {
    let mut data = cluster();
    data["runner"] = json!({"state": "running"});
    data["propagation"] = json!({"state": "restarting"});
    let shown = |sections: &Sections| {
        let text = monitor(&data, None, sections, "**", Room::ENDLESS, NOW).plain();
        ["runner", "propagation"].map(|id| text.contains(&format!(" {id} ")))
    };
    assert_eq!(shown(&Sections::ALL), [false, true]);
    assert_eq!(shown(&Sections::named(&["threads".to_owned()])), [true, true]);
}

#[test]
fn alerts_of_all_nodes_are_told_once() {
    let mut data = cluster();
    let late = json!([{"severity": "warning", "message": "late"}]);
    for node in ["n1", "n2"] {
        data["monitor"]["nodes"][node]["alerts"] = json!({"scheduler": late});
    }
    data["monitor"]["nodes"]["n2"]["alerts"]["hb#1.rx"] =
        json!([{"severity": "error", "message": "no"}]);
    data["scheduler"]["alerts"] = late.clone();
    // Commands of deployed agents look at the monitor, which repeats what others tell.
    data["monitor"]["nodes"]["n1"]["alerts"]["monitor"] = late;
    let text = monitor(&data, None, &Sections::ALL, "**", Room::ENDLESS, NOW).plain();
    let alerts = text.split("Alerts\n").nth(1).unwrap();
    assert_eq!(alerts, " n2 hb#1.rx: error: no\n n1,n2 scheduler: warning: late\n");
}

#[test]
fn an_instance_that_was_not_evaluated_is_a_question() {
    let mut data = cluster();
    data["monitor"]["nodes"]["n2"]["services"] = json!({"status": {}, "config": {"svc1": {}}});
    let sections = Sections::named(&["services".to_owned()]);
    let text = monitor(&data, None, &sections, "**", Room::ENDLESS, NOW).plain();
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["svc1", "up!^", "ha", "1/1", "|", "O!^", "?"]);
}
