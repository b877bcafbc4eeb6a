//! `state` in `upstream`: the file with a group's servers, which the API changes.

use crate::builder::builder;
use crate::protocol::Protocol;
use crate::server::ReadingState;
use conf::include::Disk;
use conf::parser::Parser;
use conf::row::Cx;
use conf::tree::Error;
use session::paths::MainContext;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;

/// Reads the directive, and the file: one that is not there has no servers.
pub(crate) fn read<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    {
        let builder = builder::<P>(cx);
        if builder.state.is_some() {
            return Err(cx.duplicate());
        }
        if !builder.servers.is_empty() || !builder.templates.is_empty() {
            return Err(cx.error("\"state\" is not allowed in an upstream with \"server\""));
        }
    }
    let path = cx.global::<MainContext>().paths.resolve(cx.arg(0));
    builder::<P>(cx).state = Some(path.clone());
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    // The file has servers and nothing else.
    let block = Parser::without_includes(Disk).parse_file(path.as_os_str().as_bytes()).into_result();
    let block = block.map_err(|error| cx.error(format!("{} in {}:{}", error.message, path.display(), error.line)))?;
    if let Some(other) = block.directives.iter().find(|directive| directive.name.bytes != b"server") {
        return Err(cx.error(format!("unknown directive \"{}\" in {}:{}", other.name.text(), path.display(), other.line)));
    }
    cx.global::<ReadingState>().0 = true;
    let result = cx.table.read(&block, P::INSIDE, cx.frame);
    cx.global::<ReadingState>().0 = false;
    result.map_err(|error| cx.error(format!("{} in {}:{}", error.message, path.display(), error.line)))
}
