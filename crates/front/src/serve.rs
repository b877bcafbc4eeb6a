//! A worker's event loop: accepting, parking, commands, and graceful shutdown.

use crate::buffers;
use crate::input::Input;
use crate::protocol::{Accepted, Front, Listener, Parked, Table};
use crate::service::{Admission, Listening, Service, address, local, transport};
use crate::share::Share;
use base::clock;
use base::errno;
use base::log::Level;
use daemon::{Command, Commands, WorkerSetup};
use http::core::default;
use http::metrics::Counter;
use http::{BoxFuture, Connection, Worker};
use net::accept::{Acceptor, severity};
use net::listener::Kind;
use net::park::Unparked;
use net::stream::Stream;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// Most connections that a leaving worker still takes from a listener, and how often it looks whether the last ones have ended.
const LAST: usize = 16;

/// The same for a listener that may be this worker's alone, `reuseport`: who waits there would be turned away.
const LAST_OF_OWN: usize = 4096;

/// What the binary knows and the event loop needs.
pub struct FrontOptions {
    /// `worker_connections`.
    pub connections: usize,
    /// The listening sockets, by index of their specification.
    pub listening: Rc<[Listening]>,
    /// What may be spoken.
    pub protocols: Table,
    /// Opens the log files again.
    pub reopen: Box<dyn Fn()>,
    /// Starts the modules; runs inside the event loop.
    pub start: Box<dyn FnOnce(&Rc<Worker>)>,
    /// Runs before the process ends (`exit_worker_by_lua`).
    pub end: Box<dyn FnOnce(&Rc<Worker>)>,
}

impl Front {
    pub(crate) fn opened(&self, stream: Stream, info: Connection, listen: u32) -> Option<Accepted> {
        let http = self.worker.http();
        let endpoint = http.listens.get(listen as usize).and_then(|l| l.endpoint(&info.local))?;
        // SNI chose one when the connection was new.
        let server = info.tls_info().map_or_else(|| endpoint.default.clone(), |tls| tls.server.clone());
        let timeout = server.core.client_header_timeout.unwrap_or(default::TIMEOUT);
        let request_by = clock::monotonic_ms().saturating_add(timeout);
        let info = Rc::new(info);
        let (input, watch) = (Input::default(), self.active.enter());
        let listener = Listener { http, index: listen, endpoint, server };
        Some(Accepted { stream, input, info, watch, listener, no_delay: false, request_by, resumed: false, state: None })
    }

    /// A new connection whose protocol is not known yet.
    pub(crate) fn open_new(&self, admitted: Admission, listen: u32) -> Option<Accepted> {
        let Admission { stream, peer, local } = admitted;
        let info = Connection {
            id: self.next_id(),
            peer,
            local,
            requests: Cell::new(0),
            started_ms: clock::now().epoch_ms(),
            tls: RefCell::default(),
            proxy_protocol: RefCell::default(),
        };
        self.opened(stream, info, listen)
    }

    fn unpark(self: &Rc<Self>, fd: OwnedFd, parked: Parked) {
        let http = self.worker.http();
        let own = http.listens.get(parked.listen as usize).map(|listen| &listen.address);
        let (peer, local) = (address(SockRef::from(&fd).peer_addr()), local(&fd, own));
        let Parked { listen, protocol, info, no_delay, state, session } = parked;
        let stream = Stream::from_parts(fd, transport(&local), session);
        if let (Some(opened), Some(protocol)) = (self.opened(stream, info.restore(peer, local), listen), self.protocol(protocol)) {
            (protocol.start)(self, Accepted { no_delay, state, resumed: true, ..opened });
        }
    }
}

/// Drives a future apart from any connection, on this thread.
pub fn spawn(future: BoxFuture<()>) {
    tokio::task::spawn_local(future);
}

/// So many sockets are taken from the kernel in one turn of the event loop, and all of them served before the next. Of a thousand that are
/// ready, the first ones would have left the near caches when their turn comes.
const TURN: u32 = 64;

/// The whole life of a worker. Returns the exit code.
pub fn run(worker: Rc<Worker>, setup: WorkerSetup, options: FrontOptions) -> i32 {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().max_io_events_per_tick(TURN as usize).event_interval(2 * TURN).on_thread_unpark(clock::stale);
    let runtime = builder.build_local(Default::default());
    let prepared = runtime.and_then(|runtime| runtime.block_on(async { net::time::prepare() }).map(|()| runtime));
    let log = worker.log.clone();
    match prepared {
        Ok(runtime) => {
            let code = runtime.block_on(live(worker, setup, options));
            runtime.shutdown_timeout(Duration::ZERO);
            code
        }
        Err(error) => {
            base::log!(log, Level::Emerg, 0, "cannot make an event loop {}", errno::describe(&error));
            2
        }
    }
}

