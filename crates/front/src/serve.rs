//! A worker's event loop: accepting, parking, commands, and the graceful end.

use crate::active::{Active, Activity};
use crate::h1::buffers;
use crate::h1::connection::H1;
use crate::h1::familiar::Familiar;
use crate::h1::serve as h1_serve;
use crate::share::Share;
use base::clock;
use base::errno;
use base::log::Level;
use daemon::{Command, Commands, Seat};
use http::connection::{Address, Proxied};
use http::root::{Endpoint, Listen};
use http::{BoxFuture, Connection, Worker};
use net::accept::{Acceptor, severity};
use net::park::{Left, Lot};
use net::stream::{Stream, Transport};
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// Most connections that a leaving worker still takes from a listener.
const LAST: usize = 16;

/// What the binary knows and the event loop needs.
pub struct Setup {
    /// `worker_connections`.
    pub connections: usize,
    /// Which listeners have `reuseport`, by index of their specification.
    pub own_socket: Vec<bool>,
    /// Opens the log files again.
    pub reopen: Box<dyn Fn()>,
    /// Starts the modules; runs inside the event loop.
    pub start: Box<dyn FnOnce(&Rc<Worker>)>,
    /// Runs before the process ends (`exit_worker_by_lua`).
    pub end: Box<dyn FnOnce(&Rc<Worker>)>,
}

/// What is kept of a parked connection.
#[derive(Debug)]
pub struct Parked {
    /// Index of its listener.
    pub listen: u32,
    /// What was known of the client.
    pub info: Compact,
    /// `TCP_NODELAY` has been set.
    pub no_delay: bool,
}

/// A [`Connection`] without what the kernel can tell again.
#[derive(Debug)]
pub struct Compact {
    id: u64,
    started_ms: u64,
    requests: u32,
    /// Only if the client's address was corrected (realip, PROXY protocol).
    changed: Option<Box<Corrected>>,
}

#[derive(Debug)]
struct Corrected {
    peer: Address,
    real_peer: Address,
    proxy_protocol: Option<Rc<Proxied>>,
}

/// Reduces what is known of a client to what must be remembered.
pub fn compact(info: &Connection) -> Compact {
    let peer = info.peer.borrow().clone();
    let proxy_protocol = info.proxy_protocol.borrow().clone();
    let changed = (peer != info.real_peer || proxy_protocol.is_some())
        .then(|| Box::new(Corrected { peer, real_peer: info.real_peer.clone(), proxy_protocol }));
    Compact { id: info.id, started_ms: info.started_ms, requests: u32::try_from(info.requests.get()).unwrap_or(u32::MAX), changed }
}

/// The shared state of a worker's front.
pub struct Front {
    /// The worker.
    pub worker: Rc<Worker>,
    /// Connections with a task.
    pub active: Rc<Active>,
    /// Heads that clients repeat.
    pub familiar: Familiar,
    lot: Lot<Parked>,
    share: Share,
    limit: usize,
    next_id: Cell<u64>,
}

impl Front {
    /// Moves an idle connection to the parking lot.
    pub fn park(&self, stream: Stream, parked: Parked, seconds: u32) {
        let Ok(fd) = stream.into_fd() else { return };
        if let Err((error, ..)) = self.lot.park(fd, parked, seconds) {
            base::log!(self.worker.log, Level::Alert, 0, "epoll_ctl() failed {}", errno::describe(&error));
        }
    }

    fn listen(&self, index: u32) -> Option<&Listen> {
        self.worker.http.listens.get(index as usize)
    }

    fn open(&self) -> usize {
        self.active.len() + self.lot.len()
    }

    /// Room for one more connection, made by closing one that can be spared if need be.
    fn has_room(&self) -> bool {
        if self.open() < self.limit || !self.lot.is_empty() && self.lot.evict() {
            return true;
        }
        let found = self.active.evict();
        if !found {
            base::log!(self.worker.log, Level::Alert, 0, "{} worker_connections are not enough", self.limit);
        }
        found
    }

    fn start(self: &Rc<Self>, stream: Stream, info: Connection, listen: u32, no_delay: bool, first: bool) {
        let Some(endpoint) = self.listen(listen).and_then(|l| endpoint_of(l, &info.local)) else { return };
        let conn = H1::new(stream, Rc::new(info), self.active.enter());
        conn.no_delay.set(no_delay);
        conn.watch.set_activity(if first { Activity::Fresh } else { Activity::Idle });
        tokio::task::spawn_local(h1_serve::serve(self.clone(), Rc::new(conn), endpoint, listen, first));
    }

