//! `om node dequeue actions`: runs the actions that wait for this node on the collector.
//!
//! `collector_get_action_queue(nodename, [uuid, nodename])` returns them, each with an `id`, a `command`, and for an
//! action on an object its `svcname`. Each is run as `om node <command>` or `om svc -s <svcname> <command>`, as words,
//! never by a shell; `collector_update_action_queue([[id, code, out, err], ..], [uuid, nodename])` reports them.
//! Observed on the deployed agent, calling a stand-in.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use files::load;

use crate::om::{Done, Failure, Om, complain, note};
use crate::xmlrpc;
use crate::xmlrpc::CallError;
use link::fetch::{HttpError, Uri};

/// Where the collector listens when `node.dbopensvc` names only a host.
const FEED: &str = "/feed/default/call/xmlrpc";

/// How long the collector may take for one answer.
const CALL: Duration = Duration::from_secs(30);

/// Most actions of one run: a collector that queues without end cannot keep a node busy for ever.
const MOST: usize = 1_000;

/// Most bytes of an output that are reported, of stdout and stderr each.
const OUTPUT: u64 = 1 << 20;

pub(super) fn run(om: &Om) -> Done {
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let Some(collector) = settings.dbopensvc.as_deref().filter(|uri| !uri.is_empty()) else {
        note("node.dbopensvc is not set: there is no collector to fetch actions from");
        return Ok(0);
    };
    let Some(uuid) = settings.uuid.as_ref() else {
        return Err(Failure::new(
            "node.uuid is not set: register this node on the collector, then `om node set --kw node.uuid=..`",
        ));
    };
    let failed = |error: HttpError| refused(&CallError::Http(error));
    let uri = Uri::parse(collector).map_err(failed)?.or_path(FEED);
    // The uuid is the key of this node at the collector.
    let uri = if settings.dbinsecure { uri.unguarded() } else { uri.secret() };
    let program = std::env::current_exe()?;
    dequeue(&uri, om.nodename.as_str(), uuid.expose(), &program)
}

/// Why the collector was not asked, and what allows it where a keyword does.
fn refused(error: &CallError) -> Failure {
    let is_guarded =
        matches!(error, CallError::Http(HttpError::Untrusted(..) | HttpError::Plain(_)));
    let remedy =
        if is_guarded { ". Or allow it: om node set --kw node.dbinsecure=true" } else { "" };
    Failure::new(format!("collector: {error}{remedy}"))
}

/// Runs and reports until the queue is empty, or returns only what was run already.
fn dequeue(uri: &Uri, nodename: &str, uuid: &str, program: &Path) -> Done {
    let failed = |error: CallError| refused(&error);
    let credentials = json!([uuid, nodename]);
    let mut seen = BTreeSet::new();
    loop {
        let params = [json!(nodename), credentials.clone()];
        let queue =
            xmlrpc::call(uri, "collector_get_action_queue", &params, CALL).map_err(failed)?;
        let Value::Array(queue) = queue else {
            return match queue {
                Value::Null => Ok(0),
                other => {
                    Err(Failure::new(format!("collector: expected a list of actions, got {other}")))
                }
            };
        };
        let mut results = vec![];
        for action in &queue {
            // The same action again: the collector did not take our report.
            let id = action.get("id").cloned().unwrap_or(Value::Null);
            if seen.len() >= MOST || !seen.insert(id.to_string()) {
                continue;
            }
            results.push(act(id, action, program));
        }
        if results.is_empty() {
            return Ok(0);
        }
        let params = [Value::Array(results), credentials.clone()];
        xmlrpc::call(uri, "collector_update_action_queue", &params, CALL).map_err(failed)?;
    }
}

/// Runs an action: `[id, code, out, err]`.
fn act(id: Value, action: &Value, program: &Path) -> Value {
    match words(action) {
        Ok(words) => {
            note(&format!("dequeue action om {}", words.join(" ")));
            match output(program, &words) {
                Ok((code, out, err)) => json!([id, code, out, err]),
                Err(error) => json!([id, 1, "", format!("{}: {error}", program.display())]),
            }
        }
        Err(reason) => {
            complain(&format!("action {id} of the collector: {reason}"));
            json!([id, 1, "", reason])
        }
    }
}

/// The words after `om`.
fn words(action: &Value) -> Result<Vec<String>, String> {
    let text = |key: &str| action.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let command = text("command").ok_or("it has no command")?;
    let command = shlex::split(command).ok_or_else(|| format!("{command:?} is not a command"))?;
    let is_about_object = match action.get("svc_id") {
        None | Some(Value::Null) => false,
        Some(Value::String(id)) => !id.is_empty(),
        Some(_) => true,
    };
    let mut words = match text("svcname").filter(|_| is_about_object) {
        Some(name) => vec!["svc".to_owned(), "-s".to_owned(), name.to_owned()],
        None => vec!["node".to_owned()],
    };
    words.extend(command);
    Ok(words)
}

