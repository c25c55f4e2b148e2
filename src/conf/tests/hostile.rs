//! What an editor, an operator or a peer may write: drawn and damaged from a seed, it never panics, never takes for
//! ever, and what is written reads back equal.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::sync::Arc;

use conf::{
    Change, Context, Edit, Ini, NodeConf, NodeSelector, NodeSettings, ObjectConf, ObjectSelector,
    Objects, Schedule, Value, evaluate_expression,
};
use model::{NodeName, ObjectPath};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

const SECTIONS: &[&str] = &[
    "DEFAULT",
    "env",
    "labels",
    "app#1",
    "app#2",
    "fs#1",
    "task#1",
    "sync#i0",
    "subset#app:g1",
    "lv#1",
    "foo",
    "hb#1",
    "cluster",
    "node",
    "listener",
    "volume#1",
    "ip#1",
    "container#1",
    "arbitrator#1",
];

const KEYWORDS: &[&str] = &[
    "nodes",
    "drpnodes",
    "encapnodes",
    "type",
    "start",
    "start@nodes",
    "start@n1",
    "restart",
    "tags",
    "flex_min",
    "flex_primary",
    "orchestrate",
    "nodes@drpnodes",
    "drpnodes@nodes",
    "comment",
    "disable",
    "standby",
    "a",
    "b",
    "env",
    "schedule",
    "run_schedule",
    "limit_as",
    "timeout",
    "environment",
    "constraints",
    "parents",
    "name",
    "secret",
    "port",
    "interval",
    "ready_period",
    "min_avail_mem",
    "profile",
    "nokw",
    "optional",
    "always_on",
];

const VALUES: &[&str] = &[
    "",
    "n1 n2",
    "*",
    "!n1",
    "zone=a+n1,n2",
    "n[12",
    "flag",
    "simple",
    "true",
    "maybe",
    "1",
    "-1",
    "99999999999999999999",
    "1.5",
    "10k",
    "1z",
    "1e",
    "20%FREE",
    "1h30m",
    "xs",
    "0.5s",
    "{env.a}",
    "{env.b}-{env.a}",
    "{#nodes}",
    "$({#nodes}//2+1)",
    "$(1/0)",
    "$((((",
    "{a}{b}{a}{b}",
    "{env.a[{env.b}]}",
    "{upper:nodename}",
    "a 'b c' \"d",
    "\\",
    "@10",
    "~00:00-06:00 mon",
    "[\"@10\", \"! * mon\"]",
    "04:00",
    "{nodes}",
    "{self}",
    "é ü",
    "x\n y\n\n z",
    "{volume#1.mnt}",
    "{safe://x}",
    "{node.env}",
    "{}",
    "{{{",
    "}}}",
    "$()",
    "a = b : c",
    "; x",
    "[x]",
    "#",
];

const LINES: &[&str] = &[
    "",
    "# comment",
    "; other",
    "  # indented",
    "   continued",
    "\tcontinued",
    "[",
    "[]",
    "]",
    "= x",
    "x",
    ": y",
    "  [env]",
    "[env] trailing",
    "\u{feff}",
    "\r",
    "k=v",
    "\u{1c}",
    "  k = v",
    "k\u{a0}= v",
];

fn document(random: &mut Random) -> String {
    let mut text = String::new();
    let end = random.pick(&["\n", "\n", "\r\n", "\r"]);
    if random.below(8) > 0 {
        text.push_str("[DEFAULT]");
        text.push_str(end);
    }
    for _ in 0..random.below(24) {
        match random.below(10) {
            0 | 1 => text.push_str(&format!("[{}]", random.pick(SECTIONS))),
            2 => text.push_str(random.pick(LINES)),
            3 => text.push_str(random.pick(&["", "# comment", "   more", "  # inside"])),
            _ => {
                let indent = random.pick(&["", "", "", " ", "\t", "    "]);
                let sign = random.pick(&[" = ", "=", " : ", " =", ":"]);
                let value = random.pick(VALUES).replace('\n', &format!("{end}\t"));
                text.push_str(&format!("{indent}{}{sign}{value}", random.pick(KEYWORDS)));
            }
        }
        if random.below(40) > 0 {
            text.push_str(end);
        }
    }
    text
}

fn content(ini: &Ini) -> BTreeMap<(String, String), String> {
    let sections: Vec<&str> = ini.sections().collect();
    let of = |section: &str| -> Vec<((String, String), String)> {
        let keywords = ini.keywords(section);
        keywords.map(|(k, v)| ((section.to_owned(), k.to_owned()), v.to_owned())).collect()
    };
    sections.into_iter().flat_map(of).collect()
}

