//! Redis's `get`, as http-redis speaks it: a value of one of its databases is the response.

use super::{Dialect, Encoded, Framing, Head, Job, RequestBody, RequestContext, UpstreamResponse};
use base::log::Level;
use base::text::parse_number;
use http::{Method, Outcome, Request, content_type, log_request};
use session::variable::{VarIndex, get};
use wire::h1::response::ResponseHead;
use wire::memcached::reply::Value;
use wire::redis::{self, GetReply};
use wire::span::Span;
use wire::uri::escape::{Class, escape};

/// `redis_pass`
pub(crate) struct Redis {
    /// `$redis_key`
    pub key: VarIndex,
    /// `$redis_db`
    pub database: VarIndex,
    /// `redis_gzip_flag`; 0 is none
    pub gzip_flag: u64,
}

const GET: &[u8] = b"get ";

/// The key in the commands that were sent.
fn key_of(written: &[u8]) -> String {
    let command = memchr::memmem::find(written, GET).and_then(|at| written.get(at + GET.len()..)).unwrap_or_default();
    String::from_utf8_lossy(command.trim_ascii_end()).into_owned()
}

impl Dialect for Redis {
    fn scheme(&self) -> &'static [u8] {
        b"redis://"
    }

    fn default_port(&self) -> u16 {
        6379
    }

    fn check_request(&self, request: &Request) -> Result<(), Outcome> {
        if !matches!(request.method(), Method::GET | Method::HEAD) {
            return Err(Outcome::Status(405));
        }
        let refuse = |line: &[u8]| {
            request.log(Level::Error, line);
            Err(Outcome::Status(500))
        };
        let mut text = Vec::new();
        if !get(request, self.key, &mut text) || text.is_empty() {
            return refuse(b"the \"$redis_key\" variable is not set");
        }
        text.clear();
        // It stands in the command as it is.
        if get(request, self.database, &mut text) && !text.is_empty() && parse_number(&text).is_none() {
            return refuse(b"the \"$redis_db\" variable is no number");
        }
        Ok(())
    }

    fn request_body(&self, _: &Request) -> Result<RequestBody, Outcome> {
        Ok(RequestBody::Nothing)
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let mut text = Vec::new();
        if !get(job.request, self.database, &mut text) || text.is_empty() {
            text = b"0".to_vec();
        }
        for part in [&b"select "[..], &text, b"\r\n", GET] {
            out.extend_from_slice(part);
        }
        text.clear();
        get(job.request, self.key, &mut text);
        escape(&text, Class::Memcached, out);
        out.extend_from_slice(b"\r\n");
        Some(Encoded::default())
    }

    fn parse(&self, _: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        let shown = |end: usize| String::from_utf8_lossy(input.get(..end).unwrap_or_default()).into_owned();
        let got = redis::parse_get_reply(input).map_err(|bad| {
            let (line, key) = (shown(bad.end), key_of(context.written));
            match bad.fault {
                redis::GetFault::Error => format!("redis sent error in response \"{line}\" for key \"{key}\""),
                redis::GetFault::Length => format!("redis sent invalid length in response \"{line}\" for key \"{key}\""),
                redis::GetFault::Invalid => format!("redis sent invalid response: \"{line}\""),
            }
            .into_bytes()
        })?;
        let (length, status, body, content_length) = match got {
            GetReply::Partial if input.len() >= context.limit => return Err(b"upstream sent too big header".to_vec()),
            GetReply::Partial => return Ok(Head::Partial),
            GetReply::Nothing { head } => (head, 404, Framing::Empty, None),
            GetReply::Value { head, length } => {
                (head, 200, Framing::Value(Value::with_end(length, b"\r\n"), "redis sent invalid trailer"), Some(length))
            }
        };
        Ok(Head::Complete(UpstreamResponse {
            length,
            status,
            status_line: Span::default(),
            body,
            content_length,
            keep_alive: true,
            tunnel: false,
        }))
    }

    fn answered(&self, request: &Request, _: &[u8], answer: &UpstreamResponse, context: &RequestContext<'_>) {
        let Framing::Value(..) = answer.body else {
            return log_request!(request, Level::Info, "key: \"{}\" was not found by redis", key_of(context.written));
        };
        content_type::set_by_extension(request);
        if self.gzip_flag != 0 {
            request.response.borrow_mut().headers.push(b"Content-Encoding", b"gzip");
        }
    }
}
