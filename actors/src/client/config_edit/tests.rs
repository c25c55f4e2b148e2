use std::os::unix::fs::PermissionsExt as _;

use model::NodeName;

use super::*;
use crate::paths::Paths;

struct Place {
    om: Om,
    folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    let om = Om { paths, nodename: NodeName::new("n1").unwrap(), output: om::Output::default() };
    Place { om, folder }
}

impl Place {
    fn object(&self, text: &str) -> Owner {
        let path = ObjectPath::parse("web").unwrap();
        std::fs::write(self.om.paths.config_file(&path), text).unwrap();
        Owner::Object(path)
    }

    fn text(&self, owner: &Owner) -> String {
        std::fs::read_to_string(owner.file(&self.om)).unwrap()
    }

    fn set(&self, owner: &Owner, edit: &str) -> Result<(), Failure> {
        change(&self.om, owner, &[Edit::Set(edit.to_owned())], false)
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
    let file = owner.file(&place.om);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    place.set(&owner, "orchestrate=no").unwrap();
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\n# kept\norchestrate = no\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let before = crate::config::FileStamp::of(&file);
    place.set(&owner, "orchestrate=no").unwrap();
    assert_eq!(crate::config::FileStamp::of(&file), before);
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
    edit(&place.om, &owner, false, false, &place.editor("orchestrate = ha")).unwrap();
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\norchestrate = ha\n");
    let copy = place.om.paths.tmp.join("web.conf.tmp");
    assert!(!copy.exists());

    let invalid = place.editor("topology = ring");
    let failure = edit(&place.om, &owner, false, false, &invalid).unwrap_err();
    assert!(failure.lines.iter().any(|line| line.contains("--recover")), "{failure:?}");
    assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\norchestrate = ha\n");
    assert!(copy.exists());

    let failure = edit(&place.om, &owner, false, false, "true").unwrap_err();
    assert!(failure.lines[0].contains("--discard"), "{failure:?}");
    edit(&place.om, &owner, false, true, "true").unwrap();
    assert!(!copy.exists());
}

#[test]
fn an_edit_does_not_overwrite_what_somebody_else_wrote_meanwhile() {
    let place = place();
    let owner = place.object("[DEFAULT]\nid = x\n");
    let file = owner.file(&place.om).display().to_string();
    let meanwhile = format!("sh -c 'echo tags = a >> {file}; echo orchestrate = ha >> $0'");
    let failure = edit(&place.om, &owner, false, false, &meanwhile).unwrap_err();
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
