use std::time::{Duration, SystemTime};

use conf::{Ini, NodeConf, NodeSettings};
use model::{NodeName, ObjectPath, Timestamp};

use crate::secrets::known::digest;
use crate::secrets::{handed, resealing};
use dataset::keys::{Form, Keys, SECTION};
use dataset::{config, keys};
use files::fetched::Fetched;
use machine::durable;
use machine::paths::Paths;
use ring::rand::SystemRandom;

const S1: &str = "secret-of-the-first-gen";
const S2: &str = "secret-of-the-second-gen";

fn text(keywords: &str) -> String {
    format!("[DEFAULT]\nid = 1\n[cluster]\nid = i\nnodes = n1 n2\n{keywords}")
}

fn settings(keywords: &str) -> NodeSettings {
    NodeSettings::parse(NodeName::new("n1").unwrap(), &text(keywords), "").unwrap()
}

struct Place {
    _folder: tempfile::TempDir,
    paths: Paths,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    Place { _folder: folder, paths }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Place {
    /// Whether the file of another node, written at 1000 s, is taken over one that was written here then.
    fn is_taken(&self, ours: &str, written: u64, theirs: &str) -> Result<bool, String> {
        let file = self.paths.cluster_conf();
        durable::write_at(&file, text(ours).as_bytes(), 0o600, at(written)).unwrap();
        let theirs = if theirs.starts_with('[') { theirs.to_owned() } else { text(theirs) };
        let reply = config::config_reply(&theirs, Timestamp(1_000.0));
        let conf: &NodeConf = &settings(ours).conf;
        let taken = handed::install(&self.paths, conf, &Fetched::from_reply(&reply).unwrap())?;
        let now = std::fs::read_to_string(&file).unwrap();
        assert_eq!(now == theirs, taken, "{now}");
        Ok(taken)
    }
}

#[test]
fn a_later_secret_is_taken_whichever_file_is_newer_and_what_was_written_here_is_kept_beside() {
    let place = place();
    let steady = format!("secret = {S1}\n");
    let used = format!("secret = {S2}\nsecret_generation = 2\nsecret_previous = {S1}\n");
    let kept = place.paths.etc.join("cluster.conf.rej");
    assert_eq!(place.is_taken(&steady, 900, &used), Ok(true));
    assert!(!kept.exists());
    let edited = format!("{steady}quorum = true\n");
    assert_eq!(place.is_taken(&edited, 2_000, &used), Ok(true));
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), text(&edited));
    let modified = std::fs::metadata(place.paths.cluster_conf()).unwrap().modified().unwrap();
    assert_eq!(modified, at(1_000), "as the others have it");
    // The one before, the same, one that does not follow, and one without this node.
    assert_eq!(place.is_taken(&used, 900, &steady), Ok(false));
    assert_eq!(place.is_taken(&steady, 900, &edited), Ok(false));
    assert_eq!(place.is_taken(&steady, 900, &format!("secret = {S2}\n")), Ok(false));
    let without = text(&used).replace("n1 n2", "n2");
    assert!(place.is_taken(&steady, 900, &without).is_err());
}

#[test]
fn of_two_secrets_that_follow_the_same_one_the_newer_file_has_the_one_that_stays() {
    let place = place();
    let used = |secret: &str| {
        format!("secret = {secret}\nsecret_generation = 2\nsecret_previous = {S1}\n")
    };
    let other = used("secret-of-another-part");
    assert_eq!(place.is_taken(&used(S2), 900, &other), Ok(true));
    assert_eq!(place.is_taken(&used(S2), 2_000, &other), Ok(false));
}

#[test]
fn a_digest_tells_secrets_apart_and_holds_none() {
    let (one, two) = (conf::Secret::new(S1), conf::Secret::new(S2));
    assert_eq!(digest(&one), digest(&conf::Secret::new(S1)));
    assert_ne!(digest(&one), digest(&two));
    assert_eq!(digest(&one).len(), 16);
}

#[test]
fn values_are_sealed_anew_once_and_what_does_not_open_stays_as_it_is() {
    let place = place();
    let path = ObjectPath::parse("sec/s1").unwrap();
    let file = place.paths.config_file(&path);
    let before = settings(&format!("secret = {S1}\n"));
    let any = settings("secret = another-secret-of-32-characters.\nenvelope = any\n");
    let seal = |node: &NodeSettings, value: &[u8]| {
        keys::encode(path.kind(), value, Keys::of(node).as_ref(), &SystemRandom::new()).unwrap()
    };
    let mut ini = Ini::parse("[DEFAULT]\nid = 1\n").unwrap();
    for (key, value) in [
        ("old", seal(&before, b"one")),
        ("foreign", seal(&any, b"two")),
        ("plain", "literal:x".to_owned()),
    ] {
        ini.set(SECTION, key, &value).unwrap();
    }
    durable::write(&file, ini.text().as_bytes(), 0o600).unwrap();
    let node = settings(&format!("secret = {S2}\nsecret_generation = 2\nsecret_previous = {S1}\n"));
    assert_eq!(resealing::seal_anew(&place.paths, &node, &path), Ok(1));
    let now = Ini::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(Form::of(now.get(SECTION, "old").unwrap()), Form::Sealed(2));
    let after = settings(&format!("secret = {S2}\nsecret_generation = 2\n"));
    let read = keys::decode(&now, &path, "old", Keys::of(&after).as_ref());
    assert_eq!(read.unwrap(), b"one");
    assert_eq!(now.get(SECTION, "foreign"), ini.get(SECTION, "foreign"));
    assert_eq!(now.get(SECTION, "plain"), Some("literal:x"));
    assert_eq!(resealing::seal_anew(&place.paths, &node, &path), Ok(0));
    // The way back, for deployed agents: with a secret that keys their dialect.
    let back =
        settings(&format!("secret = {}\nsecret_generation = 2\nenvelope = any\n", "x".repeat(32)));
    let forth = settings(&format!("secret = {}\nsecret_generation = 2\n", "x".repeat(32)));
    let mut ini = Ini::parse("[DEFAULT]\nid = 1\n").unwrap();
    ini.set(SECTION, "k", &seal(&forth, b"three")).unwrap();
    durable::write(&file, ini.text().as_bytes(), 0o600).unwrap();
    for (node, form) in [(&back, Form::Crypt), (&forth, Form::Sealed(2))] {
        assert_eq!(resealing::seal_anew(&place.paths, node, &path), Ok(1));
        let now = Ini::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(Form::of(now.get(SECTION, "k").unwrap()), form);
        assert_eq!(keys::decode(&now, &path, "k", Keys::of(node).as_ref()).unwrap(), b"three");
    }
}
