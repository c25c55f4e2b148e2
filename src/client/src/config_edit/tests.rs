use std::os::unix::fs::PermissionsExt as _;

use model::NodeName;

use super::*;

use machine::paths::Paths;

struct Place {
    om: Om,
    folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    let om = Om { paths, nodename: NodeName::new("n1").unwrap(), output: cli::Output::default() };
    Place { om, folder }
}

impl Place {
    fn object(&self, text: &str) -> Owner {
        let path = ObjectPath::parse("web").unwrap();
        std::fs::write(self.om.paths.config_file(&path), text).unwrap();
        Owner::Object(path)
    }

    fn text(&self, owner: &Owner) -> String {
        std::fs::read_to_string(owner.file(&self.om.paths)).unwrap()
    }

    fn set(&self, owner: &Owner, edit: &str) -> Result<(), Failure> {
        change(&self.om, owner, &[Edit::Set(edit.to_owned())], Manner::default())
    }

    /// An editor that appends a line.
    fn editor(&self, line: &str) -> String {
        let program = self.folder.path().join("editor");
        std::fs::write(&program, format!("#!/bin/sh\nprintf '%s\\n' '{line}' >> \"$1\"\n"))
            .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program.display().to_string()
    }
}

#[test]
fn no_writer_loses_the_change_of_another_one() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (place, owner) = (&place, &owner);
            scope.spawn(move || place.set(owner, &format!("env.k{writer}=v")).unwrap());
        }
    });
    let text = place.text(&owner);
    for writer in 0..8 {
        assert!(text.contains(&format!("k{writer} = v")), "{text}");
    }
}

#[test]
fn a_write_keeps_the_mode_and_an_edit_without_effect_writes_nothing() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n# kept\norchestrate = ha\n");
    let file = owner.file(&place.om.paths);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    place.set(&owner, "orchestrate=no").unwrap();
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\n# kept\norchestrate = no\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let before = files::read::stamp(&file);
    place.set(&owner, "orchestrate=no").unwrap();
    assert_eq!(files::read::stamp(&file), before);
}

#[test]
fn an_edit_may_not_make_the_configuration_invalid() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n");
    let before = place.text(&owner);
    let failure = place.set(&owner, "orchestrate=sometimes").unwrap_err();
    assert!(failure.lines.iter().any(|line| line.contains("orchestrate")), "{failure:?}");
    assert_eq!(place.text(&owner), before);
    // A mistake that was there before is no reason to refuse the edit that mends another one.
    let owner = place.object("[DEFAULT]\nid = x\norchestrate = sometimes\ntopology = ring\n");
    place.set(&owner, "topology=flex").unwrap();
}

#[test]
fn an_editor_changes_the_file_at_once_or_not_at_all() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n");
    edit(
        &place.om,
        &owner,
        Editing { recover: false, discard: false, force: false },
        &place.editor("orchestrate = ha"),
    )
    .unwrap();
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\norchestrate = ha\n");
    let copy = place.om.paths.tmp.join("web.conf.tmp");
    assert!(!copy.exists());

    let invalid = place.editor("topology = ring");
    let failure =
        edit(&place.om, &owner, Editing { recover: false, discard: false, force: false }, &invalid)
            .unwrap_err();
    assert!(failure.lines.iter().any(|line| line.contains("--recover")), "{failure:?}");
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\norchestrate = ha\n");
    assert!(copy.exists());

    let failure =
        edit(&place.om, &owner, Editing { recover: false, discard: false, force: false }, "true")
            .unwrap_err();
    assert!(failure.lines[0].contains("--discard"), "{failure:?}");
    edit(&place.om, &owner, Editing { recover: false, discard: true, force: false }, "true")
        .unwrap();
    assert!(!copy.exists());
}

#[test]
fn an_edit_does_not_overwrite_what_somebody_else_wrote_meanwhile() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n");
    let file = owner.file(&place.om.paths).display().to_string();
    let meanwhile = format!("sh -c 'echo tags = a >> {file}; echo orchestrate = ha >> $0'");
    let failure = edit(
        &place.om,
        &owner,
        Editing { recover: false, discard: false, force: false },
        &meanwhile,
    )
    .unwrap_err();
    assert!(failure.lines[0].contains("somebody else"), "{failure:?}");
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\ntags = a\n");
}

#[test]
fn what_an_operator_gets_is_what_is_set_or_what_applies() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\nnodes = {nodename}\n");
    let get = |keyword: &str, eval| {
        let values = get(&place.om, &owner, &[keyword.to_owned()], eval, None).unwrap();
        spelled(values[0].1.as_ref())
    };
    assert_eq!(get("nodes", false), "{nodename}");
    assert_eq!(get("nodes", true), "n1");
    assert_eq!(get("orchestrate", false), "None");
    assert_eq!(get("orchestrate", true), "no");
}