async fn live(worker: Rc<Worker>, setup: WorkerSetup, options: FrontOptions) -> i32 {
    let FrontOptions { connections, listening, protocols, reopen, start, end } = options;
    let log = worker.log.clone();
    let share = Share::new(setup.board, setup.role, connections.max(1));
    let front = Front::new(worker.clone(), protocols, share, connections);
    let (front, mut commands) = match front.and_then(|front| Ok((Rc::new(front), setup.commands.start(log.clone())?))) {
        Ok(both) => both,
        Err(error) => {
            base::log!(log, Level::Emerg, 0, "epoll_create1() failed {}", errno::describe(&error));
            return 2;
        }
    };
    let active = front.active.clone();
    let lender = Rc::downgrade(&front);
    let forget = move || {
        buffers::clear();
        if let Some(front) = lender.upgrade() {
            front.worker.spare.clear();
        }
    };
    let reporter = Rc::downgrade(&front);
    let ticks = Cell::new(0_u32);
    let tick = move || {
        let Some(front) = reporter.upgrade() else { return };
        front.share.note_open(front.open());
        // Others read this worker's gauges as they were at most a second ago.
        ticks.set(ticks.get().wrapping_add(1));
        if ticks.get().is_multiple_of(10) || front.active.is_empty() {
            front.worker.read_gauges();
        }
    };
    tokio::task::spawn_local(async move { active.sweep(tick, forget).await });
    observe(&worker, &front);
    tokio::task::spawn_local(tend_lot(front.clone()));
    worker.offer_unix_listeners(listening.iter().filter_map(Listening::unix_name).collect());
    if setup.relieves {
        worker.wait_for_predecessors();
    }
    start(&worker);
    listening.iter().for_each(|one| one.service.started(&front, &listening));
    let acceptors = listen(&front, setup.listeners, &listening, setup.single);
    worker.offer_unix_listeners(Vec::new());
    front.share.enter(acceptors.iter().map(|(acceptor, _)| acceptor.clone()).collect());
    let accepting =
        acceptors.iter().cloned().map(|(acceptor, place)| tokio::task::spawn_local(accept(front.clone(), acceptor, place))).collect();
    let tended = front.clone();
    tokio::task::spawn_local(async move { tended.share.maintain(|| tended.open()).await });
    commands.ready();
    let graceful = follow_commands(&front, &mut commands, &*reopen, accepting).await;
    front.share.stop_accepting();
    if graceful {
        take_last(&front, acceptors);
        finish(&front, &mut commands, &*reopen).await;
    }
    front.endpoints.flush().await;
    end(&worker);
    0
}

/// Has sessions counted, and says where gauges look.
fn observe(worker: &Rc<Worker>, front: &Rc<Front>) {
    let counting = Rc::downgrade(worker);
    worker.set_counter(move |ended| {
        if let Some(worker) = counting.upgrade() {
            worker.observers.session_had(ended);
        }
    });
    let counted = Rc::downgrade(front);
    worker.set_gauges(move |observers| {
        let Some(front) = counted.upgrade() else { return };
        let (reading, writing) = front.active.reading_and_writing();
        observers.connections_are(front.open(), reading, writing);
        observers.set(Counter::QuicActive, front.endpoints.open() as u64);
    });
}

/// Where an accepted connection goes: its service, and the socket's number there.
type Destination = (Rc<dyn Service>, u32);

/// Registers the sockets with the event loop; those for datagrams go to their service.
fn listen(front: &Rc<Front>, sockets: Vec<(usize, OwnedFd)>, listening: &[Listening], single: bool) -> Vec<(Rc<Acceptor>, Destination)> {
    let mut acceptors = Vec::new();
    for (spec, fd) in sockets {
        let Some(one) = listening.get(spec).filter(|one| !one.is_left(&front.worker)) else { continue };
        let Listening { own_socket, kind, service, index, .. } = one;
        let shared = !single && !own_socket;
        if *kind == Kind::Datagram {
            service.clone().receive(front, fd, *index, shared);
            continue;
        }
        match Acceptor::new(fd, shared) {
            Ok(acceptor) => acceptors.push((Rc::new(acceptor), (service.clone(), *index))),
            Err(error) => base::log!(front.worker.log, Level::Emerg, 0, "epoll_ctl() failed {}", errno::describe(&error)),
        }
    }
    acceptors
}

