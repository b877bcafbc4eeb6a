//! State shared by all streams of a connection.

use super::received::BodyPart;
use crate::active::{Entry, Watch};
use crate::protocol::{Front, Listener};
use crate::request::KnownRequest;
use base::log::Level;
use http::Connection;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;
use std::task::{Context, Waker};

/// What the connection needs of its streams.
pub trait OpenStream<C> {
    /// Frames one piece of what waits. The protocol has said that it is this stream's turn.
    fn send_some(&self);
    /// Content of the request's body has come; `wrong`: why it is not what was announced.
    fn take_body(&self, data: BodyPart<'_>, end: bool, wrong: Option<String>);
    /// How much of the body was received and not consumed.
    fn unread(&self) -> usize;
    /// The peer is gone: the stream was reset, or the connection is lost.
    fn reset(&self);
    /// Looks after deadlines on behalf of a request that is finished, and of a pace that rests.
    fn check(&self);
    /// The stream is reset once its response has gone.
    fn reset_later(&self, code: C);
}

/// The state that all streams of a connection share, by numbers `I` and with codes `C`.
pub struct Hub<I, C> {
    /// The worker's front.
    pub front: Rc<Front>,
    /// Where the connection came in.
    pub listener: Listener,
    /// What is known of the client; another one when it has moved.
    info: RefCell<Rc<Connection>>,
    /// What the last request said, if it came twice and says so each time.
    pub known_request: RefCell<Option<KnownRequest>>,
    /// The open streams.
    pub streams: RefCell<HashMap<I, Rc<dyn OpenStream<C>>, foldhash::fast::RandomState>>,
    /// Place among the active connections.
    pub watch: Entry,
    /// The connection's task, and whether it has been woken since it looked.
    task: RefCell<Option<Waker>>,
    notified: Cell<bool>,
    /// The connection's task is at work, and will send what streams have to say.
    sends: Cell<bool>,
    /// Nothing can be sent or received any more.
    pub broken: Cell<bool>,
    /// Streams whose request is finished and whose response has not left: the connection looks after their deadlines.
    pub unattended: Cell<usize>,
    /// The protocol's name in lines of the log.
    name: &'static str,
}

/// What [`Hub::send_later`] gives.
pub struct SendLater<'a>(&'a Cell<bool>);

impl Drop for SendLater<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<I: Copy + Eq + Hash, C> Hub<I, C> {
    /// The state of a connection without streams; `name` is what the log calls the protocol.
    pub fn new(front: Rc<Front>, listener: Listener, info: Rc<Connection>, watch: Entry, name: &'static str) -> Self {
        Hub {
            front,
            listener,
            info: RefCell::new(info),
            known_request: RefCell::default(),
            streams: RefCell::default(),
            watch,
            task: RefCell::default(),
            notified: Cell::new(false),
            sends: Cell::new(false),
            broken: Cell::new(false),
            unattended: Cell::new(0),
            name,
        }
    }

    /// What is known of the client.
    pub fn info(&self) -> Rc<Connection> {
        self.info.borrow().clone()
    }

    /// Requests that come from here on are this client's.
    pub(crate) fn set_info(&self, info: Rc<Connection>) {
        self.info.replace(info);
    }

    /// The open stream of that number.
    pub fn stream(&self, id: I) -> Option<Rc<dyn OpenStream<C>>> {
        self.streams.borrow().get(&id).cloned()
    }

    /// Wakes the connection's task: there is something to send.
    pub fn kick(&self) {
        if self.notified.replace(true) {
            return;
        }
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// A stream has something to send: wakes the connection's task unless that is about to send by itself.
    pub fn offer(&self) {
        if !self.sends.get() {
            self.kick();
        }
    }

    /// The connection's task runs requests and then sends what they say, so that they need not wake it. It has sent when the guard goes.
    pub fn send_later(&self) -> SendLater<'_> {
        self.sends.set(true);
        SendLater(&self.sends)
    }

    /// `watch` wakes the connection's task from here on.
    pub fn set_watch(&self, watch: &Watch) {
        if let Some(task) = &*self.task.borrow() {
            watch.wake_on_expiry(task);
        }
    }

    /// Remembers the task that is polling.
    pub fn waits(&self, cx: &Context<'_>) {
        self.notified.set(false);
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.watch.wake_on_expiry(cx.waker());
    }

    /// The connection is lost: every stream learns of it. False: it was lost before.
    pub(crate) fn break_off(&self) -> bool {
        if self.broken.replace(true) {
            return false;
        }
        self.lose_streams();
        self.kick();
        true
    }

    /// Gives memory back that a connection without streams need not hold.
    pub fn shrink(&self) {
        self.known_request.take();
        self.streams.borrow_mut().shrink_to_fit();
    }

    /// The peers of all streams are gone.
    pub(crate) fn lose_streams(&self) {
        self.each_stream(|stream| stream.reset());
    }

    /// Checks the deadlines of streams that are not checked elsewhere.
    pub(crate) fn check_streams(&self) {
        if self.unattended.get() > 0 {
            self.each_stream(|stream| stream.check());
        }
    }

    /// A stream may leave meanwhile.
    fn each_stream(&self, f: impl Fn(&dyn OpenStream<C>)) {
        let all: Vec<_> = self.streams.borrow().values().cloned().collect();
        all.iter().for_each(|stream| f(&**stream));
    }

    /// A line of the error log about the connection.
    pub fn log(&self, level: Level, message: &str) {
        self.front.log(&self.listener, &self.info.borrow(), level, &format!("{message} while processing {} connection", self.name));
    }
}
