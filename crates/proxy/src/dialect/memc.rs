//! memcached's text protocol, with all commands of memc-nginx-module.

use super::{Dialect, Encoded, Framing, Head, Job, RequestBody, RequestContext, Sent, UpstreamResponse};
use base::log::Level;
use base::text::{parse_number, push_number};
use http::{Method, Outcome, Request, content_type, log_request};
use session::Session;
use session::variable::{VarIndex, get};
use wire::h1::response::ResponseHead;
use wire::memcached::line::{Command, DATA_END, KeyError, RequestLine, is_number, push_key};
use wire::memcached::reply::{self, Reply, StatusReply, Value};
use wire::span::Span;

/// Most digits of flags and times.
const SHORT: usize = 10;
/// Most digits of what a counter changes by.
const LONG: usize = 20;

/// The variables that make a command.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    /// `$memc_cmd`
    pub command: VarIndex,
    /// `$memc_key`
    pub key: VarIndex,
    /// `$memc_value`
    pub value: VarIndex,
    /// `$memc_flags`
    pub flags: VarIndex,
    /// `$memc_exptime`
    pub exptime: VarIndex,
}

/// `memc_pass`
pub(crate) struct Memc {
    /// The variables.
    pub names: Names,
    /// `memc_cmds_allowed`; empty allows all
    pub allowed: Vec<Command>,
    /// `memc_flags_to_last_modified`
    pub flags_to_last_modified: bool,
}

/// A variable's value in `out`, which is emptied before; false: not found or empty.
fn read(request: &Request, index: VarIndex, out: &mut Vec<u8>) -> bool {
    out.clear();
    get(request, index, out) && !out.is_empty()
}

fn refuse(request: &Request, status: u16, line: &str) -> Outcome {
    request.log(Level::Error, line.as_bytes());
    Outcome::Status(status)
}

impl Memc {
    /// The command of the variable or the method; afterwards the variable says it.
    fn choose(&self, request: &Request, text: &mut Vec<u8>) -> Result<Command, Outcome> {
        if read(request, self.names.command, text) {
            return Command::of(text).ok_or_else(|| {
                let line = format!("ngx_memc: unknown $memc_cmd \"{}\"", String::from_utf8_lossy(text));
                refuse(request, 400, &line)
            });
        }
        let command = match request.method() {
            Method::GET | Method::HEAD => Command::Get,
            Method::POST => Command::Add,
            Method::PUT => Command::Set,
            Method::DELETE => Command::Delete,
            _ => {
                let method = String::from_utf8_lossy(&request.line.borrow().method_name).into_owned();
                return Err(refuse(request, 400, &format!("ngx_memc: $memc_cmd variable not found for HTTP {method} requests")));
            }
        };
        request.cache().set(self.names.command, command.name().as_bytes());
        Ok(command)
    }

    /// Checks the numbers that stand in the command's line.
    fn check_numbers(&self, request: &Request, command: Command, text: &mut Vec<u8>) -> Result<(), Outcome> {
        let timed = command.stores() || matches!(command, Command::FlushAll | Command::Delete);
        let wanted = [(timed, self.names.exptime, "exptime"), (command.stores(), self.names.flags, "flags")];
        for (_, index, name) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
            if !read(request, index, text) {
                // As with the command, the variable says afterwards what was sent.
                if command.stores() {
                    request.cache().set(index, b"0");
                }
            } else if !is_number(text, SHORT) {
                let line = format!("variable \"$memc_{name}\" takes invalid value: {}", String::from_utf8_lossy(text));
                return Err(refuse(request, 400, &line));
            }
        }
        if !matches!(command, Command::Incr | Command::Decr) {
            return Ok(());
        }
        if !read(request, self.names.value, text) {
            let line = format!("the \"$memc_value\" variable is required for command \"{}\"", command.name());
            return Err(refuse(request, 400, &line));
        }
        if !is_number(text, LONG) {
            let line = format!("variable \"$memc_value\" is invalid for incr/decr: {}", String::from_utf8_lossy(text));
            return Err(refuse(request, 400, &line));
        }
        Ok(())
    }
}

/// Appends the number of a variable that has one.
fn push_number_of(request: &Request, index: VarIndex, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b' ');
    if !get(request, index, out) || out.len() == start + 1 {
        out.truncate(start);
    }
}

/// Checks the key that a variable gives.
///
/// # Errors
/// 500 where there is none, and 502 for one that the protocol cannot carry: what the server's refusal would be.
pub(crate) fn check_key(request: &Request, index: VarIndex, name: &str, text: &mut Vec<u8>) -> Result<(), Outcome> {
    if !read(request, index, text) {
        return Err(refuse(request, 500, &format!("the \"${name}\" variable is not set")));
    }
    let mut encoded = Vec::with_capacity(text.len());
    push_key(text, &mut encoded).map_err(|error| match error {
        KeyError::TooLong => refuse(request, 502, &format!("the \"${name}\" variable is too long for a memcached key")),
        KeyError::Empty | KeyError::Byte(_) => refuse(request, 502, &format!("the \"${name}\" variable is no memcached key")),
    })
}

