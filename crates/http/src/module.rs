//! What a module attaches to: a location under construction.

use crate::chain::Chain;
use crate::location::{BodyFilter, Filtered, Handler, HeaderFilter, Location, Match};
use crate::phase::Phase;
use crate::request::Request;
use crate::request_zones::RequestZones;
use crate::worker::Worker;
use base::log::ErrorLog;
use base::serial;
use conf::configs::ConfMap;
use conf::scope::Config;
use conf::tree::Error;
use session::module::Modular;
use session::{BoxFuture, Step};
use std::cell::RefCell;
use std::rc::Rc;

pub use session::levels::Levels;

/// A module of `http`.
pub type Module = session::Module<Request>;

impl Modular for Request {
    type Worker = Worker;
    type Attach<'a> = Attach<'a>;
}

/// A location being built: what a module's `attach` sees.
pub struct Attach<'a> {
    /// Merged values of the location.
    pub conf: &'a ConfMap,
    /// Merged values of its server.
    pub server: &'a ConfMap,
    /// Values of `http`.
    pub main: &'a ConfMap,
    /// The location's name.
    pub name: &'a [u8],
    /// How it is matched.
    pub kind: &'a Match,
    /// These are a server's own values, not a location.
    pub is_server: bool,
    /// Place of the module in the registry.
    pub order: u16,
    /// The error log in force.
    pub log: &'a ErrorLog,
    /// What the configuration gets wrong without becoming unusable.
    pub warnings: &'a RefCell<Vec<Error>>,
    /// The parts so far.
    pub parts: &'a mut Parts,
}

/// The lists of a location while it is built.
#[derive(Default)]
pub struct Parts {
    /// Where requests are counted.
    pub zones: RequestZones,
    /// Handlers by phase.
    pub phases: [Vec<Handler>; Phase::COUNT],
    /// The content handler.
    pub content: Option<Rc<dyn Fn(&Rc<Request>) -> Step>>,
    /// Redirect to the trailing slash.
    pub auto_redirect: bool,
    /// Code runs in the log phase.
    pub code_logs: bool,
    /// Header filters.
    pub header_filters: Vec<HeaderFilter>,
    /// Body filters.
    pub body_filters: Vec<BodyFilter>,
    /// How many header filters a captured response passes; all of them if nothing was said.
    pub capture_at: Option<usize>,
}

impl Attach<'_> {
    /// The location's value of type `T`; the default if the type is not registered.
    pub fn conf<T: Config>(&self) -> Rc<T> {
        self.conf.share::<T>().unwrap_or_default()
    }

    /// The server's value of type `T`.
    pub fn server_conf<T: Config>(&self) -> Rc<T> {
        self.server.share::<T>().unwrap_or_default()
    }

    /// The `http` value of type `T`.
    pub fn main_conf<T: Config>(&self) -> Rc<T> {
        self.main.share::<T>().unwrap_or_default()
    }

    /// Counts this location's requests.
    pub fn count_in(&mut self, zones: RequestZones) {
        self.parts.zones = zones;
    }

    /// Registers a handler of a phase for this location.
    pub fn phase(&mut self, phase: Phase, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        let handler = Handler { order: self.order, run: Rc::new(run) };
        if let Some(list) = self.parts.phases.get_mut(phase as usize) {
            list.push(handler);
        }
    }

    /// Installs the content handler of this location; it alone makes the content.
    pub fn content(&mut self, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        self.parts.content = Some(Rc::new(run));
    }

    /// Registers a header filter for this location.
    pub fn header_filter(&mut self, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        self.parts.header_filters.push(Rc::new(run));
    }

    /// A response that is captured in memory leaves here: the header filters of later modules, and with them the body filters that these
    /// would mark, see responses on their way to a client only.
    pub fn capture(&mut self) {
        self.parts.capture_at = Some(self.parts.header_filters.len());
    }

    /// Registers a body filter for this location, for every response.
    pub fn body_filter(&mut self, run: impl Fn(&Rc<Request>, Chain) -> Filtered + 'static) {
        self.parts.body_filters.push(BodyFilter { mark: 0, run: Rc::new(run) });
    }

    /// Joins the body filters for those responses only that a header filter marks with
    /// [`Request::demand_body_filter`]; `mark` is a bit of the module's own.
    pub fn body_filter_on_demand(&mut self, mark: u32, run: impl Fn(&Rc<Request>, Chain) -> Filtered + 'static) {
        self.parts.body_filters.push(BodyFilter { mark, run: Rc::new(run) });
    }

    /// Joins the log phase with code that may take long: it runs when the response has left. What it returns is driven without
    /// holding the client.
    pub fn log(&mut self, run: impl Fn(&Rc<Request>) -> Option<BoxFuture<()>> + 'static) {
        self.parts.code_logs = true;
        self.phase(Phase::Log, move |request| match run(request) {
            None => Step::Now(session::Outcome::Ok),
            Some(future) => Step::wait(|| async move {
                future.await;
                session::Outcome::Ok
            }),
        });
    }
}

impl Parts {
    /// The finished location.
    pub fn into_location(
        mut self,
        name: Box<[u8]>,
        kind: Match,
        core: Rc<crate::core::Core>,
        conf: ConfMap,
        children: crate::location::Locations,
    ) -> Location {
        // Lists grow by doubling, and locations are many.
        self.phases.iter_mut().for_each(Vec::shrink_to_fit);
        self.header_filters.shrink_to_fit();
        self.body_filters.shrink_to_fit();
        // A list's place is its phase's number, and so is the phase's bit.
        let busy = self.phases.iter().enumerate().fold(0, |busy, (at, list)| busy | (u8::from(!list.is_empty()) << at));
        Location {
            number: serial::next(),
            busy,
            name,
            kind,
            core,
            conf,
            zones: self.zones,
            phases: self.phases,
            content: self.content,
            auto_redirect: self.auto_redirect,
            code_logs: self.code_logs,
            capture_at: self.capture_at.unwrap_or(self.header_filters.len()),
            header_filters: self.header_filters,
            always_filtered: self.body_filters.iter().any(|filter| filter.mark == 0),
            body_filters: self.body_filters,
            children,
            limit_except: None,
            blocks: Vec::new(),
        }
    }
}
