use super::*;

const TEXT: &str = "# top\n[DEFAULT]\nnodes = n1  \n; why\n a=b\n\n[app#1]\nstart = /bin/a\n  x\n # in\n  y\n\n# about env\n[env]\n";

#[test]
fn a_change_leaves_the_other_lines_as_they_are() {
    let mut ini = Ini::parse(TEXT).unwrap();
    assert!(!ini.set("app#1", "start", "/bin/a\nx\ny").unwrap());
    assert!(ini.set("app#1", "start", "/bin/b").unwrap());
    assert_eq!(
        ini.text(),
        TEXT.replace("start = /bin/a\n  x\n # in\n  y\n", "start = /bin/b\n # in\n")
    );
}

#[test]
fn a_new_keyword_comes_after_the_last_of_its_section() {
    let mut ini = Ini::parse(TEXT).unwrap();
    assert!(ini.set("env", "k", "v").unwrap());
    assert!(ini.set("app#2", "start", "/bin/c").unwrap());
    assert_eq!(ini.text(), format!("{TEXT}k = v\n\n[app#2]\nstart = /bin/c\n"));
}

#[test]
fn a_removed_section_leaves_the_comment_of_the_next() {
    let mut ini = Ini::parse(TEXT).unwrap();
    assert!(ini.remove_section("app#1"));
    assert_eq!(ini.text(), "# top\n[DEFAULT]\nnodes = n1  \n; why\n a=b\n\n# about env\n[env]\n");
}

#[test]
fn a_value_of_json_is_written_as_an_operator_would() {
    let told = |value: serde_json::Value| Ini::text_of(&value);
    assert_eq!(told(serde_json::json!("a b")), Some("a b".to_owned()));
    assert_eq!(told(serde_json::json!(["n1", "n2", 3])), Some("n1 n2 3".to_owned()));
    assert_eq!(told(serde_json::json!(true)), Some("true".to_owned()));
    assert_eq!(told(serde_json::json!(1.5)), Some("1.5".to_owned()));
    assert_eq!(told(serde_json::Value::Null), None);
}
