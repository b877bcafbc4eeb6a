//! memcached's `get`, as nginx's memcached module speaks it.

use super::memc::{check_key, head, log_missing};
use super::{Dialect, Encoded, Framing, Head, Job, RequestBody, RequestContext, UpstreamResponse};
use base::text::parse_number;
use http::{Method, Outcome, Request, content_type};
use session::variable::{VarIndex, get};
use wire::h1::response::ResponseHead;
use wire::memcached::line::{Command, RequestLine, push_key};
use wire::memcached::reply::{ReplyError, flags_of};

/// `memcached_pass`
pub(crate) struct Memcached {
    /// `$memcached_key`
    pub key: VarIndex,
    /// `memcached_gzip_flag`; 0 is none
    pub gzip_flag: u64,
}

impl Dialect for Memcached {
    fn scheme(&self) -> &'static [u8] {
        b"memcached://"
    }

    fn check_request(&self, request: &Request) -> Result<(), Outcome> {
        if !matches!(request.method(), Method::GET | Method::HEAD) {
            return Err(Outcome::Status(405));
        }
        check_key(request, self.key, "memcached_key", &mut Vec::new())
    }

    fn request_body(&self, _: &Request) -> Result<RequestBody, Outcome> {
        Ok(RequestBody::Nothing)
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let mut key = Vec::new();
        get(job.request, self.key, &mut key);
        out.extend_from_slice(Command::Get.name().as_bytes());
        out.push(b' ');
        // It was checked when the request was admitted.
        let _ = push_key(&key, out);
        out.extend_from_slice(b"\r\n");
        Some(Encoded::default())
    }

    fn parse(&self, _: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        let head = head(input, context)?;
        if let Head::Complete(UpstreamResponse { body: Framing::Value(..), length, .. }) = &head
            && self.gzip_flag != 0
            && parse_number(flags_of(input)).is_none()
            && let Some(line) = RequestLine::of(context.written)
        {
            return Err(ReplyError::Flags(length.saturating_sub(2)).message(&line, input));
        }
        Ok(head)
    }

    fn answered(&self, request: &Request, head: &[u8], answer: &UpstreamResponse, context: &RequestContext<'_>) {
        let Framing::Value(..) = answer.body else { return log_missing(request, context) };
        content_type::set_by_extension(request);
        if self.gzip_flag & parse_number(flags_of(head)).unwrap_or(0) != 0 {
            request.response.borrow_mut().headers.push(b"Content-Encoding", b"gzip");
        }
    }
}
