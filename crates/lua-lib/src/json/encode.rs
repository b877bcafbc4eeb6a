//! `cjson.encode`: a Lua value as text.

use super::empty_array;
use super::quoted::Quoting;
use crate::number;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Stack, Type, ValueView, Walker};
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

thread_local!(static KEPT: Cell<Scratch> = const { Cell::new(Scratch { out: Vec::new(), open: Vec::new() }) });

/// What is used again by the next call.
#[derive(Default)]
struct Scratch {
    out: Vec<u8>,
    open: Vec<Option<Items>>,
}

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
        let (flags, max_depth, digits) = (u32::saturated(number(1)), usize::saturated(number(2)), usize::saturated(number(3)));
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
pub(super) fn encode(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 4 {
        return Err(Raise::argument(1, "encode", "expected 1 argument"));
    }
    let settings = if stack.is_nil(3) { DEFAULTS } else { Settings::read(stack, 3) };
    // A metamethod may encode too: it finds nothing kept and makes its own.
    let mut kept = KEPT.take();
    kept.out.clear();
    kept.open.clear();
    let walker = Walker::new(stack, 4).ok_or(Raise::fixed("stack overflow"))?;
    let quoting = Quoting::new(settings.has(ESCAPE_SLASH));
    let text = Text { settings: &settings, quoting, out: &mut kept.out, open: &mut kept.open, comma: false, started: false };
    let result = Encoder { walker, text }.run();
    if result.is_ok() {
        stack.push_bytes(&kept.out);
    }
    if settings.has(KEEP_BUFFER) && kept.out.capacity() <= LARGE {
        KEPT.set(kept);
    }
    result.map(|()| 1)
}

/// Where an array is that is being written.
#[derive(Clone, Copy)]
struct Items {
    /// The last item's index.
    index: i32,
    length: i32,
    raw: bool,
}

/// What was made of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All of it was written.
    Whole,
    /// Nothing: it is of a kind that is skipped.
    LeftOut,
    /// Nothing yet: the walker looks at a table.
    Table,
}

fn raised(text: Vec<u8>) -> Raise {
    Raise::new(text).at_level(0)
}

#[cold]
fn refuse(kind: Type, reason: &str) -> Raise {
    Raise::new(format!("Cannot serialise {}: {reason}", kind.name()))
}

/// The text so far, and the tables that are open in it.
struct Text<'e> {
    settings: &'e Settings,
    quoting: Quoting,
    out: &'e mut Vec<u8>,
    /// The tables that are open; none stands for an object.
    open: &'e mut Vec<Option<Items>>,
    /// A comma stands before the next member of the last of them.
    comma: bool,
    /// That has members, or had some that were left out.
    started: bool,
}

