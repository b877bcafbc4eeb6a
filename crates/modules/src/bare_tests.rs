//! A session of no protocol, for the tests of modules that stand once for all.
//!
//! It proves that such a module needs nothing of a protocol: neither `http` nor `stream` appears here.

use base::log::{ErrorLog, Level};
use conf::configs::{ConfMap, Configs};
use conf::context::Context;
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table};
use conf::scope::{Config, Frame};
use session::address::Proxied;
use session::connection::Connection;
use session::paths::Paths;
use session::{Address, Cache, Client, Configured, Session, Variables, Worker};
use std::any::Any;
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

/// Such a session.
pub(crate) struct Bare {
    cache: Cache<Bare>,
    client: RefCell<Address>,
    connection: Rc<Connection<()>>,
    values: ConfMap,
    lasting: RefCell<Vec<Rc<dyn Any>>>,
    ends: RefCell<Vec<Box<dyn FnOnce()>>>,
    /// What was logged.
    pub(crate) lines: RefCell<Vec<String>>,
    worker: Worker,
    paths: Paths,
}

/// A configuration of [`Bare`] sessions.
pub(crate) struct Setup {
    frame: Frame,
    variables: Rc<Variables<Bare>>,
    values: ConfMap,
}

impl Setup {
    /// Reads `text` with `rows`, whose values `register` names. `$addr` is the client's address, `$name` is what it says.
    pub(crate) fn read(text: &str, rows: Vec<Row>, register: fn(&mut Configs)) -> Result<Setup, String> {
        let mut table = Table::default();
        rows.into_iter().for_each(|row| table.add(row));
        let frame = Frame::default();
        frame.global.get::<Variables<Bare>>().define(
            "addr",
            0,
            Rc::new(|session, out| {
                session.client.borrow().push_host(out);
                true
            }),
        );
        let parsed = Parser::new(Text(text.into()), "/").parse_file(b"/conf/nginx.conf");
        let block = parsed.into_result().map_err(|error| error.message)?;
        table.read(&block, Bare::OUTERMOST | Bare::BLOCKS, &frame).map_err(|error| error.message)?;
        let mut variables = frame.global.take::<Variables<Bare>>();
        variables.finish()?;
        let mut configs = Configs::default();
        register(&mut configs);
        let values = configs.freeze(&frame.location);
        Ok(Setup { frame, variables: Rc::new(variables), values })
    }

    /// The scopes that were read into.
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// A client with this address; `proxied` is what a PROXY protocol header says of it.
    pub(crate) fn client(&self, address: &str, proxied: Option<&str>) -> Bare {
        let peer = crate::cidr::parse_address(address.as_bytes()).unwrap();
        let named = |text: &str| {
            let client = text.parse().unwrap();
            Rc::new(Proxied { client, server: client, tlvs: Box::default() })
        };
        Bare {
            cache: Cache::new(self.variables.clone()),
            client: RefCell::new(peer.clone()),
            connection: Rc::new(Connection {
                id: 1,
                peer,
                local: Address::Unix(None),
                requests: Cell::new(0),
                started_ms: 0,
                tls: RefCell::default(),
                proxy_protocol: RefCell::new(proxied.map(named)),
            }),
            values: self.values.clone(),
            lasting: RefCell::default(),
            ends: RefCell::default(),
            lines: RefCell::default(),
            worker: Worker::new(0, 1, ErrorLog::new(Vec::new()), |_| {}),
            paths: Paths::default(),
        }
    }
}

impl Bare {
    /// The value of a variable that the configuration mentions or not; `None` is not found.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let mut out = Vec::new();
        session::variable::by_name::get_by_name(self, name, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    /// Ends the session.
    pub(crate) fn end(&self) {
        self.ends.take().into_iter().for_each(|end| end());
    }
}

impl Session for Bare {
    fn cache(&self) -> &Cache<Bare> {
        &self.cache
    }

    fn variable_cycle(&self, _: &str) {}
}

impl Client for Bare {
    type Server = ();

    fn connection(&self) -> &Rc<Connection<()>> {
        &self.connection
    }

    fn server_name(&self) -> Box<[u8]> {
        Box::default()
    }

    fn client(&self) -> Ref<'_, Address> {
        self.client.borrow()
    }

    fn set_client(&self, client: Address) {
        self.client.replace(client);
    }

    fn log_enabled(&self, level: Level) -> bool {
        level <= Level::Error
    }

    fn log(&self, _: Level, message: &[u8]) {
        self.lines.borrow_mut().push(String::from_utf8_lossy(message).into_owned());
    }
}

impl Configured for Bare {
    const OUTERMOST: Context = Context::STREAM;
    const BLOCKS: Context = Context::STREAM.union(Context::STREAM_SERVER);
    const UPSTREAM: Context = Context::STREAM_UPSTREAM;

    fn conf<T: Config>(&self) -> Rc<T> {
        self.values.share().unwrap_or_default()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        Rc::default()
    }

    fn find_lasting<T: 'static>(&self) -> Option<Rc<T>> {
        self.lasting.borrow().iter().find_map(|any| any.clone().downcast::<T>().ok())
    }

    fn session_context<T: Default + 'static>(&self) -> Rc<T> {
        self.find_lasting().unwrap_or_else(|| {
            let made = Rc::new(T::default());
            self.lasting.borrow_mut().push(made.clone());
            made
        })
    }

    fn on_end(&self, f: impl FnOnce() + 'static) {
        self.ends.borrow_mut().push(Box::new(f));
    }

    fn worker(&self) -> &Worker {
        &self.worker
    }

    fn paths(&self) -> &Paths {
        &self.paths
    }
}
