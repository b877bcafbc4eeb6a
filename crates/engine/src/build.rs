//! From what was read to the immutable tree that requests run on.

use crate::directives::{body, types};
use crate::listen::{self, Endpoints};
use crate::nodes::{Inside, Servers};
use base::log::{ErrorLog, Level};
use conf::scope::{ConfMap, Frame};
use conf::tree::{Error, Span};
use http::blocks::Blocks;
use http::core::{Core, Root, ServerCore, ServerName};
use http::location::{Location, Locations, Match};
use http::module::{Attach, Levels, Parts};
use http::protocols::ServerProtocols;
use http::root::{Defaults, Paths};
use http::{Complex, Http, Module, Server};
use session::Variables;
use std::rc::Rc;

pub use http::root::Ground;

struct Builder<'a> {
    modules: &'a [Module],
    levels: Levels,
    main: ConfMap,
    server: ConfMap,
    log: ErrorLog,
}

/// `html` below the prefix.
fn default_root(paths: &Paths) -> Root {
    use std::os::unix::ffi::OsStrExt;
    let path = Complex::from_literal(paths.prefix.join("html").as_os_str().as_bytes());
    Root { path, alias: false, cut: None }
}

/// Builds `http { }` from its frame.
///
/// # Errors
/// Whatever modules refuse, unknown variables, conflicting listens.
pub fn finish(frame: &Frame, modules: &[Module]) -> Result<(Rc<Http>, Endpoints), Error> {
    for module in modules {
        (module.complete)(frame)?;
    }
    types::complete(frame);
    body::complete(frame);
    let ground = frame.global.get::<Ground>().clone();
    frame.location.get::<Core>().root.get_or_insert_with(|| default_root(&ground.paths));
    let mut levels = Levels::default();
    levels.server::<ServerCore>().server::<ServerProtocols>().location::<Core>().location::<Blocks>();
    for module in modules {
        (module.levels)(&mut levels);
    }
    let servers = frame.main.take::<Servers>().list;
    let main = levels.main.freeze(&frame.main);
    let log = frame.location.get::<Core>().error_log.clone().or(ground.log).unwrap_or_else(|| ErrorLog::stderr(Level::Error));
    let mut builder = Builder { modules, levels, main, server: ConfMap::default(), log };
    let mut built = Vec::new();
    for server in &servers {
        built.push(builder.server(server, frame)?);
    }
    let endpoints = listen::endpoints(&servers, &built, frame)?;
    let mut variables = frame.global.take::<Variables>();
    variables.finish().map_err(|message| Error::new(message, Span::NONE))?;
    let mut main = std::mem::take(&mut builder.main);
    main.insert(Rc::new(Defaults(builder.levels.location.freeze(&frame.location))));
    let http = Http { variables: Rc::new(variables), main, servers: built, listens: endpoints.listens(), paths: ground.paths };
    Ok((Rc::new(http), endpoints))
}

impl Builder<'_> {
    fn server(&mut self, frame: &Frame, http: &Frame) -> Result<Rc<Server>, Error> {
        self.levels.server.inherit(&frame.server, &http.server);
        self.levels.location.inherit(&frame.location, &http.location);
        let listens = frame.server.take::<listen::Listens>();
        self.server = self.levels.server.freeze(&frame.server);
        frame.server.get::<listen::Listens>().list = listens.list;
        let inside = frame.location.take::<Inside>();
        let children = self.children(inside, frame)?;
        let own = self.location(Vec::new(), Match::Unnamed, frame, true)?;
        let core = self.server.share::<ServerCore>().unwrap_or_default();
        let name = core.first_name.clone().unwrap_or_default();
        Ok(Rc::new(Server { name, conf: std::mem::take(&mut self.server), core, own, locations: children }))
    }

    fn children(&mut self, inside: Inside, parent: &Frame) -> Result<Locations, Error> {
        let mut list = Vec::new();
        for child in inside.children {
            self.levels.location.inherit(&child.frame.location, &parent.location);
            list.push(self.location(child.name, child.kind, &child.frame, false)?);
        }
        Ok(Locations::new(list))
    }

    /// Builds a location whose scope has inherited.
    fn location(&mut self, name: Vec<u8>, kind: Match, frame: &Frame, is_server: bool) -> Result<Rc<Location>, Error> {
        let inside = frame.location.take::<Inside>();
        let limit_except = match &inside.limit_except {
            Some((methods, block)) => {
                self.levels.location.inherit(&block.location, &frame.location);
                Some((*methods, self.location(name.clone(), Match::Unnamed, block, false)?))
            }
            None => None,
        };
        let children = self.children(Inside { limit_except: None, ..inside }, frame)?;
        let mut blocks = Vec::new();
        let nameless = frame.location.take::<Blocks>();
        for block in &nameless.list {
            self.levels.location.inherit(&block.location, &frame.location);
            // The name stays, for what is cut off the URI (`alias`, `proxy_pass`).
            block.location.take::<Inside>();
            blocks.push(self.location(name.clone(), Match::Unnamed, block, is_server)?);
        }
        let conf = self.levels.location.freeze(&frame.location);
        let core = conf.share::<Core>().unwrap_or_default();
        let parts = self.attach(&name, &kind, &conf, is_server)?;
        let mut location = parts.into_location(name.into(), kind, core, conf, children);
        location.limit_except = limit_except;
        location.blocks = blocks;
        Ok(Rc::new(location))
    }

    fn attach(&self, name: &[u8], kind: &Match, conf: &ConfMap, is_server: bool) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        for (order, module) in self.modules.iter().enumerate() {
            (module.attach)(&mut Attach {
                conf,
                server: &self.server,
                main: &self.main,
                name,
                kind,
                is_server,
                order: order as u16,
                log: &self.log,
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
