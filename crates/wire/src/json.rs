//! JSON as lua-cjson reads it: a text becomes a list of tokens from which values are built.
//!
//! A container's token comes before its content and says how much that is, so that tables can be made in their final
//! size. Nothing here recurses. As lua-cjson, the parser lets pass what strict JSON does not: control characters in
//! strings, bytes that are no UTF-8, a NUL as the end, and unless forbidden numbers such as `0x10`, `+1`, `01`, `NaN`.

mod lexer;
mod number;

use lexer::{Lexeme, Lexer};

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
    pub fn parse(&mut self, text: &[u8], rules: Rules) -> Result<(), String> {
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
        let Self { text, decoded, tokens, open, depth } = self;
        let mut lexer = Lexer::new(text, decoded, rules);
        let mut inner = Container::TEXT;
        loop {
            let byte = lexer.peek();
            if let b'{' | b'[' = byte {
                lexer.pass();
                open.push(inner);
                let kind = if byte == b'{' { Kind::Object } else { Kind::Array };
                inner = Container { kind, count: 0, token: tokens.len() };
                tokens.push(inner.token());
                *depth = open.len().max(*depth);
                if open.len() > rules.max_depth {
                    return Err(format!("Found too many nested data structures ({}) at character {}", open.len(), lexer.position()));
                }
                if lexer.peek() != inner.closing() {
                    if kind == Kind::Object {
                        tokens.push(key(&mut lexer)?);
                    }
                    continue;
                }
            } else {
                tokens.push(value(&mut lexer, byte)?);
                inner.count += 1;
            }
            if !go_on(&mut lexer, tokens, open, &mut inner)? {
                return Ok(());
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
    pub fn string(&self, token: Token) -> &[u8] {
        let (from, start, len) = match token {
            Token::Plain(start, len) => (&self.text, start, len),
            Token::Decoded(start, len) => (&self.decoded, start, len),
            _ => return &[],
        };
        let start = start as usize;
        from.get(start..start + len as usize).unwrap_or_default()
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

/// A value that is no container and begins with `byte`.
#[inline]
fn value(lexer: &mut Lexer<'_>, byte: u8) -> Result<Token, String> {
    let lexeme = match byte {
        b'"' => lexer.string(),
        b'0'..=b'9' | b'-' => lexer.number(),
        _ => lexer.next(),
    };
    match lexeme {
        Lexeme::Value(token) => Ok(token),
        other => Err(lexer.expected("value", &other)),
    }
}

/// Goes on behind a value, or before the end of an empty container: to the next value; false at the text's end.
#[inline]
fn go_on(lexer: &mut Lexer<'_>, tokens: &mut Vec<Token>, open: &mut Vec<Container>, inner: &mut Container) -> Result<bool, String> {
    loop {
        if inner.kind == Kind::Text {
            return match lexer.next() {
                Lexeme::End => Ok(false),
                other => Err(lexer.expected("the end", &other)),
            };
        }
        let byte = lexer.peek();
        if byte == b',' {
            lexer.pass();
            if inner.kind == Kind::Object {
                tokens.push(key(lexer)?);
            }
            return Ok(true);
        }
        if byte != inner.closing() {
            let found = lexer.next();
            let what = if inner.kind == Kind::Object { "comma or object end" } else { "comma or array end" };
            return Err(lexer.expected(what, &found));
        }
        lexer.pass();
        if let Some(token) = tokens.get_mut(inner.token) {
            *token = inner.token();
        }
        *inner = open.pop().unwrap_or(Container::TEXT);
        inner.count += 1;
    }
}

/// A key and its colon.
#[inline]
fn key(lexer: &mut Lexer<'_>) -> Result<Token, String> {
    let key = if lexer.peek() == b'"' { lexer.string() } else { lexer.next() };
    let Lexeme::Value(token @ (Token::Plain(..) | Token::Decoded(..))) = key else {
        return Err(lexer.expected("object key string", &key));
    };
    if lexer.peek() == b':' {
        lexer.pass();
        return Ok(token);
    }
    let found = lexer.next();
    Err(lexer.expected("colon", &found))
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
            Err(error) => error,
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
