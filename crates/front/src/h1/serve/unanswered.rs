//! Heads that become no request: refused, cut off by the client, or too slow. The access log shows them all the same.

use super::{Loop, drive};
use crate::active::{Activity, NEVER};
use crate::h1::arrival;
use crate::h1::departure;
use crate::h1::linger::linger;
use base::log::Level;
use http::{Request, log_request};
use std::future::poll_fn;
use std::rc::Rc;
use wire::h1::error::HeadError;

impl Loop {
    pub(super) async fn refuse(mut self, error: HeadError) {
        let request = self.take_request();
        self.front.worker.observers.request_began();
        let buffer = self.conn.input.borrow().unread().to_vec();
        arrival::fill_unparsed(&request, &self.head, &buffer, &self.listener.endpoint);
        request.action.set(self.among_others(error.action()));
        if request.log_enabled(Level::Info) {
            request.log(Level::Info, &error.message(&buffer));
        }
        self.conn.watch.read_by(NEVER);
        self.conn.watch.set_activity(Activity::Answering);
        request.flags.keepalive.set(false);
        let Some(engine) = self.front.worker.engine() else { return };
        if let Some(future) = engine.refuse(&request, error.status()) {
            drive(&self.conn, &request, future).await;
        }
        if request.flags.abort.get() {
            return self.cut(&request);
        }
        if poll_fn(|cx| self.conn.poll_send(cx, 0)).await.is_ok() {
            linger(&self.conn, &request.core(), error.lingers()).await;
        }
        self.conn.say_goodbye();
    }

    pub(super) fn client_closed(mut self, error: Option<&std::io::Error>) {
        if self.conn.input.borrow().unread().is_empty() {
            return departure::log(&self.front, &self.listener, &self.conn.info, self.first, error);
        }
        let request = self.take_request();
        self.front.worker.observers.request_began();
        self.fill_unparsed(&request);
        request.action.set(self.reading());
        log_request!(request, Level::Info, "client prematurely closed connection");
        self.log_unanswered(&request, 400);
    }

    pub(super) fn timed_out(mut self) {
        let idle = self.conn.input.borrow().unread().is_empty();
        let request = self.take_request();
        self.fill_unparsed(&request);
        request.action.set(if idle { "waiting for request" } else { self.reading() });
        log_request!(request, Level::Info, "client timed out (110: Connection timed out)");
        if !idle {
            self.front.worker.observers.request_began();
            self.log_unanswered(&request, 408);
        }
    }

    /// The log shows the request's result.
    fn fill_unparsed(&self, request: &Rc<Request>) {
        arrival::fill_unparsed(request, &self.head, self.conn.input.borrow().unread(), &self.listener.endpoint);
    }

    /// What was under way when a head did not come to its end.
    fn reading(&self) -> &'static str {
        self.among_others(if self.head.has_line() { "reading client request headers" } else { "reading client request line" })
    }

    /// nginx says of a request line if it came behind an earlier request.
    fn among_others(&self, action: &'static str) -> &'static str {
        if self.pipelined && action == "reading client request line" { "reading client pipelined request line" } else { action }
    }

    /// The access log shows requests that got no response.
    fn log_unanswered(&self, request: &Rc<Request>, status: u16) {
        if let Some(engine) = self.front.worker.engine() {
            engine.abandon(request, status);
        }
        if status == 408 {
            self.cut(request);
        }
    }
}
