//! What the operators of an expression yield.

use std::cmp::Ordering;

/// Longest text of an expression, and of what it yields.
pub(crate) const MAX_LENGTH: usize = 16_384;

/// An operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Tuple(Vec<Operand>),
}

enum Pair {
    Integers(i64, i64),
    Floats(f64, f64),
}

impl Operand {
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Integer(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Tuple(items) => !items.is_empty(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "None",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a list",
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Integer(value) => Some(*value),
            Self::Null | Self::Float(_) | Self::Text(_) | Self::Tuple(_) => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "as Python does")]
    fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            other => other.integer().map(|value| value as f64),
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Tuple(one), Self::Tuple(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.equals(b))
            }
            (Self::Null, Self::Null) => true,
            (one, other) => match (one.integer(), other.integer()) {
                (Some(one), Some(other)) => one == other,
                _ => matches!((one.float(), other.float()), (Some(a), Some(b)) if a == b),
            },
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (one, other) => match (one.integer(), other.integer()) {
                (Some(one), Some(other)) => Some(one.cmp(&other)),
                _ => one.float()?.partial_cmp(&other.float()?),
            },
        }
    }
}

fn mismatch(sign: &str, one: &Operand, other: &Operand) -> String {
    format!("{sign} between {} and {}", one.kind(), other.kind())
}

fn pair(sign: &str, one: &Operand, other: &Operand) -> Result<Pair, String> {
    match (one.integer(), other.integer()) {
        (Some(one), Some(other)) => Ok(Pair::Integers(one, other)),
        _ => match (one.float(), other.float()) {
            (Some(one), Some(other)) => Ok(Pair::Floats(one, other)),
            _ => Err(mismatch(sign, one, other)),
        },
    }
}

pub(super) fn negate(operand: &Operand) -> Result<Operand, String> {
    match operand.integer() {
        Some(value) => value.checked_neg().map(Operand::Integer).ok_or_else(|| "too large".into()),
        None => match operand {
            Operand::Float(value) => Ok(Operand::Float(-value)),
            other => Err(format!("- before {}", other.kind())),
        },
    }
}

/// A comparison.
pub(super) fn compare(sign: &str, one: &Operand, other: &Operand) -> Result<bool, String> {
    let order = || one.order(other).ok_or_else(|| mismatch(sign, one, other));
    match sign {
        "==" => Ok(one.equals(other)),
        "!=" => Ok(!one.equals(other)),
        "<" => order().map(Ordering::is_lt),
        "<=" => order().map(Ordering::is_le),
        ">" => order().map(Ordering::is_gt),
        ">=" => order().map(Ordering::is_ge),
        _ => match (one, other) {
            (one, Operand::Tuple(items)) => Ok(items.iter().any(|item| item.equals(one))),
            (Operand::Text(one), Operand::Text(other)) => Ok(other.contains(one.as_str())),
            // `n1 in (n1)`: the parentheses of one word make no list, the word is compared as a text.
            _ => Err(mismatch("in", one, other)),
        },
    }
}

/// An arithmetic operation.
pub(super) fn calculate(sign: &str, one: &Operand, other: &Operand) -> Result<Operand, String> {
    if sign == "+"
        && let (Operand::Text(one), Operand::Text(other)) = (one, other)
    {
        return text(one.len() + other.len(), || format!("{one}{other}"));
    }
    if sign == "*"
        && let Some((repeated, times)) = repetition(one, other).or_else(|| repetition(other, one))
    {
        let times = usize::try_from(times).unwrap_or(0);
        return text(repeated.len().saturating_mul(times), || repeated.repeat(times));
    }
    if let "&" | "|" | "^" = sign {
        return bits(sign, one, other);
    }
    let large = || "too large".to_owned();
    let zero = || "division by zero".to_owned();
    match pair(sign, one, other)? {
        Pair::Integers(a, b) => match sign {
            "+" => a.checked_add(b).map(Operand::Integer).ok_or_else(large),
            "-" => a.checked_sub(b).map(Operand::Integer).ok_or_else(large),
            "*" => a.checked_mul(b).map(Operand::Integer).ok_or_else(large),
            "//" | "%" if b == 0 => Err(zero()),
            "//" => {
                let quotient = a.checked_div(b).ok_or_else(large)?;
                let is_short = a % b != 0 && (a < 0) != (b < 0);
                Ok(Operand::Integer(quotient - i64::from(is_short)))
            }
            "%" => {
                let rest = a.checked_rem(b).ok_or_else(large)?;
                let is_short = rest != 0 && (rest < 0) != (b < 0);
                Ok(Operand::Integer(if is_short { rest + b } else { rest }))
            }
            "**" if b >= 0 => {
                let power = u32::try_from(b).ok().and_then(|power| a.checked_pow(power));
                match a {
                    0 | 1 => Ok(Operand::Integer(if b == 0 { 1 } else { a })),
                    -1 => Ok(Operand::Integer(if b % 2 == 0 { 1 } else { -1 })),
                    _ => power.map(Operand::Integer).ok_or_else(large),
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "as Python does")]
            _ => floats(sign, a as f64, b as f64),
        },
        Pair::Floats(a, b) => floats(sign, a, b),
    }
}

fn repetition<'a>(text: &'a Operand, times: &Operand) -> Option<(&'a str, i64)> {
    match text {
        Operand::Text(text) => Some((text, times.integer()?)),
        _ => None,
    }
}

fn floats(sign: &str, a: f64, b: f64) -> Result<Operand, String> {
    if matches!(sign, "/" | "//" | "%") && b == 0.0 || sign == "**" && a == 0.0 && b < 0.0 {
        return Err("it divides by zero".into());
    }
    let result = match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        _ => a.powf(b),
    };
    if result.is_finite() {
        Ok(Operand::Float(result))
    } else {
        Err("its result is too large".into())
    }
}

fn bits(sign: &str, one: &Operand, other: &Operand) -> Result<Operand, String> {
    let (Some(a), Some(b)) = (one.integer(), other.integer()) else {
        return Err(mismatch(sign, one, other));
    };
    let result = match sign {
        "&" => a & b,
        "|" => a | b,
        _ => a ^ b,
    };
    Ok(match (one, other) {
        (Operand::Bool(_), Operand::Bool(_)) => Operand::Bool(result != 0),
        _ => Operand::Integer(result),
    })
}

fn text(length: usize, make: impl FnOnce() -> String) -> Result<Operand, String> {
    if length > MAX_LENGTH {
        Err("its result is too large".into())
    } else {
        Ok(Operand::Text(make()))
    }
}
