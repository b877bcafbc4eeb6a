//! A configuration as a tree of words, for tools that only inspect the text.

use crate::layout::Layout;
use conf::include::Disk;
use conf::parser::{Parsed, Parser};
use conf::tree::Files;
use std::os::unix::ffi::OsStrExt;

/// The configuration file with all that it includes.
pub(crate) fn parse(places: &Layout) -> (Parsed, Files) {
    let mut parser = Parser::new(Disk, places.paths.conf_prefix.as_os_str().as_bytes());
    let parsed = parser.parse_file(places.conf.as_os_str().as_bytes());
    (parsed, parser.into_files())
}

/// The tree of a text.
#[cfg(test)]
pub(crate) fn tree(text: &str) -> conf::tree::Block {
    use conf::include::Text;

    let parsed = Parser::new(Text(text.into()), "/").parse_file(b"/conf");
    assert!(parsed.error.is_none(), "{text}: {:?}", parsed.error);
    parsed.block
}
