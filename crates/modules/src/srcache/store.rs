//! Copies the response and stores it through a location once it is complete.

use crate::collector::Collector;
use crate::filtering::want_memory;
use crate::marks;
use crate::srcache::conf::Conf;
use crate::srcache::fetch::{RANGE_MARK, bytes_of, subrequest};
use crate::srcache::state::State;
use base::clock;
use base::log::Level;
use http::body::Body;
use http::location::Filtered;
use http::request::SubrequestBody;
use http::response::Response;
use http::{Chain, Method, Outcome, Request, Step, log_request};
use std::rc::Rc;

/// Seconds that answers live which do not say it.
const EXPIRE: u64 = 60;
/// About what a head takes.
const HEAD: u64 = 15;

/// Decides whether the answer is stored, and writes its head down.
pub(crate) fn header_filter(request: &Rc<Request>, own: &Conf) -> Step {
    let go_on = Step::Now(Outcome::Ok);
    let Some(state) = request.find_context::<State>().filter(|state| !state.from_cache.get() && !state.unwanted.get()) else {
        return go_on;
    };
    if request.method() == Method::HEAD || !own.caches_method(request.method()) {
        if request.log_enabled(Level::Debug) {
            let method = String::from_utf8_lossy(&request.line.borrow().method_name).into_owned();
            log_request!(request, Level::Debug, "srcache_store skipped due to request method {method}");
        }
        return go_on;
    }
    let expire = {
        let response = request.response.borrow();
        match may_store(request, own, &response) {
            Some(expire) => expire,
            None => return go_on,
        }
    };
    if own.skips_store(request) {
        return go_on;
    }
    let longest = own.max_expire.filter(|limit| *limit > 0).and_then(|limit| i64::try_from(limit).ok());
    state.expire.set(longest.map_or(expire, |limit| expire.min(limit)));
    write_head(&request.response.borrow(), own, &mut state.text.borrow_mut());
    state.head.set(state.text.borrow().len());
    state.storing.set(true);
    request.demand_body_filter(marks::SRCACHE);
    want_memory(request);
    go_on
}

/// How long an answer lives, if it may be stored.
fn may_store(request: &Request, own: &Conf, response: &Response) -> Option<i64> {
    if let Some(encoding) = response.headers.get(b"Content-Encoding").filter(|value| !value.is_empty() && own.ignore_encoding != Some(true))
    {
        let encoding = String::from_utf8_lossy(encoding);
        log_request!(
            request,
            Level::Warn,
            "srcache_store skipped due to response header \"Content-Encoding: {encoding}\" \
             (maybe you forgot to disable compression on the backend?)"
        );
        return None;
    }
    let default = i64::try_from(own.default_expire.unwrap_or(EXPIRE)).unwrap_or(i64::MAX);
    let expire = if own.response_control == Some(false) { default } else { lifetime(own, response)?.unwrap_or(default) };
    let too_large = response.content_length.is_some_and(|length| exceeds(own, length.saturating_add(HEAD)));
    let partial = response.status == 206 && response.allow_ranges;
    (!too_large && (own.stores_status(response.status) || partial)).then_some(expire)
}

fn exceeds(own: &Conf, size: u64) -> bool {
    own.max_size.is_some_and(|limit| limit > 0 && size > limit)
}