    fn accepted(self: &Rc<Self>, fd: OwnedFd, listen: u32) {
        let counters = &self.worker.counters;
        counters.accepted.set(counters.accepted.get() + 1);
        if !self.has_room() {
            return;
        }
        let (peer, local) = addresses(&fd);
        let Ok(stream) = Stream::from_fd(fd, transport(&local)) else { return };
        counters.handled.set(counters.handled.get() + 1);
        let id = self.next_id.get() + 1;
        self.next_id.set(id);
        let info = Connection {
            id,
            peer: RefCell::new(peer.clone()),
            real_peer: peer,
            local,
            requests: Cell::new(0),
            started_ms: clock::now().epoch_ms(),
            tls: false,
            proxy_protocol: RefCell::default(),
        };
        self.start(stream, info, listen, false, true);
        self.share.note_open(self.open());
    }

    fn woken(self: &Rc<Self>, fd: OwnedFd, parked: Parked) {
        let (peer, local) = addresses(&fd);
        let Ok(stream) = Stream::from_fd(fd, transport(&local)) else { return };
        let Compact { id, started_ms, requests, changed } = parked.info;
        let (peer, real_peer, proxy_protocol) = match changed {
            Some(corrected) => (corrected.peer, corrected.real_peer, corrected.proxy_protocol),
            None => (peer.clone(), peer, None),
        };
        let info = Connection {
            id,
            peer: RefCell::new(peer),
            real_peer,
            local,
            requests: Cell::new(u64::from(requests)),
            started_ms,
            tls: false,
            proxy_protocol: RefCell::new(proxy_protocol),
        };
        self.start(stream, info, parked.listen, parked.no_delay, false);
    }
}

fn addresses(fd: &OwnedFd) -> (Address, Address) {
    let socket = SockRef::from(fd);
    let read = |address: std::io::Result<socket2::SockAddr>| match address.ok().and_then(|a| net::address::Address::from_socket(&a)) {
        Some(net::address::Address::Internet(address)) => Address::Ip(address),
        Some(net::address::Address::Unix(path)) => Address::Unix(Some(path)),
        None => Address::Unix(None),
    };
    (read(socket.peer_addr()), read(socket.local_addr()))
}

fn transport(local: &Address) -> Transport {
    match local {
        Address::Ip(_) => Transport::Tcp,
        Address::Unix(_) => Transport::Unix,
    }
}

fn endpoint_of(listen: &Listen, local: &Address) -> Option<Rc<Endpoint>> {
    let specific = listen.endpoints.iter().find(|(address, _)| address == local);
    specific.or(listen.endpoints.last()).map(|(_, endpoint)| endpoint.clone())
}

/// Drives a future apart from any connection, on this thread.
pub fn spawn(future: BoxFuture<()>) {
    tokio::task::spawn_local(future);
}

/// The whole life of a worker. Returns the exit code.
pub fn run(worker: Rc<Worker>, seat: Seat, setup: Setup) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().on_thread_unpark(clock::stale).build_local(Default::default());
    let log = worker.log.clone();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(live(worker, seat, setup));
            runtime.shutdown_timeout(Duration::ZERO);
            code
        }
        Err(error) => {
            base::log!(log, Level::Emerg, 0, "cannot make an event loop {}", errno::describe(&error));
            2
        }
    }
}

