//! A worker: from the configuration to the event loop.

use crate::generation::Generation;
use crate::{opening, protocols};
use daemon::{Role, Seat};
use engine::HttpEngine;
use front::serve::{self, Setup};
use http::observers::Observers;
use http::{Http, Variables, Worker};
use session::log_files::LogFiles;
use session::worker::ProcessInfo;
use shm::Tally;
use std::rc::Rc;

/// Serves until told to stop. Returns the exit code.
pub(crate) fn work(generation: Generation, seat: Seat, tally: Option<&Tally>) -> i32 {
    if !seat.single {
        shm::lock::after_fork();
    }
    let settings = &generation.settings;
    let count = if settings.master_process { settings.worker_processes.max(1) } else { 1 };
    let http = generation.http.clone().unwrap_or_else(|| Rc::new(nothing(&generation)));
    let (number, agent) = match seat.role {
        Role::Worker(number) => (number, false),
        Role::Agent => (0, true),
    };
    let observers = tally.map_or_else(Observers::alone, Observers::new);
    let connections = lua_api::agent_connections(&http).filter(|_| agent).unwrap_or(generation.connections);
    let worker = Rc::new(Worker::new(number, count, settings.error_log.clone(), http, observers, serve::spawn));
    let board = seat.board.clone();
    worker.set_process(ProcessInfo { agent, single: seat.single, master: seat.master, pids: Box::new(move || board.pids()) });
    worker.set_engine(Rc::new(HttpEngine));
    let own_socket = settings.listeners.iter().map(|spec| spec.reuseport).collect();
    let (modules, global) = (generation.modules.clone(), generation.global.clone());
    let setup = Setup {
        connections,
        own_socket,
        protocols: protocols::protocols(),
        reopen: Box::new(move || opening::reopen(&generation)),
        start: Box::new(move |worker| {
            for module in modules.iter() {
                (module.start)(worker);
            }
        }),
        end: Box::new(move |worker| {
            lua_api::exit_worker(worker);
            global.get::<LogFiles>().flush();
        }),
    };
    serve::run(worker, seat, setup)
}

/// A server without `http` still obeys its master.
fn nothing(generation: &Generation) -> Http {
    let paths = generation.global.get::<http::root::MainContext>().paths.clone();
    Http { variables: Rc::new(Variables::default()), main: Default::default(), servers: Vec::new(), listens: Vec::new(), paths }
}
