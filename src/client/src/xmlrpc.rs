//! XML-RPC: what the collector speaks. The depth of an answer is bounded here, its bytes and its time in `http.rs`.

use std::time::Duration;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value};

use link::fetch::{HttpError, Uri, post};

/// Deepest value that is read.
const MAX_DEPTH: usize = 32;

/// Why there is no value.
#[derive(Debug)]
pub(super) enum CallError {
    /// No answer.
    Http(HttpError),
    /// Not an answer of XML-RPC.
    Xml(String),
    /// The method failed there.
    Fault(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Xml(reason) => write!(f, "the answer is not XML-RPC: {reason}"),
            Self::Fault(text) => write!(f, "the collector refused: {text}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Calls a method.
///
/// # Errors
///
/// [`CallError`], a fault included.
pub(super) fn call(
    uri: &Uri,
    method: &str,
    params: &[Value],
    within: Duration,
) -> Result<Value, CallError> {
    let mut body =
        format!("<?xml version='1.0'?>\n<methodCall><methodName>{method}</methodName><params>");
    for param in params {
        body.push_str("<param>");
        write_value(param, &mut body);
        body.push_str("</param>");
    }
    body.push_str("</params></methodCall>\n");
    let answer = post(uri, &body, within).map_err(CallError::Http)?;
    let text = String::from_utf8(answer).map_err(|_| CallError::Xml("not UTF-8".into()))?;
    read_answer(&text)
}

fn write_value(value: &Value, xml: &mut String) {
    xml.push_str("<value>");
    match value {
        Value::Null => xml.push_str("<nil/>"),
        Value::Bool(is_set) => xml.push_str(&format!("<boolean>{}</boolean>", u8::from(*is_set))),
        Value::Number(number) if number.is_f64() => {
            xml.push_str(&format!("<double>{number}</double>"));
        }
        Value::Number(number) => xml.push_str(&format!("<int>{number}</int>")),
        Value::String(text) => {
            xml.push_str("<string>");
            write_text(text, xml);
            xml.push_str("</string>");
        }
        Value::Array(values) => {
            xml.push_str("<array><data>");
            values.iter().for_each(|value| write_value(value, xml));
            xml.push_str("</data></array>");
        }
        Value::Object(map) => {
            xml.push_str("<struct>");
            for (name, value) in map {
                xml.push_str("<member><name>");
                write_text(name, xml);
                xml.push_str("</name>");
                write_value(value, xml);
                xml.push_str("</member>");
            }
            xml.push_str("</struct>");
        }
    }
    xml.push_str("</value>");
}

/// Text as XML takes it: what XML 1.0 cannot hold becomes `?`.
fn write_text(text: &str, xml: &mut String) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\n' | '\t' => xml.push(c),
            '\r' => xml.push_str("&#13;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => xml.push('?'),
            c => xml.push(c),
        }
    }
}

/// An element, as far as XML-RPC goes: elements or text, no attributes.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

fn read_answer(text: &str) -> Result<Value, CallError> {
    let error = |reason: &str| CallError::Xml(reason.to_owned());
    let root = read_tree(text)?;
    if root.name != "methodResponse" {
        return Err(error("no methodResponse"));
    }
    let first = root.children.first().ok_or_else(|| error("an empty methodResponse"))?;
    match first.name.as_str() {
        "params" => {
            let value = first.children.first().and_then(|param| param.children.first());
            value.map_or(Ok(Value::Null), read_value)
        }
        "fault" => {
            let fault = first.children.first().map_or(Ok(Value::Null), read_value)?;
            let text = fault.get("faultString").and_then(Value::as_str);
            Err(CallError::Fault(text.map_or_else(|| fault.to_string(), str::to_owned)))
        }
        _ => Err(error("neither params nor fault")),
    }
}

fn read_tree(text: &str) -> Result<Element, CallError> {
    let failed = |reason: String| CallError::Xml(reason);
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = vec![];
    loop {
        let event = reader.read_event().map_err(|error| failed(error.to_string()))?;
        let closed = match event {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH * 4 {
                    return Err(failed("nested too deep".into()));
                }
                let name = start.local_name().as_ref().to_owned();
                open.push(Element { name, ..Element::default() });
                None
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                Some(Element { name, ..Element::default() })
            }
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
                None
            }
            Event::CData(data) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&data.xml10_content());
                }
                None
            }
            Event::GeneralRef(reference) => {
                let c = reference.resolve_char_ref().map_err(|error| failed(error.to_string()))?;
                let name = reference.xml10_content();
                let resolved = match c {
                    Some(c) => c.to_string(),
                    // No entity of its own: that is how small answers become gigabytes.
                    None => resolve_predefined_entity(&name)
                        .ok_or_else(|| failed(format!("unknown entity {name:?}")))?
                        .to_owned(),
                };
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&resolved);
                }
                None
            }
            Event::DocType(_) => return Err(failed("a document type".into())),
            Event::Eof => return Err(failed("the answer is cut".into())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
        };
        if let Some(element) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return Ok(element),
            }
        }
    }
}

