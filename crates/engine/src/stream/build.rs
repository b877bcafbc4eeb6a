//! Builds the immutable servers that sessions run on.

use super::listen::{self, Names};
use super::nodes::{ServerNode, Servers};
use crate::build::unknown_variable;
use base::log::{ErrorLog, Level};
use conf::configs::ConfMap;
use conf::scope::Frame;
use conf::tree::{Block, Error};
use net::listener::ListenSpec;
use session::Levels;
use session::paths::MainContext;
use session::tls::ServerTls;
use std::rc::Rc;
use stream::module::{Attach, Parts};
use stream::{Configuration, Core, Module, Server, Variables};

/// Builds `stream { }` from its frame; `source` is what was read, for the places of errors.
///
/// # Errors
/// Whatever modules refuse, unknown variables, conflicting listens.
pub(super) fn finish(frame: &Frame, modules: &[Module], source: Option<&Block>) -> Result<(Rc<Configuration>, Vec<ListenSpec>), Error> {
    for module in modules {
        (module.complete)(frame)?;
    }
    let mut levels = Levels::default();
    levels.location::<Core>();
    for module in modules {
        (module.levels)(&mut levels);
    }
    let context = frame.global.get::<MainContext>().clone();
    let log = frame.location.get::<Core>().error_log.clone().or(context.log).unwrap_or_else(|| ErrorLog::stderr(Level::Error));
    let nodes = frame.main.take::<Servers>().list;
    let main = levels.main.freeze(&frame.main);
    let outer = (levels.server.freeze(&frame.server), levels.location.freeze(&frame.location));
    let builder = Builder { modules, levels, main, outer, log };
    let mut servers = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let server = builder.server(node)?;
        for module in modules {
            (module.server)(&server, servers.len(), frame)?;
        }
        servers.push(server);
    }
    let pairs: Vec<_> = nodes.iter().map(|node| &node.frame).zip(servers.iter().cloned()).collect();
    let (specs, listens) = listen::listens(&pairs, frame)?;
    let mut variables = frame.global.take::<Variables>();
    variables.finish().map_err(|unknown| unknown_variable(&unknown, &variables, source))?;
    let configuration =
        Configuration { variables: Rc::new(variables), main: builder.main, outer: builder.outer.1, servers, listens, paths: context.paths };
    Ok((Rc::new(configuration), specs))
}

struct Builder<'a> {
    modules: &'a [Module],
    levels: Levels,
    main: ConfMap,
    /// What `stream` itself says for its servers, at the server and at the location level.
    outer: (ConfMap, ConfMap),
    log: ErrorLog,
}

impl Builder<'_> {
    fn server(&self, node: &ServerNode) -> Result<Rc<Server>, Error> {
        let server_values = self.levels.server.merge(&node.frame.server, &self.outer.0);
        let values = self.levels.location.merge(&node.frame.location, &self.outer.1);
        let core = values.share::<Core>().unwrap_or_default();
        let mut parts = Parts::default();
        for (order, module) in (0..).zip(self.modules) {
            (module.attach)(&mut Attach {
                values: &values,
                server_values: &server_values,
                main: &self.main,
                name: module.name,
                order,
                log: core.error_log.as_ref().unwrap_or(&self.log),
                parts: &mut parts,
            })?;
        }
        let Parts { phases, preread, content } = parts;
        let Names { list: names, first } = node.frame.server.take::<Names>();
        let (name, tls) = (first.unwrap_or_default(), ServerTls::default());
        Ok(Rc::new(Server { name, names, core, values, server_values, phases, preread, content, tls, span: node.span }))
    }
}
