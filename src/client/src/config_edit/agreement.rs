//! One table of wrong lines: `create --config`, `create --kw`, `set --kw`, `edit config`, `validate config` and the daemon that
//! loads the file say the same of each, and none of the first four writes it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use cli::CreateOptions;
use model::NodeName;

use super::*;

use crate::create;
use dataset::config::LoadedConfig;
use files::load::Load as _;
use machine::paths::Paths;

const CLUSTER: &str =
    "[cluster]\nname = c\nid = i\nsecret = 0123456789abcdef0123456789abcdef\nnodes = n1 n2\n";

/// What a good service has; the wrong line comes after it.
const GOOD: &str = "[DEFAULT]\nid = x\nnodes = n1 n2\n";

/// What comes after [`GOOD`], the edits that make it, and the place and the words of what is told; in the end whether the file is
/// one that deployed agents run.
const WRONG: &[(&str, &[&str], &str, &str, bool)] = &[
    ("priority = abc\n", &["priority=abc"], "DEFAULT.priority", "\"abc\" is not a number", true),
    (
        "flex_min = -1\n",
        &["flex_min=-1"],
        "DEFAULT.flex_min",
        "\"-1\" is not a number from 0",
        true,
    ),
    (
        "[app#1]\nstart_timeout = soon\n",
        &["app#1.start_timeout=soon"],
        "app#1.start_timeout",
        "\"soon\" is not a duration, as 90, 1m30s, 0.5s or 250ms",
        true,
    ),
    (
        "[app#1]\nlimit_as = lots\n",
        &["app#1.limit_as=lots"],
        "app#1.limit_as",
        "\"lots\" is not a size, as 10, 1.5g, 100MiB or 20%FREE",
        false,
    ),
    (
        "[app#1]\nmonitor = maybe\n",
        &["app#1.monitor=maybe"],
        "app#1.monitor",
        "\"maybe\" is not a boolean: true or false",
        false,
    ),
    (
        "[app#1]\ntype = simpel\n",
        &["app#1.type=simpel"],
        "app#1.type",
        "unknown driver app.simpel: did you mean simple? The drivers of app are forking, simple, winservice",
        false,
    ),
    (
        "[fs#1]\ntype = ext5\ndev = /a\nmnt = /b\n",
        &["fs#1.type=ext5", "fs#1.dev=/a", "fs#1.mnt=/b"],
        "fs#1.type",
        "ext5 is no file system type: did you mean ext4?",
        true,
    ),
    (
        "[fs#1]\ntype = ext4\nmnt = /b\n",
        &["fs#1.type=ext4", "fs#1.mnt=/b"],
        "fs#1.dev",
        "required, and not set",
        false,
    ),
    (
        "[app#1]\nstop = /bin/a {fs#2.mnt}\n",
        &["app#1.stop=/bin/a {fs#2.mnt}"],
        "app#1.stop",
        "{fs#2.mnt} resolves to nothing, and stays as it is",
        true,
    ),
    (
        "[app#1]\nstart = /bin/sh -c 'a\n",
        &["app#1.start=/bin/sh -c 'a"],
        "app#1.start",
        "\"/bin/sh -c 'a\" is not a command line: a quote is not closed",
        true,
    ),
    (
        "[app#1]\nstart@paris = /bin/a\n",
        &["app#1.start@paris=/bin/a"],
        "app#1.start@paris",
        "paris is no node of the cluster: its nodes are n1, n2",
        true,
    ),
    (
        "flex_primary = n3\n",
        &["flex_primary=n3"],
        "DEFAULT.flex_primary",
        "n3 is none of nodes",
        true,
    ),
    (
        "[app#1]\nstart =\n",
        &["app#1.start="],
        "app#1.start",
        "it is empty: expected a command, true to call the script, or no such line",
        true,
    ),
    (
        "[app#1]\nstop = /bin/a\nstop = /bin/b\n",
        &[],
        "app#1.stop",
        "it stands twice: the last one counts",
        true,
    ),
    (
        "[app#1]\n[app#2]\n[app#1]\nstop = /bin/b\n",
        &[],
        "[app#1]",
        "it stands twice: both are read as one",
        true,
    ),
    (
        "parents = dbb\n",
        &["parents=dbb"],
        "DEFAULT.parents",
        "no object dbb: did you mean db1?",
        true,
    ),
    (
        "flex_min = 2\nflex_max = 1\n",
        &["flex_min=2", "flex_max=1"],
        "DEFAULT.flex_max",
        "1 is less than flex_min, 2",
        true,
    ),
    (
        "[task#1]\ncommand = /bin/a\nschedule = */5 * * * *\n",
        &["task#1.command=/bin/a", "task#1.schedule=*/5 * * * *"],
        "task#1.schedule",
        "\"*/5 * * * *\" is a line of a crontab, expected a schedule: @5",
        true,
    ),
    (
        "topology = ring\n",
        &["topology=ring"],
        "DEFAULT.topology",
        "\"ring\" is not one of failover, flex",
        false,
    ),
    (
        "constraints = $(1 +)\n",
        &["constraints=$(1 +)"],
        "DEFAULT.constraints",
        "expression: ",
        false,
    ),
];

struct Place {
    om: Om,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    std::fs::write(paths.cluster_conf(), CLUSTER).unwrap();
    let db = ObjectPath::parse("db1").unwrap();
    std::fs::write(paths.config_file(&db), GOOD).unwrap();
    let om = Om { paths, nodename: NodeName::new("n1").unwrap(), output: cli::Output::default() };
    Place { om, _folder: folder }
}

fn web() -> ObjectPath {
    ObjectPath::parse("web").unwrap()
}

impl Place {
    fn write(&self, text: &str) -> Owner {
        std::fs::write(self.om.paths.config_file(&web()), text).unwrap();
        Owner::Object(web())
    }

