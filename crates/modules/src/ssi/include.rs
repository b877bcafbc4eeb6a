//! `include`: other responses in a page.

use super::CommandError;
use super::Conf;
use super::command::Params;
use super::order::{Fallback, Include, Progress};
use super::text::evaluate;
use super::values::{set_value, shared};
use crate::collector::Included;
use crate::filtering::each_run;
use base::log::Level;
use bytes::Bytes;
use http::{Outcome, Piece, Request, Worker, log_request};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Longest answer that becomes a variable (`subrequest_output_buffer_size`).
const MAX_VALUE: u64 = 4096;

/// What an `include` becomes. It begins when as much of the page as there is has been carried out.
pub(super) enum IncludeKind {
    /// An answer that stands in the page.
    Shown(Include),
    /// The same, and the page waits until it has gone out.
    Waited(Include),
    /// A variable.
    Value(Value),
}

/// Makes what an `include` asks for.
pub(super) fn include(request: &Rc<Request>, params: &Params<'_>) -> Result<IncludeKind, CommandError> {
    let set = params.get("set");
    if set.is_some() && params.get("stub").is_some() {
        return Err(CommandError("\"set\" and \"stub\" cannot be used together in \"include\" SSI command".to_owned()));
    }
    let waits = match params.get("wait") {
        Some(wait) if !wait.eq_ignore_ascii_case(b"no") && !wait.eq_ignore_ascii_case(b"yes") => {
            return Err(CommandError(format!("invalid value \"{}\" in the \"wait\" parameter", String::from_utf8_lossy(wait))));
        }
        Some(wait) => wait.eq_ignore_ascii_case(b"yes"),
        None => params.get("file").is_some(),
    };
    let (path, args) = target(request, params)?;
    let block = params.get("stub").map(|name| find_block(request, name)).transpose()?;
    let failed = || CommandError("subrequest failed".to_owned());
    let included = Included::create(request, (&path, &args)).ok_or_else(failed)?;
    let child = included.created().cloned().ok_or_else(failed);
    if let Some(name) = set {
        return Ok(IncludeKind::Value(Value { name: name.to_vec(), included, request: child?, received: Vec::new() }));
    }
    let content_type = || request.response.borrow().content_type.to_vec();
    let stub = block.map(|text| child.map(|include| Fallback { include, content_type: content_type(), text })).transpose()?;
    let include = Include { included, stub };
    Ok(if waits { IncludeKind::Waited(include) } else { IncludeKind::Shown(include) })
}

/// Path and arguments of an include; a relative one starts from the page's directory.
fn target(request: &Request, params: &Params<'_>) -> Result<(Vec<u8>, Vec<u8>), CommandError> {
    let given = match (params.get("virtual"), params.get("file")) {
        (Some(path), Some(file)) => {
            let (path, file) = (String::from_utf8_lossy(path), String::from_utf8_lossy(file));
            return Err(CommandError(format!("inclusion may be either virtual=\"{path}\" or file=\"{file}\"")));
        }
        (None, None) => return Err(CommandError("no parameter in \"include\" SSI command".to_owned())),
        (Some(uri), None) | (None, Some(uri)) => uri,
    };
    if params.get("file").is_some() && params.get("wait").is_some() {
        return Err(CommandError(format!("\"wait\" cannot be used with file=\"{}\"", String::from_utf8_lossy(given))));
    }
    let mut uri = evaluate(request, given)?;
    if uri.first() != Some(&b'/') {
        let line = request.line.borrow();
        let end = memchr::memrchr(b'/', &line.uri).map_or(0, |at| at + 1);
        uri.to_mut().splice(0..0, line.uri.get(..end).unwrap_or_default().iter().copied());
    }
    let mut buffer = Vec::new();
    let target = wire::uri::internal::check(&uri, &mut buffer)
        .map_err(|_| CommandError(format!("unsafe URI \"{}\" was detected", String::from_utf8_lossy(&uri))))?;
    // A path may hold a `?` of its own once it is decoded.
    let args = target.args.map(|args| args.of(&uri).to_vec()).unwrap_or_default();
    Ok((target.path(&uri, &buffer).to_vec(), args))
}

fn find_block(request: &Request, name: &[u8]) -> Result<Bytes, CommandError> {
    let shared = shared(request);
    let blocks = shared.blocks.borrow();
    let found = blocks.iter().find(|(n, _)| n == name).map(|(_, content)| Bytes::copy_from_slice(content));
    found.ok_or_else(|| CommandError(format!("\"stub\"=\"{}\" for \"include\" not found", String::from_utf8_lossy(name))))
}

/// `include set`: an answer that becomes a variable.
pub(super) struct Value {
    name: Vec<u8>,
    included: Included,
    request: Rc<Request>,
    received: Vec<u8>,
}

impl Value {
    pub(super) fn begin(&mut self, worker: &Worker) {
        self.included.run_apart(worker);
    }

    /// Whether it wants to know when the client has gone.
    pub(super) fn is_watched(&self) -> bool {
        self.included.is_watched()
    }

    /// Takes the answer; sets the variable when it is whole.
    pub(super) fn poll(&mut self, page: &Request, cx: &mut Context<'_>) -> Result<Progress, Outcome> {
        let room = self.request.conf::<Conf>().longest_answer.unwrap_or(MAX_VALUE);
        loop {
            match self.included.poll_next(cx) {
                Poll::Pending => return Ok(Progress::Waiting),
                Poll::Ready(Some(pieces)) => self.take(&pieces, room)?,
                Poll::Ready(None) => break,
            }
        }
        let status = self.included.status();
        let value = if status < 300 { std::mem::take(&mut self.received) } else { Vec::new() };
        set_value(page, &self.name, value);
        Ok(Progress::Done)
    }

    fn take(&mut self, pieces: &[Piece], room: u64) -> Result<(), Outcome> {
        let request = &self.request;
        if pieces.iter().map(Piece::len).sum::<u64>() + self.received.len() as u64 > room {
            match request.response.borrow().content_length {
                Some(length) => log_request!(request, Level::Error, "too big subrequest response: {length}"),
                None => log_request!(request, Level::Error, "too big subrequest response"),
            }
            return Err(Outcome::Error);
        }
        for piece in pieces {
            let run = each_run(piece, |data| {
                self.received.extend_from_slice(data);
                Ok(())
            });
            run.map_err(|error| {
                log_request!(request, Level::Alert, "reading an included file failed: {error}");
                Outcome::Error
            })?;
        }
        Ok(())
    }
}
