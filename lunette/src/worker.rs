//! A worker: from the configuration to the event loop.

use crate::generation::Generation;
use crate::{opening, protocols};
use base::saturated::Saturated;
use daemon::{Role, WorkerSetup};
use engine::HttpEngine;
use front::serve::{self, FrontOptions};
use front::service::{HttpService, Listening, Service};
use front::sessions::StreamService;
use http::metrics::WorkerCounters;
use http::{Http, Variables, Worker};
use session::log_files::LogFiles;
use session::worker::ProcessInfo;
use shm::{Tally, Zones};
use std::cell::RefCell;
use std::rc::Rc;

/// Serves until told to stop. Returns the exit code.
pub(crate) fn run(generation: Generation, setup: WorkerSetup, tally: Option<&Tally>) -> i32 {
    if !setup.single {
        shm::lock::after_fork();
    }
    let settings = &generation.settings;
    let count = if settings.master_process { settings.worker_processes.max(1) } else { 1 };
    let http = generation.http.clone().unwrap_or_else(|| Rc::new(without_http(&generation)));
    let (number, agent) = match setup.role {
        Role::Worker(number) => (number, false),
        Role::Agent => (0, true),
    };
    let observers = tally.map_or_else(WorkerCounters::unshared, WorkerCounters::new);
    if let Some(account) = observers.account() {
        shm::meter::enter(account);
    }
    let of_stream = generation.stream.as_deref().and_then(stream_lua::agent_connections);
    let of_agent = lua_api::agent_connections(&http).or(of_stream).filter(|_| agent);
    let connections = of_agent.unwrap_or(generation.connections);
    let worker = Rc::new(Worker::new(number, count, settings.error_log.clone(), http, observers, serve::spawn));
    worker.state::<RefCell<Zones>>().replace(generation.global.get::<Zones>().clone());
    let board = setup.board.clone();
    let (of_respawns, of_connections, age) = (board.clone(), board.clone(), board.generations());
    worker.set_process(ProcessInfo {
        agent,
        single: setup.single,
        master: setup.master,
        pids: Box::new(move || board.pids()),
        respawned: Box::new(move || of_respawns.respawned()),
        generation: age,
        next_connection: Box::new(move || of_connections.next_connection()),
    });
    worker.set_engine(Rc::new(HttpEngine));
    let streams = generation.stream.clone().map(|stream| Rc::new(stream::Worker::new(worker.common.clone(), stream)));
    let listening = listening(&generation, &worker.http(), streams.as_ref());
    let (modules, stream_modules) = (generation.modules.clone(), generation.stream_modules.clone());
    let global = generation.global.clone();
    let ending = streams.clone();
    let options = FrontOptions {
        connections,
        listening,
        protocols: protocols::table(),
        reopen: Box::new(move || opening::reopen(&generation)),
        start: Box::new(move |worker| {
            for module in modules.iter() {
                (module.start)(worker);
            }
            for (module, worker) in stream_modules.iter().flat_map(|module| Some((module, streams.as_ref()?))) {
                (module.start)(worker);
            }
        }),
        end: Box::new(move |worker| {
            lua_api::exit_worker(worker);
            if let Some(streams) = &ending {
                stream_lua::exit_worker(streams);
            }
            global.get::<LogFiles>().flush();
        }),
    };
    serve::run(worker, setup, options)
}

/// Whose each listening socket is: those of `http` come first.
fn listening(generation: &Generation, http: &Http, streams: Option<&Rc<stream::Worker>>) -> Rc<[Listening]> {
    let web: Rc<dyn Service> = Rc::new(HttpService);
    let sessions = streams.map(|worker| (Rc::new(StreamService::new(worker.clone())) as Rc<dyn Service>, worker.configuration()));
    let of_http = http.listens.iter().enumerate().map(|(index, listen)| (web.clone(), index, &listen.address));
    let of_stream = sessions.iter().flat_map(|(service, configuration)| {
        configuration.listens.iter().enumerate().map(|(index, listen)| (service.clone(), index, &listen.address))
    });
    let specs = generation.settings.listeners.iter();
    let one = |(spec, (service, index, address)): (&net::listener::ListenSpec, (Rc<dyn Service>, usize, &session::Address))| Listening {
        own_socket: spec.reuseport,
        kind: spec.kind,
        service,
        index: u32::saturated(index),
        address: address.clone(),
    };
    specs.zip(of_http.chain(of_stream)).map(one).collect()
}

/// A server without `http` still obeys its master.
fn without_http(generation: &Generation) -> Http {
    let paths = generation.global.get::<http::root::MainContext>().paths.clone();
    Http { variables: Rc::new(Variables::default()), main: Default::default(), servers: Vec::new(), listens: Vec::new(), paths }
}
