//! SCGI.

use super::gateway::{self, Params};
use super::{Dialect, Encoded, Head, Job, RequestContext, Sent};
use base::text::push_number;
use wire::cgi::{Name, Pairs};
use wire::h1::response::ResponseHead;
use wire::scgi;

/// `scgi_pass`
pub(crate) struct Scgi {
    /// `scgi_param`
    pub params: Params,
}

impl Dialect for Scgi {
    fn scheme(&self) -> &'static [u8] {
        b"scgi://"
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let start = scgi::open(out);
        // The first parameter says what really follows.
        let length = if let Sent::Length(length) = job.body { length } else { 0 };
        scgi::Scgi::push(out, Name::Given(b"CONTENT_LENGTH"), |out| push_number(out, length));
        self.params.push::<scgi::Scgi>(job, out);
        scgi::close(out, start);
        Some(gateway::encoded(job.request))
    }

    fn parse(&self, parser: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        gateway::head(parser, input, context, true, gateway::until_close)
    }
}