async fn accept(front: Rc<Front>, acceptor: Rc<Acceptor>, (service, listen): Destination) {
    loop {
        match acceptor.accept().await {
            Ok((fd, peer)) => {
                service.accepted(&front, fd, peer, listen);
                if let Err(error) = front.share.note_taken(&acceptor) {
                    base::log!(front.worker.log, Level::Alert, 0, "epoll_ctl() failed {}", errno::describe(&error));
                }
            }
            Err(error) => {
                let severity = severity(&error);
                base::log!(front.worker.log, severity, 0, "accept4() failed {}", errno::describe(&error));
                // Too few descriptors are no different from too few `worker_connections`: those go who can be spared.
                if severity == Level::Crit {
                    let _ = (0..LAST).all(|_| front.spare_one());
                }
            }
        }
    }
}

/// The connections that this worker was woken for and had no time to accept: no other worker was woken, or there is none.
fn take_last(front: &Rc<Front>, acceptors: Vec<(Rc<Acceptor>, Destination)>) {
    for (acceptor, (service, listen)) in acceptors {
        let most = if acceptor.is_exclusive() { LAST } else { LAST_OF_OWN };
        for (fd, peer) in std::iter::from_fn(|| acceptor.take_waiting()).take(most) {
            service.accepted(front, fd, peer, listen);
        }
    }
}

async fn tend_lot(front: Rc<Front>) {
    loop {
        match front.parking_lot().next().await {
            Ok(Unparked::Woken { fd, payload }) => front.unpark(fd, payload),
            Ok(Unparked::Expired { fd, payload }) => {
                front.close_parked(fd, payload);
                front.share.note_open(front.open());
            }
            Err(error) => {
                base::log!(front.worker.log, Level::Alert, 0, "epoll_wait() failed {}", errno::describe(&error));
                net::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Follows commands until the worker must leave; true: gracefully.
async fn follow_commands(
    front: &Rc<Front>,
    commands: &mut Commands,
    reopen: &dyn Fn(),
    acceptors: Vec<tokio::task::JoinHandle<()>>,
) -> bool {
    let graceful = loop {
        let command = tokio::select! {
            command = commands.next() => command,
            () = panicked(&front.worker) => Ok(Command::Quit),
        };
        match command {
            Ok(Command::Reopen) => reopen(),
            Ok(Command::Begin) => front.worker.begin(),
            Ok(Command::Quit) => break true,
            Ok(Command::Terminate | Command::ShutdownTimeout) | Err(_) => break false,
        }
    };
    for acceptor in acceptors {
        acceptor.abort();
        // Dropping the task closes the listener; its result is the abort.
        let _ = acceptor.await;
    }
    graceful
}

/// After a panic a handler's state may be broken: this worker finishes its work and a fresh one takes over.
async fn panicked(worker: &Worker) {
    poll_fn(|cx| worker.poll_panicked(cx)).await;
    base::log!(worker.log, Level::Alert, 0, "worker is replaced because a handler panicked");
}

/// `worker_shutdown_timeout`: connections end, and their requests have a moment to notice, so that they are logged.
async fn close_all(front: &Front) {
    front.active.evict_all();
    for _ in 0..LAST {
        if front.active.is_empty() {
            return;
        }
        net::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Finishes what is under way. Idle connections that are parked close at once; others may send the request that is
/// already on its way and get `Connection: close` with its response.
async fn finish(front: &Rc<Front>, commands: &mut Commands, reopen: &dyn Fn()) {
    front.worker.begin_exit();
    commands.stopped();
    for (fd, parked) in front.parking_lot().drain_all() {
        front.close_parked(fd, parked);
    }
    front.active.wake_all();
    while !front.active.is_empty() || front.worker.is_busy() {
        tokio::select! {
            () = net::time::sleep(Duration::from_millis(20)) => {}
            command = commands.next() => match command {
                Ok(Command::ShutdownTimeout) => return close_all(front).await,
                Ok(Command::Terminate) | Err(_) => return,
                Ok(Command::Reopen) => reopen(),
                Ok(Command::Quit | Command::Begin) => {}
            }
        }
    }
}
