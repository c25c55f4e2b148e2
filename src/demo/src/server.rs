//! The service of the demo: answers every connection with its process id and the node that started it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;
use std::time::Duration;

use machine::pidfd::Process;

use crate::error::DemoError;

/// Who answers on the service's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// Its process.
    pub(super) pid: u32,
    /// Number of its node, from 1 on.
    pub(super) node: u32,
}

/// Serves on `port` of the loopback address, in the name of a node.
pub(super) fn serve(port: u16, node: u32) -> ExitCode {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming() {
        // A client that went away is no concern of the next one.
        _ = stream.and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            let mut request = [0; 1024];
            _ = stream.read(&mut request)?;
            let body = format!("this is process {} of node {node}\n", std::process::id());
            write!(stream, "HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        });
    }
    ExitCode::SUCCESS
}

/// Asks the service who it is; none when nobody answers.
pub(super) fn ask(port: u16) -> Option<Server> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.take(4096).read_to_string(&mut reply).ok()?;
    let (pid, node) = reply.rsplit_once("process ")?.1.split_once(" of node ")?;
    Some(Server { pid: pid.parse().ok()?, node: node.trim().parse().ok()? })
}

/// Kills whatever serves on the port, also what an action that was under way still brings up.
pub(super) fn kill_all(port: u16) {
    let mut silent = 0;
    for _ in 0..50 {
        match ask(port) {
            Some(server) => {
                _ = kill(server);
                silent = 0;
            }
            None if silent >= 5 => return,
            None => silent += 1,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Kills the service's process, as `kill -9` does.
pub(super) fn kill(server: Server) -> Result<(), DemoError> {
    let strange = || DemoError::Command("the service names no process of ours".into());
    let process = Process::open(server.pid)
        .map_err(|error| DemoError::Machine("opening the process", error))?
        .ok_or_else(strange)?;
    // Whoever has the port may say what they like.
    let program =
        |pid: &str| std::fs::metadata(format!("/proc/{pid}/exe")).map(|it| (it.dev(), it.ino()));
    match (program("self"), program(&server.pid.to_string())) {
        (Ok(ours), Ok(theirs)) if ours == theirs => {}
        // An ordinary user may not see which program that is, as its memory is root's; but how it was called.
        (Ok(_), Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let line = std::fs::read(format!("/proc/{}/cmdline", server.pid)).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let serves = |pair: &[&[u8]]| pair == [&b"demo"[..], &b"--serve"[..]];
            if !words.windows(2).any(serves) {
                return Err(strange());
            }
        }
        _ => return Err(strange()),
    }
    process
        .signal(rustix::process::Signal::KILL)
        .map_err(|error| DemoError::Machine("killing the process", error))
}
