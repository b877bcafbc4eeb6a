//! The method that a request goes on with.

use super::{Encoded, Job};
use crate::retry;
use http::Complex;
use http::Method;

/// Appends the method: `custom` if its value can be one, else the client's. What it means for the answer and for retries goes into
/// `encoded`.
pub fn push(custom: Option<&Complex>, job: &Job<'_>, encoded: &mut Encoded, out: &mut Vec<u8>) {
    let request = job.request;
    let start = out.len();
    match custom {
        Some(method) => {
            method.eval(request, out);
            let named = out.len() > start && out.iter().skip(start).all(|b| b.is_ascii_graphic());
            if !named {
                out.truncate(start);
                out.extend_from_slice(&request.line.borrow().method_name);
            }
        }
        None if job.keeping.is_some_and(|k| k.convert_head) && request.method() == Method::HEAD => out.extend_from_slice(b"GET"),
        None => out.extend_from_slice(&request.line.borrow().method_name),
    }
    let method = out.get(start..).unwrap_or_default();
    encoded.to_head = method == b"HEAD";
    encoded.once = retry::is_non_idempotent(Method::from_name(method)) || retry::is_non_idempotent(request.method());
}