#[test]
fn node_conf_is_written_and_checked_too() {
    let place = place();
    let set = |edit: &str| place.set(&Owner::Node, edit);
    set("node.env=PRD").unwrap();
    assert_eq!(place.text(&Owner::Node).trim(), "[node]\nenv = PRD");
    let mode = std::fs::metadata(place.om.paths.node_conf()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_evaluated_value_of_several_lines_reads_as_in_a_file() {
    let value = json!({"app#1": {"script": "one\ntwo", "start": "/bin/true"}});
    assert_eq!(evaluated_text(&value), "[app#1]\nscript = one\n\ttwo\nstart = /bin/true\n\n");
}

const CLUSTER: &str = "[cluster]\nid = i\nsecret = abcdefghijklmnop\nnodes = n1 n2\n";

#[test]
fn an_edit_does_not_take_the_node_out_of_its_cluster() {
    let place = place();
    let owner = Owner::Object(ObjectPath::cluster());
    let file = owner.file(&place.om.paths);
    std::fs::write(&file, CLUSTER).unwrap();
    for edit in [
        "cluster.secret=short",
        "cluster.envelope=classic",
        "cluster.nodes=n2",
        "nodes=n1 n2 n3",
        "listener.port=abc",
        "listener.port=99999",
        "hb#1.type=bogus",
        "arbitrator#1.secret=short",
        "node.ready_period=abc",
    ] {
        let failure = place.set(&owner, edit).unwrap_err();
        let (keyword, value) = edit.split_once('=').unwrap();
        let keyword = keyword.split('.').next_back().unwrap();
        assert!(failure.lines.iter().any(|line| line.contains(keyword)), "{edit}: {failure:?}");
        if keyword == "secret" {
            assert!(!failure.lines.iter().any(|line| line.contains(value)), "{failure:?}");
        }
        assert_eq!(place.text(&owner), CLUSTER, "{edit}");
    }
    let unset = |keyword: &str| {
        change(&place.om, &owner, &[Edit::Unset(keyword.into())], Manner::default())
    };
    unset("cluster.secret").unwrap_err();
    let editor = place.editor("envelope = classic");
    edit(&place.om, &owner, Editing { recover: false, discard: false, force: false }, &editor)
        .unwrap_err();
    edit(&place.om, &owner, Editing { recover: false, discard: true, force: false }, "true")
        .unwrap();
    // Step by step, and alone.
    place.set(&owner, "cluster.envelope=any").unwrap();
    place.set(&owner, "cluster.envelope=classic").unwrap();
    place.set(&owner, "cluster.nodes=n1").unwrap_err();
    let forced = Manner { force: true, ..Manner::default() };
    change(&place.om, &owner, &[Edit::Set("cluster.nodes=n1".into())], forced).unwrap();
    place.set(&owner, "cluster.envelope=sealed").unwrap();
    place.set(&owner, "cluster.secret=another-good-secret-of-bytes").unwrap();
}

#[test]
fn a_heartbeat_is_removed_keyword_by_keyword() {
    let place = place();
    let owner = Owner::Object(ObjectPath::cluster());
    let one = format!("{CLUSTER}\n[hb#1]\ntype = unicast\n");
    let two = format!("{one}\n[hb#2]\ntype = disk\ndev = /d\n");
    std::fs::write(owner.file(&place.om.paths), two).unwrap();
    let edits = ["hb#2.type", "hb#2.dev"].map(|keyword| Edit::Unset(keyword.to_owned()));
    change(&place.om, &owner, &edits, Manner::default()).unwrap();
    assert_eq!(place.text(&owner).trim_end(), one.trim_end());
}

#[test]
fn an_edit_that_is_gone_on_with_does_not_overwrite_what_was_written_since() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n");
    let invalid = place.editor("topology = ring");
    edit(&place.om, &owner, Editing { recover: false, discard: false, force: false }, &invalid)
        .unwrap_err();
    place.set(&owner, "tags=theirs").unwrap();
    let theirs = place.text(&owner);
    let copy = place.om.paths.tmp.join("web.conf.tmp");
    std::fs::write(&copy, "[DEFAULT]\nid = x\norchestrate = ha\n").unwrap();
    let failure =
        edit(&place.om, &owner, Editing { recover: true, discard: false, force: false }, "true")
            .unwrap_err();
    assert!(failure.lines.iter().any(|line| line.contains("diff -u")), "{failure:?}");
    assert_eq!(place.text(&owner), theirs);
    // Merged, and said so.
    std::fs::write(&copy, "[DEFAULT]\nid = x\ntags = theirs\norchestrate = ha\n").unwrap();
    let base = place.om.paths.tmp.join("web.conf.tmp.base");
    std::fs::copy(owner.file(&place.om.paths), &base).unwrap();
    edit(&place.om, &owner, Editing { recover: true, discard: false, force: false }, "true")
        .unwrap();
    assert!(place.text(&owner).contains("tags = theirs\norchestrate = ha"));
    assert!(!copy.exists() && !base.exists());
}

#[test]
fn validation_names_what_the_daemon_would_of_all_files() {
    let place = place();
    let web = place.object("[DEFAULT]\nid = x\nnodes = nn1\n");
    let cluster = Owner::Object(ObjectPath::cluster());
    assert_eq!(validate(&place.om, &web).unwrap(), 1);
    std::fs::write(owner_file(&place, &web), b"[DEFAULT]\nid = \xff\n").unwrap();
    let found = complaints(&place.om, &web).unwrap();
    assert!(found[0].to_string().contains("web.conf line 2"), "{found:?}");
    assert_eq!(validate(&place.om, &web).unwrap(), 1);
    let large = std::fs::File::create(owner_file(&place, &web)).unwrap();
    large.set_len(20 << 20).unwrap();
    assert_eq!(validate(&place.om, &web).unwrap(), 1);
    std::fs::write(owner_file(&place, &cluster), "garbage\n").unwrap();
    std::fs::write(owner_file(&place, &Owner::Node), "garbage\n").unwrap();
    assert_eq!(validate(&place.om, &cluster).unwrap(), 2);
    assert_eq!(validate(&place.om, &web).unwrap(), 3);
    // Of a pipe, at once.
    std::fs::remove_file(owner_file(&place, &web)).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, owner_file(&place, &web), rustix::fs::Mode::RWXU)
        .unwrap();
    assert_eq!(validate(&place.om, &web).unwrap(), 3);
}

fn owner_file(place: &Place, owner: &Owner) -> std::path::PathBuf {
    owner.file(&place.om.paths)
}
