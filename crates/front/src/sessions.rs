//! `stream` behind its listening sockets: a session for each connection.

use crate::active::{Activity, Entry};
use crate::door::Front;
use crate::passing;
use crate::service::{Admitted, Listening, Service};
use base::log::Level;
use engine::stream::run;
use net::accept::Peer;
use session::address::Address;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use stream::passing::Passed;
use stream::session::Arrival;
use stream::{Connection, Downstream, Session, Worker, status};

/// The sessions of a worker.
pub struct StreamService {
    worker: Rc<Worker>,
}

impl StreamService {
    /// For this worker.
    pub fn new(worker: Rc<Worker>) -> StreamService {
        StreamService { worker }
    }
}

impl Service for StreamService {
    fn accepted(&self, front: &Rc<Front>, fd: OwnedFd, peer: Peer, listen: u32) {
        let configuration = self.worker.configuration();
        let Some(listen) = configuration.listens.get(listen as usize) else { return };
        let Some(Admitted { stream, peer, local }) = front.admit(fd, peer, Some(&listen.address)) else { return };
        let Some(endpoint) = listen.endpoint(&local).cloned() else { return };
        let arrival = Arrival {
            connection: connection(front.next_id(), peer, local),
            listener: listen.address.clone(),
            endpoint,
            downstream: Downstream::Stream(RefCell::new(Some(stream))),
            passes: 0,
            early: Vec::new(),
        };
        let session = Rc::new(Session::new(self.worker.clone(), configuration.clone(), arrival));
        begin(front, session);
        front.share.note_open(front.open());
    }

    fn started(&self, front: &Rc<Front>, all: &Rc<[Listening]>) {
        let (front, all) = (Rc::downgrade(front), all.clone());
        self.worker.set_passing(move |passed| match front.upgrade() {
            Some(front) => passing::pass(&front, &all, passed),
            None => Err(passed),
        });
    }

    fn passed(&self, front: &Rc<Front>, passed: Passed, listen: u32) {
        let configuration = self.worker.configuration();
        let Some(listen) = configuration.listens.get(listen as usize) else { return };
        let Some(endpoint) = listen.endpoint(&passed.to).cloned() else { return };
        let connection = Connection {
            id: passed.id,
            peer: passed.client,
            local: passed.to,
            requests: Cell::new(1),
            started_ms: passed.started_ms,
            tls: RefCell::default(),
            proxy_protocol: RefCell::new(passed.proxied),
        };
        let arrival = Arrival {
            connection: Rc::new(connection),
            listener: listen.address.clone(),
            endpoint,
            downstream: Downstream::Stream(RefCell::new(Some(passed.stream))),
            passes: passed.times,
            early: passed.early,
        };
        begin(front, Rc::new(Session::new(self.worker.clone(), configuration.clone(), arrival)));
    }
}

fn connection(id: u64, peer: Address, local: Address) -> Rc<Connection> {
    Rc::new(Connection {
        id,
        peer,
        local,
        requests: Cell::new(1),
        started_ms: base::clock::now().epoch_ms(),
        tls: RefCell::default(),
        proxy_protocol: RefCell::default(),
    })
}

/// Serves a session in a task of its own.
fn begin(front: &Rc<Front>, session: Rc<Session>) {
    let watch = front.active.enter();
    watch.set_activity(Activity::Session);
    if session.log_enabled(Level::Info) {
        let mut line = if session.is_udp() { b"udp client ".to_vec() } else { b"client ".to_vec() };
        session.connection.peer.push_whole(&mut line);
        line.extend_from_slice(b" connected to ");
        session.listener.push_whole(&mut line);
        session.error_log().write(Level::Info, session.connection.id, &line);
    }
    tokio::task::spawn_local(serve(session, watch));
}

/// Runs a session. The worker does not wait for it longer than `worker_shutdown_timeout`.
async fn serve(session: Rc<Session>, watch: Entry) {
    let status = {
        let mut run = pin!(run::run(session.clone()));
        poll_fn(|cx| {
            if let Poll::Ready(status) = run.as_mut().poll(cx) {
                return Poll::Ready(status);
            }
            watch.wake_on_expiry(cx.waker());
            if !watch.evicted() {
                return Poll::Pending;
            }
            session.log(Level::Info, b"shutdown timeout");
            Poll::Ready(status::OK)
        })
        .await
    };
    run::finish(&session, status).await;
}
