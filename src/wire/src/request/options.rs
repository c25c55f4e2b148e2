//! Option formats: what a sender may write for each, and what it becomes (src/wire/README.md, Options).

use std::time::Duration;

use serde_json::{Map, Value};

/// The options of a request as they came, or go: taken out by name and converted, each as its row says. Those of an action
/// are known to the command line of who runs it only.
pub type Options = Map<String, Value>;

/// How the router converts and checks an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text, nothing else.
    String,
    /// An object, unchecked inside.
    Dict,
    /// Anything.
    Any,
    /// `true`, `false`, or one of the texts that mean them.
    Boolean,
    /// An array, whose numbers and booleans become their text, or a text split on blanks.
    List,
    /// Seconds, or text of `<n>w<n>d<n>h<n>m<n>s` parts.
    Duration,
    /// Bytes, or `<decimal><unit>`.
    Size,
    /// A text found under `path`, `svcpath` or `svcname`.
    ObjectPath,
}

impl Format {
    /// The word of the error texts and of `GET api`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Dict => "dict",
            Self::Any => "none",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::ObjectPath => "object_path",
        }
    }
}

/// A number of bytes to read back from the end of a log; negative means all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub i64);

impl Size {
    /// Reads a size as an operator writes it: `10k`, `1m`, `-1`. None for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        size_text(text).ok().map(Self)
    }
}

/// Why a value does not convert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unconverted {
    /// Null, where the option cannot do without.
    Null,
    /// The text after `error: ` in the reply.
    Reason(String),
}

impl Unconverted {
    fn value(format: &str, value: &Value) -> Self {
        Self::Reason(format!("convert {format} error: {}", shown(value)))
    }
}

/// A value as the error texts show it, cut to something a log line can bear.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    text.chars().take(200).collect()
}

/// A type that an option's value converts to, and back from for the request builders.
pub(crate) trait OptionValue: Sized {
    /// Reads the value, the default already put in for null.
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted>;
    /// The value to send; null when there is none.
    fn to_value(&self) -> Value;
}

impl OptionValue for Option<String> {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(Unconverted::value(format.as_str(), &value))
            }
        }
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, |text| text.clone().into())
    }
}

impl OptionValue for String {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        Option::convert(format, value)?.ok_or(Unconverted::Null)
    }

    fn to_value(&self) -> Value {
        self.clone().into()
    }
}

impl OptionValue for bool {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        let word = match &value {
            Value::Bool(value) => return Ok(*value),
            Value::Null => return Ok(false),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.to_lowercase(),
            Value::Array(items) if items.is_empty() => return Ok(false),
            Value::Object(items) if items.is_empty() => return Ok(false),
            Value::Array(_) | Value::Object(_) => {
                return Err(Unconverted::value(format.as_str(), &value));
            }
        };
        match word.as_str() {
            "yes" | "y" | "true" | "t" | "1" => Ok(true),
            "no" | "n" | "false" | "f" | "0" | "0.0" | "none" | "" | "[]" | "{}" => Ok(false),
            _ => Err(Unconverted::value(format.as_str(), &word.into())),
        }
    }

    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl OptionValue for Vec<String> {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        match value {
            Value::Null => Ok(Vec::new()),
            Value::String(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    // `addr` of relay_tx is an address and a port.
                    Value::Bool(_) | Value::Number(_) => Ok(shown(&item)),
                    Value::Null => Err(Unconverted::value(format.as_str(), &item)),
                    item => String::convert(format, item),
                })
                .collect(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                Err(Unconverted::value(format.as_str(), &value))
            }
        }
    }

    fn to_value(&self) -> Value {
        self.clone().into()
    }
}

impl OptionValue for Duration {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        let seconds = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => duration_text(text),
            Value::Null => return Err(Unconverted::Null),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let seconds = seconds.ok_or_else(|| Unconverted::value(format.as_str(), &value))?;
        // Nobody waits for longer than a century; a negative time is none.
        Ok(Self::try_from_secs_f64(seconds.clamp(0.0, 3.2e9)).unwrap_or_default())
    }

    fn to_value(&self) -> Value {
        if self.subsec_nanos() == 0 { self.as_secs().into() } else { self.as_secs_f64().into() }
    }
}

impl OptionValue for Option<Duration> {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        match value {
            Value::Null => Ok(None),
            value => Duration::convert(format, value).map(Some),
        }
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, OptionValue::to_value)
    }
}

impl OptionValue for Size {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        match &value {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().and_then(whole))
                .map(Self)
                .ok_or_else(|| Unconverted::value(format.as_str(), &value)),
            Value::String(text) => size_text(text).map(Self).map_err(Unconverted::Reason),
            Value::Null => Err(Unconverted::Null),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(Unconverted::value(format.as_str(), &value))
            }
        }
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

impl OptionValue for Options {
    fn convert(format: Format, value: Value) -> Result<Self, Unconverted> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Object(map) => Ok(map),
            _ => Err(Unconverted::value(format.as_str(), &value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Object(self.clone())
    }
}

impl OptionValue for Value {
    fn convert(_: Format, value: Value) -> Result<Self, Unconverted> {
        Ok(value)
    }

