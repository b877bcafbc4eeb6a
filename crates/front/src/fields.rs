//! Response header fields common to all protocols.

use engine::error_page::{PRODUCT, PRODUCT_VERSION};
use http::Request;
use http::core::{Core, ServerTokens};
use http::response::Response;
use std::cell::RefCell;

/// Calls `f` with the value of `Server`, if one has to be added to the fields.
pub(crate) fn with_server(request: &Request, core: &Core, response: &Response, f: impl FnOnce(&[u8])) {
    if response.no_server || response.headers.contains(b"Server") {
        return;
    }
    match &core.server_tokens {
        None | Some(ServerTokens::On | ServerTokens::Build) => f(PRODUCT_VERSION.as_bytes()),
        Some(ServerTokens::Off) => f(PRODUCT.as_bytes()),
        Some(ServerTokens::Custom(value)) => {
            let value = value.to_vec(request);
            if !value.is_empty() {
                f(&value);
            }
        }
    }
}

/// Whether `Date` is ours to write.
pub(crate) fn wants_date(response: &Response) -> bool {
    !response.no_date && !response.headers.contains(b"Date")
}

/// Whether the response has a `Content-Type`.
pub(crate) fn wants_content_type(response: &Response) -> bool {
    !response.content_type.is_empty() && response.status != 204
}

/// `Content-Length`, where the status may have one.
pub fn content_length(response: &Response) -> Option<u64> {
    // 304 may tell the length of what the client has (RFC 9110, 8.6); an upstream may know it, and 0 is that of no body.
    response.content_length.filter(|length| response.status != 204 && (response.status != 304 || *length != 0))
}

/// `Last-Modified`, if it is ours to write.
pub fn last_modified(response: &Response) -> Option<i64> {
    response.last_modified.filter(|_| !response.headers.contains(b"Last-Modified"))
}

/// Whether a field of that name does not go out as one of the others: it is written by the functions above, or belongs to a
/// protocol's framing. `own_location` says that [`own_location`] was written; a `Location` added behind it is another's.
pub(crate) fn is_decided(name: &[u8], own_location: &mut bool) -> bool {
    match name.len() {
        8 => *own_location && name.eq_ignore_ascii_case(b"Location") && std::mem::take(own_location),
        10 => name.eq_ignore_ascii_case(b"Connection") || name.eq_ignore_ascii_case(b"Keep-Alive"),
        14 => name.eq_ignore_ascii_case(b"Content-Length"),
        17 => name.eq_ignore_ascii_case(b"Transfer-Encoding"),
        _ => false,
    }
}

/// `Location` of our own redirects, which stands before the other fields.
pub(crate) fn own_location(response: &Response) -> Option<&[u8]> {
    response.headers.get(b"Location").filter(|_| response.location_is_own)
}

/// Formatting a date costs more than the rest of a head: the last ones are kept.
pub(crate) fn with_date(time: i64, f: impl FnOnce(&[u8])) {
    const KEPT: usize = 16;
    thread_local!(static DATES: RefCell<[(i64, [u8; 29]); KEPT]> = const { RefCell::new([(i64::MIN, [0; 29]); KEPT]) });
    DATES.with_borrow_mut(|dates| {
        let place = usize::try_from(time.rem_euclid(KEPT as i64)).unwrap_or_default();
        let Some((kept, text)) = dates.get_mut(place) else { return };
        if *kept != time {
            *text = wire::date::http(time);
            *kept = time;
        }
        f(text);
    });
}
