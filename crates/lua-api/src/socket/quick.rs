//! What a send and a receive do when they need not wait, for compiled code: no Lua stack, no call of C.
//!
//! Each answers that it cannot rather than to judge: whatever is out of the ordinary (a socket that is busy, closed or
//! another request's, too few bytes, errors, debug lines) is the affair of the rows of the same name.

use crate::host::Host;
use crate::socket::hub::Hub;
use crate::socket::scan::Want;
use crate::socket::state::{Socket, Work};
use base::log::Level;
use lua::{Cx, Row, YIELDABLE};
use std::rc::Rc;

const MASK: u32 = YIELDABLE.bits();

/// The result is not to be had this way.
const NO: f64 = -1.0;

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![
        Row::fast::<MASK, _, _>("quick_line", line),
        Row::fast::<MASK, _, _>("quick_bytes", bytes),
        Row::fast::<MASK, _, _>("quick_send", send),
    ]
}

/// The socket of this number, if it is the running handler's, free for `work`, and nobody wants to read of it.
fn socket(cx: &Cx, id: f64, work: Work) -> Option<Rc<Socket>> {
    cx.with_host::<Host, _>(|host| {
        let host = host.filter(|host| !host.log_enabled(Level::Debug))?;
        let socket = host.worker.as_ref()?.state::<Hub>().find(id as u64)?;
        (socket.belongs_to(&host.state) && socket.busy(&[Work::Connecting, work]).is_none()).then_some(socket)
    })
}

fn take(cx: &Cx, id: f64, want: &Want) -> i32 {
    let Some(socket) = socket(cx, id, Work::Reading) else { return 0 };
    let mut inner = socket.inner.borrow_mut();
    if inner.stream.is_none() || inner.read_closed {
        return 0;
    }
    let Some(found) = want.find(inner.unread(), &mut 0, false) else { return 0 };
    cx.put(&found.data);
    let used = found.used;
    inner.consume(used);
    1
}

/// A line that has arrived goes to the output buffer; 1 if there was one.
fn line(cx: &Cx, id: f64) -> i32 {
    take(cx, id, &Want::Line)
}

/// So many bytes that have arrived go to the output buffer; 1 if there were so many.
fn bytes(cx: &Cx, id: f64, count: f64) -> i32 {
    if count >= 1.0 { take(cx, id, &Want::Bytes(count as usize)) } else { 0 }
}

/// Sends what the kernel takes at once and answers how much that is; negative: nothing was tried.
fn send(cx: &Cx, id: f64, data: &[u8]) -> f64 {
    let Some(socket) = socket(cx, id, Work::Writing) else { return NO };
    let inner = socket.inner.borrow();
    let Some(stream) = inner.stream.as_ref().filter(|_| inner.prompt && !inner.write_closed && !data.is_empty()) else { return NO };
    match stream.try_write(data) {
        Ok(count) => count as f64,
        // The row waits, or meets the error again and reports it.
        Err(_) => 0.0,
    }
}
