//! JSON as lua-cjson reads it: a text becomes a list of tokens from which values are built.
//!
//! A container's token comes before its content and says how much that is, so that tables can be made in their final
//! size. Nothing here recurses. As lua-cjson, the parser lets pass what strict JSON does not: control characters in
//! strings, bytes that are no UTF-8, a NUL as the end, and unless forbidden numbers such as `0x10`, `+1`, `01`, `NaN`.

mod lexer;
mod number;

use lexer::{Lexeme, Lexer};
use std::fmt;

/// What a text may contain.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How deep containers may stand in each other.
    pub max_depth: usize,
    /// Numbers that JSON does not know.
    pub odd_numbers: bool,
    /// `//` and `/* */`.
    pub comments: bool,
}

/// A value, or a key. Containers are followed by their content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string: offset and length in the text.
    Plain(u32, u32),
    /// A string that had escapes: offset and length in the decoded strings.
    Decoded(u32, u32),
    /// So many values follow.
    Array(u32),
    /// So many keys with values follow.
    Object(u32),
}

/// A parsed text; used again for the next one.
#[derive(Debug, Default)]
pub struct Document {
    /// Behind the text stand some NULs, which end it as the text's own would.
    text: Vec<u8>,
    decoded: Vec<u8>,
    tokens: Vec<Token>,
    open: Vec<Container>,
    depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The text itself, which holds one value.
    Text,
    Array,
    Object,
}

/// Why a text is not JSON, in lua-cjson's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl<T: Into<String>> From<T> for JsonError {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// A container that is being read.
#[derive(Clone, Copy, Debug)]
struct Container {
    kind: Kind,
    /// Values in it so far.
    count: u32,
    /// Where its token is.
    token: usize,
}

impl Container {
    const TEXT: Self = Self { kind: Kind::Text, count: 0, token: 0 };

    fn token(self) -> Token {
        if self.kind == Kind::Object { Token::Object(self.count) } else { Token::Array(self.count) }
    }

    fn closing(self) -> u8 {
        if self.kind == Kind::Object { b'}' } else { b']' }
    }
}

/// Texts of this many bytes make a document that is not worth keeping.
const LARGE: usize = 1 << 20;

impl Document {
    /// Parses a text, which is copied.
    ///
    /// # Errors
    /// lua-cjson's message.
    pub fn parse(&mut self, text: &[u8], rules: Rules) -> Result<(), JsonError> {
        self.text.clear();
        self.decoded.clear();
        self.tokens.clear();
        self.open.clear();
        self.depth = 0;
        if u32::try_from(text.len()).is_err() {
            return Err("the text is too long".into());
        }
        if let [0, _, ..] | [_, 0, ..] = text {
            return Err("JSON parser does not support UTF-16 or UTF-32".into());
        }
        self.text.reserve(text.len() + lexer::BLOCK);
        self.text.extend_from_slice(text);
        self.text.extend_from_slice(&[0; lexer::BLOCK]);
        self.read(rules)
    }

    fn read(&mut self, rules: Rules) -> Result<(), JsonError> {
        let Self { text, decoded, tokens, open, depth } = self;
        let text = text.as_slice();
        let mut at = 0;
        let mut inner = Container::TEXT;
        let mut wants_key = false;
        loop {
            let byte = lexer::peek(text, &mut at, rules);
            if matches!(byte, b'{' | b'[') && !wants_key {
                at += 1;
                open.push(inner);
                let kind = if byte == b'{' { Kind::Object } else { Kind::Array };
                inner = Container { kind, count: 0, token: tokens.len() };
                tokens.push(inner.token());
                *depth = open.len().max(*depth);
                if open.len() > rules.max_depth {
                    return Err(format!("Found too many nested data structures ({}) at character {at}", open.len()).into());
                }
                if lexer::peek(text, &mut at, rules) != inner.closing() {
                    wants_key = kind == Kind::Object;
                    continue;
                }
            } else {
                let usual = match byte {
                    b'"' => lexer::plain_string(text, &mut at, tokens),
                    b'0'..=b'9' | b'-' if !wants_key => lexer::plain_number(text, &mut at, tokens),
                    _ => false,
                };
                if !usual {
                    tokens.push(parse_other(text, &mut at, decoded, rules, wants_key)?);
                }
                if wants_key {
                    if lexer::peek(text, &mut at, rules) != b':' {
                        return Err(refuse(Lexer::new(text, decoded, rules, &mut { at }), "colon"));
                    }
                    at += 1;
                    wants_key = false;
                    continue;
                }
                inner.count += 1;
            }
            // Behind a value, or before the end of an empty container.
            while inner.kind != Kind::Text {
                let byte = lexer::peek(text, &mut at, rules);
                if byte == b',' && inner.kind == Kind::Object {
                    wants_key = true;
                } else if byte == inner.closing() {
                    if let Some(token) = tokens.get_mut(inner.token) {
                        *token = inner.token();
                    }
                    inner = open.pop().unwrap_or(Container::TEXT);
                    inner.count += 1;
                    at += 1;
                    continue;
                } else if byte != b',' {
                    let what = if inner.kind == Kind::Object { "comma or object end" } else { "comma or array end" };
                    return Err(refuse(Lexer::new(text, decoded, rules, &mut { at }), what));
                }
                at += 1;
                break;
            }
            if inner.kind == Kind::Text {
                return the_end(Lexer::new(text, decoded, rules, &mut { at }));
            }
        }
    }

