//! Words and signs of an expression.

/// One word or sign.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Integer(i64),
    Float(f64),
    Text(String),
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 20] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "&", "|", "^", "<", ">", "(", ")",
    ",", "~",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = vec![];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            number(rest)?
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if after.starts_with('.') {
                return Err(format!(
                    "{word:?} has a dot after it: a word with dots stands in quotes"
                ));
            }
            if after.starts_with('(') && !matches!(word, "not" | "and" | "or" | "in") {
                return Err(format!("{word:?} is called: an expression calls nothing"));
            }
            (Token::Word(word.to_owned()), after)
        } else if matches!(first, '\'' | '"') {
            quoted(rest, first)?
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("{first:?} is unexpected"))?;
            (Token::Sign(sign), &rest[sign.len()..])
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(text);
    let mut is_float = false;
    if text[end..].starts_with('.') {
        is_float = true;
        end += 1 + digits(&text[end + 1..]);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(&text[end + 1 + sign..]);
        if exponent > 0 {
            is_float = true;
            end += 1 + sign + exponent;
        }
    }
    let (number, after) = text.split_at(end);
    if after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.')) {
        return Err(format!("{number:?} is followed by a letter"));
    }
    let is_octal =
        number.len() > 1 && number.starts_with('0') && !number.trim_matches('0').is_empty();
    if !is_float && is_octal {
        return Err(format!("{number:?} has a leading zero"));
    }
    let token = if is_float {
        number.parse().map(Token::Float).ok()
    } else {
        number.parse().map(Token::Integer).ok()
    };
    Ok((token.ok_or_else(|| format!("{number:?} is too large"))?, after))
}

fn quoted(text: &str, quote: char) -> Result<(Token, &str), String> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((Token::Text(content), &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => content.push('\n'),
                Some((_, 't')) => content.push('\t'),
                Some((_, c @ ('\\' | '\'' | '"'))) => content.push(c),
                Some((_, c)) => content.extend(['\\', c]),
                None => break,
            },
            c => content.push(c),
        }
    }
    Err("a quote is not closed".into())
}