    fn create(&self, text: &str, edits: &[&str], force: bool) -> Result<(), Failure> {
        let keywords = edits.iter().map(|edit| cli::Edit((*edit).to_owned())).collect();
        let options = CreateOptions { keywords, force, ..CreateOptions::default() };
        create::create(&self.om, &web(), text, &options, &[web()])
    }

    /// An editor that leaves `text`.
    fn editor(&self, text: &str) -> String {
        let (program, content) =
            (self.om.paths.tmp.join("editor"), self.om.paths.tmp.join("content"));
        std::fs::write(&content, text).unwrap();
        std::fs::write(&program, format!("#!/bin/sh\ncp {} \"$1\"\n", content.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program.display().to_string()
    }
}

/// Whether a line names the file, a line of it where `has_line`, the place and the words.
fn tells(line: &str, has_line: bool, place: &str, words: &str) -> bool {
    let Some(rest) = line.strip_prefix("web.conf") else { return false };
    let (number, rest) = rest.split_once(": ").unwrap_or((rest, ""));
    let has_number =
        number.strip_prefix(" line ").is_some_and(|number| number.parse::<usize>().is_ok());
    (has_number || !has_line) && rest.starts_with(&format!("{place}: {words}"))
}

fn refused(done: Result<(), Failure>, place: &str, words: &str, how: &str) {
    let failure = done.expect_err(how);
    assert_eq!(failure.code, 1, "{how}: {failure:?}");
    assert!(tells(&failure.lines[0], true, place, words), "{how}: {failure:?}");
    let last = failure.lines.last().unwrap();
    assert!(
        ["nothing is written", "is not created", "the edit is kept"]
            .iter()
            .any(|it| last.contains(it)),
        "{how}: {failure:?}"
    );
}

#[test]
fn whoever_is_asked_says_the_same_of_a_wrong_line() {
    for (wrong, edits, at, words, is_run) in WRONG {
        let place = place();
        let file = place.om.paths.config_file(&web());
        let text = format!("{GOOD}{wrong}");
        refused(place.create(&text, &[], false), at, words, "create --config");
        assert!(!file.exists() && !place.om.paths.instance_frozen(&web()).exists(), "{wrong}");
        if !edits.is_empty() {
            let nodes = ["nodes=n1 n2"];
            let all: Vec<&str> = nodes.iter().chain(edits.iter()).copied().collect();
            refused(place.create("", &all, false), at, words, "create --kw");
            assert!(!file.exists(), "{wrong}");
        }
        let owner = place.write(GOOD);
        if !edits.is_empty() {
            let edits: Vec<Edit> = edits.iter().map(|edit| Edit::Set((*edit).to_owned())).collect();
            let set = |force| change(&place.om, &owner, &edits, Manner { eval: false, force });
            refused(set(false), at, words, "set --kw");
            assert_eq!(set(true).is_ok(), *is_run, "set --force: {wrong}");
            place.write(GOOD);
        }
        let editor = place.editor(&text);
        let edited = edit(&place.om, &owner, Editing::default(), &editor);
        refused(edited, at, words, "edit config");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), GOOD);
        let how = Editing { discard: true, force: true, ..Editing::default() };
        assert_eq!(edit(&place.om, &owner, how, &editor).is_ok(), *is_run, "edit --force: {wrong}");

        place.write(&text);
        let told: Vec<String> =
            complaints(&place.om, &owner).unwrap().iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| tells(line, true, at, words)), "validate: {told:?}");
        assert_ne!(validate(&place.om, &owner).unwrap(), 0, "{wrong}");
        // What was wrong before does not keep another edit from being made.
        let other = [Edit::Set("env.a=b".to_owned())];
        change(&place.om, &owner, &other, Manner::default()).unwrap();

        // The daemon manages it all the same.
        let loaded = LoadedConfig::load(&place.om.paths, &place.om.nodename);
        let object = loaded.objects.get(&web()).expect("it is loaded");
        assert!(object.has_instance(&place.om.nodename), "{wrong}");
        // It does not know all objects yet when it loads one of them.
        if !at.ends_with("parents") {
            let told: Vec<String> = object.complaints.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|line| tells(line, true, at, words)), "daemon: {told:?}");
        }
    }
}

/// A file that a peer or an operator changes while the daemon runs: what deployed agents run is in force.
#[test]
fn what_deployed_agents_run_is_in_force_after_a_change_too() {
    for (wrong, _, at, _, is_run) in WRONG {
        let place = place();
        place.write(GOOD);
        let mut config = LoadedConfig::load(&place.om.paths, &place.om.nodename);
        place.write(&format!("{GOOD}{wrong}[env]\nnew = yes\n"));
        config.reload_objects(&place.om.paths, &[web()]);
        let object: &Arc<_> = config.objects.get(&web()).unwrap();
        let is_new = object.conf().get("env.new").is_some();
        assert_eq!(is_new, *is_run, "{at}: {wrong}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_line_by_all() {
    let place = place();
    let text = format!("{GOOD}no delimiter\n");
    let expected = "web.conf line 4: \"no delimiter\" is neither a comment, a [section], nor `keyword = value`";
    assert_eq!(place.create(&text, &[], false).unwrap_err().lines, [expected]);
    let owner = place.write(GOOD);
    let editor = place.editor(&text);
    let failure = edit(&place.om, &owner, Editing::default(), &editor).unwrap_err();
    assert_eq!(failure.lines[0], expected);
    place.write(&text);
    assert_eq!(complaints(&place.om, &owner).unwrap()[0].to_string(), expected);
    let loaded = LoadedConfig::load(&place.om.paths, &place.om.nodename);
    assert_eq!(loaded.complaints["web.conf"][0].to_string(), expected);
}
