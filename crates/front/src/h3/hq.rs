//! HTTP/0.9 on a stream: a line that ends with a line feed or with the stream; the response is the content alone.

use super::connection::H3;
use crate::request::{Refusal, enter_host, enter_target};
use crate::streams::run::PendingRequest;
use base::log::Level;
use http::body::Body;
use http::line::Version;
use http::method::Method;
use http::{Request, log_request};
use std::rc::Rc;
use wire::h3::error::Code;
use wire::uri::shape;

/// A line above this is none.
const LONGEST: usize = 8 * 1024;

/// Processes received stream data: how much of it is consumed, and whether reading is finished.
pub(super) fn receive(conn: &Rc<H3>, id: u64, input: &[u8], ended: bool) -> (usize, bool) {
    if conn.hub.stream(id).is_some() {
        return (input.len(), false);
    }
    let end = memchr(input).or_else(|| ended.then_some(input.len()));
    match end.and_then(|end| input.get(..end)) {
        None if input.len() > LONGEST => conn.close_stream(id, Some(Code::EXCESSIVE_LOAD)),
        None => return (0, false),
        Some([]) => conn.close_stream(id, Some(Code::REQUEST_INCOMPLETE)),
        Some(line) => {
            conn.begin(id);
            let begun = PendingRequest::new(conn, id, true, line.len() + 1);
            let refused = fill(conn, &begun.request, line.trim_ascii_end()).err();
            match refused {
                Some(refusal) => begun.refuse(refusal.status).run(),
                None => begun.run(),
            }
        }
    }
    (input.len(), true)
}

fn memchr(input: &[u8]) -> Option<usize> {
    input.iter().position(|byte| *byte == b'\n')
}

fn fill(conn: &H3, request: &Rc<Request>, text: &[u8]) -> Result<(), Refusal> {
    let mut line = request.line.borrow_mut();
    line.version = Version::Http09;
    line.text.extend_from_slice(text);
    line.method = Method::GET;
    line.method_name.extend_from_slice(b"GET");
    let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let method = words.next();
    let target = words.next().unwrap_or_default();
    line.raw_uri.extend_from_slice(target);
    drop(line);
    enter_host(request, &conn.hub.listener.endpoint, b"", false);
    request.set_server(conn.hub.listener.server.clone());
    request.body.replace(Rc::new(Body::none()));
    request.flags.keepalive.set(true);
    let shape = shape::scan(target).ok().filter(|_| method == Some(b"GET"));
    let Some(shape) = shape else {
        log_request!(request, Level::Info, "client sent invalid request line: \"{}\"", String::from_utf8_lossy(text));
        return Err(Refusal { status: 400 });
    };
    enter_target(request, target, &shape)
}
