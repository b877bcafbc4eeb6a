//! `stream` behind its listening sockets: a session for each connection, and for each client that sends datagrams.

use crate::datagrams;
use crate::door::Front;
use crate::service::{Admitted, Service};
use crate::sessions::{StreamService, begin, connection};
use net::accept::Peer;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use stream::Downstream;
use stream::session::Arrival;

impl Service for StreamService {
    fn accepted(&self, front: &Rc<Front>, fd: OwnedFd, peer: Peer, listen: u32) {
        let session = self.session(listen, |listening, endpoint_of| {
            let Admitted { stream, peer, local } = front.admit(fd, peer, Some(listening))?;
            let endpoint = endpoint_of(&local)?;
            let connection = connection(front.next_id(), peer, local);
            let downstream = Downstream::Stream(RefCell::new(Some(stream)));
            Some(Arrival { connection, listener: listening.clone(), endpoint, downstream, first: None })
        });
        if let Some(session) = session {
            begin(front, session);
        }
        front.share.note_open(front.open());
    }

    fn receive(self: Rc<Self>, front: &Rc<Front>, fd: OwnedFd, listen: u32) {
        datagrams::receive(&self, front, fd, listen);
    }
}
