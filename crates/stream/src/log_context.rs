//! The tail of an error log line: `, client: …, server: …, upstream: …` (`ngx_stream_log_error`).

use crate::downstream::Downstream;
use crate::session::{HEALTH_CHECK, Session};

impl Session {
    /// Appends the log context of a session.
    pub fn push_log_context(&self, out: &mut Vec<u8>) {
        let action = self.action.get();
        let code = self.code.get();
        if code == HEALTH_CHECK {
            out.extend_from_slice(b" while ");
            out.extend_from_slice(action.as_bytes());
            out.extend_from_slice(b", ");
            return self.push_log_tail(out);
        }
        if !code.is_empty() {
            out.extend_from_slice(b", context: ");
            out.extend_from_slice(code.as_bytes());
        } else if !action.is_empty() {
            out.extend_from_slice(b" while ");
            out.extend_from_slice(action.as_bytes());
        }
        out.extend_from_slice(b", ");
        if matches!(self.downstream, Downstream::Datagrams(_)) {
            out.extend_from_slice(b"udp ");
        }
        out.extend_from_slice(b"client: ");
        self.client.borrow().push_host(out);
        out.extend_from_slice(b", server: ");
        self.listener.push_whole(out);
        self.push_log_tail(out);
    }

    fn push_log_tail(&self, out: &mut Vec<u8>) {
        // What goes on may itself write to the log.
        let tail = self.log_tail.borrow().clone();
        if let Some(tail) = tail {
            tail(self, out);
        }
    }
}
