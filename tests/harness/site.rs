//! A web site on this machine, of whatever a test puts there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

type Pages = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A site that answers until the test ends.
pub struct Site {
    port: u16,
    pages: Pages,
}

impl Site {
    /// One without a page.
    ///
    /// # Panics
    ///
    /// Without a port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let pages = Pages::default();
        let shown = pages.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &shown);
            }
        });
        Self { port, pages }
    }

    /// Puts a page there, or another one in its place.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.pages.lock().expect("whole").insert(path.to_owned(), body.into());
    }

    /// Takes a page away.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn take(&self, path: &str) {
        self.pages.lock().expect("whole").remove(path);
    }

    /// Where a page is; with an empty path, the site.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// Answers one request. Who goes away is told nothing.
fn answer(stream: TcpStream, pages: &Pages) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    _ = reader.read_line(&mut line);
    let page =
        line.split(' ').nth(1).and_then(|path| pages.lock().expect("whole").get(path).cloned());
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {
        head.clear();
    }
    let status = if page.is_some() { "200 OK" } else { "404 Not Found" };
    let body = page.unwrap_or_default();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    _ = reader.get_mut().write_all(&[head.as_bytes(), &body].concat());
}
