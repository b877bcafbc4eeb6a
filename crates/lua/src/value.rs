//! Lua values on Rust's side, and what a suspended function hands back when it goes on.

use crate::raise::Raise;
use crate::reference::Ref;
use crate::stack::{Stack, Type};
use std::borrow::Cow;

/// A Lua value owned by Rust. Strings are bytes.
#[derive(Clone, Debug)]
pub enum Value {
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Bytes(Cow<'static, [u8]>),
    /// Anything else, kept in the registry.
    Ref(Ref),
}

impl Value {
    /// Reads the value at `index`; nil when nothing stands there.
    pub fn read(stack: &mut Stack<'_>, index: usize) -> Self {
        match stack.kind(index) {
            Type::None | Type::Nil => Self::Nil,
            Type::Boolean => Self::Bool(stack.truthy(index)),
            Type::Number => stack.number(index).map_or(Self::Nil, Self::Number),
            Type::String => stack.bytes(index).map_or(Self::Nil, |b| Self::Bytes(b.to_vec().into())),
            _ => stack.reference(index).map_or(Self::Nil, Self::Ref),
        }
    }

    /// Pushes this value.
    pub fn push(&self, stack: &mut Stack<'_>) {
        match self {
            Self::Nil => stack.push_nil(),
            Self::Bool(b) => stack.push_bool(*b),
            Self::Number(n) => stack.push_number(*n),
            Self::Bytes(b) => stack.push_bytes(b),
            Self::Ref(r) => stack.push_ref(r),
        }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Number(v)
    }
}
impl From<&'static str> for Value {
    fn from(v: &'static str) -> Self {
        Self::Bytes(Cow::Borrowed(v.as_bytes()))
    }
}
impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(v))
    }
}
impl From<Ref> for Value {
    fn from(v: Ref) -> Self {
        Self::Ref(v)
    }
}

/// A function that pushes results and says how many.
pub type Pusher = Box<dyn FnOnce(&mut Stack<'_>) -> Result<usize, Raise>>;

/// The results of a suspended function.
pub enum Reply {
    /// No value.
    Empty,
    /// One value.
    One(Value),
    /// Two values, such as `nil, "timeout"`.
    Two(Value, Value),
    /// Any number of values.
    Many(Vec<Value>),
    /// Results that are made on the stack (tables).
    With(Pusher),
}

impl Reply {
    /// `nil, "text"`: how most suspending functions report a failure.
    pub fn failure(text: &'static str) -> Self {
        Self::Two(Value::Nil, text.into())
    }

    /// Results made on the stack at resumption.
    pub fn with(push: impl FnOnce(&mut Stack<'_>) -> Result<usize, Raise> + 'static) -> Self {
        Self::With(Box::new(push))
    }

    pub(crate) fn push(self, stack: &mut Stack<'_>) -> Result<usize, Raise> {
        match self {
            Self::Empty => Ok(0),
            Self::One(a) => {
                a.push(stack);
                Ok(1)
            }
            Self::Two(a, b) => {
                a.push(stack);
                b.push(stack);
                Ok(2)
            }
            Self::Many(values) => {
                if !stack.reserve(values.len().saturating_add(4)) {
                    return Err(Raise::fixed("too many results"));
                }
                values.iter().for_each(|v| v.push(stack));
                Ok(values.len())
            }
            Self::With(f) => f(stack),
        }
    }
}

impl From<Value> for Reply {
    fn from(v: Value) -> Self {
        Self::One(v)
    }
}
