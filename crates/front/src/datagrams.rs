//! UDP listeners: each client, identified by address and port, has a session.

use crate::protocol::Front;
use crate::sessions::{self, StreamService};
use base::errno::describe;
use base::log::Level;
use net::shared_datagrams::{Received, Sender, SharedDatagrams};
use session::address::Address;
use std::cell::RefCell;
use std::collections::{HashMap, hash_map};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use stream::datagrams::Reply;
use stream::session::Arrival;
use stream::{Datagrams, Downstream};

/// The longest datagram.
const LONGEST: usize = 65_535;

/// Most datagrams that a worker takes when it leaves.
const MOST_WAITING: usize = 1024;

/// How long receiving rests when it fails.
const REST: Duration = Duration::from_millis(100);

/// The key of a session: the client's address, and the local address that it sends to.
type Key = (Sender, Option<IpAddr>);

/// One listener and its sessions.
struct Clients {
    service: Rc<StreamService>,
    front: Rc<Front>,
    socket: SharedDatagrams,
    listen: u32,
    sessions: RefCell<HashMap<Key, Rc<Datagrams>, foldhash::quality::RandomState>>,
    /// Buffers of datagrams that sessions have taken.
    spare: RefCell<Vec<Vec<u8>>>,
}

/// Most buffers that are kept for the next datagrams, and the largest of them.
const KEPT: usize = 64;
const LARGEST_KEPT: usize = 2048;

/// The way back to one client.
struct ReplyPath {
    clients: Rc<Clients>,
    key: Key,
}

impl Reply for ReplyPath {
    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
        self.clients.socket.poll_send(cx, datagram, &self.key.0, self.key.1)
    }

    fn take_back(&self, mut buffer: Vec<u8>) {
        let mut spare = self.clients.spare.borrow_mut();
        if spare.len() < KEPT && buffer.capacity() <= LARGEST_KEPT {
            buffer.clear();
            spare.push(buffer);
        }
    }

    fn pass_on(&self, datagram: Vec<u8>) {
        arrived(&self.clients, self.key.clone(), datagram);
    }
}

/// Receives datagrams until the worker leaves: then what comes is for the others. `shared` says that they wait on the same socket.
pub(crate) fn receive(service: &Rc<StreamService>, front: &Rc<Front>, fd: OwnedFd, listen: u32, shared: bool) {
    match SharedDatagrams::new(fd, shared) {
        Ok(socket) => {
            let (service, front) = (service.clone(), front.clone());
            let clients = Clients { service, front, socket, listen, sessions: RefCell::default(), spare: RefCell::default() };
            let clients = Rc::new(clients);
            let task = tokio::task::spawn_local(run(clients.clone()));
            clients.front.clone().worker.on_exiting(move || {
                // Its sessions keep the socket. Those that it was woken for are still its own: nobody else was.
                clients.socket.retire();
                take_waiting(&clients);
                task.abort();
            });
        }
        Err(error) => base::log!(front.worker.log, Level::Emerg, 0, "epoll_ctl() failed {}", describe(&error)),
    }
}

fn take_waiting(clients: &Rc<Clients>) {
    let mut buffer = vec![0; LONGEST];
    for _ in 0..MOST_WAITING {
        let Ok(received) = clients.socket.try_receive(&mut buffer) else { return };
        clients.take(&buffer, received);
    }
}

async fn run(clients: Rc<Clients>) {
    let (mut buffer, log) = (vec![0; LONGEST], &clients.front.worker.log);
    loop {
        match clients.socket.receive(&mut buffer).await {
            Ok(received) => clients.take(&buffer, received),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                base::log!(log, Level::Alert, 0, "recvmsg() truncated data");
            }
            Err(error) => {
                base::log!(log, Level::Alert, 0, "recvmsg() failed {}", describe(&error));
                // What is wrong may last, and must neither keep the loop turning nor fill the log.
                net::time::sleep(REST).await;
            }
        }
    }
}

impl Clients {
    fn take(self: &Rc<Self>, buffer: &[u8], received: Received) {
        let mut datagram = self.spare.borrow_mut().pop().unwrap_or_default();
        datagram.extend_from_slice(buffer.get(..received.len).unwrap_or_default());
        arrived(self, (received.sender, received.local), datagram);
    }
}

/// Gives a datagram to its client's session, or begins one.
fn arrived(clients: &Rc<Clients>, key: Key, datagram: Vec<u8>) {
    let front = &clients.front;
    let known = clients.sessions.borrow().get(&key).filter(|known| !known.is_closed()).cloned();
    if let Some(known) = known {
        return known.push(datagram);
    }
    front.worker.observers.connection_came();
    if !front.has_room() {
        return;
    }
    let answers = ReplyPath { clients: clients.clone(), key: key.clone() };
    let datagrams = Rc::new(Datagrams::new(Box::new(answers)));
    let Some(session) = clients.service.session(clients.listen, |listening, endpoint_of| {
        let local = local(listening, key.1);
        Some(Arrival {
            connection: sessions::connection(front.next_id(), client(&key.0), local.clone()),
            listener: listening.clone(),
            endpoint: endpoint_of(&local)?,
            downstream: Downstream::Datagrams(datagrams.clone()),
            passes: 0,
            first: Some(datagram),
        })
    }) else {
        return;
    };
    front.worker.observers.connection_began();
    clients.sessions.borrow_mut().insert(key.clone(), datagrams.clone());
    let ended = clients.clone();
    session.on_end(move |_| {
        // Nothing more is for this session: who writes now begins another.
        datagrams.close();
        if let hash_map::Entry::Occupied(own) = ended.sessions.borrow_mut().entry(key)
            && Rc::ptr_eq(own.get(), &datagrams)
        {
            own.remove();
        }
    });
    sessions::begin(front, session);
}

fn client(sender: &Sender) -> Address {
    match sender {
        Sender::Internet(address) => Address::Ip(*address),
        Sender::Unix(path) => Address::Unix(path.clone()),
    }
}

/// The address that the client sent to.
fn local(listening: &Address, told: Option<IpAddr>) -> Address {
    match (listening, told) {
        (Address::Ip(own), Some(ip)) => Address::Ip(SocketAddr::new(ip, own.port())),
        _ => listening.clone(),
    }
}
