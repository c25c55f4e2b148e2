//! A configuration file of any bytes: read, evaluated, validated, edited, read back.
#![no_main]

use std::sync::Arc;

use conf::{Context, Edit, Ini, NodeConf, NodeSettings, ObjectConf};
use libfuzzer_sys::fuzz_target;
use model::{NodeName, ObjectPath};

fuzz_target!(|bytes: &[u8]| {
    let Ok(ini) = Ini::from_bytes(bytes) else { return };
    let text = ini.text().to_owned();
    assert_eq!(text.as_bytes(), bytes);
    let node = NodeName::new("n1").expect("a node name");
    let settings = NodeSettings::parse(node.clone(), &text, &text).expect("it was read before");
    drop(settings);
    let ctx = Context::new(Arc::new(NodeConf::parse(node, &text, &text).expect("it was read before")));
    for path in ["svc1", "test/vol/v1", "cluster", "usr/u1"] {
        let mut conf = ObjectConf::new(ObjectPath::parse(path).expect("a path"), ini.clone());
        drop((conf.settings(&ctx), conf.validate(&ctx), conf.to_json_evaluated(&ctx)));
        for resource in conf.resources(&ctx) {
            drop((resource.words("environment"), resource.duration("timeout"), resource.size("size")));
        }
        let edits = [Edit::Set("env.a|=x y".into()), Edit::Unset("app.start".into()), Edit::Disable(vec![])];
        if conf.edit(&ctx, &edits).is_ok() {
            assert_eq!(Ini::parse(conf.text()).as_ref(), Ok(conf.ini()));
        }
    }
});