    fn to_value(&self) -> Value {
        self.clone()
    }
}

/// Seconds of `1h30m`, `500ms`, `1.5s`, `10`. A part with an unknown unit is 0, as deployed agents read it; none for
/// text without digits before its unit.
fn duration_text(text: &str) -> Option<f64> {
    let text = text.to_lowercase();
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<f64>() {
        return seconds.is_finite().then_some(seconds);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let factor = match unit.trim() {
            "w" => 604_800.0,
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => 0.0,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Some(seconds)
}

/// Bytes of `10k`, `0.4ki`, `200B`, `-1`.
fn size_text(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(0);
    }
    let end = trimmed
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && *c == '-')))
        .map_or(trimmed.len(), |(at, _)| at);
    let (number, unit) = trimmed.split_at(end);
    let value: f64 =
        number.parse().map_err(|_| format!("could not convert string to float: '{number}'"))?;
    let unit = unit.trim().to_lowercase();
    let unsupported = || format!("convert size error: unsupported unit in {}", shown(&text.into()));
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    // Deployed agents take K for 1024 and Ki for 1000; what a sender means is what they made of it.
    let (letter, base) = match unit.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, 1000.0_f64),
        _ => (unit, 1024.0),
    };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return Err(unsupported()),
    };
    whole(value * base.powi(power)).ok_or_else(unsupported)
}

/// The integer part, when it fits.
fn whole(value: f64) -> Option<i64> {
    // Exact up to 2^53; what lies beyond is no size of a file.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (value.abs() < 9.0e18).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_read_as_deployed_agents_read_them() {
        let read = |value| Duration::convert(Format::Duration, value).map(|d| d.as_secs_f64());
        assert_eq!(read(json!(3)), Ok(3.0));
        assert_eq!(read(json!("1s")), Ok(1.0));
        assert_eq!(read(json!("1h30m")), Ok(5400.0));
        assert_eq!(read(json!("1w1d")), Ok(691_200.0));
        assert_eq!(read(json!("250ms")), Ok(0.25));
        assert_eq!(read(json!("10")), Ok(10.0));
        assert_eq!(read(json!("1H")), Ok(3_600.0));
        assert_eq!(read(json!("1m 30s")), Ok(90.0));
        assert_eq!(read(json!("1d2")), Ok(86_400.0));
        assert_eq!(read(json!("")), Ok(0.0));
        assert_eq!(read(json!("1x")), Ok(0.0));
        assert!(read(json!("inf")).is_err());
        assert!(read(json!("nan")).is_err());
        assert!(read(json!("s")).is_err());
        assert!(read(json!("1.2.3s")).is_err());
        assert_eq!(read(json!(-5)), Ok(0.0));
        assert_eq!(read(json!(1e300)), Ok(3.2e9));
        assert!(read(json!([1])).is_err());
    }

    #[test]
    fn sizes_take_k_for_1024_and_ki_for_1000() {
        let read = |value| Size::convert(Format::Size, value).map(|size| size.0);
        assert_eq!(read(json!("10k")), Ok(10_240));
        assert_eq!(read(json!("0.4k")), Ok(409));
        assert_eq!(read(json!("0.4ki")), Ok(400));
        assert_eq!(read(json!("200B")), Ok(200));
        assert_eq!(read(json!("1kib")), Ok(1_000));
        assert_eq!(read(json!("")), Ok(0));
        assert!(read(json!("1i")).is_err());
        assert!(read(json!("50%")).is_err());
        assert_eq!(read(json!("-1")), Ok(-1));
        assert_eq!(read(json!(-1)), Ok(-1));
        assert_eq!(read(json!("1m")), Ok(1 << 20));
        assert!(read(json!("1e999")).is_err());
    }

    #[test]
    fn a_text_is_not_a_number_but_an_item_of_a_list_may_be() {
        let read = |value| Option::<String>::convert(Format::String, value);
        assert_eq!(read(json!("5")), Ok(Some("5".to_owned())));
        assert_eq!(read(json!(null)), Ok(None));
        for wrong in [json!(5), json!(true), json!([]), json!({})] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        let items = Vec::<String>::convert(Format::List, json!(["1.2.3.4", 1234]));
        assert_eq!(items, Ok(vec!["1.2.3.4".to_owned(), "1234".to_owned()]));
    }

    #[test]
    fn booleans_have_many_spellings_and_no_others() {
        for word in ["yes", "Y", "TRUE", "t", "1"] {
            assert_eq!(bool::convert(Format::Boolean, json!(word)), Ok(true), "{word}");
        }
        for word in ["no", "N", "false", "F", "0", "0.0", "None", "", "[]", "{}"] {
            assert_eq!(bool::convert(Format::Boolean, json!(word)), Ok(false), "{word}");
        }
        assert_eq!(
            bool::convert(Format::Boolean, json!("maybe")),
            Err(Unconverted::Reason("convert boolean error: maybe".into()))
        );
    }
}
