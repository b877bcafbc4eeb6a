//! Complex values: text with variables in it, compiled when the configuration is read.

use crate::variable::{self, Session, VarIndex, Variables};
use conf::tree::SettingError;
use std::fmt;
use std::marker::PhantomData;

/// One piece of a complex value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Variable(VarIndex),
    Capture(usize),
}

/// A compiled value such as `"$scheme://$host/x"`.
pub struct Complex<S> {
    parts: Box<[Part]>,
    source: Box<[u8]>,
    sessions: PhantomData<fn(&S)>,
}

impl<S> Clone for Complex<S> {
    fn clone(&self) -> Self {
        Complex { parts: self.parts.clone(), source: self.source.clone(), sessions: PhantomData }
    }
}

impl<S> fmt::Debug for Complex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.source))
    }
}

impl<S> PartialEq for Complex<S> {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts && self.source == other.source
    }
}

impl<S> Eq for Complex<S> {}

impl<S: Session> Complex<S> {
    /// Compiles `source`: `$name`, `${name}`, `$1` to `$9`.
    ///
    /// # Errors
    /// nginx's texts: `invalid variable name`, `the closing bracket in "x" variable is missing`.
    pub fn compile(source: &[u8], variables: &mut Variables<S>) -> Result<Complex<S>, SettingError> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = source;
        while let Some((&byte, tail)) = rest.split_first() {
            if byte != b'$' {
                literal.push(byte);
                rest = tail;
                continue;
            }
            let (part, after) = reference(tail, variables)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(part);
            rest = after;
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Complex { parts: parts.into(), source: source.into(), sessions: PhantomData })
    }

    /// A value without variables.
    pub fn from_literal(text: &[u8]) -> Complex<S> {
        let parts: Box<[Part]> = if text.is_empty() { Box::default() } else { Box::new([Part::Literal(text.into())]) };
        Complex { parts, source: text.into(), sessions: PhantomData }
    }

    /// The value, if it has no variables.
    pub fn literal(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(&[]),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// As written in the configuration.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Whether it mentions a capture `$1` to `$9`.
    pub fn uses_captures(&self) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Capture(_)))
    }

    /// Appends the value for this session.
    pub fn eval(&self, session: &S, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Variable(index) => {
                    variable::get_flushed(session, *index, out);
                }
                Part::Capture(n) => {
                    if let Some(text) = session.cache().captures().get(*n) {
                        out.extend_from_slice(text);
                    }
                }
            }
        }
    }

    /// The value for this session in a buffer of its own.
    pub fn to_vec(&self, session: &S) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.source.len() + 16);
        self.eval(session, &mut out);
        out
    }

    /// The pieces, for those that treat variables apart (rewrite escapes captures).
    pub fn for_each<'a>(&'a self, mut f: impl FnMut(Piece<'a>)) {
        for part in &self.parts {
            f(match part {
                Part::Literal(text) => Piece::Literal(text),
                Part::Variable(index) => Piece::Variable(*index),
                Part::Capture(n) => Piece::Capture(*n),
            });
        }
    }
}

/// A piece as [`Complex::each`] shows it.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Text.
    Literal(&'a [u8]),
    /// A variable.
    Variable(VarIndex),
    /// A capture, `$1` to `$9`.
    Capture(usize),
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Parses what follows a `$`.
fn reference<'a, S: Session>(tail: &'a [u8], variables: &mut Variables<S>) -> Result<(Part, &'a [u8]), SettingError> {
    let invalid = || SettingError::from("invalid variable name");
    match tail.split_first() {
        Some((digit @ b'1'..=b'9', rest)) => Ok((Part::Capture(usize::from(digit - b'0')), rest)),
        Some((b'{', inner)) => {
            let length = inner.iter().take_while(|b| is_name_byte(**b)).count();
            let (name, after) = inner.split_at(length);
            let text = String::from_utf8_lossy(name);
            match after.split_first() {
                Some((b'}', rest)) if length > 0 => match name {
                    [digit @ b'1'..=b'9'] => Ok((Part::Capture(usize::from(digit - b'0')), rest)),
                    _ => Ok((Part::Variable(variables.index(&text)), rest)),
                },
                _ if length == 0 => Err(invalid()),
                _ => Err(format!("the closing bracket in \"{text}\" variable is missing").into()),
            }
        }
        _ => {
            let length = tail.iter().take_while(|b| is_name_byte(**b)).count();
            let (name, rest) = tail.split_at(length);
            if name.is_empty() {
                return Err(invalid());
            }
            Ok((Part::Variable(variables.index(&String::from_utf8_lossy(name))), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::variable::Cache;
    use std::rc::Rc;

    #[test]
    fn text_and_variables() {
        let mut variables = Variables::default();
        variables.define(
            "scheme",
            0,
            Rc::new(|_, out| {
                out.extend_from_slice(b"http");
                true
            }),
        );
        variables.define_family(
            "arg_",
            0,
            Rc::new(|name: &str| {
                let name = name.to_owned();
                Rc::new(move |_: &Fake, out: &mut Vec<u8>| {
                    out.extend_from_slice(name.as_bytes());
                    true
                })
            }),
        );
        let value = Complex::compile(b"$scheme://${arg_x}y$SCHEME", &mut variables).unwrap();
        variables.finish().unwrap();
        let session = Fake(Cache::new(Rc::new(variables)));
        assert_eq!(value.to_vec(&session), b"http://xyhttp");
        assert!(value.literal().is_none());
    }

    #[test]
    fn errors() {
        let mut variables = Variables::<Fake>::default();
        assert_eq!(Complex::compile(b"a$", &mut variables).unwrap_err(), "invalid variable name".into());
        assert_eq!(Complex::compile(b"${ab", &mut variables).unwrap_err(), "the closing bracket in \"ab\" variable is missing".into());
        Complex::compile(b"$nothing", &mut variables).unwrap();
        assert_eq!(variables.finish().unwrap_err().to_string(), "unknown \"nothing\" variable");
    }
}