async fn live(worker: Rc<Worker>, seat: Seat, setup: Setup) -> i32 {
    let Setup { connections, own_socket, reopen, start, end } = setup;
    let log = worker.log.clone();
    let (lot, mut commands) = match Lot::new().and_then(|lot| Ok((lot, seat.commands.start(log.clone())?))) {
        Ok(both) => both,
        Err(error) => {
            base::log!(log, Level::Emerg, 0, "epoll_create1() failed {}", errno::describe(&error));
            return 2;
        }
    };
    let active = Rc::new(Active::default());
    let front = Rc::new(Front {
        worker: worker.clone(),
        active: active.clone(),
        familiar: Familiar::default(),
        lot,
        share: Share::new(seat.board, seat.role, connections.max(1)),
        limit: connections.max(1),
        next_id: Cell::new(0),
    });
    let lender = Rc::downgrade(&front);
    let forget = move || {
        buffers::forget();
        if let Some(front) = lender.upgrade() {
            front.worker.spare.forget();
        }
    };
    let reporter = Rc::downgrade(&front);
    let tick = move || {
        if let Some(front) = reporter.upgrade() {
            front.share.note_open(front.open());
        }
    };
    tokio::task::spawn_local(async move { active.sweep(tick, forget).await });
    let counted = Rc::downgrade(&front);
    worker.set_gauges(move |counters| {
        let Some(front) = counted.upgrade() else { return };
        let (reading, writing) = front.active.reading_and_writing();
        counters.active.set((front.active.len() + front.lot.len()) as u64);
        counters.reading.set(reading as u64);
        counters.writing.set(writing as u64);
    });
    tokio::task::spawn_local(tend_lot(front.clone()));
    start(&worker);
    let mut acceptors = Vec::new();
    for (spec, fd) in seat.listeners {
        let shared = !seat.single && !own_socket.get(spec).copied().unwrap_or(false);
        match Acceptor::new(fd, shared) {
            Ok(acceptor) => acceptors.push((Rc::new(acceptor), spec as u32)),
            Err(error) => base::log!(log, Level::Emerg, 0, "epoll_ctl() failed {}", errno::describe(&error)),
        }
    }
    front.share.enter(acceptors.iter().map(|(acceptor, _)| acceptor.clone()).collect());
    let accepting =
        acceptors.iter().cloned().map(|(acceptor, spec)| tokio::task::spawn_local(accept(front.clone(), acceptor, spec))).collect();
    let tended = front.clone();
    tokio::task::spawn_local(async move { tended.share.tend(|| tended.open()).await });
    commands.ready();
    let graceful = obey(&front, &mut commands, &*reopen, accepting).await;
    front.share.leave();
    if graceful {
        take_last(&front, acceptors);
    }
    if graceful {
        finish(&front, &mut commands, &*reopen).await;
    }
    end(&worker);
    0
}

async fn accept(front: Rc<Front>, acceptor: Rc<Acceptor>, listen: u32) {
    loop {
        match acceptor.accept().await {
            Ok((fd, _)) => {
                front.accepted(fd, listen);
                if let Err(error) = front.share.note_taken(&acceptor) {
                    base::log!(front.worker.log, Level::Alert, 0, "epoll_ctl() failed {}", errno::describe(&error));
                }
            }
            Err(error) => {
                base::log!(front.worker.log, severity(&error), 0, "accept4() failed {}", errno::describe(&error));
            }
        }
    }
}

/// The connections that this worker was woken for and had no time to take: nobody else was woken.
fn take_last(front: &Rc<Front>, acceptors: Vec<(Rc<Acceptor>, u32)>) {
    for (acceptor, listen) in acceptors {
        for fd in std::iter::from_fn(|| acceptor.take_waiting()).take(LAST) {
            front.accepted(fd, listen);
        }
    }
}

async fn tend_lot(front: Rc<Front>) {
    loop {
        match front.lot.next().await {
            Ok(Left::Woken { fd, payload }) => front.woken(fd, payload),
            Ok(Left::Expired { fd, .. }) => {
                drop(fd);
                front.share.note_open(front.open());
            }
            Err(error) => {
                base::log!(front.worker.log, Level::Alert, 0, "epoll_wait() failed {}", errno::describe(&error));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Follows commands until the worker must leave; true: gracefully.
async fn obey(front: &Rc<Front>, commands: &mut Commands, reopen: &dyn Fn(), acceptors: Vec<tokio::task::JoinHandle<()>>) -> bool {
    let graceful = loop {
        let command = tokio::select! {
            command = commands.next() => command,
            () = panicked(&front.worker) => Ok(Command::Quit),
        };
        match command {
            Ok(Command::Reopen) => reopen(),
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
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if worker.has_panicked() {
            base::log!(worker.log, Level::Alert, 0, "worker is replaced because a handler panicked");
            return;
        }
    }
}

/// Finishes what is under way. Idle connections that are parked close at once; others may send the request that is
/// already on its way and get `Connection: close` with its answer.
async fn finish(front: &Rc<Front>, commands: &mut Commands, reopen: &dyn Fn()) {
    front.worker.begin_exit();
    drop(front.lot.drain_all());
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !front.active.is_empty() || front.worker.is_held() {
        tokio::select! {
            _ = tick.tick() => {}
            command = commands.next() => match command {
                Ok(Command::Terminate | Command::ShutdownTimeout) | Err(_) => return,
                Ok(Command::Reopen) => reopen(),
                Ok(Command::Quit) => {}
            }
        }
    }
}
