//! The grammar of an expression, by descent, with a bound on its depth.

use crate::expr::lexer::Token;
use crate::expr::operators::{Operand, calculate, compare, negate};

/// Deepest nesting of parentheses and signs.
pub(crate) const MAX_DEPTH: usize = 64;

type Result = std::result::Result<Operand, String>;

/// Operators from the loosest to the tightest.
const LEVELS: [&[&str]; 5] = [&["|"], &["^"], &["&"], &["+", "-"], &["*", "/", "//", "%"]];

pub(super) struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, at: 0, depth: 0 }
    }

    pub(super) fn parse(mut self) -> Result {
        let value = self.any_of()?;
        match self.tokens.get(self.at) {
            None => Ok(value),
            Some(token) => Err(format!("{} is unexpected", show(token))),
        }
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn sign(&mut self, signs: &[&str]) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Sign(sign)) if signs.contains(sign) => {
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    fn word(&mut self, wanted: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(word)) if word == wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Result) -> Result {
        self.depth += 1;
        let result = if self.depth > MAX_DEPTH {
            Err(format!("it is nested deeper than {MAX_DEPTH}"))
        } else {
            parse(self)
        };
        self.depth -= 1;
        result
    }

    /// `a or b`: deployed agents return a, whatever it is; b has to be an expression all the same.
    fn any_of(&mut self) -> Result {
        let first = self.all_of()?;
        while self.word("or") {
            self.all_of()?;
        }
        Ok(first)
    }

    fn all_of(&mut self) -> Result {
        let mut value = self.opposite()?;
        while self.word("and") {
            let next = self.opposite()?;
            if value.is_true() {
                value = next;
            }
        }
        Ok(value)
    }

    fn opposite(&mut self) -> Result {
        if self.word("not") {
            let value = self.deeper(Self::opposite)?;
            return Ok(Operand::Bool(!value.is_true()));
        }
        self.comparison()
    }

    /// `a < b < c`: deployed agents compare the first two only.
    fn comparison(&mut self) -> Result {
        let first = self.level(0)?;
        let mut result = None;
        loop {
            let sign = match self.sign(&["==", "!=", "<", "<=", ">", ">="]) {
                Some(sign) => sign,
                None if self.word("in") => "in",
                None => return Ok(result.unwrap_or(first)),
            };
            let next = self.level(0)?;
            if result.is_none() {
                result = Some(Operand::Bool(compare(sign, &first, &next)?));
            }
        }
    }

    fn level(&mut self, level: usize) -> Result {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut value = self.level(level + 1)?;
        while let Some(sign) = self.sign(signs) {
            let next = self.level(level + 1)?;
            value = calculate(sign, &value, &next)?;
        }
        Ok(value)
    }

    fn unary(&mut self) -> Result {
        match self.sign(&["-"]) {
            Some(_) => negate(&self.deeper(Self::unary)?),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Result {
        let base = self.atom()?;
        match self.sign(&["**"]) {
            Some(sign) => {
                let exponent = self.deeper(Self::unary)?;
                calculate(sign, &base, &exponent)
            }
            None => Ok(base),
        }
    }

    fn atom(&mut self) -> Result {
        let token = self.peek().ok_or("it ends too early")?;
        self.at += 1;
        match token {
            Token::Integer(value) => Ok(Operand::Integer(*value)),
            Token::Float(value) => Ok(Operand::Float(*value)),
            Token::Text(text) => {
                let mut text = text.clone();
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Ok(Operand::Text(text))
            }
            Token::Word(word) => match word.as_str() {
                "True" => Ok(Operand::Bool(true)),
                "False" => Ok(Operand::Bool(false)),
                "None" => Ok(Operand::Null),
                "and" | "or" | "in" | "not" | "is" | "if" | "else" | "lambda" | "for" => {
                    Err(format!("{word:?} is unexpected"))
                }
                _ => Ok(Operand::Text(word.clone())),
            },
            Token::Sign("(") => self.deeper(Self::group),
            token @ Token::Sign(_) => Err(format!("{} is unexpected", show(token))),
        }
    }

    /// After an opening parenthesis: a group, or a list when there is a comma.
    fn group(&mut self) -> Result {
        let first = self.any_of()?;
        if self.sign(&[")"]).is_some() {
            return Ok(first);
        }
        let mut items = vec![first];
        loop {
            if self.sign(&[","]).is_none() {
                return Err("a parenthesis is not closed".into());
            }
            if self.sign(&[")"]).is_some() {
                return Ok(Operand::Tuple(items));
            }
            items.push(self.any_of()?);
            if self.sign(&[")"]).is_some() {
                return Ok(Operand::Tuple(items));
            }
        }
    }
}

fn show(token: &Token) -> String {
    match token {
        Token::Integer(value) => value.to_string(),
        Token::Float(value) => value.to_string(),
        Token::Text(text) | Token::Word(text) => format!("{text:?}"),
        Token::Sign(sign) => format!("{sign:?}"),
    }
}