impl Text<'_> {
    /// Writes a value that takes no decision: what most are. Of others nothing is written.
    #[inline(always)]
    fn write_scalar(&mut self, value: ValueView<'_>) -> bool {
        match value {
            ValueView::Bytes(text) => self.quoting.push(self.out, text),
            ValueView::Number(number) if number.is_finite() => number::push_digits(self.out, number, self.settings.digits),
            ValueView::Bool(on) => self.out.extend_from_slice(if on { b"true" } else { b"false" }),
            ValueView::Nil | ValueView::Light(0) => self.out.extend_from_slice(b"null"),
            _ => return false,
        }
        true
    }

    fn value(&mut self, value: ValueView<'_>) -> Result<Outcome, Raise> {
        if self.write_scalar(value) { Ok(Outcome::Whole) } else { self.write_other(value) }
    }

    /// A value of which [`Text::write_scalar`] wrote nothing.
    fn write_other(&mut self, value: ValueView<'_>) -> Result<Outcome, Raise> {
        match value {
            ValueView::Table => return Ok(Outcome::Table),
            ValueView::Number(number) => self.invalid_number(number)?,
            ValueView::Light(address) if address == empty_array() => self.out.extend_from_slice(b"[]"),
            _ if self.settings.has(SKIP_UNSUPPORTED) => return Ok(Outcome::LeftOut),
            ValueView::Other(kind) => return Err(refuse(kind, "type not supported")),
            _ => return Err(refuse(Type::LightUserdata, "type not supported")),
        }
        Ok(Outcome::Whole)
    }

    #[cold]
    fn invalid_number(&mut self, value: f64) -> Result<(), Raise> {
        if self.settings.has(INVALID_AS_NULL) {
            self.out.extend_from_slice(b"null");
        } else if !self.settings.has(INVALID_NUMBERS) {
            return Err(refuse(Type::Number, "must not be NaN or Infinity"));
        } else if value.is_nan() {
            self.out.extend_from_slice(b"NaN");
        } else {
            self.out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        Ok(())
    }

    #[inline(always)]
    fn indent(&mut self, depth: usize) {
        if !self.settings.indent.is_empty() {
            self.out.push(b'\n');
            for _ in 0..depth {
                self.out.extend_from_slice(&self.settings.indent);
            }
        }
    }

    /// Begins an array whose first items are written, if some are.
    fn open_array(&mut self, items: Items) {
        self.started = items.index > 0;
        self.comma = self.started;
        if !self.started {
            self.out.push(b'[');
        }
        self.open.push(Some(items));
    }

    fn open_object(&mut self) {
        self.out.push(b'{');
        self.open.push(None);
        (self.comma, self.started) = (false, false);
    }

    /// Ends the table that was opened last. What it is in has it as a member.
    fn close(&mut self, bracket: u8) {
        self.open.pop();
        if self.started {
            self.indent(self.open.len());
        }
        self.out.push(bracket);
        (self.comma, self.started) = (true, true);
    }

    /// A member of the table that was opened last: what `begin` writes, and its value.
    #[inline(always)]
    fn member(&mut self, begin: impl FnOnce(&mut Self) -> Result<(), Raise>, value: ValueView<'_>) -> Result<Outcome, Raise> {
        let (start, comma) = (self.out.len(), self.comma);
        (self.comma, self.started) = (true, true);
        if comma {
            self.out.push(b',');
        }
        self.indent(self.open.len());
        begin(self)?;
        if self.write_scalar(value) {
            return Ok(Outcome::Whole);
        }
        let written = self.write_other(value)?;
        if written == Outcome::LeftOut {
            self.out.truncate(start);
            self.comma = comma;
        }
        Ok(written)
    }

    /// A key and its colon.
    #[inline(always)]
    fn key(&mut self, key: ValueView<'_>) -> Result<(), Raise> {
        match key {
            ValueView::Bytes(key) => self.quoting.push(self.out, key),
            ValueView::Number(key) => {
                self.out.push(b'"');
                if key.is_finite() {
                    number::push_digits(self.out, key, self.settings.digits);
                } else {
                    self.invalid_number(key)?;
                }
                self.out.push(b'"');
            }
            ValueView::Bool(_) => return Err(refuse(Type::Boolean, KEY)),
            ValueView::Table => return Err(refuse(Type::Table, KEY)),
            ValueView::Light(_) => return Err(refuse(Type::LightUserdata, KEY)),
            ValueView::Other(kind) => return Err(refuse(kind, KEY)),
            ValueView::Nil => return Err(refuse(Type::Nil, KEY)),
        }
        self.out.push(b':');
        if !self.settings.indent.is_empty() {
            self.out.push(b' ');
        }
        Ok(())
    }
}

struct Encoder<'e, 's, 'a> {
    walker: Walker<'s, 'a>,
    text: Text<'e>,
}

