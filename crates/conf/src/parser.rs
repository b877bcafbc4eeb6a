//! Words to tree: blocks, included files, Lua blocks.

use crate::include::{Loader, is_pattern};
use crate::lexer::{End, Lexer};
use crate::lua_block;
use crate::tree::{Block, Directive, Error, File, Files, Span, Word};

/// How deep blocks may nest, over all included files.
pub const MAX_DEPTH: usize = 128;

/// How deep files may include files.
pub const MAX_INCLUDES: usize = 32;

/// How many files one configuration may read: includes that double at each step end here.
pub const MAX_FILES: usize = 65_536;

/// The suffix of directives whose block holds Lua.
const LUA_SUFFIX: &[u8] = b"_by_lua_block";

/// Reads configurations. The files stay with the parser, so that errors can quote them.
#[derive(Debug)]
pub struct Parser<L> {
    loader: L,
    directory: Vec<u8>,
    files: Files,
    /// Paths being read, outermost first.
    open: Vec<Vec<u8>>,
}

impl<L: Loader> Parser<L> {
    /// A parser whose relative `include` paths start at `directory`: that of the main file.
    pub fn new(loader: L, directory: impl Into<Vec<u8>>) -> Self {
        Self {
            loader,
            directory: directory.into(),
            files: Files::default(),
            open: Vec::new(),
        }
    }

    /// The texts read so far.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The texts, when the parser has done its work.
    pub fn into_files(self) -> Files {
        self.files
    }

    /// Reads the main file and everything it includes.
    ///
    /// # Errors
    /// The first error, in nginx's words.
    pub fn parse_file(&mut self, path: &[u8]) -> Result<Block, Error> {
        self.file(path, Span::NONE, 0)
    }

    /// Reads the argument of `-g`: directives without blocks.
    ///
    /// # Errors
    /// The first error, in nginx's words.
    pub fn parse_command_line(&mut self, text: &[u8]) -> Result<Block, Error> {
        let file = File {
            name: Vec::new(),
            text: text.to_vec(),
            command_line: true,
        };
        let id = self.files.push(file);
        self.text(text, id, true, 0)
    }

    fn file(&mut self, path: &[u8], from: Span, depth: usize) -> Result<Block, Error> {
        let shown = String::from_utf8_lossy(path);
        if self.open.iter().any(|open| open == path) {
            return Err(Error::new(
                format!("include cycle: \"{shown}\" includes itself"),
                from,
            ));
        }
        if self.open.len() >= MAX_INCLUDES || self.files.iter().len() >= MAX_FILES {
            return Err(Error::new(
                format!("too many nested includes at \"{shown}\""),
                from,
            ));
        }
        let text = self
            .loader
            .read(path)
            .map_err(|e| Error::new(e.message("open", path), from))?;
        let id = self.files.push(File {
            name: path.to_vec(),
            text: text.clone(),
            command_line: false,
        });
        self.open.push(path.to_vec());
        let result = self.text(&text, id, false, depth);
        self.open.pop();
        result
    }

    fn text(
        &mut self,
        text: &[u8],
        id: u32,
        command_line: bool,
        base: usize,
    ) -> Result<Block, Error> {
        let mut lexer = Lexer::new(text, id, command_line);
        let mut words = Vec::new();
        let mut stack: Vec<Directive> = Vec::new();
        let mut current = Block::default();
        loop {
            let end = lexer.next(&mut words)?;
            let place = lexer.place();
            let mut parts = words.drain(..);
            match (end, parts.next()) {
                (End::Semicolon | End::Open, Some(name)) => {
                    let mut directive = Directive {
                        span: name.span,
                        name,
                        args: parts.collect(),
                        body: None,
                        line: place.line,
                        lua: false,
                    };
                    if directive.name.bytes == b"include" {
                        self.include(&directive, end, base + stack.len(), &mut current)?;
                    } else if end == End::Semicolon {
                        current.directives.push(directive);
                    } else if command_line {
                        let message = "block directives are not supported in -g option";
                        return Err(Error::about(message, &directive));
                    } else if directive.name.bytes.ends_with(LUA_SUFFIX) {
                        lua(&mut lexer, &mut directive)?;
                        current.directives.push(directive);
                    } else {
                        if base + stack.len() >= MAX_DEPTH {
                            return Err(Error::about("blocks are nested too deeply", &directive));
                        }
                        directive.body = Some(std::mem::take(&mut current));
                        stack.push(directive);
                    }
                }
                (End::Eof, _) if stack.is_empty() => {
                    current.end = place;
                    return Ok(current);
                }
                (End::Eof, _) => {
                    return Err(Error::new("unexpected end of file, expecting \"}\"", place));
                }
                _ => current = close(&mut stack, current, place)?,
            }
        }
    }

    fn include(
        &mut self,
        directive: &Directive,
        end: End,
        depth: usize,
        into: &mut Block,
    ) -> Result<(), Error> {
        if end == End::Open {
            let message = "directive \"include\" is not terminated by \";\"";
            return Err(Error::about(message, directive));
        }
        let [path] = directive.args.as_slice() else {
            let message = "invalid number of arguments in \"include\" directive";
            return Err(Error::about(message, directive));
        };
        let from = Span {
            line: directive.line,
            ..path.span
        };
        let full = self.full_name(&path.bytes);
        let paths = if is_pattern(&full) {
            self.loader
                .glob(&full)
                .map_err(|e| Error::new(e.message("glob", &full), from))?
        } else {
            vec![full]
        };
        for path in paths {
            let block = self.file(&path, from, depth)?;
            into.directives.extend(block.directives);
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

/// Ends the innermost block: while it was read, its parent's directives waited in its `body`.
fn close(stack: &mut Vec<Directive>, mut inner: Block, place: Span) -> Result<Block, Error> {
    let end = Span {
        column: place.column.saturating_sub(1),
        ..place
    };
    let Some(mut directive) = stack.pop() else {
        return Err(Error::new("unexpected \"}\"", end));
    };
    inner.end = end;
    let mut outer = directive.body.replace(inner).unwrap_or_default();
    outer.directives.push(directive);
    Ok(outer)
}

fn lua(lexer: &mut Lexer<'_>, directive: &mut Directive) -> Result<(), Error> {
    let span = lexer.place();
    let rest = lexer.rest();
    match lua_block::scan(rest) {
        Ok(len) => {
            let bytes = rest.get(..len).unwrap_or(&[]).to_vec();
            lexer.skip(len + 1);
            directive.args.push(Word {
                bytes,
                quoted: false,
                span,
            });
            directive.lua = true;
            // lua-nginx-module calls the handler once the block is read.
            directive.line = lexer.place().line;
            Ok(())
        }
        Err(bad) => {
            lexer.skip(bad.at());
            Err(Error::new(bad.message(), lexer.place()))
        }
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
