//! The invariants that the fuzz target and the smoke test assert about any text.
//!
//! They panic when an invariant breaks; nothing that ships calls them.

use crate::diagnostic;
use crate::include::{Loader, OpenError};
use crate::parser::{MAX_DEPTH, Parser};
use crate::tree::{Block, Word};

/// Includes find nothing but the text itself under one name, which makes a cycle.
struct NoFiles(Vec<u8>);

impl Loader for NoFiles {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, OpenError> {
        match path {
            b"/self" => Ok(self.0.clone()),
            _ => Err(OpenError { code: 2, text: "No such file or directory".into() }),
        }
    }

    fn glob(&mut self, _: &[u8]) -> Result<Vec<Vec<u8>>, OpenError> {
        Ok(vec![b"/self".to_vec()])
    }
}

/// Any text gives a tree whose writing gives the same tree again, or an error with a place.
pub fn conf(data: &[u8]) {
    let mut parser = Parser::new(NoFiles(data.to_vec()), "/");
    match parser.parse_file(b"/self").into_result() {
        Ok(block) => {
            let mut text = Vec::new();
            write(&block, &mut text, 0);
            let mut again = Parser::new(NoFiles(text.clone()), "/");
            let block_again = again
                .parse_file(b"/self")
                .into_result()
                .unwrap_or_else(|error| unreachable!("{}: {}", error.message, String::from_utf8_lossy(&text)));
            let mut text_again = Vec::new();
            write(&block_again, &mut text_again, 0);
            assert_eq!(text, text_again);
        }
        Err(error) => {
            assert!(!error.message.is_empty() && error.span.line > 0);
            let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
            assert!(error.line as usize <= lines && error.span.line <= error.line);
            assert!(diagnostic::render(&error, parser.files()).starts_with("nginx: [emerg] "));
        }
    }
    let mut parser = Parser::new(NoFiles(Vec::new()), "/");
    if let Err(error) = parser.parse_command_line(data).into_result() {
        assert!(!diagnostic::log_line(&error, parser.files()).is_empty());
    }
}

fn write(block: &Block, out: &mut Vec<u8>, depth: usize) {
    assert!(depth <= MAX_DEPTH);
    for directive in &block.directives {
        word(&directive.name, out);
        let plain = directive.args.len() - usize::from(directive.lua);
        for arg in &directive.args[..plain] {
            out.push(b' ');
            word(arg, out);
        }
        match (&directive.body, directive.lua) {
            (None, false) => out.extend_from_slice(b";\n"),
            (None, true) => {
                out.extend_from_slice(b" {");
                out.extend_from_slice(&directive.args[plain].bytes);
                out.extend_from_slice(b"}\n");
            }
            (Some(body), _) => {
                out.extend_from_slice(b" {\n");
                write(body, out, depth + 1);
                out.extend_from_slice(b"}\n");
            }
        }
    }
}

fn word(word: &Word, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in &word.bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
