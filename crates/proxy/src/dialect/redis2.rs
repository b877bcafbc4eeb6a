//! Redis's protocol: commands of the configuration, replies passed on as they are.

use super::{Dialect, Encoded, Framing, Head, Job, RequestBody, RequestContext, UpstreamResponse};
use base::log::Level;
use base::text::parse_number;
use http::{Complex, Outcome, Request, content_type};
use std::borrow::Cow;
use std::rc::Rc;
use wire::h1::response::ResponseHead;
use wire::redis::{self, Replies};
use wire::span::Span;

/// What is sent.
#[derive(Clone)]
pub(crate) enum RawCommands {
    /// `redis2_query`: commands, each with its arguments
    Commands(Rc<Vec<Vec<Complex>>>),
    /// `redis2_raw_query`, and `redis2_raw_queries` with the number of commands
    Raw {
        /// The commands as they go out.
        text: Complex,
        /// Their number; one if it is not given.
        count: Option<Complex>,
    },
    /// `redis2_literal_raw_query`
    Literal(Box<[u8]>),
}

/// `redis2_pass`
pub(crate) struct Redis2 {
    /// What is sent, if anything.
    pub query: Option<RawCommands>,
}

/// Commands that do the same when they come twice. With others a connection that breaks is the end of the request.
const REPEATABLE: [&[u8]; 46] = [
    b"auth",
    b"dbsize",
    b"del",
    b"echo",
    b"exists",
    b"expire",
    b"expireat",
    b"get",
    b"getrange",
    b"hdel",
    b"hexists",
    b"hget",
    b"hgetall",
    b"hkeys",
    b"hlen",
    b"hmget",
    b"hmset",
    b"hset",
    b"hvals",
    b"info",
    b"keys",
    b"lindex",
    b"llen",
    b"lrange",
    b"mget",
    b"mset",
    b"ping",
    b"pttl",
    b"scan",
    b"scard",
    b"select",
    b"set",
    b"setex",
    b"sismember",
    b"smembers",
    b"srem",
    b"strlen",
    b"time",
    b"ttl",
    b"type",
    b"zadd",
    b"zcard",
    b"zrange",
    b"zrangebyscore",
    b"zrank",
    b"zscore",
];

fn refuse<T>(request: &Request, line: &str) -> Option<T> {
    request.log(Level::Error, line.as_bytes());
    None
}

/// The line for bytes that are no reply.
#[must_use]
pub(crate) fn invalid(input: &[u8], at: usize) -> Cow<'static, [u8]> {
    let start = format!("Redis server returned invalid response near pos {at} in \"");
    Cow::Owned([start.as_bytes(), input, b"\""].concat())
}

/// The line for bytes behind the last reply.
#[must_use]
pub(crate) fn excess_log(rest: &[u8]) -> Vec<u8> {
    let end = format!("\" (len {})", rest.len());
    [b"Redis server returned extra bytes: \"", rest, end.as_bytes()].concat()
}

/// The number of commands in `redis2_raw_queries`.
fn counted(request: &Request, count: &Complex) -> Option<u64> {
    let text = count.to_vec(request);
    if text.is_empty() {
        return refuse(request, "the N argument to redis2_raw_queries is empty");
    }
    match parse_number(&text) {
        Some(count) if count > 0 => Some(count),
        _ => refuse(request, "the N argument to redis2_raw_queries is invalid"),
    }
}

impl Redis2 {
    /// Appends the commands; their number, and whether they may come twice.
    fn push(&self, request: &Request, out: &mut Vec<u8>) -> Option<(u64, bool)> {
        match &self.query {
            Some(RawCommands::Commands(commands)) => {
                let mut repeatable = true;
                let mut argument = Vec::new();
                for command in commands.iter() {
                    redis::push_command(out, command.len());
                    for (i, part) in command.iter().enumerate() {
                        argument.clear();
                        part.eval(request, &mut argument);
                        redis::push_argument(out, &argument);
                        repeatable &= i > 0 || REPEATABLE.iter().any(|name| name.eq_ignore_ascii_case(&argument));
                    }
                }
                Some((commands.len() as u64, repeatable))
            }
            Some(RawCommands::Literal(text)) if !text.is_empty() => {
                out.extend_from_slice(text);
                Some((1, false))
            }
            Some(RawCommands::Raw { text, count }) => {
                let start = out.len();
                text.eval(request, out);
                if out.len() == start {
                    return refuse(request, "the redis query is empty");
                }
                let count = count.as_ref().map_or(Some(1), |count| counted(request, count))?;
                Some((count, false))
            }
            _ => refuse(request, "no redis2 query specified or the query is empty"),
        }
    }
}

impl Dialect for Redis2 {
    fn scheme(&self) -> &'static [u8] {
        b"redis2://"
    }

    fn request_body(&self, _: &Request) -> Result<RequestBody, Outcome> {
        Ok(RequestBody::Nothing)
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let (answers, repeatable) = self.push(job.request, out)?;
        Some(Encoded { answers, once: !repeatable, ..Encoded::default() })
    }

    fn parse(&self, _: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        let Some(first) = input.first() else { return Ok(Head::Partial) };
        if !redis::begins(*first) {
            return Err([b"redis2 sent invalid response: \"", input, b"\""].concat());
        }
        Ok(Head::Complete(UpstreamResponse {
            length: 0,
            status: 200,
            status_line: Span::default(),
            body: Framing::Replies(Replies::new(context.encoded.answers)),
            content_length: None,
            keep_alive: true,
            tunnel: false,
        }))
    }

    fn answered(&self, request: &Request, _: &[u8], _: &UpstreamResponse, _: &RequestContext<'_>) {
        content_type::set_by_extension(request);
    }
}
