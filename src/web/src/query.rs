//! The query of a request: `a=1&b=2`.

use serde_json::{Map, Value};

/// Most keys that are read: no request has as many options.
const MOST_KEYS: usize = 256;

/// Why a query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryError {
    /// More keys than are read.
    TooMany,
    /// What the percent codes spell is not UTF-8.
    NotText,
}

impl std::fmt::Display for QueryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => write!(f, "the query has more than {MOST_KEYS} keys"),
            Self::NotText => f.write_str("the query is not UTF-8"),
        }
    }
}

impl std::error::Error for QueryError {}

/// Decodes percent codes, and `+` as a blank where `is_query`. A `%` that begins no code stands for itself.
///
/// # Errors
///
/// [`QueryError::NotText`] where the codes spell no UTF-8.
pub fn decode(text: &str, is_query: bool) -> Result<String, QueryError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = tail;
        match first {
            b'%' if let (Some(high), Some(low)) = (digit(0), digit(1)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            b'+' if is_query => bytes.push(b' '),
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| QueryError::NotText)
}

/// The keys of a query, in order, decoded. A key without value is as if absent.
///
/// # Errors
///
/// [`QueryError`].
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, QueryError> {
    let mut pairs = vec![];
    for part in query.split('&') {
        let Some((key, value)) = part.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            continue;
        };
        if pairs.len() == MOST_KEYS {
            return Err(QueryError::TooMany);
        }
        pairs.push((decode(key, true)?, decode(value, true)?));
    }
    Ok(pairs)
}

/// Lays a query over options: a key that is there more than once becomes an array.
///
/// # Errors
///
/// [`QueryError`].
pub fn overlay(options: &mut Map<String, Value>, query: &str) -> Result<(), QueryError> {
    let mut found: Map<String, Value> = Map::new();
    for (key, value) in pairs(query)? {
        let value = Value::String(value);
        match found.get_mut(&key) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => _ = found.insert(key, value),
        }
    }
    options.extend(found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(query: &str) -> Result<Value, QueryError> {
        let mut options = json!({"selector": "svc1", "b": 1}).as_object().cloned().unwrap();
        overlay(&mut options, query).map(|()| options.into())
    }

    #[test]
    fn a_query_is_laid_over_the_options() {
        let expected = json!({"selector": "test/**", "b": 1, "kw": ["a b", "é", "%zz"]});
        assert_eq!(read("selector=test%2F**&kw=a+b&kw=%C3%A9&kw=%zz&empty=&alone"), Ok(expected));
    }

    #[test]
    fn a_query_that_is_no_text_or_too_long_is_refused() {
        assert_eq!(read("a=%ff"), Err(QueryError::NotText));
        assert_eq!(read(&"a=1&".repeat(MOST_KEYS + 1)), Err(QueryError::TooMany));
        assert!(read(&"&a&=&".repeat(100_000)).is_ok());
    }
}
