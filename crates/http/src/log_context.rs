//! The tail of an error log line: `, client: …, server: …, request: "…"` (`ngx_http_log_error`).

use crate::request::{HEALTH_CHECK, Request};

impl Request {
    /// Appends the log context of a request; each part only if it is known.
    pub fn push_log_context(&self, out: &mut Vec<u8>) {
        let action = self.action.get();
        if !action.is_empty() {
            out.extend_from_slice(b" while ");
            out.extend_from_slice(action.as_bytes());
        }
        if !self.purpose.get().is_empty() {
            return self.push_purpose(out);
        }
        out.extend_from_slice(b", client: ");
        self.client.borrow().push_host(out);
        let mut main = self;
        while let Some(parent) = &main.parent {
            main = parent;
        }
        out.extend_from_slice(b", server: ");
        out.extend_from_slice(&self.server().name);
        let line = main.line.borrow();
        quoted(out, "request", &line.text);
        if self.parent.is_some() {
            quoted(out, "subrequest", &self.line.borrow().uri);
        }
        quoted(out, "upstream", &self.upstream_for_log.borrow());
        let headers = main.headers.borrow();
        // What the client says of itself is shown even if it is empty.
        for (name, header) in [("host", b"host".as_slice()), ("referrer", b"referer")] {
            if let Some(value) = headers.get(header) {
                push_quoted(out, name, value);
            }
        }
    }

    /// Of code that runs beside requests the log tells the address that was connected to.
    fn push_purpose(&self, out: &mut Vec<u8>) {
        if self.purpose.get() == HEALTH_CHECK {
            out.extend_from_slice(b", ");
            out.extend_from_slice(&self.upstream_for_log.borrow());
            return;
        }
        out.extend_from_slice(b", context: ");
        out.extend_from_slice(self.purpose.get().as_bytes());
        out.extend_from_slice(b", client: ");
        self.client.borrow().push_host(out);
        if let Some(address) = self.http.listening(&self.connection.local) {
            out.extend_from_slice(b", server: ");
            address.push_whole(out);
        }
    }
}

fn quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !value.is_empty() {
        push_quoted(out, name, value);
    }
}

fn push_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b", ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": \"");
    out.extend_from_slice(value);
    out.push(b'"');
}
