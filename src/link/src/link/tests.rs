use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use serde_json::json;
use wire::{Keyring, Refusal};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn paths(folder: &tempfile::TempDir, envelope: &str, secret: &str) -> Paths {
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    let text =
        format!("[cluster]\nname = c1\nsecret = {secret}\nenvelope = {envelope}\nnodes = n1 n2\n");
    std::fs::write(paths.cluster_conf(), text).unwrap();
    paths
}

fn link(paths: &Paths, server: Option<&str>) -> Link {
    Link::new(paths, &NodeName::new("n1").unwrap(), server).unwrap()
}

fn status() -> Request {
    Request::new(wire::BlacklistStatus {})
}

const SOON: Option<Duration> = Some(Duration::from_secs(5));

/// A frame; none at the end of the stream.
fn read_frame(stream: &mut std::net::TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    let mut buffer = [0; 4096];
    while !bytes.ends_with(&[0]) {
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    bytes.pop();
    Some(bytes)
}

/// A daemon that opens what its envelope accepts, and answers as ours do.
fn daemon(envelope: wire::Envelope) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let own = Sender::new("c1", "n2", ClusterSecret::new(SECRET));
    let keyring = Keyring {
        own: own.clone(),
        accepted: Default::default(),
        envelope,
        drpnodes: Default::default(),
        limits: Limits::default(),
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Some(bytes) = read_frame(&mut stream) {
                let Ok(opened) = keyring.open(&bytes) else { break };
                let random = SystemRandom::new();
                let asked: Value = opened.read().unwrap();
                let reply = match keyring.check_recipient(&opened) {
                    Ok(()) => {
                        json!({"status": 0, "data": asked["action"], "by": opened.nodename()})
                    }
                    Err(refusal) => refusal.to_reply().unwrap(),
                };
                let (body, now) = (Prepared::new(&reply), machine::clock::stamp());
                let frame = keyring.seal_reply(&opened.reply_to(), &body, now, &random).unwrap();
                stream.write_all(&frame).unwrap();
                if !opened.reply_to().is_sealed() {
                    break;
                }
            }
        }
    });
    format!("raw://{address}")
}

#[test]
fn a_reply_of_the_control_socket_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(&folder, "sealed", SECRET);
    let listener = UnixListener::bind(paths.lsnr_socket()).unwrap();
    let big = "x".repeat(1 << 20);
    let reply = json!({"status": 0, "data": big});
    let expected = reply.clone();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = vec![0; 4096];
        let count = stream.read(&mut asked).unwrap();
        assert!(asked[..count].ends_with(&[0]));
        stream.write_all(&serde_json::to_vec(&reply).unwrap()).unwrap();
        stream.write_all(b"\0").unwrap();
    });
    assert_eq!(link(&paths, None).ask(&status(), SOON).unwrap(), expected);
}

#[test]
fn each_failure_tells_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(&folder, "sealed", SECRET);
    let error = link(&paths, None).ask(&status(), SOON).unwrap_err();
    assert!(error.to_string().contains("om daemon start"), "{error}");
    let listener = UnixListener::bind(paths.lsnr_socket()).unwrap();
    let error = link(&paths, None).ask(&status(), Some(Duration::from_millis(50))).unwrap_err();
    assert!(matches!(error, AskError::Timeout(..)), "{error}");
    // Accepted, and closed at once.
    let closer = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            drop(stream.unwrap());
        }
    });
    let error = link(&paths, None).ask(&status(), SOON).unwrap_err();
    assert!(matches!(error, AskError::Closed(_) | AskError::Broken(..)), "{error}");
    closer.join().unwrap();
}

#[test]
fn nodes_are_asked_in_the_dialect_of_the_cluster() {
    for (ours, theirs) in [
        ("sealed", wire::Envelope::Sealed),
        ("classic", wire::Envelope::Classic),
        ("any", wire::Envelope::Sealed),
        ("any", wire::Envelope::Classic),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder, ours, SECRET);
        let reply = link(&paths, Some(&daemon(theirs))).ask(&status(), SOON);
        let expected = json!({"status": 0, "data": "daemon_blacklist_status", "by": "n1"});
        assert_eq!(reply.unwrap(), expected, "{ours} asks {theirs:?}");
    }
}

