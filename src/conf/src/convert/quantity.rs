//! Sizes, durations and dates.

use crate::convert::expected::Expected;
use crate::value::Value;

/// How a size is read and given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeOptions<'a> {
    /// Unit of a bare number, bytes by default.
    pub default_unit: Option<&'a str>,
    /// Unit of the result, bytes by default; rounded down.
    pub to: Option<&'a str>,
    /// Rounds the result down to a multiple of this.
    pub round: Option<u32>,
}

const SIZE: Expected = "a size, as 10, 1.5g, 100MiB or 20%FREE";

/// Reads a size: `512`, `1.5g`, `10 MiB`, `20%FREE`. The empty text is 0; a percentage stays a text.
///
/// Deployed agents count the units K M G T P Z E in this order (Z is 2^60), by 1,024, but by 1,000 when the unit
/// has an `i`: all nodes have to agree, so the same here.
///
/// # Errors
///
/// What is no size, or does not fit in 63 bits.
pub fn parse_size(text: &str, options: SizeOptions<'_>) -> Result<Value, Expected> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::Integer(0));
    }
    if let Some((digits, of)) = text.split_once('%')
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return match of {
            "" | "FREE" | "VG" | "ORIGIN" | "PVS" => Ok(Value::Text(text.to_owned())),
            _ => Err(SIZE),
        };
    }
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || matches!(c, '.' | ',') || (*at == 0 && *c == '-')))
        .map_or(text.len(), |(at, _)| at);
    let (number, unit) = (text[..end].replace(',', "."), text[end..].trim());
    let factor = match (unit, options.default_unit) {
        ("", Some(unit)) => factor(unit)?,
        (unit, _) => factor(unit)?,
    };
    let bytes = scale(&number, factor)?;
    let target = options.to.map_or(Ok(1), crate::convert::quantity::factor)?;
    let mut result = bytes / target;
    if let Some(round) = options.round.filter(|round| *round > 0) {
        result -= result.rem_euclid(i128::from(round));
    }
    i64::try_from(result).map(Value::Integer).map_err(|_| "a size under 8 EiB")
}

fn factor(unit: &str) -> Result<i128, Expected> {
    if matches!(unit, "" | "B") {
        return Ok(1);
    }
    let mut letters = unit.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    let power = first.and_then(|first| "kmgtpze".find(first)).ok_or(SIZE)?;
    if unit.len() > 8 || !letters.all(|c| "kmgtpzeib".contains(c.to_ascii_lowercase())) {
        return Err(SIZE);
    }
    let base: i128 = if unit.contains(['i', 'I']) { 1_000 } else { 1_024 };
    let power = u32::try_from(power + 1).map_err(|_| SIZE)?;
    Ok(base.pow(power))
}

/// A decimal number times an integer, truncated toward zero.
fn scale(number: &str, factor: i128) -> Result<i128, Expected> {
    let (sign, digits) = number.strip_prefix('-').map_or((1, number), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Err(SIZE);
    }
    let fraction = &fraction[..fraction.len().min(12)];
    let whole: i128 = whole.parse().map_err(|_| SIZE)?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| SIZE)? };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| SIZE)?);
    whole
        .checked_mul(factor)
        .and_then(|whole| Some(sign * whole.checked_add(part.checked_mul(factor)? / scale)?))
        .ok_or("a size under 8 EiB")
}

/// Seconds as a value: an integer when whole.
pub(crate) fn seconds(seconds: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    if seconds.fract() == 0.0 && seconds.abs() < 9e15 {
        Value::Integer(seconds as i64)
    } else {
        Value::Float(seconds)
    }
}

pub(super) const DURATION: Expected = "a duration, as 90, 1m30s, 0.5s or 250ms";

/// Reads a duration in seconds: `90`, `1h30m`, `0.5s`, `250ms`. `bare_unit` seconds are meant by a bare number. What
/// follows the last unit is ignored, as deployed agents do; fractions and `ms` are ours.
///
/// # Errors
///
/// A unit without number, or a number that is none.
pub fn parse_duration(text: &str, bare_unit: f64) -> Result<f64, Expected> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(0.0);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+')) {
        let number: f64 = text.parse().map_err(|_| DURATION)?;
        return Ok(number * bare_unit);
    }
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.as_str();
    let mut total = 0.0;
    loop {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (unit, after) = match after.strip_prefix("ms") {
            Some(after) if !after.starts_with(|c: char| c.is_ascii_alphabetic()) => (0.001, after),
            _ => match after.chars().next() {
                Some('w') => (604_800.0, &after[1..]),
                Some('d') => (86_400.0, &after[1..]),
                Some('h') => (3_600.0, &after[1..]),
                Some('m') => (60.0, &after[1..]),
                Some('s') => (1.0, &after[1..]),
                _ => return Ok(total),
            },
        };
        let number: f64 = number.parse().map_err(|_| DURATION)?;
        total += number * unit;
        rest = after;
    }
}

/// Completes a date: `2020-02` is `2020-02-01 00:00:00`.
pub(super) fn datetime(text: &str) -> Result<String, Expected> {
    const DATE: Expected = "a date, as 2020-12-31 23:59:59";
    let mut rest = text.trim();
    let mut parts = [1970, 1, 1, 0, 0, 0];
    for (index, separator) in ["", "-", "-", " ", ":", ":"].into_iter().enumerate() {
        let Some(after) = rest.strip_prefix(separator) else { break };
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let wanted = if index == 0 { 4..=4 } else { 1..=2 };
        if !wanted.contains(&end) {
            if index == 0 {
                return Err(DATE);
            }
            break;
        }
        parts[index] = after[..end].parse().map_err(|_| DATE)?;
        rest = &after[end..];
    }
    let [year, month, day, hour, minute, second] = parts;
    let narrow = |part: i16| i8::try_from(part).map_err(|_| DATE);
    let date = jiff::civil::DateTime::new(
        year,
        narrow(month)?,
        narrow(day)?,
        narrow(hour)?,
        narrow(minute)?,
        narrow(second)?,
        0,
    );
    let date = date.map_err(|_| DATE)?;
    Ok(date.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

pub(crate) fn integer(value: &Value) -> Value {
    let from_number = |number: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
        if number.is_finite() && number.abs() < 9.2e18 {
            Value::Integer(number as i64)
        } else {
            Value::Null
        }
    };
    match value {
        Value::Integer(number) => Value::Integer(*number),
        Value::Bool(value) => Value::Integer(i64::from(*value)),
        Value::Float(number) => from_number(*number),
        Value::Text(text) => {
            let text = text.trim();
            match text.parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => text.parse().map_or(Value::Null, from_number),
            }
        }
        Value::Null | Value::List(_) | Value::Set(_) | Value::Json(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_may_have_fractions_and_milliseconds() {
        for (text, seconds) in [
            ("250ms", 0.25),
            ("1.5h", 5_400.0),
            ("0.2", 0.2),
            ("1m500ms", 60.5),
            ("1s1s", 2.0),
            ("1h30", 3_600.0),
            ("10x", 0.0),
        ] {
            assert_eq!(parse_duration(text, 1.0), Ok(seconds), "{text}");
        }
        for text in ["m", "1..5s", "--5", "1hm", "."] {
            assert!(parse_duration(text, 1.0).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_too_large_is_no_size() {
        assert!(parse_size("1e", SizeOptions::default()).is_err());
        assert!(parse_size(&"9".repeat(100), SizeOptions::default()).is_err());
        assert!(parse_size("1.5", SizeOptions::default()).is_ok());
        assert!(parse_size("1.é", SizeOptions::default()).is_err());
    }
}
