//! Words to tree: blocks, included files, Lua blocks.

use crate::include::{Loader, is_pattern};
use crate::lexer::{End, Lexer};
use crate::lua_block;
use crate::tree::{Block, Directive, Error, File, Files, Span, Word};

/// How deep blocks may nest, over all included files.
pub const MAX_DEPTH: usize = 128;

/// How deep files may include files.
pub(crate) const MAX_INCLUDES: usize = 32;

/// How many files one configuration may read: includes that double at each step end here.
pub(crate) const MAX_FILES: usize = 65_536;

/// The suffix of directives whose block holds Lua.
const LUA_SUFFIX: &[u8] = b"_by_lua_block";

/// What a text gave: the tree, or the tree up to the first error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Everything before the error, with the blocks that were open ended where it stands.
    pub block: Block,
    /// The first error of the grammar, in nginx's words.
    ///
    /// nginx acts on each directive as it reads it, so an unknown directive in `block` is
    /// reported before this one.
    pub error: Option<Error>,
}

impl Parsed {
    /// The whole tree.
    ///
    /// # Errors
    /// The error, if there is one.
    pub fn into_result(self) -> Result<Block, Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.block),
        }
    }

    fn failed(error: Error) -> Self {
        Self { block: Block::default(), error: Some(error) }
    }
}

/// Reads configurations. The files stay with the parser, so that errors can quote them.
#[derive(Debug)]
pub struct Parser<L> {
    loader: L,
    directory: Vec<u8>,
    /// `include` is read and not just a word.
    includes: bool,
    files: Files,
    /// Paths being read, outermost first.
    open: Vec<Vec<u8>>,
}

impl<L: Loader> Parser<L> {
    /// A parser whose relative `include` paths start at `directory`: that of the main file.
    pub fn new(loader: L, directory: impl Into<Vec<u8>>) -> Self {
        Self { loader, directory: directory.into(), includes: true, files: Files::default(), open: Vec::new() }
    }

    /// A parser of files that this server writes itself, to which `include` is a word like any other: such a file reads no other.
    pub fn without_includes(loader: L) -> Self {
        Self { includes: false, ..Self::new(loader, Vec::new()) }
    }

    /// The texts read so far.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The texts, when the parser has done its work.
    pub fn into_files(self) -> Files {
        self.files
    }

    /// Reads the main file and everything it includes, up to the first error.
    pub fn parse_file(&mut self, path: &[u8]) -> Parsed {
        self.file(path, Span::NONE, 0)
    }

    /// Reads the argument of `-g`, directives without blocks, up to the first error.
    pub fn parse_command_line(&mut self, text: &[u8]) -> Parsed {
        let file = File { name: Vec::new(), text: text.to_vec(), command_line: true };
        let id = self.files.push(file);
        self.text(text, id, true, 0)
    }

    fn file(&mut self, path: &[u8], from: Span, depth: usize) -> Parsed {
        let shown = String::from_utf8_lossy(path);
        if self.open.iter().any(|open| open == path) {
            let message = format!("include cycle: \"{shown}\" includes itself");
            return Parsed::failed(Error::new(message, from));
        }
        if self.open.len() >= MAX_INCLUDES || self.files.iter().len() >= MAX_FILES {
            let message = format!("too many nested includes at \"{shown}\"");
            return Parsed::failed(Error::new(message, from));
        }
        let text = match self.loader.read(path) {
            Ok(text) => text,
            Err(error) => return Parsed::failed(Error::new(error.message("open", path), from)),
        };
        let name = path.to_vec();
        let id = self.files.push(File { name, text: text.clone(), command_line: false });
        self.open.push(path.to_vec());
        let parsed = self.text(&text, id, false, depth);
        self.open.pop();
        parsed
    }

    fn text(&mut self, text: &[u8], id: u32, command_line: bool, base: usize) -> Parsed {
        let mut lexer = Lexer::new(text, id, command_line);
        let mut nest = OpenBlocks { base, command_line, ..OpenBlocks::default() };
        let error = self.directives(&mut lexer, &mut nest).err();
        let place = lexer.place();
        while nest.close(place) {}
        nest.current.end = place;
        Parsed { block: nest.current, error }
    }

