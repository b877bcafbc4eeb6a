//! `stream` behind its listening sockets: a session for each connection, and for each datagram client.

use crate::datagrams;
use crate::pass;
use crate::protocol::Front;
use crate::service::{Admission, Listening, Service};
use crate::sessions::{StreamService, begin, connection};
use net::accept::Peer;
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use stream::pass::PassedConnection;
use stream::session::Arrival;
use stream::{Connection, Downstream};

impl Service for StreamService {
    fn accepted(&self, front: &Rc<Front>, fd: OwnedFd, peer: Peer, listen: u32) {
        let session = self.session(listen, |listening, endpoint_of| {
            let Admission { stream, peer, local } = front.admit(fd, peer, Some(listening))?;
            let endpoint = endpoint_of(&local)?;
            let connection = connection(front.next_id(), peer, local);
            let downstream = Downstream::Stream(RefCell::new(Some(stream)));
            Some(Arrival { connection, listener: listening.clone(), endpoint, downstream, passes: 0, first: None })
        });
        if let Some(session) = session {
            begin(front, session);
        }
        front.share.note_open(front.open());
    }

    fn started(&self, front: &Rc<Front>, all: &Rc<[Listening]>) {
        let (front, all) = (Rc::downgrade(front), all.clone());
        self.worker().set_passing(move |passed| match front.upgrade() {
            Some(front) => pass::pass(&front, &all, passed),
            None => Err(passed),
        });
    }

    fn passed(&self, front: &Rc<Front>, passed: PassedConnection, listen: u32) {
        let session = self.session(listen, |listening, endpoint_of| {
            let endpoint = endpoint_of(&passed.to)?;
            let connection = Connection {
                id: passed.id,
                peer: passed.client,
                local: passed.to,
                requests: Cell::new(1),
                started_ms: passed.started_ms,
                tls: RefCell::default(),
                proxy_protocol: RefCell::new(passed.proxied),
            };
            Some(Arrival {
                connection: Rc::new(connection),
                listener: listening.clone(),
                endpoint,
                downstream: Downstream::Stream(RefCell::new(Some(passed.stream))),
                passes: passed.times,
                first: Some(passed.early).filter(|early| !early.is_empty()),
            })
        });
        if let Some(session) = session {
            begin(front, session);
        }
    }

    fn receive(self: Rc<Self>, front: &Rc<Front>, fd: OwnedFd, listen: u32, shared: bool) {
        datagrams::receive(&self, front, fd, listen, shared);
    }
}
