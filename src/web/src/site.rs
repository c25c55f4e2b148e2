//! Requests that a page of another site makes a browser send.

/// Whether a request that may change something comes from such a page: browsers tell its `origin` and `sec-fetch-site`.
/// `host` is the one that was asked.
#[must_use]
pub fn is_foreign(method: &str, origin: &[&str], fetched: &[&str], host: Option<&str>) -> bool {
    if matches!(method, "GET" | "HEAD" | "OPTIONS") {
        return false;
    }
    let is_own = |origin: &str| {
        let asked = origin.split_once("://").map(|(_, asked)| asked);
        asked.zip(host).is_some_and(|(asked, host)| asked.eq_ignore_ascii_case(host))
    };
    let is_fetched_here = |site: &&str| matches!(*site, "same-origin" | "none");
    !origin.iter().all(|origin| is_own(origin)) || !fetched.iter().all(is_fetched_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_site_changes_something() {
        let host = Some("n1:1215");
        assert!(!is_foreign("POST", &[], &[], host));
        assert!(!is_foreign("POST", &["https://N1:1215"], &["same-origin"], host));
        assert!(!is_foreign("GET", &["https://evil.example"], &["cross-site"], host));
        assert!(is_foreign("POST", &["https://evil.example"], &[], host));
        assert!(is_foreign("DELETE", &["null"], &[], host));
        assert!(is_foreign("POST", &[], &["cross-site"], host));
        assert!(is_foreign("POST", &["https://n1:1215"], &[], None));
    }
}
