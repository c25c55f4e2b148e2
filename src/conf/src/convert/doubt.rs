//! Texts that converters take, as deployed agents do, for something else than they say.
//!
//! Part of the `impl` of [`Converter`], in a file of its own for its length.

use crate::convert::Converter;
use crate::convert::expected::Expected;
use crate::convert::quantity::integer;
use crate::convert::words::split_words;
use crate::value::Value;

impl Converter {
    /// What was expected of a text that converts, but not to what it says: `abc` is a duration of 0 s to deployed
    /// agents, and no number at all as an integer. None for a text without doubt, and for the empty one.
    pub(crate) fn doubt(self, text: &str) -> Option<Expected> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match self {
            Self::Integer => integer(&Value::Text(text.into())).is_null().then_some("a number"),
            Self::Duration | Self::DurationMinutes | Self::DurationDays => {
                (!is_duration(text)).then_some(crate::convert::quantity::DURATION)
            }
            Self::Json => {
                serde_json::from_str::<serde::de::IgnoredAny>(text).is_err().then_some("JSON")
            }
            Self::Text
            | Self::Lower
            | Self::Boolean
            | Self::Tristate
            | Self::List
            | Self::ListLower
            | Self::ListComma
            | Self::Set
            | Self::SetComma
            | Self::Words
            | Self::Options
            | Self::Size
            | Self::Speed
            | Self::Nodes
            | Self::DateTime => None,
        }
    }
}

/// Units as words: read by their first letter.
const UNITS: [&str; 14] = [
    "sec", "secs", "second", "seconds", "min", "mins", "minute", "minutes", "hour", "hours", "day",
    "days", "week", "weeks",
];

/// Whether all of a text is a duration: nothing is left that would be ignored.
fn is_duration(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    if is_number(&text) {
        return true;
    }
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let units = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(units);
        // What follows the first letter of a word is ignored, and what follows the word too.
        let is_unit = matches!(unit, "ms" | "s" | "m" | "h" | "d" | "w")
            || after.is_empty() && UNITS.contains(&unit);
        if !is_number(number) || !is_unit {
            return false;
        }
        rest = after;
    }
    true
}

/// What was expected of the values of keywords that hold texts with rules of their own; none when they keep them, and
/// for all other keywords.
pub(crate) fn doubt_of(keyword: &str, text: &str) -> Option<Expected> {
    const STATES: [&str; 7] = ["up", "down", "warn", "n/a", "undef", "stdby up", "stdby down"];
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let fits = match keyword {
        "retcodes" => text.split_whitespace().all(|word| {
            word.split_once(':')
                .is_some_and(|(code, state)| code.parse::<u8>().is_ok() && STATES.contains(&state))
        }),
        "netmask" => {
            let is_length = text.parse::<u8>().is_ok_and(|length| length <= 128);
            let address = text.parse::<std::net::Ipv4Addr>().map(std::net::Ipv4Addr::to_bits);
            is_length
                || address.is_ok_and(|bits| bits.leading_ones() == bits.count_ones())
                || text.split('.').any(|part| part.len() > 1 && part.starts_with('0'))
        }
        // A name is known to a resolver only; an address of a network never resolves.
        "ipname" | "gateway" => {
            let is_number = text.chars().all(|sign| sign.is_ascii_digit() || sign == '.');
            !text.contains('/') && (!is_number || text.parse::<std::net::Ipv4Addr>().is_ok())
        }
        "environment" => split_words(text).is_ok_and(|words| {
            words.iter().all(|word| word.find('=').is_some_and(|place| place > 0))
        }),
        "umask" | "perm" | "dirperm" => {
            u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777)
        }
        "pg_cpu_quota" => is_quota(text),
        _ => return None,
    };
    if fits {
        return None;
    }
    Some(match keyword {
        "retcodes" => "exit codes with their states, as 0:up 1:down",
        "pg_cpu_quota" => "a share of the processors, as 50%, 50%@2, 50%@all or -1",
        "netmask" => "a netmask, as 24 or 255.255.255.0",
        "ipname" if !text.contains('/') => "an address, as 10.0.0.1, or a name",
        "ipname" => "an address or a name: netmask is a keyword of its own",
        "environment" => "variables with their values, as PORT=80 NAME=\"the web\"",
        "gateway" => "an address",
        _ => "an octal mode, as 027",
    })
}

