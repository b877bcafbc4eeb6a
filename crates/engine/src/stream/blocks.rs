//! The blocks `stream` and `server` while the configuration is read.

use super::nodes::{ServerNode, Servers};
use super::{build, directives, listen};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Unsupported};
use conf::tree::Error;
use net::listener::ListenSpec;
use session::paths::MainContext;
use std::rc::Rc;
use stream::{Configuration, Module, Variables};

/// The finished `stream { }`; kept in the global scope.
#[derive(Default)]
pub struct Finished {
    /// `None` when the configuration has no `stream`. With it the sockets to open, one for each of its listens.
    pub stream: Option<(Rc<Configuration>, Vec<ListenSpec>)>,
}

/// Rows of the blocks, of `listen`, and of the core module.
pub fn rows(modules: &Rc<[Module]>) -> Vec<Row> {
    let all = modules.clone();
    let mut rows = vec![
        Row::new("stream", Context::MAIN, Arity::exactly(0), "Holds everything about TCP and UDP sessions.", move |cx| {
            stream_block(cx, &all)
        })
        .with_block(),
        Row::new("server", Context::STREAM, Arity::exactly(0), "A server for TCP or UDP sessions.", server_block).with_block(),
    ];
    rows.extend(listen::rows());
    rows.extend(directives::rows());
    rows
}

fn stream_block(cx: &mut Cx<'_>, modules: &Rc<[Module]>) -> Result<(), Error> {
    if cx.global::<Finished>().stream.is_some() {
        return Err(cx.duplicate());
    }
    let frame = cx.frame.protocol();
    for module in modules.iter() {
        (module.variables)(&mut frame.global.get::<Variables>());
    }
    cx.read_block(Context::STREAM, &frame)?;
    // What is missing may be what the rest relies on: nothing that follows from it is worth a word.
    if cx.global::<MainContext>().partial || !cx.global::<Unsupported>().list.is_empty() {
        return Ok(());
    }
    let finished = build::finish(&frame, modules, cx.directive.body.as_ref())?;
    cx.global::<Finished>().stream = Some(finished);
    Ok(())
}

fn server_block(cx: &mut Cx<'_>) -> Result<(), Error> {
    let frame = cx.frame.enter_server();
    cx.main::<Servers>().list.push(ServerNode { frame: frame.clone(), span: cx.directive.name.span });
    cx.read_block(Context::STREAM_SERVER, &frame)?;
    if listen::is_missing(&frame) {
        return Err(cx.error("no \"listen\" is defined for server"));
    }
    Ok(())
}