#[test]
fn a_joiner_asks_with_the_secret_of_the_other_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(&folder, "sealed", "another-secret-another-secret-00");
    let server = daemon(wire::Envelope::Sealed);
    let stranger = link(&paths, Some(&server));
    let error = stranger.ask(&status(), SOON).unwrap_err();
    assert!(matches!(error, AskError::Closed(_)), "{error}");
    let reply = stranger.as_joiner(SECRET).ask(&status(), SOON).unwrap();
    assert_eq!(reply["by"], "n1");
}

#[test]
fn a_reply_to_another_request_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(&folder, "sealed", SECRET);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("raw://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let sender = Sender::new("c1", "n2", ClusterSecret::new(SECRET));
        let random = SystemRandom::new();
        let form = Form::request(Dialect::Sealed, "n1", machine::clock::stamp(), &random);
        let bytes = sender.seal(&form, &Prepared::new(&json!({"status": 0})), &random).unwrap();
        _ = stream.read(&mut [0; 4096]);
        stream.write_all(&bytes).unwrap();
    });
    let error = link(&paths, Some(&server)).ask(&status(), SOON).unwrap_err();
    assert!(matches!(error, AskError::Reply(_, Refusal::NotTheReply)), "{error:?}");
}

#[test]
fn servers_are_read_as_operators_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(&folder, "sealed", SECRET);
    std::fs::write(paths.node_conf(), "[listener]\nport@n2 = 1999\n").unwrap();
    let server = |text: &str| {
        Link::new(&paths, &NodeName::new("n1").unwrap(), Some(text))
            .map(|link| link.server.to_string())
            .ok()
    };
    assert_eq!(server("n1"), Some(paths.lsnr_socket().display().to_string()));
    assert_eq!(server("raw://10.0.0.1"), Some("10.0.0.1:1214".into()));
    assert_eq!(server("raw://10.0.0.1:99"), Some("10.0.0.1:99".into()));
    assert_eq!(server("raw://[::1]:99"), Some("[::1]:99".into()));
    assert_eq!(server("/run/x.sock"), Some("/run/x.sock".into()));
    assert_eq!(server("n2"), Some("n2:1999".into()));
    for text in ["https://n1", "raw://", "raw://n1:x", "a b"] {
        assert_eq!(server(text), None, "{text}");
    }
}

#[test]
fn a_reply_is_no_larger_than_such_replies_are_and_blanks_are_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(&folder, "sealed", SECRET);
    let many = |count: usize| format!("[{}0]\0", "{},".repeat(count)).into_bytes();
    let blanks = vec![b' '; 40 << 20];
    let asked = |request: &Request, reply: Vec<u8>| {
        let file = paths.lsnr_socket();
        _ = std::fs::remove_file(&file);
        let listener = UnixListener::bind(&file).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            _ = stream.read(&mut asked);
            _ = stream.write_all(&reply);
        });
        let answer = link(&paths, None).ask(request, Some(Duration::from_secs(60)));
        answering.join().unwrap();
        answer
    };
    let large = |answer: Result<Value, AskError>| {
        let error = answer.unwrap_err();
        assert!(matches!(error, AskError::TooLarge(..)), "{error}");
        assert!(error.to_string().contains("128 MiB") || error.to_string().contains("26 MiB"));
    };
    large(asked(&status(), many(300_000)));
    large(asked(&status(), vec![b'1'; 27 << 20]));
    assert!(asked(&status(), many(10_000)).is_ok());
    let everything =
        Request::new(wire::DaemonStatus { selector: None, namespace: None, relatives: false });
    assert!(asked(&everything, many(300_000)).is_ok(), "a status may be larger");
    let padded = [&blanks[..], b"{\"status\": 0}\0"].concat();
    assert_eq!(asked(&status(), padded).unwrap(), json!({"status": 0}));
}