    fn directives(&mut self, lexer: &mut Lexer<'_>, nest: &mut OpenBlocks) -> Result<(), Error> {
        let mut words = Vec::new();
        loop {
            let end = lexer.next(&mut words).map_err(|mut error| {
                if lexer.remaining().is_empty() {
                    error.notes = nest.open_blocks();
                }
                error
            })?;
            let place = lexer.place();
            let mut parts = words.drain(..);
            match (end, parts.next()) {
                (End::Semicolon | End::Open, Some(name)) => {
                    let directive = Directive { span: name.span, name, args: parts.collect(), body: None, line: place.line, lua: false };
                    if self.includes && directive.name.bytes == b"include" {
                        self.include(&directive, end, nest)?;
                    } else if end == End::Semicolon {
                        nest.current.directives.push(directive);
                    } else {
                        nest.open(directive, lexer)?;
                    }
                }
                (End::Eof, _) if nest.stack.is_empty() => return Ok(()),
                (End::Eof, _) => {
                    let mut error = Error::new("unexpected end of file, expecting \"}\"", place);
                    error.notes = nest.open_blocks();
                    return Err(error);
                }
                _ => {
                    let brace = Span { column: place.column.saturating_sub(1), ..place };
                    if !nest.close(brace) {
                        return Err(Error::new("unexpected \"}\"", brace));
                    }
                }
            }
        }
    }

    fn include(&mut self, directive: &Directive, end: End, nest: &mut OpenBlocks) -> Result<(), Error> {
        if end == End::Open {
            let message = "directive \"include\" is not terminated by \";\"";
            return Err(Error::on_directive(message, directive));
        }
        let [path] = directive.args.as_slice() else {
            let message = "invalid number of arguments in \"include\" directive";
            return Err(Error::on_directive(message, directive));
        };
        let from = Span { line: directive.line, ..path.span };
        let full = self.full_name(&path.bytes);
        let paths =
            if is_pattern(&full) { self.loader.glob(&full).map_err(|e| Error::new(e.message("glob", &full), from))? } else { vec![full] };
        for path in paths {
            let parsed = self.file(&path, from, nest.base + nest.stack.len());
            nest.current.directives.extend(parsed.block.directives);
            if let Some(error) = parsed.error {
                return Err(error);
            }
        }
        Ok(())
    }

    fn full_name(&self, path: &[u8]) -> Vec<u8> {
        if path.first() == Some(&b'/') {
            return path.to_vec();
        }
        let mut full = self.directory.clone();
        if !full.is_empty() && full.last() != Some(&b'/') {
            full.push(b'/');
        }
        full.extend_from_slice(path);
        full
    }
}

/// The blocks that are open in one text.
#[derive(Default)]
struct OpenBlocks {
    /// Blocks open in the files that include this one.
    base: usize,
    command_line: bool,
    /// The directives whose blocks are open. While a block is read, the directives of its parent
    /// wait in its `body`.
    stack: Vec<Directive>,
    /// The innermost block.
    current: Block,
}

impl OpenBlocks {
    fn open(&mut self, mut directive: Directive, lexer: &mut Lexer<'_>) -> Result<(), Error> {
        if self.command_line {
            let message = "block directives are not supported in -g option";
            return Err(Error::on_directive(message, &directive));
        }
        if directive.name.bytes.ends_with(LUA_SUFFIX) {
            lua(lexer, &mut directive)?;
            self.current.directives.push(directive);
            return Ok(());
        }
        if self.base + self.stack.len() >= MAX_DEPTH {
            return Err(Error::on_directive("blocks are nested too deeply", &directive));
        }
        directive.body = Some(std::mem::take(&mut self.current));
        self.stack.push(directive);
        Ok(())
    }

    /// Says of each open block where it starts, innermost first.
    fn open_blocks(&self) -> Vec<String> {
        let text = |one: &Directive| format!("\"{}\" in line {} is not closed", one.name.text(), one.line);
        self.stack.iter().rev().map(text).collect()
    }

    /// Ends the innermost block; false when none is open.
    fn close(&mut self, end: Span) -> bool {
        let Some(mut directive) = self.stack.pop() else {
            return false;
        };
        let mut inner = std::mem::take(&mut self.current);
        inner.end = end;
        self.current = directive.body.replace(inner).unwrap_or_default();
        self.current.directives.push(directive);
        true
    }
}

fn lua(lexer: &mut Lexer<'_>, directive: &mut Directive) -> Result<(), Error> {
    let span = lexer.place();
    let rest = lexer.remaining();
    match lua_block::scan(rest) {
        Ok(len) => {
            let bytes = rest.get(..len).unwrap_or(&[]).to_vec();
            lexer.skip(len + 1);
            directive.args.push(Word { bytes, quoted: false, span });
            directive.lua = true;
            // lua-nginx-module calls the handler once the block is read.
            directive.line = lexer.place().line;
            Ok(())
        }
        Err(bad) => {
            lexer.skip(bad.at());
            Err(Error::new(bad.to_string(), lexer.place()))
        }
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
