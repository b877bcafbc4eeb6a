//! A directive's row, the table of all rows, and the reading context that a row's function gets.

use crate::context::{Arity, Context};
use crate::scope::{Config, Frame};
use crate::suggest;
use crate::tree::{Block, Directive, Error, FileNames, Word};
use base::text;
use std::borrow::Cow;
use std::cell::RefMut;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// What a row does with its directive: it stores, it does not act.
pub type Set = Rc<dyn Fn(&mut Cx<'_>) -> Result<(), Error>>;

/// One directive that the server knows.
#[derive(Clone)]
pub struct Row {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Where it may stand.
    pub contexts: Context,
    /// How many arguments it takes.
    pub arity: Arity,
    /// Whether `{ … }` follows the arguments.
    pub block: bool,
    /// One line for the manual.
    pub doc: &'static str,
    /// Stores it.
    pub set: Set,
}

impl Row {
    /// A simple directive, ended by `;`.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        contexts: Context,
        arity: Arity,
        doc: &'static str,
        set: impl Fn(&mut Cx<'_>) -> Result<(), Error> + 'static,
    ) -> Row {
        Row { name: name.into(), contexts, arity, block: false, doc, set: Rc::new(set) }
    }

    /// Makes the row one of a directive that takes a block.
    pub fn with_block(mut self) -> Row {
        self.block = true;
        self
    }
}

/// The rows of all modules, by name.
#[derive(Default)]
pub struct Table {
    rows: HashMap<String, Vec<Row>>,
    /// Names of nginx that have no row.
    missing: HashSet<String>,
    /// The page of the manual that lists them.
    page: &'static str,
}

/// What the configuration asks for that this server lacks, in order; kept in the global scope.
#[derive(Default)]
pub struct Unsupported {
    /// The errors, each with its place.
    pub list: Vec<Error>,
}

impl Table {
    /// Adds a row. One name may have several rows with different contexts.
    pub fn add(&mut self, row: Row) {
        self.rows.entry(row.name.to_string()).or_default().push(row);
    }

    /// Names that get an error of their own where they have no row, and the page of the manual that lists them.
    pub fn set_missing<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, page: &'static str) {
        self.missing = names.into_iter().map(str::to_owned).collect();
        self.page = page;
    }

    /// All names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().flatten()
    }

    pub(crate) fn unsupported(&self, what: impl std::fmt::Display, directive: &Directive) -> Error {
        let page = if self.page.is_empty() { String::new() } else { format!(", see {}", self.page) };
        let mut error = Error::on_directive(format!("{what} is not supported yet{page}"), directive);
        error.unsupported = true;
        error
    }

    fn unknown(&self, name: &str, directive: &Directive) -> Error {
        if self.missing.contains(name) {
            return self.unsupported(format_args!("\"{name}\" directive"), directive);
        }
        let mut error = Error::on_directive(format!("unknown directive \"{name}\""), directive);
        error.suggestion = suggest::nearest(name, self.names()).map(str::to_owned);
        error
    }

    /// The row for `directive` in `context`, or nginx's error for it.
    fn find(&self, directive: &Directive, context: Context) -> Result<&Row, Error> {
        self.look_up(directive, context).map_err(|mut error| {
            // nginx has not read a block of code when it finds out.
            if let Some(code) = directive.args.last().filter(|_| directive.lua) {
                error.line = code.span.line;
            }
            error
        })
    }

    fn look_up(&self, directive: &Directive, context: Context) -> Result<&Row, Error> {
        let name = directive.name.text();
        let Some(rows) = self.rows.get(name.as_ref()) else { return Err(self.unknown(&name, directive)) };
        let Some(row) = rows.iter().find(|r| r.contexts.intersects(context)) else {
            let mut error = Error::on_directive(format!("\"{name}\" directive is not allowed here"), directive);
            let places = rows.iter().fold(Context::empty(), |all, row| all | row.contexts);
            error.notes.push(format!("\"{name}\" is allowed in: {}", places.names()));
            return Err(error);
        };
        // A Lua block is the last argument, not a block, to its row.
        match (&directive.body, row.block) {
            (Some(_), false) => return Err(Error::on_directive(format!("directive \"{name}\" is not terminated by \";\""), directive)),
            (None, true) => return Err(Error::on_directive(format!("directive \"{name}\" has no opening \"{{\""), directive)),
            _ => {}
        }
        let given = directive.args.len();
        if !row.arity.admits(given) {
            let mut error = Error::on_directive(format!("invalid number of arguments in \"{name}\" directive"), directive);
            error.notes.push(format!("\"{name}\" takes {}, here are {given}", row.arity.text()));
            return Err(error);
        }
        Ok(row)
    }

    /// Gives every directive of `block` to its row. What this server lacks is noted and passed by, block and all.
    ///
    /// # Errors
    /// The first directive that is unknown, misplaced, or refused by its row.
    pub fn read(&self, block: &Block, context: Context, frame: &Frame) -> Result<(), Error> {
        for directive in &block.directives {
            let stored = self.find(directive, context).and_then(|row| (row.set)(&mut Cx { directive, context, frame, table: self }));
            match stored {
                Err(error) if error.unsupported => frame.global.get::<Unsupported>().list.push(error),
                other => other?,
            }
        }
        Ok(())
    }
}

