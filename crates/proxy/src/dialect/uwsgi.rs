//! uwsgi.

use super::gateway::{self, Params};
use super::{Dialect, Encoded, Head, Job, RequestContext};
use base::log::Level;
use http::log_request;
use wire::h1::response::ResponseHead;
use wire::uwsgi::{self, Uwsgi as Pairs};

/// `uwsgi_pass`
pub(crate) struct Uwsgi {
    /// `uwsgi_param`
    pub params: Params,
    /// `uwsgi_modifier1`, `uwsgi_modifier2`
    pub modifiers: [u8; 2],
    /// `uwsgi_string`
    pub string: Box<[u8]>,
}

impl Dialect for Uwsgi {
    fn scheme(&self) -> &'static [u8] {
        b"uwsgi://"
    }

    fn secure_scheme(&self) -> &'static [u8] {
        b"suwsgi://"
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let start = uwsgi::open(out);
        self.params.push::<Pairs>(job, out);
        out.extend_from_slice(&self.string);
        if let Err(length) = uwsgi::close(out, start, self.modifiers) {
            log_request!(job.request, Level::Alert, "uwsgi request is too big: {length}");
            return None;
        }
        Some(gateway::encoded(job.request))
    }

    fn parse(&self, parser: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        gateway::head(parser, input, context, true, gateway::until_close)
    }
}
