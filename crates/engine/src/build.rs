//! Builds the immutable tree that requests run on from the parsed configuration.

use crate::directives::{body, types};
use crate::listen::{self, Endpoints};
use crate::nodes::{BlockContent, ChildNode, Servers};
use base::log::{ErrorLog, Level};
use conf::configs::ConfMap;
use conf::row::Warnings;
use conf::scope::Frame;
use conf::tree::{Block, Error, Span};
use http::blocks::Blocks;
use http::core::{Core, Root, ServerCore, ServerName};
use http::location::{Location, Locations, Match};
use http::module::{Attach, Levels, Parts};
use http::protocols::ServerProtocols;
use http::root::{Defaults, MainContext, Paths};
use http::tls::ServerTls;
use http::{Complex, Http, Module, Server, Variables};
use session::variable::UnknownVariable;
use std::cell::RefCell;
use std::rc::Rc;

struct Builder<'a> {
    modules: &'a [Module],
    levels: Levels,
    main: ConfMap,
    /// What `http` itself says for its servers.
    servers: ConfMap,
    /// What `http` itself says for its locations.
    locations: ConfMap,
    log: ErrorLog,
    warnings: RefCell<Vec<Error>>,
}

/// What a location is built from.
struct Plan<'a> {
    name: Vec<u8>,
    kind: Match,
    frame: &'a Frame,
    /// Values of the block around it.
    outer: &'a ConfMap,
    /// Values of its server.
    server: &'a ConfMap,
    is_server: bool,
}

/// `html` below the prefix.
fn default_root(paths: &Paths) -> Root {
    use std::os::unix::ffi::OsStrExt;
    let path = Complex::from_literal(paths.prefix.join("html").as_os_str().as_bytes());
    Root { path, alias: false, cut: None }
}

/// Builds `http { }` from its frame; `source` is what was read, for the places of errors.
///
/// # Errors
/// Whatever modules refuse, unknown variables, conflicting listens.
pub fn finish(frame: &Frame, modules: &[Module], source: Option<&Block>) -> Result<(Rc<Http>, Endpoints), Error> {
    for module in modules {
        (module.complete)(frame)?;
    }
    types::complete(frame);
    body::complete(frame)?;
    let context = frame.global.get::<MainContext>().clone();
    frame.location.get::<Core>().root.get_or_insert_with(|| default_root(&context.paths));
    let mut levels = Levels::default();
    levels.server::<ServerCore>().server::<ServerProtocols>().location::<Core>().location::<Blocks>();
    for module in modules {
        (module.levels)(&mut levels);
    }
    let servers = frame.main.take::<Servers>().list;
    let log = frame.location.get::<Core>().error_log.clone().or(context.log).unwrap_or_else(|| ErrorLog::stderr(Level::Error));
    let main = levels.main.freeze(&frame.main);
    let (for_servers, for_locations) = (levels.server.freeze(&frame.server), levels.location.freeze(&frame.location));
    let mut builder = Builder { modules, levels, main, servers: for_servers, locations: for_locations, log, warnings: RefCell::default() };
    let mut built = Vec::with_capacity(servers.len());
    for server in &servers {
        let server = builder.server(server)?;
        for module in modules {
            (module.server)(&server, built.len(), frame)?;
        }
        built.push(server);
    }
    frame.global.get::<Warnings>().list.extend(builder.warnings.take());
    let endpoints = listen::endpoints(&servers, &built, frame)?;
    let mut variables = frame.global.take::<Variables>();
    variables.finish().map_err(|unknown| unknown_variable(&unknown, &variables, source))?;
    let mut main = std::mem::take(&mut builder.main);
    main.insert(Rc::new(Defaults(builder.locations)));
    let http = Http { variables: Rc::new(variables), main, servers: built, listens: endpoints.listens(), paths: context.paths };
    Ok((Rc::new(http), endpoints))
}

pub(crate) fn unknown_variable<S: session::Session>(
    unknown: &UnknownVariable,
    variables: &session::Variables<S>,
    source: Option<&Block>,
) -> Error {
    let mut error = match source.and_then(|block| block.find_variable(&unknown.name)) {
        Some((directive, word)) => Error { span: word.span, ..Error::on_directive(unknown.to_string(), directive) },
        None => Error::new(unknown.to_string(), Span::NONE),
    };
    error.suggestion = variables.nearest(&unknown.name).map(str::to_owned);
    error
}

impl Builder<'_> {
    fn server(&self, frame: &Frame) -> Result<Rc<Server>, Error> {
        let conf = self.levels.server.merge(&frame.server, &self.servers);
        let plan = Plan { name: Vec::new(), kind: Match::Unnamed, frame, outer: &self.locations, server: &conf, is_server: true };
        let (own, locations) = self.location(plan)?;
        let core = conf.share::<ServerCore>().unwrap_or_default();
        let name = core.first_name.clone().unwrap_or_default();
        Ok(Rc::new(Server { name, conf, core, tls: ServerTls::default(), own: Rc::new(own), locations }))
    }

    fn children(&self, inside: Vec<ChildNode>, outer: &ConfMap, server: &ConfMap) -> Result<Locations, Error> {
        let mut list = Vec::with_capacity(inside.len());
        for ChildNode { name, kind, frame } in inside {
            let plan = Plan { name, kind, frame: &frame, outer, server, is_server: false };
            list.push(self.nested(plan)?);
        }
        Ok(Locations::new(list))
    }

    /// A location with those inside it.
    fn nested(&self, plan: Plan<'_>) -> Result<Rc<Location>, Error> {
        let (mut location, children) = self.location(plan)?;
        location.children = children;
        Ok(Rc::new(location))
    }

    /// A location, and the locations inside it.
    fn location(&self, plan: Plan<'_>) -> Result<(Location, Locations), Error> {
        let Plan { name, kind, frame, outer, server, is_server } = plan;
        let inside = frame.location.take::<BlockContent>();
        let nameless = frame.location.take::<Blocks>();
        let conf = self.levels.location.merge(&frame.location, outer);
        // The name stays in blocks without one, for what is cut off the URI (`alias`, `proxy_pass`).
        let unnamed = |frame: &Frame, is_server: bool| {
            frame.location.take::<BlockContent>();
            self.nested(Plan { name: name.clone(), kind: Match::Unnamed, frame, outer: &conf, server, is_server })
        };
        let limit_except = match &inside.limit_except {
            Some((methods, block)) => Some((*methods, unnamed(block, false)?)),
            None => None,
        };
        let children = self.children(inside.children, &conf, server)?;
        let blocks: Result<Vec<_>, Error> = nameless.list.iter().map(|block| unnamed(block, is_server)).collect();
        let blocks = blocks?;
        let core = conf.share::<Core>().unwrap_or_default();
        let parts = self.attach(&name, &kind, &conf, server, is_server)?;
        let mut location = parts.into_location(name.into(), kind, core, conf, Locations::default());
        location.limit_except = limit_except;
        location.blocks = blocks;
        Ok((location, children))
    }

    fn attach(&self, name: &[u8], kind: &Match, conf: &ConfMap, server: &ConfMap, is_server: bool) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        for (order, module) in (0..).zip(self.modules) {
            (module.attach)(&mut Attach {
                conf,
                server,
                main: &self.main,
                name,
                kind,
                is_server,
                order,
                log: &self.log,
                warnings: &self.warnings,
                parts: &mut parts,
            })?;
        }
        Ok(parts)
    }
}

/// All names of a server as written, for duplicates and lookups.
pub fn names(server: &Server) -> &[ServerName] {
    &server.core.names
}
