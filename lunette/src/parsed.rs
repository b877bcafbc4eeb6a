//! A configuration as a tree of words, for those who only look at what is written.

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
    use conf::include::{Loader, OpenError};

    struct Text(Vec<u8>);

    impl Loader for Text {
        fn read(&mut self, _: &[u8]) -> Result<Vec<u8>, OpenError> {
            Ok(self.0.clone())
        }

        fn glob(&mut self, _: &[u8]) -> Result<Vec<Vec<u8>>, OpenError> {
            Ok(Vec::new())
        }
    }

    let parsed = Parser::new(Text(text.into()), "/").parse_file(b"/conf");
    assert!(parsed.error.is_none(), "{text}: {:?}", parsed.error);
    parsed.block
}