    /// The tokens, first the text's value.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// A string token's bytes; empty for other tokens.
    #[must_use]
    #[inline]
    pub fn string(&self, token: Token) -> &[u8] {
        let (from, start, len) = match token {
            Token::Plain(start, len) => (&self.text, start as usize, len as usize),
            Token::Decoded(start, len) => (&self.decoded, start as usize, len as usize),
            _ => return &[],
        };
        from.get(start..start + len).unwrap_or_default()
    }

    /// How deep containers stand in each other.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether it has become too large to be kept.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.text.capacity() + self.decoded.capacity() + self.tokens.capacity() * size_of::<Token>() > LARGE
    }
}

/// A key or value that is not written as most are, or not one at all.
#[inline]
fn parse_other(text: &[u8], at: &mut usize, decoded: &mut Vec<u8>, rules: Rules, key: bool) -> Result<Token, JsonError> {
    // A copy, since what a function is told the address of is not kept in a register.
    let mut end = *at;
    let token = rare_token(Lexer::new(text, decoded, rules, &mut end), key)?;
    *at = end;
    Ok(token)
}

fn rare_token(mut lexer: Lexer<'_>, key: bool) -> Result<Token, JsonError> {
    match lexer.next() {
        Lexeme::Value(token @ (Token::Plain(..) | Token::Decoded(..))) => Ok(token),
        Lexeme::Value(token) if !key => Ok(token),
        other => Err(lexer.expected(if key { "object key string" } else { "value" }, &other)),
    }
}

/// The message about what stands where `what` should be.
#[cold]
fn refuse(mut lexer: Lexer<'_>, what: &str) -> JsonError {
    let found = lexer.next();
    lexer.expected(what, &found)
}

