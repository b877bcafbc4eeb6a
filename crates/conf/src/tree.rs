//! stub
use std::borrow::Cow;
/// s
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// f
    pub file: u32,
    /// l
    pub line: u32,
    /// c
    pub column: u32,
}
/// w
#[derive(Clone, Debug)]
pub struct Word {
    /// b
    pub bytes: Vec<u8>,
    /// q
    pub quoted: bool,
    /// s
    pub span: Span,
}
impl Word {
    /// t
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}
/// d
#[derive(Clone, Debug)]
pub struct Directive {
    /// n
    pub name: Word,
    /// a
    pub args: Vec<Word>,
    /// b
    pub body: Option<Block>,
    /// s
    pub span: Span,
}
/// b
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// d
    pub directives: Vec<Directive>,
}
/// e
#[derive(Clone, Debug)]
pub struct Error {
    /// m
    pub message: String,
    /// s
    pub span: Span,
    /// h
    pub hint: Option<String>,
}
impl Error {
    /// n
    pub fn new(message: String, span: Span) -> Self {
        Error { message, span, hint: None }
    }
}