impl Encoder<'_, '_, '_> {
    fn run(mut self) -> Result<(), Raise> {
        let mut written = self.text.value(self.walker.view())?;
        loop {
            written = match self.text.open.last() {
                _ if written == Outcome::Table => self.table()?,
                None => return Ok(()),
                Some(Some(_)) => self.items()?,
                Some(None) => self.pairs()?,
            };
        }
    }

    /// Goes on with an object, until it ends or a table is in it.
    fn pairs(&mut self) -> Result<Outcome, Raise> {
        loop {
            let Some((key, value)) = self.walker.pair().map_err(raised)? else {
                self.text.close(b'}');
                return Ok(Outcome::Whole);
            };
            if self.text.member(|text| text.key(key), value)? == Outcome::Table {
                return Ok(Outcome::Table);
            }
        }
    }

    /// Goes on with an array, until it ends or a table is in it.
    fn items(&mut self) -> Result<Outcome, Raise> {
        while let Some(Some(items)) = self.text.open.last_mut() {
            if items.index >= items.length {
                self.walker.leave();
                self.text.close(b']');
                break;
            }
            items.index += 1;
            let value = self.walker.item(items.index, items.raw).map_err(raised)?;
            if self.text.member(|_| Ok(()), value)? == Outcome::Table {
                return Ok(Outcome::Table);
            }
        }
        Ok(Outcome::Whole)
    }

    fn enter(&mut self, enter: impl FnOnce(&mut Walker<'_, '_>) -> bool) -> Result<(), Raise> {
        let depth = self.text.open.len() + 1;
        if depth <= self.text.settings.max_depth && enter(&mut self.walker) {
            return Ok(());
        }
        Err(Raise::new(format!("Cannot serialise, excessive nesting ({depth})")))
    }

    /// Begins an array, or goes on behind its first items.
    fn array(&mut self, items: Items) -> Result<Outcome, Raise> {
        self.enter(|walker| walker.enter_items())?;
        self.text.open_array(items);
        self.items()
    }

    fn table(&mut self) -> Result<Outcome, Raise> {
        let metatable = self.walker.metatable();
        if metatable.is_some() {
            if metatable == self.walker.address(ARRAY_MT) {
                let length = self.walker.length();
                return self.array(Items { index: 0, length, raw: true });
            }
            if let Some(length) = self.walker.length_by_metamethod().map_err(raised)? {
                return self.array(Items { index: 0, length: i32::saturated(length), raw: false });
            }
        }
        let asks_empty = metatable.is_some() && metatable == self.walker.address(EMPTY_ARRAY_MT);
        self.enter(|walker| walker.enter_pairs())?;
        let start = self.text.out.len();
        let depth = self.text.open.len() + 1;
        // Most arrays hold values from 1 on and no tables: they are written before it is known that they are arrays.
        let mut count = 0;
        loop {
            match self.walker.pair().map_err(raised)? {
                None if count > 0 => {
                    self.text.indent(depth - 1);
                    self.text.out.push(b']');
                    return Ok(Outcome::Whole);
                }
                None => return self.write_empty(asks_empty),
                Some((ValueView::Number(key), value)) => {
                    let before = self.text.out.len();
                    self.text.out.push(if count == 0 { b'[' } else { b',' });
                    self.text.indent(depth);
                    if key == (count + 1) as f64 && self.text.write_scalar(value) {
                        count += 1;
                        continue;
                    }
                    self.text.out.truncate(before);
                    return self.numbered(key, count, start, metatable.is_none(), asks_empty);
                }
                Some((key, value)) if count == 0 && !asks_empty => {
                    self.text.open_object();
                    let written = self.text.member(|text| text.key(key), value)?;
                    return if written == Outcome::Table { Ok(written) } else { self.pairs() };
                }
                Some(_) => return self.object(start, asks_empty),
            }
        }
    }

    /// A table without anything in it, over which the walk has ended.
    fn write_empty(&mut self, asks_empty: bool) -> Result<Outcome, Raise> {
        if asks_empty || !self.text.settings.has(EMPTY_AS_OBJECT) {
            return self.array(Items { index: 0, length: 0, raw: true });
        }
        self.text.out.extend_from_slice(b"{}");
        Ok(Outcome::Whole)
    }

    /// An object, of whose pairs the walk has seen some; they are written from the first on.
    fn object(&mut self, start: usize, asks_empty: bool) -> Result<Outcome, Raise> {
        self.text.out.truncate(start);
        self.walker.leave();
        if asks_empty {
            let length = self.walker.length();
            return self.array(Items { index: 0, length, raw: true });
        }
        self.enter(|walker| walker.enter_pairs())?;
        self.text.open_object();
        self.pairs()
    }

    /// A table with a number as key where the walk is, of which the first `count` items are written. It is an array if all
    /// keys are positive integers and there are not too few of them.
    fn numbered(&mut self, key: f64, count: usize, start: usize, raw: bool, asks_empty: bool) -> Result<Outcome, Raise> {
        let (mut max, mut items) = (count as f64, count as f64);
        let mut key = key;
        loop {
            if key < 1.0 || key.floor() != key {
                return self.object(start, asks_empty);
            }
            max = max.max(key);
            items += 1.0;
            key = match self.walker.pair().map_err(raised)? {
                Some((ValueView::Number(key), _)) => key,
                Some(_) => 0.0,
                None => break,
            };
        }
        let settings = self.text.settings;
        let sparse = settings.sparse_ratio > 0.0 && max > items * settings.sparse_ratio && max > settings.sparse_safe;
        if sparse || max > f64::from(i32::MAX) {
            if !settings.has(SPARSE_AS_OBJECT) {
                return Err(refuse(Type::Table, "excessively sparse array"));
            }
            self.enter(|walker| walker.enter_pairs())?;
            return self.object(start, asks_empty);
        }
        self.array(Items { index: i32::try_from(count).unwrap_or(i32::MAX), length: i32::saturated(max), raw })
    }
}
