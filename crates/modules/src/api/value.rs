//! JSON values of API requests and responses.

use std::io::Write;
use wire::json::JsonError;
use wire::json::{Document, Rules, Token};

/// How deep what is told may be nested.
const DEPTH: usize = 8;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Count(u64),
    Text(String),
    List(Vec<Value>),
    /// In order.
    Object(Vec<(String, Value)>),
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Count(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Bool(is)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// An object of these fields, in their order.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A list of texts.
pub(crate) fn texts<'a>(all: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(all.into_iter().map(Value::from).collect())
}

impl Value {
    /// Adds a field to an object.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        if let Value::Object(fields) = self {
            fields.push((name.to_owned(), value.into()));
        }
    }

    /// Keeps those fields of an object that are named, and of a map's or list's entries if it is one of objects. An empty list of names keeps
    /// the names of a map's entries alone.
    pub(crate) fn limit(self, depth: usize, names: &[&str]) -> Value {
        match self {
            Value::Object(fields) if depth == 0 => {
                Value::Object(fields.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect())
            }
            Value::Object(fields) if names.is_empty() => texts(fields.iter().map(|(name, _)| name.as_str())),
            Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, value.limit(depth - 1, names))).collect()),
            Value::List(list) if depth > 0 => Value::List(list.into_iter().map(|value| value.limit(depth - 1, names)).collect()),
            other => other,
        }
    }

    /// Appends the text.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _ = match self {
            Value::Null => write!(out, "null"),
            Value::Bool(is) => write!(out, "{is}"),
            Value::Number(number) => write!(out, "{number}"),
            Value::Count(number) => write!(out, "{number}"),
            Value::Text(text) => {
                push_text(text, out);
                Ok(())
            }
            Value::List(list) => {
                out.push(b'[');
                for (i, value) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    value.push(out);
                }
                write!(out, "]")
            }
            Value::Object(fields) => {
                out.push(b'{');
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    push_text(name, out);
                    out.push(b':');
                    value.push(out);
                }
                write!(out, "}}")
            }
        };
    }

    /// Reads a text.
    pub(crate) fn parse(text: &[u8]) -> Result<Value, JsonError> {
        let mut document = Document::default();
        document.parse(text, Rules { max_depth: DEPTH, odd_numbers: false, comments: false })?;
        let mut tokens = document.tokens().iter().copied();
        let mut string = |token| String::from_utf8(document.string(token).to_vec()).map_err(|_| JsonError::from("invalid UTF-8"));
        build(&mut tokens, &mut string)
    }
}

fn build(
    tokens: &mut impl Iterator<Item = Token>,
    string: &mut impl FnMut(Token) -> Result<String, JsonError>,
) -> Result<Value, JsonError> {
    let Some(token) = tokens.next() else { return Ok(Value::Null) };
    Ok(match token {
        Token::Null => Value::Null,
        Token::Bool(is) => Value::Bool(is),
        Token::Number(number) => Value::Number(number),
        Token::Plain(..) | Token::Decoded(..) => Value::Text(string(token)?),
        Token::Array(count) => Value::List((0..count).map(|_| build(tokens, string)).collect::<Result<_, _>>()?),
        Token::Object(count) => {
            let mut fields = Vec::new();
            for _ in 0..count {
                let name = match tokens.next() {
                    Some(name) => string(name)?,
                    None => String::new(),
                };
                fields.push((name, build(tokens, string)?));
            }
            Value::Object(fields)
        }
    })
}

/// A text between quotes.
pub(crate) fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                // Writing to memory cannot fail, here and below.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        let mut out = Vec::new();
        push_text("a\"b\\\u{1}ü", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"b\\\\\\u0001ü\"");
    }

    #[test]
    fn there_and_back() {
        let text = br#"{"a":[1,true,null,"x\"\u00fc"],"b":{},"c":-1.5}"#;
        let value = Value::parse(text).unwrap();
        let mut out = Vec::new();
        value.push(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\":[1,true,null,\"x\\\"\u{fc}\"],\"b\":{},\"c\":-1.5}");
        for bad in ["", "{", "{\"a\":}", "[[[[[[[[[[]]]]]]]]]]", "\"\u{ff}", "{} x"] {
            assert!(Value::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_are_chosen() {
        let map = object([("one", object([("a", 1.into()), ("b", 2.into())])), ("two", object([("a", 3.into())]))]);
        let text = |value: Value| {
            let mut out = Vec::new();
            value.push(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(map.clone().limit(1, &["a"])), r#"{"one":{"a":1},"two":{"a":3}}"#);
        assert_eq!(text(map.clone().limit(1, &[])), r#"["one","two"]"#);
        assert_eq!(text(map.limit(0, &["two"])), r#"{"two":{"a":3}}"#);
        let list = Value::List(vec![object([("a", 1.into()), ("b", 2.into())])]);
        assert_eq!(
            (text(list.clone().limit(1, &["b"])), text(list.limit(0, &["b"]))),
            (r#"[{"b":2}]"#.to_owned(), r#"[{"a":1,"b":2}]"#.to_owned())
        );
    }
}