/// Reads a `<value>`.
fn read_value(value: &Element) -> Result<Value, CallError> {
    let error = |text: &str, kind: &str| CallError::Xml(format!("{text:?} is no {kind}"));
    let Some(typed) = value.children.first() else {
        // A value without a type is a string.
        return Ok(Value::String(value.text.clone()));
    };
    let text = typed.text.trim();
    match typed.name.as_str() {
        "string" => Ok(Value::String(typed.text.clone())),
        "int" | "i4" | "i8" => {
            text.parse::<i64>().map(Value::from).map_err(|_| error(text, "integer"))
        }
        "double" => text.parse::<f64>().map(Value::from).map_err(|_| error(text, "number")),
        "boolean" => Ok(Value::Bool(matches!(text, "1" | "true"))),
        "nil" => Ok(Value::Null),
        "array" => typed
            .children
            .first()
            .map_or(&[][..], |data| &data.children)
            .iter()
            .map(read_value)
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        "struct" => {
            let mut map = Map::new();
            for member in &typed.children {
                let [name, value] = &member.children[..] else {
                    return Err(CallError::Xml("a member without name or value".into()));
                };
                map.insert(name.text.clone(), read_value(value)?);
            }
            Ok(Value::Object(map))
        }
        // Dates and base64: as their text.
        _ => Ok(Value::String(typed.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_back_as_written() {
        let value = json!([["uuid", "n1"], 7, -1, 1.5, true, null, {"a <&> b": "é\n\"x\""}, []]);
        let mut xml = String::from("<methodResponse><params><param>");
        write_value(&value, &mut xml);
        xml.push_str("</param></params></methodResponse>");
        assert_eq!(read_answer(&xml).unwrap(), value);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let mut xml = String::new();
        write_text("a\u{1b}[31m\u{0}b", &mut xml);
        assert_eq!(xml, "a?[31m?b");
    }

    #[test]
    fn an_untyped_value_is_a_string_and_a_fault_an_error() {
        let untyped = "<?xml version='1.0'?><methodResponse><params><param><value>a &amp; b</value></param></params></methodResponse>";
        assert_eq!(read_answer(untyped).unwrap(), json!("a & b"));
        let fault = "<methodResponse><fault><value><struct><member><name>faultString</name><value>no such node</value></member></struct></value></fault></methodResponse>";
        assert!(
            matches!(read_answer(fault), Err(CallError::Fault(text)) if text == "no such node")
        );
    }

    #[test]
    fn hostile_answers_are_refused() {
        let deep = "<value>".repeat(100_000);
        for text in [
            "",
            "<",
            "<a>",
            "hello",
            "<methodResponse/>",
            "<methodResponse><x/></methodResponse>",
            deep.as_str(),
            "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><methodResponse/>",
            "<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
            "<methodResponse><params><param><value>&bomb;</value></param></params></methodResponse>",
        ] {
            assert!(read_answer(text).is_err(), "{text:.60}");
        }
    }
}
