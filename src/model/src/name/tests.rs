use super::*;

#[test]
fn a_path_could_not_leave_its_folder() {
    for text in
        ["../x", "a/../b", "..", ".", "svc/..", "a\nb", "x/svc/..", "a,b", "a+b", "a/b/c/d", ""]
    {
        assert!(ObjectPath::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_configuration_file_belongs_to_one_path() {
    for text in ["svc1", "cfg/c1", "test/svc/svc1", "cluster", "test/", "test/sec/s1"] {
        let path = ObjectPath::parse(text).unwrap();
        assert_eq!(ObjectPath::from_config_file(&path.config_file()), Some(path), "{text}");
    }
    for file in
        ["node.conf", "svc/x.conf", ".x.conf", "namespaces/root/svc/x.conf", "x", "x.conf.tmp"]
    {
        assert_eq!(ObjectPath::from_config_file(file), None, "{file}");
    }
}

#[test]
fn a_node_name_is_a_host_name() {
    for text in
        ["10.0.0.1", "10.1", "10.1.", "0x7f.1", "1.2.3.4.5", "::1", "[fe80::1]", "fe80::1%eth0"]
    {
        let error = NodeName::new(text).unwrap_err();
        assert!(matches!(error, NameError::Address(_)), "{text}: {error}");
    }
    for text in ["42", "n.1", "1.example", "10-0-0-1", "0x7f", "4.n"] {
        assert!(NodeName::new(text).is_ok(), "{text}");
    }
    assert_eq!(NodeName::new("N1").unwrap().as_str(), "n1");
    for text in ["", "a b", "a/b", "a\nb", "..", "-x", &"a".repeat(64), "é"] {
        assert!(NodeName::new(text).is_err(), "{text:?}");
    }
}
