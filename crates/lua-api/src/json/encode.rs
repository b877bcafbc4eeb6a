//! `cjson.encode`: a Lua value as text.

use super::empty_array;
use crate::number;
use lua::{Cx, Raise, Stack, Type, View, Walker};
use std::cell::Cell;

const EMPTY_AS_OBJECT: u32 = 1;
const ESCAPE_SLASH: u32 = 2;
const SPARSE_AS_OBJECT: u32 = 4;
const SKIP_UNSUPPORTED: u32 = 8;
const KEEP_BUFFER: u32 = 16;
const INVALID_NUMBERS: u32 = 32;
const INVALID_AS_NULL: u32 = 64;

/// What keys are refused with.
const KEY: &str = "table key must be a number or string";

/// A buffer that has grown beyond this is not kept, in bytes.
const LARGE: usize = 1 << 20;

thread_local!(static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

/// Where `cjson.array_mt` and `cjson.empty_array_mt` stand among the arguments.
const ARRAY_MT: usize = 1;
const EMPTY_ARRAY_MT: usize = 2;

/// What the functions of an instance have set.
struct Settings {
    flags: u32,
    max_depth: usize,
    digits: usize,
    sparse_ratio: f64,
    sparse_safe: f64,
    indent: Vec<u8>,
}

const DEFAULTS: Settings = Settings {
    flags: EMPTY_AS_OBJECT | ESCAPE_SLASH | KEEP_BUFFER,
    max_depth: 1000,
    digits: 14,
    sparse_ratio: 2.0,
    sparse_safe: 10.0,
    indent: Vec::new(),
};

impl Settings {
    /// From the table at `index`.
    fn read(stack: &mut Stack<'_>, index: usize) -> Settings {
        let top = stack.top();
        let mut number = |item| {
            stack.get_item(index, item);
            let value = stack.number(top + 1).unwrap_or_default();
            stack.truncate(top);
            value
        };
        let (flags, max_depth, digits) = (number(1) as u32, number(2) as usize, number(3) as usize);
        let (sparse_ratio, sparse_safe) = (number(4), number(5));
        stack.get_item(index, 6);
        let indent = stack.bytes(top + 1).unwrap_or_default().to_vec();
        stack.truncate(top);
        Settings { flags, max_depth, digits, sparse_ratio, sparse_safe, indent }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// `json_encode(array_mt, empty_array_mt, settings?, value)`
pub(super) fn encode(_: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 4 {
        return Err(Raise::argument(1, "encode", "expected 1 argument"));
    }
    let settings = if stack.is_nil(3) { DEFAULTS } else { Settings::read(stack, 3) };
    // A metamethod may encode too: it finds no buffer and makes its own.
    let mut out = BUFFER.take();
    out.clear();
    let walker = Walker::new(stack, 4).ok_or(Raise::fixed("stack overflow"))?;
    let encoder = Encoder { walker, settings: &settings, out: &mut out, open: Vec::new() };
    let result = encoder.run();
    if result.is_ok() {
        stack.push_bytes(&out);
    }
    if settings.has(KEEP_BUFFER) && out.capacity() <= LARGE {
        BUFFER.set(out);
    }
    result.map(|()| 1)
}

/// A table that is being written.
struct Open {
    /// Index of the last item and number of items of an array; none for an object.
    items: Option<(usize, usize)>,
    raw: bool,
    /// Members that were begun, those left out not counted where they are the first.
    commas: usize,
    /// It has members, or had some that were left out.
    begun: bool,
    /// Where the last member begins in the text.
    mark: usize,
}

/// What follows in the text.
enum Next {
    /// The value that the walker looks at.
    Value,
    /// What is behind that value, which was written or left out.
    Behind { left_out: bool },
}

struct Encoder<'e, 's, 'a> {
    walker: Walker<'s, 'a>,
    settings: &'e Settings,
    out: &'e mut Vec<u8>,
    open: Vec<Open>,
}

fn raised(text: Vec<u8>) -> Raise {
    Raise::new(text).at_level(0)
}

impl Encoder<'_, '_, '_> {
    fn run(mut self) -> Result<(), Raise> {
        let mut next = Next::Value;
        loop {
            next = match next {
                Next::Value => self.value()?,
                Next::Behind { left_out } => {
                    if self.open.is_empty() {
                        return Ok(());
                    }
                    self.behind(left_out)?
                }
            };
        }
    }

    fn refuse(kind: Type, reason: &str) -> Raise {
        Raise::new(format!("Cannot serialise {}: {reason}", kind.name()))
    }

    fn value(&mut self) -> Result<Next, Raise> {
        match self.walker.view() {
            View::Bytes(text) => push_string(self.out, text, self.settings.has(ESCAPE_SLASH)),
            View::Number(number) => self.number(number)?,
            View::Bool(on) => self.out.extend_from_slice(if on { b"true" } else { b"false" }),
            View::Table => return self.table(),
            View::Nil | View::Light(0) => self.out.extend_from_slice(b"null"),
            View::Light(address) if address == empty_array() => self.out.extend_from_slice(b"[]"),
            View::Light(_) | View::Other(_) if self.settings.has(SKIP_UNSUPPORTED) => return Ok(Next::Behind { left_out: true }),
            View::Light(_) => return Err(Self::refuse(Type::LightUserdata, "type not supported")),
            View::Other(kind) => return Err(Self::refuse(kind, "type not supported")),
        }
        Ok(Next::Behind { left_out: false })
    }

    fn number(&mut self, value: f64) -> Result<(), Raise> {
        if value.is_finite() {
            number::push_digits(self.out, value, self.settings.digits);
        } else if self.settings.has(INVALID_AS_NULL) {
            self.out.extend_from_slice(b"null");
        } else if !self.settings.has(INVALID_NUMBERS) {
            return Err(Self::refuse(Type::Number, "must not be NaN or Infinity"));
        } else if value.is_nan() {
            self.out.extend_from_slice(b"NaN");
        } else {
            self.out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        Ok(())
    }

    /// Begins an array of `length` items.
    fn array(&mut self, length: usize, raw: bool) -> Result<Next, Raise> {
        self.enter(|walker| walker.enter_items())?;
        self.out.push(b'[');
        self.open.push(Open { items: Some((0, length)), raw, commas: 0, begun: false, mark: 0 });
        self.advance()
    }

    fn enter(&mut self, enter: impl FnOnce(&mut Walker<'_, '_>) -> bool) -> Result<(), Raise> {
        let depth = self.open.len() + 1;
        if depth <= self.settings.max_depth && enter(&mut self.walker) {
            return Ok(());
        }
        Err(Raise::new(format!("Cannot serialise, excessive nesting ({depth})")))
    }

    fn table(&mut self) -> Result<Next, Raise> {
        let metatable = self.walker.metatable();
        if metatable.is_some() {
            if metatable == self.walker.address(ARRAY_MT) {
                let length = self.walker.length();
                return self.array(length, true);
            }
            if let Some(length) = self.walker.asked_length().map_err(raised)? {
                return self.array(length as usize, false);
            }
        }
        self.enter(|walker| walker.enter_pairs())?;
        let more = self.walker.step().map_err(raised)?;
        let length = if more && !matches!(self.walker.key(), View::Number(_)) { None } else { self.array_length(more)? };
        match length {
            Some(length) if length > 0 || !self.settings.has(EMPTY_AS_OBJECT) => return self.array(length, metatable.is_none()),
            _ if metatable.is_some() && metatable == self.walker.address(EMPTY_ARRAY_MT) => {
                if length.is_none() && more {
                    self.walker.leave();
                }
                let length = self.walker.length();
                return self.array(length, true);
            }
            _ => {}
        }
        self.out.push(b'{');
        let open = Open { items: None, raw: true, commas: 0, begun: false, mark: 0 };
        match length {
            // It is empty, and the walk over it has ended.
            Some(_) => {
                self.out.push(b'}');
                Ok(Next::Behind { left_out: false })
            }
            // The walk stands at the first pair.
            None => {
                self.open.push(open);
                self.member()
            }
        }
    }

    /// Number of items, if all keys are positive integers and there are not too few of them; the walk has then ended.
    /// Otherwise it stands at the first pair.
    fn array_length(&mut self, mut more: bool) -> Result<Option<usize>, Raise> {
        let (mut max, mut items) = (0.0_f64, 0.0);
        let mut restart = false;
        while more {
            let key = if let View::Number(key) = self.walker.key() { key } else { 0.0 };
            if key < 1.0 || key.floor() != key {
                self.walker.leave();
                restart = true;
                break;
            }
            max = max.max(key);
            items += 1.0;
            self.walker.back();
            more = self.walker.step().map_err(raised)?;
        }
        let settings = self.settings;
        let sparse = settings.sparse_ratio > 0.0 && max > items * settings.sparse_ratio && max > settings.sparse_safe;
        if !restart && (sparse || max > f64::from(i32::MAX)) {
            if !settings.has(SPARSE_AS_OBJECT) {
                return Err(Self::refuse(Type::Table, "excessively sparse array"));
            }
            restart = true;
        }
        if !restart {
            return Ok(Some(max as usize));
        }
        self.enter(|walker| walker.enter_pairs())?;
        self.walker.step().map_err(raised)?;
        Ok(None)
    }

    /// Leaves a value, and goes to what is next in its table.
    fn behind(&mut self, left_out: bool) -> Result<Next, Raise> {
        if let Some(open) = self.open.last_mut().filter(|_| left_out) {
            self.out.truncate(open.mark);
            if open.commas == 1 {
                open.commas = 0;
            }
        }
        self.walker.back();
        self.advance()
    }

    fn advance(&mut self) -> Result<Next, Raise> {
        let Some(open) = self.open.last_mut() else { return Ok(Next::Behind { left_out: false }) };
        match &mut open.items {
            Some((index, length)) if *index < *length => {
                *index += 1;
                self.walker.item(*index, open.raw).map_err(raised)?;
                self.separate();
                Ok(Next::Value)
            }
            Some(_) => {
                self.walker.leave();
                Ok(self.close(b']'))
            }
            None if self.walker.step().map_err(raised)? => self.member(),
            None => Ok(self.close(b'}')),
        }
    }

    fn indent(&mut self, depth: usize) {
        if !self.settings.indent.is_empty() {
            self.out.push(b'\n');
            for _ in 0..depth {
                self.out.extend_from_slice(&self.settings.indent);
            }
        }
    }

    fn close(&mut self, bracket: u8) -> Next {
        if self.open.pop().is_some_and(|open| open.begun) {
            self.indent(self.open.len());
        }
        self.out.push(bracket);
        Next::Behind { left_out: false }
    }

    /// What stands before a member.
    fn separate(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.mark = self.out.len();
            open.begun = true;
            if open.commas > 0 {
                self.out.push(b',');
            }
            open.commas += 1;
        }
        self.indent(self.open.len());
    }

    /// A member's key, of the pair that the walker is at.
    fn member(&mut self) -> Result<Next, Raise> {
        self.separate();
        match self.walker.key() {
            View::Number(key) => {
                self.out.push(b'"');
                self.number(key)?;
                self.out.push(b'"');
            }
            View::Bytes(key) => push_string(self.out, key, self.settings.has(ESCAPE_SLASH)),
            View::Bool(_) => return Err(Self::refuse(Type::Boolean, KEY)),
            View::Table => return Err(Self::refuse(Type::Table, KEY)),
            View::Light(_) => return Err(Self::refuse(Type::LightUserdata, KEY)),
            View::Other(kind) => return Err(Self::refuse(kind, KEY)),
            View::Nil => return Err(Self::refuse(Type::Nil, KEY)),
        }
        self.out.push(b':');
        if !self.settings.indent.is_empty() {
            self.out.push(b' ');
        }
        Ok(Next::Value)
    }
}

/// What to write for each byte: 0 itself, `u` its number, otherwise this letter behind a backslash.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 32 {
        table[byte] = b'u';
        byte += 1;
    }
    table[127] = b'u';
    table[8] = b'b';
    table[9] = b't';
    table[10] = b'n';
    table[12] = b'f';
    table[13] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table
};

fn push_string(out: &mut Vec<u8>, text: &[u8], slash: bool) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        let escape = ESCAPES.get(usize::from(*byte)).copied().unwrap_or(0);
        if escape == 0 || (escape == b'/' && !slash) {
            continue;
        }
        out.extend_from_slice(text.get(from..at).unwrap_or_default());
        from = at + 1;
        if escape == b'u' {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out.push(b'"');
}