/// Seconds that an answer lives by what it says itself, if it says that. `None`: it must not be stored.
fn lifetime(own: &Conf, response: &Response) -> Option<Option<i64>> {
    let mut found = None;
    for value in response.headers.get_all(b"Cache-Control") {
        let value = value.to_ascii_lowercase();
        let has = |word: &[u8]| memchr::memmem::find(&value, word).is_some();
        let refused = |allowed: Option<bool>, word| allowed != Some(true) && has(word);
        if refused(own.store_private, b"private") || refused(own.store_no_store, b"no-store") || refused(own.store_no_cache, b"no-cache") {
            return None;
        }
        if let Some(at) = memchr::memmem::find(&value, b"max-age=").filter(|_| found.is_none()) {
            let rest = value.get(at + 8..).unwrap_or_default();
            let end = rest.iter().position(|byte| matches!(byte, b',' | b';' | b' ')).unwrap_or(rest.len());
            let seconds = base::text::parse_number(rest.get(..end)?).and_then(|seconds| i64::try_from(seconds).ok());
            found = Some(seconds.filter(|seconds| *seconds > 0)?);
        }
    }
    match (found, response.headers.get(b"Expires")) {
        (None, Some(value)) => {
            let left = wire::date::parse(value)?.saturating_sub(clock::now().sec);
            (left > 0).then_some(Some(left))
        }
        (found, _) => Some(found),
    }
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes status line and fields as a server would send them. A range of an answer is stored as the whole that it was cut from.
fn write_head(response: &Response, own: &Conf, out: &mut Vec<u8>) {
    let whole = response.status == 206 && response.allow_ranges;
    let status = if whole { 200 } else { response.status };
    out.extend_from_slice(b"HTTP/1.1 ");
    if response.status_line.is_empty() || whole {
        let reason = wire::status::reason(status).map(|reason| format!(" {reason}")).unwrap_or_default();
        out.extend_from_slice(format!("{status}{reason}").as_bytes());
    } else {
        out.extend_from_slice(&response.status_line);
    }
    out.extend_from_slice(b"\r\n");
    if !response.content_type.is_empty() && own.keeps_field(b"Content-Type") {
        let mut value = Vec::new();
        response.push_content_type(&mut value);
        push_field(out, b"Content-Type", &value);
    }
    let dated = response.headers.contains(b"Last-Modified") || !own.keeps_field(b"Last-Modified");
    if let Some(time) = response.last_modified.filter(|_| !dated) {
        push_field(out, b"Last-Modified", &wire::date::http(time));
    }
    if response.allow_ranges {
        push_field(out, RANGE_MARK.as_bytes(), b"1");
    }
    for (name, value) in response.headers.iter().filter(|(name, _)| own.keeps_field(name)) {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Copies the body; when it is whole, stores it.
pub(crate) fn body_filter(request: &Rc<Request>, chain: Chain, own: &Rc<Conf>) -> Filtered {
    let Some(state) = request.find_context::<State>().filter(|state| state.storing.get()) else { return Filtered::Now(Ok(chain)) };
    if request.response.borrow().status == 206 && own.store_ranges != Some(true) {
        state.give_up();
        return Filtered::Now(Ok(chain));
    }
    let copied = bytes_of(request, &chain.pieces, &mut state.text.borrow_mut());
    let size = state.text.borrow().len() as u64;
    if !copied || exceeds(own, size) {
        state.give_up();
        return Filtered::Now(Ok(chain));
    }
    if !chain.last {
        return Filtered::Now(Ok(chain));
    }
    if is_truncated(request, &state) || own.skips_store(request) {
        state.give_up();
        return Filtered::Now(Ok(chain));
    }
    let (request, own) = (request.clone(), own.clone());
    Filtered::Parts(Box::new(move |below| {
        Box::pin(async move {
            // The client has all of it before the store is asked; the answer's end waits, as what follows on the connection does.
            let Chain { pieces, flush, last } = chain;
            below.send(Chain { pieces, flush: true, last: false }).await?;
            store(&request, &own, &state).await;
            Ok(Chain { pieces: Vec::new(), flush, last })
        })
    }))
}

fn is_truncated(request: &Request, state: &State) -> bool {
    let body = state.text.borrow().len().saturating_sub(state.head.get()) as u64;
    let announced = request.response.borrow().content_length.filter(|_| request.response.borrow().status != 206);
    let truncated = announced.filter(|announced| *announced > body);
    if let Some(announced) = truncated {
        log_request!(request, Level::Error, "srcache_store: skipped because response body truncated: {announced} > {body}");
    }
    truncated.is_some()
}

/// Runs the subrequest with the answer as its body; that it failed is for the log.
async fn store(request: &Rc<Request>, own: &Conf, state: &State) {
    let Some(target) = &own.store else { return };
    let body = Body::from_bytes(state.text.take());
    let length = body.size().to_string();
    let wire = Collector::discarding();
    let child = subrequest(request, target, wire.clone(), SubrequestBody::Own(body));
    let Some((child, engine)) = child.zip(request.worker.engine()) else { return };
    child.headers.borrow_mut().set(b"Content-Length", length.as_bytes());
    if let Some(running) = engine.run(&child) {
        running.await;
    }
    let status = wire.status();
    log_request!(request, Level::Debug, "srcache_store: subrequest returned status {status}");
    if status == 0 || status >= 300 {
        // What ends the subrequest is told apart from what its answer says.
        let (rc, status) = match status {
            0 => (-1, 0),
            status if child.flags.special_response.get() => (i32::from(status), 0),
            status => (0, status),
        };
        log_request!(request, Level::Error, "srcache_store subrequest failed: rc={rc} status={status}");
    }
}
