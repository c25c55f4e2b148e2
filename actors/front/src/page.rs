//! Answers with pages: before anybody is asked who he is, as a page only shows what its own requests are answered.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{ETAG, HeaderName, HeaderValue};
use machine::paths::Paths;
use web::page::{self, Asked};

use crate::answer::Answer;
use crate::peer::Peer;

/// Longest file of the web app of deployed agents.
const MOST_BYTES: u64 = 16 << 20;

/// The page that is asked for. None: something else is.
pub(crate) async fn answer(
    peer: &Peer,
    path: &str,
    accepts: &[&str],
    known: &[&str],
) -> Option<Answer> {
    let asked = page::asked(path, accepts)?;
    if !peer.shared.mail.gate.load().listener.ui {
        return Some(Answer::empty(403));
    }
    match asked {
        Asked::Ours(file) => Some(of_file(file, known)),
        Asked::App(name, instead) => match installed(&peer.shared.mail.paths, name).await {
            Some(bytes) => Some(of_app(name, bytes, known)),
            None => instead.map(|file| of_file(file, known)),
        },
    }
}

fn of_file(file: &'static page::File, known: &[&str]) -> Answer {
    let bytes = Bytes::from_static(file.bytes);
    of_content(&file.etag(), HeaderValue::from_static(file.media_type), bytes, known)
}

fn of_app(name: &str, bytes: Bytes, known: &[&str]) -> Answer {
    let is_script = Path::new(name).extension().is_some_and(|extension| extension == "js");
    let media_type = match is_script {
        true => "text/javascript; charset=utf-8",
        false => "text/html; charset=utf-8",
    };
    let media_type = HeaderValue::from_static(media_type);
    let mut answer = of_content(&page::etag_of(&bytes), media_type, bytes, known);
    for (name, value) in &mut answer.headers {
        if name == "content-security-policy" {
            *value = HeaderValue::from_static(page::APP_POLICY);
        }
    }
    answer
}

fn of_content(etag: &str, media_type: HeaderValue, bytes: Bytes, known: &[&str]) -> Answer {
    let mut answer = match page::is_known(known, etag) {
        true => Answer::empty(304),
        false => Answer::new(200, media_type, bytes),
    };
    let fixed = page::HEADERS.iter();
    answer.headers.extend(
        fixed.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
    );
    answer.headers.extend(HeaderValue::from_str(etag).ok().map(|etag| (ETAG, etag)));
    answer
}

/// The folder of the web app of deployed agents.
fn folder(paths: &Paths) -> PathBuf {
    match paths.root() {
        Some(root) => root.join("usr/share/html"),
        None => "/usr/share/opensvc/html".into(),
    }
}

/// A file of the web app, where it is installed: a regular file, no link.
async fn installed(paths: &Paths, name: &'static str) -> Option<Bytes> {
    let file = folder(paths).join(name);
    let read = move || {
        let is_file = std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
        let (opened, metadata) = machine::regular::open(&file).ok().filter(|_| is_file)?;
        if metadata.len() > MOST_BYTES {
            return None;
        }
        let mut bytes = vec![];
        opened.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        Some(Bytes::from(bytes))
    };
    machine::blocking::run(read).await.ok().flatten()
}