/// `50%`, `50%@2`, `50%@all`, microseconds, or -1 for no limit.
fn is_quota(text: &str) -> bool {
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok_and(|number| number >= 0.0);
    let (share, processors) = text.split_once('@').unwrap_or((text, "all"));
    let is_share = share.trim().strip_suffix('%').map_or_else(|| is_number(share), is_number);
    let is_count = processors == "all" || processors.parse::<u32>().is_ok();
    text == "-1" || (is_share && is_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_as_something_else_is_doubted() {
        for text in ["abc", "10x", "1h30", "1h 30m", "-5", "xs", "1.5.2s", "s", "inf", "1e"] {
            assert!(Converter::Duration.doubt(text).is_some(), "{text}");
        }
        for text in ["", "0", "90", "1.5", "1h30m", "250MS", "2w1d", "0.5s", "1h30min", "2Hours"] {
            assert_eq!(Converter::Duration.doubt(text), None, "{text}");
        }
        // Read as one hour, as 10 minutes, as nothing.
        for text in ["1hour30min", "10msec", "10 min", "min"] {
            assert!(Converter::Duration.doubt(text).is_some(), "{text}");
        }
        for unit in UNITS {
            let short = crate::parse_duration(&format!("3{}", &unit[..1]), 1.0);
            assert_eq!(crate::parse_duration(&format!("3{unit}"), 1.0), short, "{unit}");
            assert_eq!(Converter::Duration.doubt(&format!("3{unit}")), None, "{unit}");
        }
        for (text, is_doubted) in [("x", true), ("1x", true), ("3", false), ("1.9", false)] {
            assert_eq!(Converter::Integer.doubt(text).is_some(), is_doubted, "{text}");
        }
        for (text, is_doubted) in [
            ("24", false),
            ("255.255.255.0", false),
            ("0377.0377.0.0", false),
            ("64", false),
            ("255.0.255.0", true),
            ("129", true),
            ("x", true),
        ] {
            assert_eq!(doubt_of("netmask", text).is_some(), is_doubted, "{text}");
        }
        assert_eq!(Converter::Json.doubt("{\"a\": 1}"), None);
        assert_eq!(Converter::Json.doubt("{a"), Some("JSON"));
    }

    #[test]
    fn exit_codes_and_modes_have_rules_of_their_own() {
        for (keyword, text, is_doubted) in [
            ("ipname", "10.0.0.1", false),
            ("ipname", "web1.example.org", false),
            ("ipname", "fd00::1", false),
            ("ipname", "300.1.1.1", true),
            ("ipname", "10.0.0", true),
            ("gateway", "10.0.0.999", true),
            ("environment", "A=1 B=\"x y\" C=", false),
            ("environment", "FOO", true),
            ("environment", "A=1 =2", true),
            ("retcodes", "0:up 1:down 3:n/a", false),
            ("retcodes", "0-up", true),
            ("retcodes", "0:on", true),
            ("retcodes", "300:up", true),
            ("umask", "022", false),
            ("umask", "089", true),
            ("perm", "rwx", true),
            ("ipname", "192.0.2.3/24", true),
            ("ipname", "www.example.org", false),
            ("gateway", "fe80::1", false),
            ("gateway", "192.0.2.1/24", true),
            ("start", "rwx", false),
        ] {
            assert_eq!(doubt_of(keyword, text).is_some(), is_doubted, "{keyword} = {text}");
        }
    }
}
