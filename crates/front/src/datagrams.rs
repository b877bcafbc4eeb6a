//! Listeners for datagrams: each client, known by its address and port, has a session.

use crate::door::Front;
use crate::sessions::{self, StreamService};
use base::errno::describe;
use base::log::Level;
use net::shared_datagrams::{Received, Sender, SharedDatagrams};
use session::address::Address;
use std::cell::RefCell;
use std::collections::HashMap;
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

/// How long receiving rests when it fails.
const REST: Duration = Duration::from_millis(100);

/// Who is served: a client, and the address of ours that it sends to.
type Key = (Sender, Option<IpAddr>);

/// The sessions of one listener.
#[derive(Default)]
struct Clients {
    sessions: RefCell<HashMap<Key, Rc<Datagrams>>>,
}

/// The way back to one client.
struct Answers {
    socket: Rc<SharedDatagrams>,
    key: Key,
}

impl Reply for Answers {
    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, datagram, &self.key.0, self.key.1)
    }
}

/// Receives datagrams until the worker leaves: then what comes is for the others.
pub(crate) fn receive(service: &Rc<StreamService>, front: &Rc<Front>, fd: OwnedFd, listen: u32) {
    match SharedDatagrams::new(fd) {
        Ok(socket) => {
            let task = tokio::task::spawn_local(run(service.clone(), front.clone(), Rc::new(socket), listen));
            front.worker.on_exiting(move || task.abort());
        }
        Err(error) => base::log!(front.worker.log, Level::Emerg, 0, "epoll_ctl() failed {}", describe(&error)),
    }
}

async fn run(service: Rc<StreamService>, front: Rc<Front>, socket: Rc<SharedDatagrams>, listen: u32) {
    let (clients, mut buffer) = (Rc::new(Clients::default()), vec![0; LONGEST]);
    loop {
        match socket.receive(&mut buffer).await {
            Ok(Received { len, sender, local }) => {
                let datagram = buffer.get(..len).unwrap_or_default().to_vec();
                arrived(&service, &front, &socket, &clients, listen, (sender, local), datagram);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                base::log!(front.worker.log, Level::Alert, 0, "recvmsg() truncated data");
            }
            Err(error) => {
                base::log!(front.worker.log, Level::Alert, 0, "recvmsg() failed {}", describe(&error));
                // What is wrong may last, and must neither keep the loop turning nor fill the log.
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Gives a datagram to its client's session, or begins one.
fn arrived(
    service: &Rc<StreamService>,
    front: &Rc<Front>,
    socket: &Rc<SharedDatagrams>,
    clients: &Rc<Clients>,
    listen: u32,
    key: Key,
    datagram: Vec<u8>,
) {
    let known = clients.sessions.borrow().get(&key).filter(|known| !known.is_closed()).cloned();
    if let Some(known) = known {
        return known.push(datagram);
    }
    front.worker.observers.connection_came();
    if !front.has_room() {
        return;
    }
    let datagrams = Rc::new(Datagrams::new(Box::new(Answers { socket: socket.clone(), key: key.clone() })));
    let Some(session) = service.session(listen, |listening, endpoint_of| {
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
    datagrams.set_pass_on({
        let (service, front, socket, clients, key) = (service.clone(), front.clone(), socket.clone(), clients.clone(), key.clone());
        Box::new(move |datagram| arrived(&service, &front, &socket, &clients, listen, key.clone(), datagram))
    });
    let clients = clients.clone();
    session.on_end(move |_| {
        // Nothing more is for this session: who writes now begins another.
        datagrams.close();
        let mut sessions = clients.sessions.borrow_mut();
        if sessions.get(&key).is_some_and(|own| Rc::ptr_eq(own, &datagrams)) {
            sessions.remove(&key);
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