/// Everything the crate can do with a text.
fn exercise(text: &str) {
    let Ok(ini) = Ini::parse(text) else {
        assert!(Ini::parse(text).unwrap_err().line > 0);
        return;
    };
    assert_eq!(ini.text(), text);
    let node = NodeName::new("n1").unwrap();
    let ctx = match NodeConf::parse(node.clone(), text, text) {
        Ok(conf) => Context::new(Arc::new(conf)),
        Err(error) => panic!("{error}: read before"),
    };
    let settings = NodeSettings::parse(node.clone(), text, text).unwrap();
    let _ = format!("{settings:?}");
    for path in ["svc1", "test/vol/v1", "cluster", "cfg/c1", "usr/u1", "test/"] {
        let mut conf = ObjectConf::new(ObjectPath::parse(path).unwrap(), ini.clone());
        let _ = (conf.settings(&ctx), conf.scope(&ctx), conf.validate(&ctx));
        let _ = (conf.to_json(), conf.to_json_evaluated(&ctx));
        for resource in conf.resources(&ctx) {
            for keyword in KEYWORDS {
                let _ =
                    (resource.text(keyword), resource.words(keyword), resource.duration(keyword));
                let _ = (resource.size(keyword), resource.bool(keyword), resource.is_set(keyword));
            }
        }
        let _ =
            conf.edit(&ctx, &[Edit::Disable(vec!["app".into()]), Edit::Set("env.a|=x y".into())]);
        assert_eq!(Ini::parse(conf.text()).unwrap(), *conf.ini());
        let conf = conf.impersonated_settings(&ctx, "n2");
        let _ = conf;
    }
}

trait Impersonated {
    fn impersonated_settings(&self, ctx: &Context, node: &str) -> model::ObjectSettings;
}

impl Impersonated for ObjectConf {
    fn impersonated_settings(&self, ctx: &Context, node: &str) -> model::ObjectSettings {
        self.settings(&ctx.impersonating(&NodeName::new(node).unwrap())).0
    }
}

#[test]
fn drawn_documents_never_panic() {
    for seed in 0..200 {
        let text = document(&mut Random(seed));
        let run = std::panic::catch_unwind(|| exercise(&text));
        assert!(run.is_ok(), "seed {seed}: {text:?}");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut bytes = document(&mut random).into_bytes();
        for _ in 0..=random.below(6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes.truncate(at),
                2 => _ = bytes.remove(at),
                _ => bytes.insert(at, b"\0\n[]{}$()@#=:\xff"[random.below(14)]),
            }
        }
        let run = std::panic::catch_unwind(|| match Ini::from_bytes(&bytes) {
            Ok(ini) => exercise(ini.text()),
            Err(error) => assert!(error.line > 0),
        });
        assert!(run.is_ok(), "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn what_is_written_reads_back_equal_and_the_rest_stays() {
    let mut written = 0;
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let text = document(&mut random);
        let Ok(mut ini) = Ini::parse(&text) else { continue };
        let mut expected = content(&ini);
        for _ in 0..=random.below(3) {
            let section = random.pick(SECTIONS).to_owned();
            let keyword = random.pick(KEYWORDS).to_owned();
            let key = (section.clone(), keyword.clone());
            match random.below(6) {
                0 => {
                    assert_eq!(ini.unset(&section, &keyword), expected.remove(&key).is_some());
                }
                1 => {
                    ini.remove_section(&section);
                    expected.retain(|(other, _), _| *other != section);
                }
                _ => {
                    let value = random.pick(VALUES);
                    let before = ini.text().to_owned();
                    match ini.set(&section, &keyword, value) {
                        Ok(_) => {
                            let lines: Vec<&str> = value.split('\n').map(str::trim).collect();
                            expected.insert(key, lines.join("\n").trim_end().to_owned());
                            written += 1;
                        }
                        Err(_) => assert_eq!(ini.text(), before, "seed {seed}"),
                    }
                }
            }
            assert_eq!(content(&ini), expected, "seed {seed}: {text:?} became {:?}", ini.text());
            assert_eq!(Ini::parse(ini.text()).unwrap(), ini, "seed {seed}");
        }
        // Comments survive all but the removal of their section.
        let again = ini.text().to_owned();
        assert!(!ini.apply(&[]).unwrap());
        assert_eq!(ini.text(), again);
    }
    assert!(written > 1_000, "{written}");
}

