use std::sync::Arc;

use model::{NodeName, ObjectPath};

use super::*;
use crate::{NodeConf, ObjectConf};

fn context() -> Context {
    let node = NodeName::new("n1").unwrap();
    Context::new(Arc::new(NodeConf::parse(node, "[cluster]\nnodes = n1 n2\n", "").unwrap()))
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut conf = ObjectConf::parse(ObjectPath::parse("svc1").unwrap(), text).unwrap();
    conf.edit(&context(), edits).unwrap();
    conf.text().to_owned()
}

fn set(text: &str) -> Edit {
    Edit::Set(text.into())
}

#[test]
fn an_index_counts_as_in_a_list_of_the_field() {
    for (index, result) in [("-1", "a x b"), ("-9", "x a b"), ("9", "a b x"), ("0", "x a b")] {
        let found = edited("[env]\nl = a b\n", &[set(&format!("env.l[{index}]+=x"))]);
        assert_eq!(found, format!("[env]\nl = {result}\n"), "{index}");
    }
}

#[test]
fn edits_of_one_command_see_each_other() {
    let text = "[env]\nl = a\n";
    assert_eq!(edited(text, &[set("env.l=b"), set("env.l+=c")]), "[env]\nl = b c\n");
    assert_eq!(edited(text, &[Edit::Unset("env.l".into()), set("env.l+=c")]), "[env]\nl = c\n");
    assert_eq!(
        edited(text, &[Edit::DeleteSection("env".into()), set("env.l+=c")]),
        "[env]\nl = c\n"
    );
    assert_eq!(edited(text, &[set("env.l+=c"), Edit::DeleteSection("env".into())]), "");
}

#[test]
fn the_older_options_edit_as_the_operators_do() {
    let add = Edit::Add { param: "env.l".into(), value: "x".into(), index: Some(1) };
    let remove = Edit::Remove { param: "env.l".into(), value: "a".into() };
    let value = Edit::SetValue { param: "env.m".into(), value: "a=b".into() };
    assert_eq!(edited("[env]\nl = a b\n", &[add, remove, value]), "[env]\nl = x b\nm = a=b\n");
}

#[test]
fn enabling_and_disabling_drop_scopes_that_say_the_opposite() {
    let text = "[DEFAULT]\nnodes = n1\n[app#1]\ndisable@n1 = false\ndisable@n2 = true\n[app#2]\n";
    assert_eq!(
        edited(text, &[Edit::Disable(vec!["app".into()])]),
        "[DEFAULT]\nnodes = n1\n[app#1]\ndisable@n2 = true\ndisable = true\n[app#2]\ndisable = true\n"
    );
    let text = "[DEFAULT]\nnodes = n1\ndisable = true\ndisable@n2 = yes\n";
    assert_eq!(edited(text, &[Edit::Enable(vec![])]), "[DEFAULT]\nnodes = n1\n");
}

#[test]
fn a_malformed_edit_changes_nothing() {
    let text = "[env]\nl = a\n";
    let mut conf = ObjectConf::parse(ObjectPath::parse("svc1").unwrap(), text).unwrap();
    for edit in
        ["env.l", "env.l[x]+=b", "env.l[0]=b", "=b", ".l=b", "env.=b", "@n1=b", "env.l=a\n#b"]
    {
        let edits = [set("env.k=v"), set(edit)];
        assert!(conf.edit(&context(), &edits).is_err(), "{edit}");
        assert_eq!(conf.text(), text);
    }
}

#[test]
fn what_nobody_reads_is_set_in_no_file_of_a_node() {
    let mut conf = ObjectConf::parse(ObjectPath::cluster(), "[DEFAULT]\nfoo = 1\n").unwrap();
    let mut said = |edit| conf.edit(&context(), &[edit]).map_err(|error| error.to_string());
    let near = said(set("env=TST")).unwrap_err();
    assert_eq!(near, "nobody reads env without a section: did you mean node.env?");
    assert!(said(set("foo+=2")).unwrap_err().contains("expected section.keyword"));
    assert_eq!(said(set("comment=ours")), Ok(true));
    // Who cleans up may.
    assert_eq!(said(Edit::Unset("foo".into())), Ok(true));
}

#[test]
fn a_list_starts_from_its_default() {
    assert_eq!(edited("[DEFAULT]\n", &[set("nodes+=n2")]), "[DEFAULT]\nnodes = n1 n2\n");
}

#[test]
fn a_section_without_a_keyword_left_goes_where_it_would_mean_nothing() {
    let unset = |keyword: &str| Edit::Unset(keyword.into());
    let cluster = |text: &str, edits: &[Edit]| {
        let mut conf = ObjectConf::parse(ObjectPath::cluster(), text).unwrap();
        conf.edit(&context(), edits).map(|_| conf.text().to_owned())
    };
    let text = "[cluster]\nname = c\n\n[hb#1]\ntype = unicast\n\n[hb#2]\ntype = disk\ndev = /d\n";
    let edits = [unset("hb#2.type"), unset("hb#2.dev")];
    assert_eq!(
        cluster(text, &edits).unwrap().trim_end(),
        "[cluster]\nname = c\n\n[hb#1]\ntype = unicast"
    );
    assert!(cluster(text, &edits[1..]).unwrap().contains("[hb#2]\ntype = disk\n"));
    let again = [&edits[..], &[set("hb#2.type=relay")]].concat();
    assert!(cluster(text, &again).unwrap().contains("[hb#2]\ntype = relay\n"));
    // A resource whose group has a default type stays one, as in the field.
    let object = "[DEFAULT]\nid = i\n[fs#1]\ntype = flag\n[app#1]\nstart = /bin/a\n";
    assert_eq!(
        edited(object, &[unset("fs#1.type"), unset("app#1.start")]),
        "[DEFAULT]\nid = i\n[app#1]\n"
    );
}

#[test]
fn a_keyword_of_the_cluster_is_not_set_where_nothing_reads_it() {
    let mut conf = ObjectConf::parse(ObjectPath::cluster(), "[DEFAULT]\nnodes = n1\n").unwrap();
    for text in ["nodes=n1 n2", "nodes+=n2", "quorum@n1=true"] {
        let error = conf.edit(&context(), &[set(text)]).unwrap_err();
        assert!(error.to_string().contains("cluster."), "{error}");
    }
    // What is there already can be removed.
    conf.edit(&context(), &[Edit::Unset("nodes".into())]).unwrap();
    assert!(!conf.text().contains("nodes"));
}
