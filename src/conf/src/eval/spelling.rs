//! How references are spelled: where they stand in a text, and the words that they may be.

/// Names that a reference may have without a section.
pub(crate) const BUILTINS: [&str; 31] = [
    "nodename",
    "short_nodename",
    "clustername",
    "clusterid",
    "clusternodes",
    "clusterdrpnodes",
    "dns",
    "dnsnodes",
    "etc",
    "var",
    "svcmgr",
    "nodemgr",
    "dnsuxsockd",
    "dnsuxsock",
    "collector_api",
    "namespace",
    "kind",
    "name",
    "svcname",
    "path",
    "svcpath",
    "short_name",
    "scaler_name",
    "scaler_short_name",
    "rid",
    "rindex",
    "fqdn",
    "domain",
    "private_var",
    "initd",
    "nodes",
];

/// The leftmost innermost reference that starts at `from` or later: positions of its braces. One has letters,
/// digits, `_`, `.`, `[`, `]`, `:`, `/`, starts with a letter or digit, and may have one `#` after such a word.
pub(crate) fn next_reference(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut search = from;
    while let Some(offset) = text.get(search..)?.find('{') {
        let start = search + offset;
        let inner = &text[start + 1..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut has_hash = false;
        let mut is_first_word = true;
        let end = inner.find(|c: char| {
            let fits = match c {
                '#' => is_first_word && !std::mem::replace(&mut has_hash, true),
                '.' | '[' | ']' | ':' | '/' => true,
                c => is_word(c),
            };
            is_first_word &= is_word(c);
            !fits
        });
        match end {
            Some(end)
                if inner[end..].starts_with('}')
                    && inner.starts_with(|c| is_word(c) || c == '#') =>
            {
                return Some((start, start + 1 + end));
            }
            _ => search = start + 1,
        }
    }
    None
}