/// Reads a response's head, or the whole of a response that is lines: these are the body then.
///
/// # Errors
/// The line for the error log.
pub(crate) fn head(input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
    let Some(request) = RequestLine::of(context.written) else { return Err(b"no memcached command was sent".to_vec()) };
    let reply = reply::parse(&request, input, context.limit).map_err(|error| error.message(&request, input))?;
    let made = |length, status, body, content_length, keep_alive| UpstreamResponse {
        length,
        status,
        status_line: Span::default(),
        body,
        content_length,
        keep_alive,
        tunnel: false,
    };
    Ok(Head::Complete(match reply {
        Reply::Partial => return Ok(Head::Partial),
        Reply::Value { head, length, .. } => {
            made(head, 200, Framing::Value(Value::new(length), "memcached sent invalid trailer"), Some(length), true)
        }
        Reply::Lines { status: StatusReply::NotFound, len } => made(len, 404, Framing::Empty, None, true),
        Reply::Lines { status: said, len } => {
            let status = match said {
                StatusReply::Stored | StatusReply::Number => 201,
                StatusReply::Error => 502,
                _ => 200,
            };
            // After an error the server may take the data that follows for commands.
            made(0, status, Framing::Length(len as u64), Some(len as u64), said != StatusReply::Error)
        }
    }))
}

/// Logs that a value is not there.
pub(crate) fn log_missing(request: &Request, context: &RequestContext<'_>) {
    if let Some(RequestLine { command: Command::Get, key }) = RequestLine::of(context.written) {
        log_request!(request, Level::Info, "key: \"{}\" was not found by memcached", String::from_utf8_lossy(key));
    }
}

impl Dialect for Memc {
    fn scheme(&self) -> &'static [u8] {
        b"memcached://"
    }

    fn check_request(&self, request: &Request) -> Result<(), Outcome> {
        let mut text = Vec::new();
        let command = self.choose(request, &mut text)?;
        if !self.allowed.is_empty() && !self.allowed.contains(&command) {
            return Err(refuse(request, 403, &format!("ngx_memc: memcached command \"{}\" not allowed", command.name())));
        }
        self.check_numbers(request, command, &mut text)?;
        if command.has_key() { check_key(request, self.names.key, "memc_key", &mut text) } else { Ok(()) }
    }

    fn request_body(&self, request: &Request) -> Result<RequestBody, Outcome> {
        let mut text = Vec::new();
        if !read(request, self.names.command, &mut text) || !Command::of(&text).is_some_and(Command::stores) {
            return Ok(RequestBody::Nothing);
        }
        text.clear();
        if get(request, self.names.value, &mut text) {
            return Ok(RequestBody::Own(text));
        }
        let body = request.body.borrow();
        if body.is_none() || (body.file().is_none() && body.with_data(|data| data.is_empty())) {
            return Err(refuse(request, 500, "neither the \"$memc_value\" variable nor the request body is available"));
        }
        Ok(RequestBody::Client)
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let request = job.request;
        let mut text = Vec::new();
        let known = if read(request, self.names.command, &mut text) { Command::of(&text) } else { None };
        let command = known?;
        out.extend_from_slice(command.name().as_bytes());
        if command.has_key() && read(request, self.names.key, &mut text) {
            out.push(b' ');
            // It was checked when the request was admitted.
            let _ = push_key(&text, out);
        }
        match command {
            Command::Incr | Command::Decr => push_number_of(request, self.names.value, out),
            Command::Delete | Command::FlushAll => push_number_of(request, self.names.exptime, out),
            Command::Get | Command::Version | Command::Stats => {}
            _ => {
                push_number_of(request, self.names.flags, out);
                push_number_of(request, self.names.exptime, out);
                out.push(b' ');
                push_number(out, if let Sent::Length(length) = job.body { length } else { 0 });
            }
        }
        out.extend_from_slice(b"\r\n");
        let tail = if command.stores() { DATA_END } else { b"" };
        Some(Encoded { tail, once: !command.is_idempotent(), ..Encoded::default() })
    }

    fn parse(&self, _: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        head(input, context)
    }

    fn answered(&self, request: &Request, head: &[u8], answer: &UpstreamResponse, context: &RequestContext<'_>) {
        if answer.status == 404 {
            log_missing(request, context);
            return;
        }
        content_type::set_by_extension(request);
        if let Framing::Value(..) = answer.body {
            let flags = reply::flags_of(head);
            request.cache().set(self.names.flags, flags);
            if self.flags_to_last_modified {
                request.response.borrow_mut().last_modified = parse_number(flags).and_then(|time| i64::try_from(time).ok());
            }
        }
    }
}
