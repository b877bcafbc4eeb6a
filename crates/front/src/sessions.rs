//! `stream` sessions: their creation and their tasks.

use crate::active::{Activity, Entry};
use crate::protocol::Front;
use base::log::Level;
use engine::stream::run;
use session::address::Address;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use stream::session::Arrival;
use stream::{Connection, Endpoint, Session, Worker, status};
use sys::boxed::pinned;

/// The sessions of a worker.
pub struct StreamService {
    pub(crate) worker: Rc<Worker>,
}

impl StreamService {
    /// For this worker.
    pub fn new(worker: Rc<Worker>) -> StreamService {
        StreamService { worker }
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// A session behind listener number `listen`; `arrive` gets the listener's address, and what tells who answers at one of ours.
    pub(crate) fn session(
        &self,
        listen: u32,
        arrive: impl FnOnce(&Address, &dyn Fn(&Address) -> Option<Rc<Endpoint>>) -> Option<Arrival>,
    ) -> Option<Rc<Session>> {
        let configuration = self.worker.configuration();
        let listen = configuration.listens.get(listen as usize)?;
        let arrival = arrive(&listen.address, &|local| listen.endpoint(local).cloned())?;
        Some(Rc::new(Session::new(self.worker.clone(), configuration.clone(), arrival)))
    }
}

/// What is known of a connection that has just come.
pub(crate) fn connection(id: u64, peer: Address, local: Address) -> Rc<Connection> {
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
pub(crate) fn begin(front: &Rc<Front>, session: Rc<Session>) {
    let watch = front.active.enter();
    watch.set_activity(Activity::Session);
    if session.log_enabled(Level::Info) {
        let mut line = if session.is_udp() { b"udp client ".to_vec() } else { b"client ".to_vec() };
        session.connection.peer.push_whole(&mut line);
        line.extend_from_slice(b" connected to ");
        session.listener.push_whole(&mut line);
        session.error_log().write(Level::Info, session.connection.id, &line);
    }
    // Boxed: tasks are moved when they are made and when they end.
    tokio::task::spawn_local(pinned(|| serve(session, watch)));
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