/// Nothing may follow but white space.
fn the_end(mut lexer: Lexer<'_>) -> Result<(), JsonError> {
    match lexer.next() {
        Lexeme::End => Ok(()),
        other => Err(lexer.expected("the end", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { max_depth: 1000, odd_numbers: true, comments: false };

    fn parse_by(text: &str, rules: Rules) -> String {
        let mut document = Document::default();
        match document.parse(text.as_bytes(), rules) {
            Ok(()) => {
                let show = |token: &Token| match token {
                    Token::Plain(..) | Token::Decoded(..) => format!("{:?}", String::from_utf8_lossy(document.string(*token))),
                    other => format!("{other:?}"),
                };
                document.tokens().iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    fn parse(text: &str) -> String {
        parse_by(text, RULES)
    }

    #[test]
    fn values() {
        assert_eq!(
            parse(r#" {"a":[1,2.5,"x\n\u00e4\ud83d\ude00"],"b":{}, "c":null } "#),
            "Object(3) \"a\" Array(3) Number(1.0) Number(2.5) \"x\\nä😀\" \"b\" Object(0) \"c\" Null"
        );
        assert_eq!(parse("[[],[true,false]]"), "Array(2) Array(0) Array(2) Bool(true) Bool(false)");
        assert_eq!(parse("-0.5e1"), "Number(-5.0)");
        assert_eq!(parse("123456789012345678901"), "Number(1.2345678901234568e20)");
        assert_eq!(parse("[1]\0x"), "Array(1) Number(1.0)");
    }

    /// Strings are searched in blocks: what ends them stands at each place of one.
    #[test]
    fn strings_of_all_lengths() {
        for length in 0..80 {
            let letters = "\u{e4}a\u{7f}\u{1}#[]!".repeat(10).chars().take(length).collect::<String>();
            let shown = format!("{letters:?}");
            assert_eq!(parse(&format!("\"{letters}\"")), shown);
            assert_eq!(parse(&format!("{{\"{letters}\":[\"{letters}\"]}}")), format!("Object(1) {shown} Array(1) {shown}"));
            assert_eq!(parse(&format!("[\"{letters}\\n{letters}\"]")), format!("Array(1) {:?}", format!("{letters}\n{letters}")));
            assert_eq!(parse(&format!("\"{letters}\\\"\"")), format!("{:?}", format!("{letters}\"")));
            for open in [format!("[\"{letters}"), format!("[\"{letters}\0\"")] {
                let at = letters.len() + 3;
                assert_eq!(parse(&open), format!("Expected value but found unexpected end of string at character {at}"));
            }
        }
        let mut document = Document::default();
        assert_eq!(document.parse(b"\"\xff\xfe \x80\xc3\"", RULES), Ok(()));
        assert_eq!(document.string(document.tokens()[0]), b"\xff\xfe \x80\xc3");
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", "0.0"),
            ("-0", "0.0"),
            ("-0.0", "-0.0"),
            ("1.0", "1.0"),
            ("1.", "1.0"),
            ("1e5", "100000.0"),
            ("1E-2", "0.01"),
            ("-1.5e+1", "-15.0"),
            ("999999999999999", "999999999999999.0"),
            ("9007199254740993", "9007199254740992.0"),
            ("-9223372036854775808", "-9.223372036854776e18"),
            ("18446744073709551617", "1.8446744073709552e19"),
            ("0.1", "0.1"),
            ("0.000000000000001", "1e-15"),
            ("123456789012.345", "123456789012.345"),
            ("1234567890123.4567", "1234567890123.4568"),
            ("1e400", "inf"),
            ("1e-400", "0.0"),
        ] {
            assert_eq!(parse(text), format!("Number({value})"), "{text}");
            assert_eq!(parse(&format!("[{text} ,1]")), format!("Array(2) Number({value}) Number(1.0)"), "{text}");
        }
    }

    #[test]
    fn empty_containers() {
        assert_eq!(parse("[[ ],{ },[[]],{}]"), "Array(4) Array(0) Object(0) Array(1) Array(0) Object(0)");
        assert_eq!(parse("{\"a\":{},\"b\":[]}"), "Object(2) \"a\" Object(0) \"b\" Array(0)");
        assert_eq!(parse("[}"), "Expected value but found T_OBJ_END at character 2");
        assert_eq!(parse("{]"), "Expected object key string but found T_ARR_END at character 2");
        assert_eq!(parse("{{"), "Expected object key string but found T_OBJ_BEGIN at character 2");
        assert_eq!(parse("[,"), "Expected value but found T_COMMA at character 2");
        assert_eq!(parse("{\"a\":}"), "Expected value but found T_OBJ_END at character 6");
    }

    #[test]
    fn odd_numbers() {
        for (text, value) in
            [("0x10", "16.0"), ("+1", "1.0"), ("01", "1.0"), ("-inf", "-inf"), ("NaN", "NaN"), ("Infinity", "inf"), ("-0x.8p1", "-1.0")]
        {
            assert_eq!(parse(text), format!("Number({value})"));
            let strict = parse_by(text, Rules { odd_numbers: false, ..RULES });
            let found = if text.starts_with(['+', 'I', 'N']) { "invalid token" } else { "invalid number" };
            assert_eq!(strict, format!("Expected value but found {found} at character 1"));
        }
    }

    #[test]
    fn what_is_wrong() {
        for (text, error) in [
            ("", "Expected value but found T_END at character 1"),
            ("[1", "Expected comma or array end but found T_END at character 3"),
            ("[1,]", "Expected value but found T_ARR_END at character 4"),
            ("{\"a\" 1}", "Expected colon but found T_INTEGER at character 6"),
            ("{\"a\" 1.5}", "Expected colon but found T_NUMBER at character 6"),
            ("{1:2}", "Expected object key string but found T_INTEGER at character 2"),
            ("{\"a\":1,}", "Expected object key string but found T_OBJ_END at character 8"),
            ("{\"a\":1 2}", "Expected comma or object end but found T_INTEGER at character 8"),
            ("[1]]", "Expected the end but found T_ARR_END at character 4"),
            ("nul", "Expected value but found invalid token at character 1"),
            ("\"abc", "Expected value but found unexpected end of string at character 5"),
            ("\"a\\x\"", "Expected value but found invalid escape code at character 3"),
            ("\"\\ud800\"", "Expected value but found invalid unicode escape code at character 2"),
            ("-", "Expected value but found invalid number at character 1"),
            ("a\0", "JSON parser does not support UTF-16 or UTF-32"),
            ("// x\n1", "Expected value but found invalid token at character 1"),
        ] {
            assert_eq!(parse(text), error);
        }
    }

    #[test]
    fn depth_and_comments() {
        let deep = "[".repeat(3) + &"]".repeat(3);
        assert_eq!(parse_by(&deep, Rules { max_depth: 2, ..RULES }), "Found too many nested data structures (3) at character 3");
        let comments = Rules { comments: true, ..RULES };
        assert_eq!(parse_by("/* a */ [1, // x\n 2] /**/", comments), "Array(2) Number(1.0) Number(2.0)");
        assert_eq!(parse_by("[1 /* ", comments), "Expected comma or array end but found unclosed multi-line comment at character 7");
    }
}
