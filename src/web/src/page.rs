//! The page of this agent, and which paths are asked for a page.

use crate::accept;

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Its name below `/ui/`.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    tag: u64,
}

macro_rules! files {
    ($($name:literal: $media_type:literal;)*) => {
        /// All files, the page itself first.
        pub static FILES: &[File] = &[$({
            const BYTES: &[u8] = include_bytes!(concat!("../page/", $name));
            File { name: $name, media_type: $media_type, bytes: BYTES, tag: digest(BYTES) }
        }),*];
    };
}

files! {
    "index.html": "text/html; charset=utf-8";
    "app.js": "text/javascript; charset=utf-8";
    "app.css": "text/css; charset=utf-8";
    "icon.svg": "image/svg+xml";
}

/// Headers of each file: nothing is loaded from elsewhere, no text becomes a script.
pub const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-cache"),
];

/// Instead of the first of [`HEADERS`], for the web app of deployed agents: it puts styles into its page, has its letters in
/// it, and talks to the OpenID provider.
pub const APP_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
                              connect-src 'self' https:; frame-ancestors 'none'";

/// FNV-1a: it tells one content from the next, and keeps nothing secret.
const fn digest(bytes: &[u8]) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        digest = (digest ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    digest
}

impl File {
    /// What tells its content from another one.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.tag)
    }
}

fn etag(tag: u64) -> String {
    format!("\"{tag:016x}\"")
}

/// The tag of a content that is no file of this page.
#[must_use]
pub fn etag_of(bytes: &[u8]) -> String {
    etag(digest(bytes))
}

/// Whether the one who has these tags (`if-none-match`) has the content already.
#[must_use]
pub fn is_known(tags: &[&str], etag: &str) -> bool {
    let all = tags.iter().flat_map(|tags| tags.split(',')).map(str::trim);
    all.map(|tag| tag.trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A file of this page.
    Ours(&'static File),
    /// A file of the web app of deployed agents by its name, and what stands for it where the app is not installed.
    App(&'static str, Option<&'static File>),
}

/// The page that a `GET` of this path asks for; none where it asks for something else.
#[must_use]
pub fn asked(path: &str, accepts: &[&str]) -> Option<Asked> {
    let file = |name: &str| FILES.iter().find(|file| file.name == name);
    let index = || file("index.html");
    match path {
        "/ui" | "/ui/" => return index().map(Asked::Ours),
        "/" | "/index.html" => return Some(Asked::App("index.html", index())),
        "/index.js" => return Some(Asked::App("index.js", None)),
        "/favicon.ico" => return file("icon.svg").map(Asked::Ours),
        _ => {}
    }
    if let Some(name) = path.strip_prefix("/ui/") {
        return file(name).map(Asked::Ours);
    }
    let is_data = path.starts_with("/api/") || path == "/metrics";
    let is_page = !is_data && accept::takes(accepts, "text/html");
    is_page.then(|| Asked::App("index.html", index()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_a_browser_asks_for() {
        let html = ["text/html,application/xhtml+xml;q=0.9"];
        let name = |path: &str, accepts: &[&str]| match asked(path, accepts) {
            None => "none".to_owned(),
            Some(Asked::Ours(file)) => file.name.to_owned(),
            Some(Asked::App(name, instead)) => {
                format!("{name} or {}", instead.map_or("none", |file| file.name))
            }
        };
        for (path, accepts, wanted) in [
            ("/ui/", &[][..], "index.html"),
            ("/ui/app.js", &[], "app.js"),
            ("/ui/../../etc/shadow", &html, "none"),
            ("/ui/index.html/..", &html, "none"),
            ("/", &[], "index.html or index.html"),
            ("/index.js", &[], "index.js or none"),
            ("/objects", &html, "index.html or index.html"),
            ("/daemon_status", &["application/json"], "none"),
            ("/daemon_status", &["text/html;q=0"], "none"),
            ("/api/node", &html, "none"),
            ("/metrics", &html, "none"),
            ("/favicon.ico", &[], "icon.svg"),
        ] {
            assert_eq!(name(path, accepts), wanted, "{path}");
        }
    }

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        let all: usize = FILES.iter().map(|file| file.bytes.len()).sum();
        assert!(all < 100 << 10, "{all} bytes");
        for file in FILES {
            let text = std::str::from_utf8(file.bytes).unwrap();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for foreign in [
                "http://",
                "https://",
                "//cdn",
                "innerHTML",
                "outerHTML",
                "eval(",
                "insertAdjacent",
            ] {
                assert!(!text.contains(foreign), "{}: {foreign}", file.name);
            }
        }
        let index = std::str::from_utf8(FILES[0].bytes).unwrap();
        assert!(
            !index.contains("<style") && !index.contains("onclick") && !index.contains("style=")
        );
    }

    #[test]
    fn a_content_that_is_known_is_not_sent_again() {
        let etag = FILES[0].etag();
        assert!(is_known(&[&etag], &etag) && is_known(&["W/\"1\"", "*"], &etag));
        assert!(is_known(&[&format!("\"1\", W/{etag}")], &etag));
        assert!(!is_known(&[], &etag) && !is_known(&["\"1\""], &etag));
        assert_ne!(etag, FILES[1].etag());
    }
}