/// What the configuration gets wrong without becoming unusable, in order; kept in the global scope.
#[derive(Default)]
pub struct Warnings {
    /// The warnings, each with its place.
    pub list: Vec<Error>,
}

/// What a row's function sees: the directive, where it stands, and the scopes to store into.
pub struct Cx<'a> {
    /// The directive being read.
    pub directive: &'a Directive,
    /// The block that it stands in.
    pub context: Context,
    /// The scopes that it can reach.
    pub frame: &'a Frame,
    /// All rows, for blocks within.
    pub table: &'a Table,
}

impl<'a> Cx<'a> {
    /// The directive's name.
    pub fn name(&self) -> Cow<'a, str> {
        self.directive.name.text()
    }

    /// The arguments.
    pub fn args(&self) -> &'a [Word] {
        &self.directive.args
    }

    /// Argument `i` as bytes; empty if it is not there.
    pub fn arg(&self, i: usize) -> &'a [u8] {
        self.directive.args.get(i).map_or(&[], |w| &w.bytes)
    }

    /// Argument `i` as text, for messages and paths; bytes that are not UTF-8 are replaced.
    pub fn text(&self, i: usize) -> Cow<'a, str> {
        String::from_utf8_lossy(self.arg(i))
    }

    /// The value of type `T` for the whole configuration.
    pub fn global<T: Default + 'static>(&self) -> RefMut<'a, T> {
        self.frame.global.get()
    }

    /// `FILE:LINE` of the directive, as nginx's messages name it.
    pub fn place(&self) -> String {
        let names = self.global::<FileNames>();
        let file = names.list.get(self.directive.span.file as usize).map(|name| String::from_utf8_lossy(name));
        format!("{}:{}", file.unwrap_or_default(), self.directive.line)
    }

    /// The `http`-wide value of type `T`.
    pub fn main<T: Default + 'static>(&self) -> RefMut<'a, T> {
        self.frame.main.get()
    }

    /// The value of type `T` of this server, or of all servers when this is `http { }`.
    pub fn server<T: Config>(&self) -> RefMut<'a, T> {
        self.frame.server.get()
    }

    /// The value of type `T` of this location, or of all locations further in.
    pub fn location<T: Config>(&self) -> RefMut<'a, T> {
        self.frame.location.get()
    }

    /// An error at the directive.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::on_directive(message, self.directive)
    }

    /// An error about something that nginx has and this server lacks. Reading goes on behind it.
    pub fn unsupported(&self, what: impl std::fmt::Display) -> Error {
        self.table.unsupported(what, self.directive)
    }

    /// Notes a warning about the directive; the server reports it and goes on.
    pub fn warn(&self, message: impl Into<String>) {
        self.global::<Warnings>().list.push(self.error(message));
    }

    /// The same as an alert.
    pub fn alert(&self, message: impl Into<String>) {
        self.global::<Warnings>().list.push(Error { alert: true, ..self.error(message) });
    }

    /// An error whose caret is under argument `i`, counted from 0.
    pub fn error_at(&self, i: usize, message: impl Into<String>) -> Error {
        let mut error = Error::on_directive(message, self.directive);
        if let Some(word) = self.directive.args.get(i) {
            error.span = word.span;
        }
        error
    }

    /// `invalid value`, nginx's answer to most bad arguments.
    pub fn invalid_value(&self, i: usize) -> Error {
        self.error_at(i, format!("\"{}\" directive invalid value", self.name()))
    }

    /// `invalid parameter "x"`.
    pub fn invalid_parameter(&self, i: usize) -> Error {
        self.error_at(i, format!("invalid parameter \"{}\"", self.text(i)))
    }

    /// `"x" directive is duplicate`.
    pub fn duplicate(&self) -> Error {
        self.error(format!("\"{}\" directive is duplicate", self.name()))
    }

    /// Reads the directive's block in another context.
    ///
    /// # Errors
    /// The first error inside.
    pub fn read_block(&self, context: Context, frame: &Frame) -> Result<(), Error> {
        match &self.directive.body {
            Some(block) => self.table.read(block, context, frame),
            None => Ok(()),
        }
    }

    /// Stores a value that may be given once per block.
    ///
    /// # Errors
    /// The directive is a duplicate.
    pub fn once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), Error> {
        if slot.is_some() {
            return Err(self.duplicate());
        }
        *slot = Some(value);
        Ok(())
    }

    /// Argument `i` as `on` or `off`.
    ///
    /// # Errors
    /// nginx's `invalid value "x" in "y" directive, it must be "on" or "off"`.
    pub fn flag(&self, i: usize) -> Result<bool, Error> {
        match self.arg(i) {
            v if v.eq_ignore_ascii_case(b"on") => Ok(true),
            v if v.eq_ignore_ascii_case(b"off") => Ok(false),
            _ => Err(self
                .error_at(i, format!("invalid value \"{}\" in \"{}\" directive, it must be \"on\" or \"off\"", self.text(i), self.name()))),
        }
    }

    /// Argument `i` as a number.
    ///
    /// # Errors
    /// `invalid number`.
    pub fn number(&self, i: usize) -> Result<u64, Error> {
        text::parse_number(self.arg(i)).ok_or_else(|| self.error_at(i, format!("\"{}\" directive invalid number", self.name())))
    }

    /// Argument `i` as a size in bytes, `k` and `m` understood.
    ///
    /// # Errors
    /// `invalid value`.
    pub fn size(&self, i: usize) -> Result<u64, Error> {
        text::parse_size(self.arg(i), false).ok_or_else(|| self.invalid_value(i))
    }

    /// Argument `i` as a file offset, `k`, `m` and `g` understood.
    ///
    /// # Errors
    /// `invalid value`.
    pub fn offset(&self, i: usize) -> Result<u64, Error> {
        text::parse_size(self.arg(i), true).ok_or_else(|| self.invalid_value(i))
    }

    /// Argument `i` as a time in milliseconds.
    ///
    /// # Errors
    /// `invalid value`.
    pub fn time_ms(&self, i: usize) -> Result<u64, Error> {
        text::parse_time_ms(self.arg(i)).ok_or_else(|| self.invalid_value(i))
    }

    /// Argument `i` as a time in seconds.
    ///
    /// # Errors
    /// `invalid value`.
    pub fn time_sec(&self, i: usize) -> Result<u64, Error> {
        text::parse_time_sec(self.arg(i)).ok_or_else(|| self.invalid_value(i))
    }

    /// Argument `i` as one of several words.
    ///
    /// # Errors
    /// `invalid value "x"`.
    pub fn choice<T: Clone>(&self, i: usize, choices: &[(&str, T)]) -> Result<T, Error> {
        let arg = self.arg(i);
        let found = choices.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(arg));
        found.map(|(_, value)| value.clone()).ok_or_else(|| self.error_at(i, format!("invalid value \"{}\"", self.text(i))))
    }

    /// All arguments as bits of `choices`, besides those of `before`: nginx adds up what such a directive says each time, and warns of what was
    /// said already.
    ///
    /// # Errors
    /// `invalid value "x"`.
    pub fn bitmask(&self, before: Option<u32>, choices: &[(&str, u32)]) -> Result<u32, Error> {
        let mut value = before.unwrap_or_default();
        for i in 0..self.args().len() {
            let bits = self.choice(i, choices)?;
            if value & bits != 0 {
                self.warn_of_duplicate(i);
            } else {
                value |= bits;
            }
        }
        Ok(value)
    }

    /// `duplicate value "x"`, a warning.
    pub fn warn_of_duplicate(&self, i: usize) {
        self.warn(format!("duplicate value \"{}\"", self.text(i)));
    }
}

macro_rules! field_rows {
    ($($(#[$doc:meta])* $fn_name:ident, $arity:expr, $value:ty, $read:ident;)+) => {$(
        $(#[$doc])*
        pub fn $fn_name<T: Config>(
            name: impl Into<Cow<'static, str>>,
            contexts: Context,
            doc: &'static str,
            field: fn(&mut T) -> &mut Option<$value>,
        ) -> Row {
            Row::new(name, contexts, $arity, doc, move |cx| {
                let value = cx.$read(0)?;
                cx.once(field(&mut cx.location::<T>()), value)
            })
        }
    )+};
}

field_rows! {
    /// A row `name on|off;` that sets a location field.
    flag, Arity::Flag, bool, flag;
    /// A row with one number.
    number, Arity::exactly(1), u64, number;
    /// A row with one size in bytes.
    size, Arity::exactly(1), u64, size;
    /// A row with one file offset in bytes (gigabytes understood).
    offset, Arity::exactly(1), u64, offset;
    /// A row with one time, stored in milliseconds.
    time_ms, Arity::exactly(1), u64, time_ms;
    /// A row with one time, stored in seconds.
    time_sec, Arity::exactly(1), u64, time_sec;
}