/// Runs `om` and reads what it prints, as far as it is reported.
fn output(program: &Path, words: &[String]) -> std::io::Result<(i32, String, String)> {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let read = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let Some(mut stream) = stream else { return String::new() };
            let mut kept = vec![];
            _ = (&mut stream).take(OUTPUT).read_to_end(&mut kept);
            // The rest is read and dropped: a full pipe would block the action.
            _ = std::io::copy(&mut stream, &mut std::io::sink());
            String::from_utf8_lossy(&kept).into_owned()
        })
    };
    let out = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let err = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let status = child.wait()?;
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok((status.code().unwrap_or(1), text(out), text(err)))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;

    use super::*;

    /// A collector that answers each call with the next text, and tells what it was asked.
    fn collector(answers: Vec<&'static str>) -> (Uri, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = Uri::parse(&format!("http://{}/feed", listener.local_addr().unwrap())).unwrap();
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                sender.send(String::from_utf8(body).unwrap()).unwrap();
                let body = format!(
                    "<?xml version='1.0'?><methodResponse><params><param><value>{answer}</value></param></params></methodResponse>"
                );
                // In chunks, as web servers that stream do.
                let (head, tail) = body.split_at(20);
                write!(
                    reader.get_mut(),
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{head}\r\n{:x}\r\n{tail}\r\n0\r\n\r\n",
                    head.len(),
                    tail.len()
                )
                .unwrap();
            }
        });
        (uri, asked)
    }

    const QUEUE: &str = "<array><data>\
        <value><struct><member><name>id</name><value><int>7</int></value></member>\
        <member><name>command</name><value><string>print status '; touch x'</string></value></member></struct></value>\
        <value><struct><member><name>id</name><value><int>8</int></value></member>\
        <member><name>svc_id</name><value><string>u</string></value></member>\
        <member><name>svcname</name><value><string>svc1</string></value></member>\
        <member><name>command</name><value><string>start --local</string></value></member></struct></value>\
        </data></array>";

    #[test]
    fn queued_actions_are_run_as_words_and_reported() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("om");
        std::fs::write(
            &program,
            "#!/bin/sh\nfor word; do echo \"<$word>\"; done\necho oops >&2\nexit 3\n",
        )
        .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (uri, asked) = collector(vec![QUEUE, "<boolean>1</boolean>", "<array><data/></array>"]);
        assert_eq!(dequeue(&uri, "n1", "secret-uuid", &program), Ok(0));
        let asked: Vec<String> = asked.iter().collect();
        assert_eq!(asked.len(), 3);
        let credentials = "<value><array><data><value><string>secret-uuid</string></value><value><string>n1</string></value></data></array></value>";
        assert!(
            asked[0].contains("<methodName>collector_get_action_queue</methodName>"),
            "{}",
            asked[0]
        );
        assert!(asked[0].contains(credentials), "{}", asked[0]);
        assert!(
            asked[1].contains("<methodName>collector_update_action_queue</methodName>"),
            "{}",
            asked[1]
        );
        assert!(asked[1].contains(credentials), "{}", asked[1]);
        let first = "<value><int>7</int></value><value><int>3</int></value><value><string>&lt;node&gt;\n&lt;print&gt;\n&lt;status&gt;\n&lt;; touch x&gt;\n</string></value><value><string>oops\n</string></value>";
        assert!(asked[1].contains(first), "{}", asked[1]);
        assert!(
            asked[1].contains(
                "&lt;svc&gt;\n&lt;-s&gt;\n&lt;svc1&gt;\n&lt;start&gt;\n&lt;--local&gt;\n"
            ),
            "{}",
            asked[1]
        );
    }

    #[test]
    fn the_key_of_the_node_does_not_leave_this_machine_in_clear() {
        // Of a network that nobody uses: a connection would take its time to fail.
        let uri = Uri::parse("http://192.0.2.1:9/feed").unwrap().secret();
        let begin = std::time::Instant::now();
        let failure = dequeue(&uri, "n1", "secret-uuid", Path::new("/nonexistent")).unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains("192.0.2.1:9 is not asked") && text.contains("dbinsecure"), "{text}");
        assert!(begin.elapsed() < Duration::from_secs(5));
        let (uri, asked) = collector(vec!["<array><data/></array>"]);
        assert_eq!(dequeue(&uri.secret(), "n1", "u", Path::new("/nonexistent")), Ok(0));
        assert_eq!(asked.iter().count(), 1, "this machine is asked");
    }

    #[test]
    fn a_collector_that_repeats_itself_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("missing");
        let (uri, asked) = collector(vec![QUEUE, "<boolean>0</boolean>", QUEUE]);
        assert_eq!(dequeue(&uri, "n1", "u", &program), Ok(0));
        let reports = asked.iter().filter(|body| body.contains("update_action_queue"));
        assert!(reports.filter(|body| body.contains("missing: No such file")).count() == 1);
    }
}
