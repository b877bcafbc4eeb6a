//! The method and target of an upstream request, and their overrides by the configuration.

use super::{Encoded, Job, RequestBody};
use crate::retry;
use crate::uri::{UriRule, push_uri};
use http::{Complex, Method, Request};

/// What goes on in the place of the client's.
#[derive(Default)]
pub(crate) struct RequestLine {
    /// `proxy_method`
    pub method: Option<Complex>,
    /// `proxy_set_body`
    pub body: Option<Complex>,
}

impl RequestLine {
    /// The body that is sent.
    pub(super) fn request_body(&self, request: &Request) -> RequestBody {
        self.body.as_ref().map_or(RequestBody::Client, |body| RequestBody::Own(body.to_vec(request)))
    }

    /// Appends the method: that of the configuration if its value can be one, else the client's. What it means for the answer and for
    /// retries goes into `encoded`.
    pub(super) fn push_method(&self, job: &Job<'_>, encoded: &mut Encoded, out: &mut Vec<u8>) {
        let request = job.request;
        let start = out.len();
        match &self.method {
            _ if job.convert_head && request.method() == Method::HEAD => out.extend_from_slice(b"GET"),
            Some(method) => {
                method.eval(request, out);
                let named = out.len() > start && out.iter().skip(start).all(|b| b.is_ascii_graphic());
                if !named {
                    out.truncate(start);
                    out.extend_from_slice(&request.line.borrow().method_name);
                }
            }
            None => out.extend_from_slice(&request.line.borrow().method_name),
        }
        let method = out.get(start..).unwrap_or_default();
        encoded.to_head = method == b"HEAD";
        encoded.once = retry::is_non_idempotent(Method::from_name(method)) || retry::is_non_idempotent(request.method());
    }
}

/// Appends path and arguments; `encoded` says where they stand.
pub(super) fn push_target(job: &Job<'_>, encoded: &mut Encoded, out: &mut Vec<u8>) {
    encoded.uri.start = out.len();
    push_uri(job.request, &UriRule { uri: &job.url.uri, evaluated: job.evaluated, location: job.location }, out);
    if out.len() == encoded.uri.start {
        out.push(b'/');
    }
    encoded.uri.end = out.len();
}
