//! The request body that is sent to the upstream.

use crate::dialect::{RequestBody, Sent};
use crate::route::Route;
use crate::sender::Source;
use base::errno;
use base::log::Level;
use http::body::BodyState;
use http::{Outcome, Request, log_request};
use std::cell::RefCell;
use std::rc::Rc;

/// The start of a body that goes on.
pub(crate) struct EarlyBody(pub(crate) RefCell<Vec<u8>>);

/// What is sent as the body, and its framing.
///
/// # Errors
/// What to answer.
pub(crate) fn choose_body(request: &Rc<Request>, route: &Route) -> Result<(Source, Sent), Outcome> {
    match route.dialect.request_body(request)? {
        RequestBody::Own(own) => {
            let length = own.len() as u64;
            return Ok((Source::Own(Rc::new(own)), Sent::Length(length)));
        }
        RequestBody::Nothing => return Ok((Source::Nothing, Sent::Nothing)),
        RequestBody::Client => {}
    }
    let body = request.body.borrow().clone();
    if !route.plan.pass_request_body || body.state() == BodyState::Discarded {
        return Ok((Source::Nothing, Sent::Nothing));
    }
    if body.is_none() {
        // `Content-Length: 0` is repeated, as servers may insist on a length for POST.
        let announced = request.headers.borrow().contains(b"content-length");
        return Ok((Source::Nothing, if announced { Sent::Length(0) } else { Sent::Nothing }));
    }
    if body.state() == BodyState::Unread {
        let early = request.find_lasting::<EarlyBody>().map(|early| early.0.take()).unwrap_or_default();
        return Ok((Source::Client(Rc::new(early)), body.length().map_or(Sent::Stream, Sent::Length)));
    }
    if let Some(file) = body.file() {
        let metadata = file.file.metadata().map_err(|error| {
            log_request!(request, Level::Crit, "reading the request body failed {}", errno::describe(&error));
            Outcome::Status(500)
        })?;
        let length = metadata.len();
        return Ok((Source::File(file, length), Sent::Length(length)));
    }
    let length = body.with_data(|data| data.len() as u64);
    Ok((Source::Memory(body), Sent::Length(length)))
}
