//! A parsed configuration: directives with their words and positions.

use std::fmt;

/// A place in a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index into [`Files`].
    pub file: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, in bytes from 1.
    pub column: u32,
}

impl Span {
    /// No place: the error is about the main file itself, before anything was read.
    pub const NONE: Self = Self { file: u32::MAX, line: 0, column: 0 };
}

impl Default for Span {
    fn default() -> Self {
        Self::NONE
    }
}

/// One word of a directive, without quotes and escapes, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word without its quotes and with its escapes taken off.
    pub bytes: Vec<u8>,
    /// The word stood in quotes. nginx does not tell the two apart; messages may.
    pub quoted: bool,
    /// Where it starts; for quoted words, at the quote.
    pub span: Span,
}

impl Word {
    /// The word for a message; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Whether `$name` or `${name}` stands in it, in capitals or not.
    fn mentions(&self, name: &[u8]) -> bool {
        memchr::memchr_iter(b'$', &self.bytes).any(|at| {
            let rest = self.bytes.get(at + 1..).unwrap_or_default();
            let (rest, braced) = rest.strip_prefix(b"{").map_or((rest, false), |rest| (rest, true));
            let Some((found, behind)) = rest.split_at_checked(name.len()) else { return false };
            let ends = match behind.first() {
                Some(b'}') if braced => true,
                Some(byte) => !braced && !byte.is_ascii_alphanumeric() && *byte != b'_',
                None => !braced,
            };
            ends && found.eq_ignore_ascii_case(name)
        })
    }
}

/// A directive: its name, its arguments and, if it has a block, the directives in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name: in `types`, `map` and other data blocks, simply the first word.
    pub name: Word,
    /// The words behind it. The last word of a `*_by_lua_block` is the raw Lua code, and its span
    /// is the place right behind the `{`.
    pub args: Vec<Word>,
    /// The block, for directives that end in `{ ... }`; `None` for those that end in `;`, and for
    /// Lua blocks, whose code is in `args`.
    pub body: Option<Block>,
    /// Where the name starts.
    pub span: Span,
    /// The line nginx names in errors about this directive: that of its `;` or `{`.
    pub line: u32,
    /// The last argument is a raw Lua block.
    pub lua: bool,
}

impl Block {
    /// The first directive that mentions the variable `$name`, and the word that does.
    #[must_use]
    pub fn find_variable(&self, name: &str) -> Option<(&Directive, &Word)> {
        self.directives.iter().find_map(|directive| {
            let words = || std::iter::once(&directive.name).chain(&directive.args);
            let own = if directive.lua { None } else { words().find(|word| word.mentions(name.as_bytes())) };
            own.map(|word| (directive, word)).or_else(|| directive.body.as_ref()?.find_variable(name))
        })
    }
}

/// The directives between `{` and `}`, with those of included files in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The directives in order.
    pub directives: Vec<Directive>,
    /// Where the closing brace is; errors about a block as a whole name its line.
    pub end: Span,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path as it was opened: absolute, unless the configuration's own path was not.
    pub name: Vec<u8>,
    /// The whole text.
    pub text: Vec<u8>,
    /// The text is the argument of `-g`, not a file.
    pub command_line: bool,
}

/// All texts that were read, in the order they were opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    files: Vec<File>,
}

impl Files {
    /// Adds a text and returns its index.
    pub fn push(&mut self, file: File) -> u32 {
        self.files.push(file);
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The file with this index.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&File> {
        self.files.get(id as usize)
    }

    /// The names alone.
    #[must_use]
    pub fn names(&self) -> FileNames {
        FileNames { list: self.files.iter().map(|file| file.name.clone()).collect() }
    }

    /// The files in the order they were opened; one that was included twice is there twice.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &File> {
        self.files.iter()
    }
}

/// The names of [`Files`] under the same indexes, for rows that name code after its place; put into the global scope
/// before directives are read.
#[derive(Clone, Debug, Default)]
pub struct FileNames {
    /// The names.
    pub list: Vec<Vec<u8>>,
}

base::message_error! {
    /// Why a setting is refused, in nginx's words; whoever read the directive adds where it stands.
    pub struct SettingError;
}

/// Something is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// nginx's words, without level and place.
    pub message: String,
    /// Where to put the caret.
    pub span: Span,
    /// The line nginx names; mostly that of `span`, but it counts on to the end of a directive.
    pub line: u32,
    /// The nearest known name, when the error is about an unknown one.
    pub suggestion: Option<String>,
    /// What a person at the terminal may want to know besides, one line each.
    pub notes: Vec<String>,
    /// Nothing is wrong, this server lacks what is asked for: reading goes on, and all such errors are shown together.
    pub unsupported: bool,
    /// A warning that the log calls an alert.
    pub alert: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// An error at `span`.
    #[must_use]
    pub fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), span, line: span.line, suggestion: None, notes: Vec::new(), unsupported: false, alert: false }
    }

    /// An error about a whole directive: the caret is under its name, the line is nginx's.
    #[must_use]
    pub fn on_directive(message: impl Into<String>, directive: &Directive) -> Self {
        let mut error = Self::new(message, directive.span);
        error.line = directive.line;
        error
    }
}
