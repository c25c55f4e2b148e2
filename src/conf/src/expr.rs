//! The expressions of `$( .. )`: a small part of Python's (src/conf/README.md, Expressions).

mod lexer;
mod operators;
mod parser;

use crate::expr::operators::MAX_LENGTH;
use crate::value::Value;

/// Evaluates an expression. Its size and depth are bounded, and so is the result.
///
/// # Errors
///
/// What is wrong with it.
pub fn evaluate(text: &str) -> Result<Value, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    let tokens = lexer::tokens(text)?;
    match parser::Parser::new(&tokens).parse()? {
        operators::Operand::Null => Ok(Value::Null),
        operators::Operand::Bool(value) => Ok(Value::Bool(value)),
        operators::Operand::Integer(value) => Ok(Value::Integer(value)),
        operators::Operand::Float(value) => Ok(Value::Float(value)),
        operators::Operand::Text(text) => Ok(Value::Text(text)),
        operators::Operand::Tuple(_) => Err("it yields a list".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_that_of_python() {
        for (text, value) in [
            ("2+3*4**2", Value::Integer(50)),
            ("-2**2", Value::Integer(-4)),
            ("2**-1", Value::Float(0.5)),
            ("2**3**2", Value::Integer(512)),
            ("-7//2", Value::Integer(-4)),
            ("-7%3", Value::Integer(2)),
            ("not 1 == 2", Value::Bool(true)),
            ("1|2^3&2", Value::Integer(1)),
            ("1 and 2 < 3", Value::Bool(true)),
            ("'a' + \"b\"", Value::Text("ab".into())),
            ("True+1", Value::Integer(2)),
            ("n1 in (n1)", Value::Bool(true)),
            ("n1 in (n1,)", Value::Bool(true)),
            ("None == None", Value::Bool(true)),
            ("1 == 'a'", Value::Bool(false)),
            ("0.1+0.2", Value::Float(0.1 + 0.2)),
        ] {
            assert_eq!(evaluate(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_says_why() {
        for text in [
            "",
            "1+",
            "(1",
            "1)",
            "a.b",
            "f(1)",
            "1 2",
            "a b",
            "'a",
            "1/0",
            "1%0",
            "1//0",
            "0**-1",
            "9**99",
            "1<'a'",
            "'a'-1",
            "1 in 2",
            "@",
            "1 <> 2",
            "(1,2)",
            "--",
            "é.b",
            "99999999999999999999999",
            "1.5&2",
            "'a'*99999",
            "is",
            "lambda: 1",
            "[1]",
            "()",
        ] {
            assert!(evaluate(text).is_err(), "{text}: {:?}", evaluate(text));
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert!(evaluate(&"(".repeat(10_000)).is_err());
        assert!(evaluate(&format!("{}1", "-".repeat(10_000))).is_err());
        assert!(evaluate(&format!("{}1", "not ".repeat(3_000))).is_err());
        assert!(evaluate(&format!("1{}", "**1".repeat(3_000))).is_err());
        assert!(evaluate(&format!("1{}", "+1".repeat(3_000))).is_ok());
        assert!(evaluate(&"1+".repeat(100_000)).is_err());
        assert!(evaluate("9223372036854775807+1").is_err());
    }
}
