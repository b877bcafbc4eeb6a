//! One HTTP/2 connection: the wire below its streams.

use crate::active::{Entry, NEVER, Watch};
use crate::buffers;
use crate::door::{Front, Listener, Opened};
use crate::input::Input;
use crate::request::KnownRequest;
use base::clock;
use base::log::Level;
use http::Connection;
use http::chain::FilePiece;
use http::core::default;
use net::stream::Stream as Socket;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use wire::h2::Codec;
use wire::h2::error::ErrorCode;

/// The protocol's name.
pub const NAME: &str = "h2";

/// Frames are gathered up to this many bytes before they are written.
pub const GATHER: usize = 128 * 1024;

/// What the connection needs of its streams.
pub trait OpenStream {
    /// Frames one piece of what waits. The codec has said that it is this stream's turn.
    fn send_some(&self);
    /// Content of the request's body has come; `bad`: it is not what was announced.
    fn take_body(&self, data: &[u8], end: bool, bad: bool);
    /// Nobody listens any more: the stream was reset, or the connection is lost.
    fn lose(&self);
    /// Looks after deadlines on behalf of a request that is finished, and of a pace that rests.
    fn check(&self);
    /// The stream is reset once its answer has gone.
    fn reset_later(&self, code: ErrorCode);
}

/// The state that all streams of a connection share.
pub struct H2 {
    /// The worker's front.
    pub front: Rc<Front>,
    /// Where the connection came in.
    pub listener: Listener,
    /// What is known of the client.
    pub info: Rc<Connection>,
    /// The socket.
    pub socket: RefCell<Socket>,
    /// Bytes received.
    pub input: RefCell<Input>,
    /// The protocol.
    pub codec: RefCell<Codec>,
    /// What the last request said, if it came twice and says so each time.
    pub known: RefCell<Option<KnownRequest>>,
    /// Frames to send.
    pub out: RefCell<Vec<u8>>,
    /// How many bytes of them have left.
    sent: Cell<usize>,
    /// The open streams.
    pub streams: RefCell<HashMap<u32, Rc<dyn OpenStream>, foldhash::fast::RandomState>>,
    /// Place among the active connections.
    pub watch: Entry,
    /// The connection's task, and whether it has been woken since it looked.
    task: RefCell<Option<Waker>>,
    woken: Cell<bool>,
    /// Nothing can be sent or received any more.
    pub broken: Cell<bool>,
    /// `TCP_NODELAY` has been set.
    pub no_delay: Cell<bool>,
    /// Streams whose request is finished and whose answer has not left: the connection looks after their deadlines.
    pub unattended: Cell<usize>,
}

impl H2 {
    /// A connection that speaks as `codec` says; `out` begins what it sends.
    pub fn new(front: Rc<Front>, opened: Opened, codec: Codec, out: Vec<u8>) -> H2 {
        H2 {
            front,
            listener: opened.listener,
            info: opened.info,
            socket: RefCell::new(opened.stream),
            input: RefCell::new(opened.input),
            codec: RefCell::new(codec),
            known: RefCell::default(),
            out: RefCell::new(out),
            sent: Cell::new(0),
            streams: RefCell::default(),
            watch: opened.watch,
            task: RefCell::default(),
            woken: Cell::new(false),
            broken: Cell::new(false),
            no_delay: Cell::new(opened.no_delay),
            unattended: Cell::new(0),
        }
    }

    /// Runs `f` on the protocol and the frames to send.
    pub fn with_codec<R>(&self, f: impl FnOnce(&mut Codec, &mut Vec<u8>) -> R) -> R {
        let mut out = self.out.borrow_mut();
        if out.capacity() == 0 {
            *out = buffers::take();
        }
        f(&mut self.codec.borrow_mut(), &mut out)
    }

    /// Frames `length` bytes of a file on stream `id`; how many that were.
    ///
    /// # Errors
    /// Those of reading, and a file that is shorter; nothing is framed then.
    pub fn frame_file(&self, id: u32, file: &FilePiece, length: usize, end: bool) -> io::Result<usize> {
        self.with_codec(|codec, out| {
            let start = out.len();
            if length == 0 || !codec.data_head(id, length, end, out) {
                return Ok(0);
            }
            let head = out.len();
            out.resize(head + length, 0);
            let room = out.get_mut(head..).unwrap_or_default();
            file.file.read_exact_at(room, file.start).map(|()| length).inspect_err(|_| out.truncate(start))
        })
    }

    /// The open stream of that number.
    pub fn stream(&self, id: u32) -> Option<Rc<dyn OpenStream>> {
        self.streams.borrow().get(&id).cloned()
    }

    /// Wakes the connection's task: there is something to send.
    pub fn kick(&self) {
        if self.woken.replace(true) {
            return;
        }
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// `watch` wakes the connection's task from here on.
    pub fn attend(&self, watch: &Watch) {
        if let Some(task) = &*self.task.borrow() {
            watch.wake_on_expiry(task);
        }
    }

    /// Remembers the task that is polling.
    pub fn waits(&self, cx: &Context<'_>) {
        self.woken.set(false);
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.watch.wake_on_expiry(cx.waker());
    }

    /// Bytes of frames that wait for the socket.
    pub fn unsent(&self) -> usize {
        self.out.borrow().len() - self.sent.get()
    }

    /// Frames what the streams have ready, best first, until enough is gathered. True: there may be more.
    pub fn pump(&self) -> bool {
        while self.unsent() < GATHER {
            let Some(id) = self.codec.borrow_mut().next_stream() else { return false };
            if let Some(stream) = self.stream(id) {
                stream.send_some();
            }
        }
        true
    }

    /// Writes what the socket takes. True: everything has left.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn try_send(&self) -> io::Result<bool> {
        if self.broken.get() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut out = self.out.borrow_mut();
        while self.sent.get() < out.len() {
            let rest = out.get(self.sent.get()..).unwrap_or_default();
            match self.socket.borrow().try_write(rest) {
                Ok(n) => {
                    self.sent.set(self.sent.get() + n);
                    self.watch.write_by(NEVER);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.watch.is_writing() {
                        let timeout = self.listener.server.own.core.send_timeout.unwrap_or(default::TIMEOUT);
                        self.watch.write_by(clock::monotonic_ms().saturating_add(timeout));
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    drop(out);
                    self.break_off();
                    return Err(error);
                }
            }
        }
        buffers::give(std::mem::take(&mut out));
        self.sent.set(0);
        Ok(true)
    }

    /// Reads what has arrived. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.borrow_mut().poll_fill(&mut self.socket.borrow_mut(), cx)
    }

    /// The connection is lost: every stream learns of it.
    pub fn break_off(&self) {
        if self.broken.replace(true) {
            return;
        }
        self.out.take();
        self.sent.set(0);
        self.lose_streams();
        self.kick();
    }

    /// Nobody listens to any stream any more.
    pub fn lose_streams(&self) {
        self.each_stream(|stream| stream.lose());
    }

    /// Looks after the deadlines of streams that nobody else looks after.
    pub fn check_streams(&self) {
        if self.unattended.get() > 0 {
            self.each_stream(|stream| stream.check());
        }
    }

    /// A stream may leave meanwhile.
    fn each_stream(&self, f: impl Fn(&dyn OpenStream)) {
        let all: Vec<_> = self.streams.borrow().values().cloned().collect();
        all.iter().for_each(|stream| f(&**stream));
    }

    /// A line of the error log about the connection.
    pub fn log(&self, level: Level, message: &str) {
        self.front.log(&self.listener, &self.info, level, &format!("{message} while processing HTTP/2 connection"));
    }
}