#[test]
fn a_change_keeps_the_lines_of_everything_else() {
    let mut compared = 0;
    for seed in 0..2_000 {
        let mut random = Random(seed);
        // Documents without odd indentation: there nothing has to move.
        let text: String =
            document(&mut random).replace('\r', "").lines().fold(String::new(), |all, line| {
                let is_odd = line.starts_with([' ', '\t', '\u{1c}', '\u{feff}', '\u{a0}']);
                if is_odd { all } else { all + line + "\n" }
            });
        let Ok(mut ini) = Ini::parse(&text) else { continue };
        let Some((section, keyword)) = content(&ini).into_keys().next() else { continue };
        ini.set(&section, &keyword, "changed").unwrap();
        let differing = text.lines().zip(ini.text().lines()).filter(|(a, b)| a != b).count();
        assert_eq!(text.lines().count(), ini.text().lines().count(), "seed {seed}");
        assert!(differing <= 1, "seed {seed}: {text:?} became {:?}", ini.text());
        compared += 1;
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn many_changes_at_once_equal_one_after_the_other() {
    for seed in 0..1_000 {
        let mut random = Random(seed);
        let Ok(ini) = Ini::parse(&document(&mut random)) else { continue };
        let mut changes = vec![];
        for _ in 0..random.below(6) {
            let section = random.pick(SECTIONS).to_owned();
            let keyword = random.pick(KEYWORDS).to_owned();
            let value = random.pick(&["", "x", "a b", "x\ny"]).to_owned();
            changes.push(match random.below(5) {
                0 => Change::Unset { section, keyword },
                1 => Change::RemoveSection(section),
                _ => Change::Set { section, keyword, value },
            });
        }
        let (mut at_once, mut in_turn) = (ini.clone(), ini.clone());
        at_once.apply(&changes).unwrap();
        for change in &changes {
            in_turn.apply(std::slice::from_ref(change)).unwrap();
        }
        assert_eq!(
            content(&at_once),
            content(&in_turn),
            "seed {seed}: {changes:?} on {:?}",
            ini.text()
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn drawn_expressions_schedules_and_selectors_never_panic() {
    const PARTS: &[&str] = &[
        "1",
        "2.5",
        "0",
        "n1",
        "'a'",
        "\"b\"",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "&",
        "|",
        "^",
        "not ",
        " and ",
        " or ",
        " in ",
        "==",
        "<",
        ",",
        ".",
        "True",
        "None",
        "é",
        "\\",
        "'",
        "9223372036854775807",
        " ",
        "@",
        "~",
        "-",
        ":",
        "09",
        "00:00",
        "mon",
        "jan",
        "!",
        "[",
        "]",
        "{",
        "}",
        "=",
        "zone",
        "?",
        "n[1",
        "**/",
        "/",
        "svc",
        "$.",
        ".nodes",
        "<=",
        "~=",
    ];
    struct Two;
    impl Objects for Two {
        fn paths(&self) -> Vec<ObjectPath> {
            ["svc1", "test/cfg/c1"].map(|path| ObjectPath::parse(path).unwrap()).to_vec()
        }
        fn keyword(&self, _: &ObjectPath, _: &str, keyword: &str) -> Option<Value> {
            (keyword == "zone").then(|| Value::List(vec!["n1".into()]))
        }
        fn sections(&self, _: &ObjectPath) -> Vec<String> {
            vec!["svc#1".into()]
        }
        fn status(&self, _: &ObjectPath) -> Option<serde_json::Value> {
            Some(serde_json::json!({"nodes": {"n1": [1, {"a": null}]}}))
        }
    }
    let nodes = ["n1", "n2"].map(|name| NodeName::new(name).unwrap());
    let labels =
        BTreeMap::from([(nodes[0].clone(), BTreeMap::from([("zone".into(), "1".into())]))]);
    let now: jiff::civil::DateTime = "2024-02-28T23:59:30".parse().unwrap();
    for seed in 0..10_000 {
        let mut random = Random(seed);
        let text: String = (0..random.below(12)).map(|_| random.pick(PARTS)).collect();
        let run = std::panic::catch_unwind(|| {
            let _ = evaluate_expression(&text);
            let _ = NodeSelector { nodes: &nodes, labels: &labels, is_live: true }.expand(&text);
            let _ = ObjectSelector::default().expand(&text, &Two);
            if let Ok(schedule) = Schedule::parse(&text)
                && let Some(next) = schedule.next(now, Some(now), seed)
            {
                assert!(schedule.is_allowed(next, Some(now)));
            }
        });
        assert!(run.is_ok(), "seed {seed}: {text:?}");
    }
}

/// Each would take hours if the work grew with the square of the text.
#[test]
fn huge_documents_are_handled_in_proportion() {
    let many = 10_000;
    let lines = |line: &dyn Fn(usize) -> String| (0..many).map(line).collect::<String>();
    let node = NodeName::new("n1").unwrap();
    let ctx = Context::new(Arc::new(NodeConf::parse(node.clone(), "", "").unwrap()));
    let path = ObjectPath::parse("svc1").unwrap();

    let mut sections =
        ObjectConf::parse(path.clone(), &lines(&|n| format!("[app#{n}]\ninfo = x\n"))).unwrap();
    assert_eq!(sections.validate(&ctx), []);
    assert!(sections.edit(&ctx, &[Edit::Set("app.stop=y".into())]).unwrap());
    assert_eq!(sections.ini().get("app#9999", "stop"), Some("y"));
    assert!(sections.edit(&ctx, &[Edit::DeleteSection("app#5".into())]).unwrap());

    let text = format!("[DEFAULT]\n{}[app#1]\n", lines(&|n| format!("k{n} = {{env.x{n}}}\n")));
    let keywords = ObjectConf::parse(path.clone(), &text).unwrap();
    // Each is unknown, and refers to nothing.
    assert_eq!(keywords.validate(&ctx).len(), 2 * many);

    let text = format!("[DEFAULT]\n{}", lines(&|n| format!("k@n{n} = v\n")));
    assert_eq!(ObjectConf::parse(path.clone(), &text).unwrap().validate(&ctx).len(), 1);

    for (before, line) in [
        ("[DEFAULT]\nk = v\n", "  more\n"),
        ("[DEFAULT]\nk = v\n", "  # inside\n"),
        ("[DEFAULT]\nk = v\n", "\n"),
        ("", "# above\n"),
        ("", "[env]\n"),
        ("[env]\n", "k = v\n"),
    ] {
        let mut ini = Ini::parse(&format!("{before}{}", line.repeat(many))).unwrap();
        ini.set("env", "x", "y").unwrap();
        ini.remove_section("env");
        assert!(!ini.has_section("env"));
    }

    let long = "x".repeat(2_000_000);
    assert_eq!(
        Ini::parse(&format!("[env]\na = {long}\n")).unwrap().get("env", "a"),
        Some(long.as_str())
    );
    assert!(Ini::parse(&long).is_err());
    assert!(Ini::from_bytes(&vec![0; 2_000_000]).is_err());

    let words: String = (0..10 * many).map(|n| format!("w{n} ")).collect();
    let mut list = ObjectConf::parse(path.clone(), &format!("[env]\nl = {words}\n")).unwrap();
    for operator in ["+=", "|=", "-="] {
        list.edit(&ctx, &[Edit::Set(format!("env.l[0]{operator}{words}").replace("[0]-=", "-="))])
            .unwrap();
    }
}

/// References that multiply, go round, or nest: the work for one value is bounded.
#[test]
fn references_can_not_explode() {
    let node = NodeName::new("n1").unwrap();
    let ctx = Context::new(Arc::new(NodeConf::parse(node, "", "").unwrap()));
    let path = ObjectPath::parse("svc1").unwrap();
    let conf = |text: &str| ObjectConf::parse(path.clone(), text).unwrap();

    let laughs: String =
        (0..20).map(|n| format!("a{n} = {}\n", format!("{{env.a{}}}", n + 1).repeat(10))).collect();
    let laughs = conf(&format!("[env]\n{laughs}a20 = ha\n"));
    assert!(laughs.eval(&ctx, "env", "a0").is_err());

    let rounds =
        conf("[env]\na = {env.b}\nb = {env.a}\nc = {env.c} {env.a}\n[DEFAULT]\nnodes = {nodes}\n");
    assert_eq!(rounds.eval(&ctx, "env", "a").unwrap().value, Value::Text("{env.a}".into()));
    for (section, keyword) in [("env", "b"), ("env", "c"), ("DEFAULT", "nodes")] {
        assert!(rounds.eval(&ctx, section, keyword).is_ok(), "{section}.{keyword}");
    }
    // Each of 20 refers to all 20: exponential for who does not count.
    let all: String = (0..20).map(|n| format!("{{env.k{n}}}")).collect();
    let web: String = (0..20).map(|n| format!("k{n} = {all}\n")).collect();
    let web = conf(&format!("[env]\n{web}"));
    assert!(web.eval(&ctx, "env", "k0").is_err());
    let _ = (web.validate(&ctx), web.settings(&ctx));

    let groups = conf(
        "[DEFAULT]\nnodes@drpnodes = n1\ndrpnodes@nodes = n1\ndrpnodes@flex_primary = n2\nflex_primary@drpnodes = n1\n",
    );
    let _ = groups.settings(&ctx);
    let nested = conf(&format!("[env]\na = {}x{}\n", "{".repeat(100_000), "}".repeat(100_000)));
    assert!(nested.eval(&ctx, "env", "a").is_ok());
    let unknown = conf(&format!("[env]\na = {}\n", "{x.y} ".repeat(50_000)));
    assert!(unknown.eval(&ctx, "env", "a").is_ok());
}
