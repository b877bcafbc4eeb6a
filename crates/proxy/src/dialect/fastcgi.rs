//! FastCGI 1.0, one request on a connection at a time.

use super::gateway::{self, Params};
use super::{Dialect, Encoded, Envelope, Framing, Head, Job, RequestContext, Sent, Unwrapped, UpstreamResponse};
use base::log::Level;
use http::Request;
use std::rc::Rc;
use wire::fastcgi::record::{Piece, Stream};
use wire::fastcgi::request;
use wire::fastcgi::response::{Body, message};
use wire::h1::response::ResponseHead;

/// `fastcgi_pass`
pub(crate) struct FastCgi {
    /// `fastcgi_param`
    pub params: Params,
    /// `fastcgi_keep_conn`
    pub keep_conn: bool,
    /// `fastcgi_catch_stderr`
    pub catch: Rc<Vec<Box<[u8]>>>,
}

/// The line for what an application says to the log.
#[must_use]
pub(crate) fn stderr_line(text: &[u8]) -> Vec<u8> {
    [b"FastCGI sent in stderr: \"", text, b"\""].concat()
}

impl FastCgi {
    /// Logs what the application says; false: it says that its response is none.
    fn log_stderr(&self, client: &Request, text: &[u8]) -> bool {
        let action = client.action.replace("reading response header from upstream");
        let text = message(text);
        client.log(Level::Error, &stderr_line(text));
        client.action.set(action);
        !self.catch.iter().any(|pattern| memchr::memmem::find(text, pattern).is_some())
    }
}

impl Dialect for FastCgi {
    fn scheme(&self) -> &'static [u8] {
        b"fastcgi://"
    }

    fn can_stream(&self) -> bool {
        true
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let start = request::open(out, self.keep_conn);
        self.params.push::<request::FastCgi>(job, out);
        request::close(out, start);
        if job.body == Sent::Nothing {
            // One run of bytes is the cheapest to send.
            out.extend_from_slice(request::body_end(0));
            return Some(gateway::encoded(job.request));
        }
        Some(Encoded { envelope: Envelope::Records, ..gateway::encoded(job.request) })
    }

    fn unwrap(&self, client: &Request, unwrapped: &mut Unwrapped, input: &mut Vec<u8>) -> Result<usize, Vec<u8>> {
        loop {
            let at = unwrapped.raw;
            let rest = input.get(at..).unwrap_or_default();
            match unwrapped.records.next(rest).map_err(|error| error.to_string().into_bytes())? {
                Piece::Partial => {
                    input.truncate(unwrapped.bare);
                    unwrapped.raw = unwrapped.bare;
                    return Ok(unwrapped.bare);
                }
                Piece::Data { stream: Stream::Errors, start, end } => {
                    if !self.log_stderr(client, rest.get(start..end).unwrap_or_default()) {
                        return Err(Vec::new());
                    }
                    unwrapped.raw = at + end;
                }
                Piece::Data { stream: Stream::Out, start, end } if unwrapped.bare == 0 => {
                    unwrapped.start = at + start;
                    (unwrapped.bare, unwrapped.raw) = (at + end, at + end);
                    return Ok(unwrapped.bare);
                }
                Piece::Data { stream: Stream::Out, start, end } => {
                    // The head has to be in one piece.
                    input.copy_within(at + start..at + end, unwrapped.bare);
                    unwrapped.bare += end - start;
                    unwrapped.raw = at + end;
                    return Ok(unwrapped.bare);
                }
                Piece::OutEnd { .. } => return Err(b"upstream prematurely closed FastCGI stdout".to_vec()),
                Piece::Finished { .. } => return Err(b"upstream sent unexpected FastCGI record: 3".to_vec()),
            }
        }
    }

    fn parse(&self, parser: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        let Unwrapped { records, start, bare, .. } = context.unwrapped;
        let body = |length, announced: Option<u64>| {
            // To HEAD the length is that of a body that does not come.
            let announced = announced.filter(|_| !context.encoded.to_head);
            Framing::Records(Body::new(records.clone(), bare - start - length, announced))
        };
        Ok(match gateway::head(parser, input, context, false, body)? {
            Head::Complete(answer) => Head::Complete(UpstreamResponse { keep_alive: self.keep_conn, ..answer }),
            other => other,
        })
    }
}
