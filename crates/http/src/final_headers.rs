//! Final additions to a head after all filters, which depend on the status and the server's address.

use crate::connection::Address;
use crate::core::Core;
use crate::request::Request;

/// Sets the last header fields of a client's response.
pub(crate) fn evaluate(request: &Request) {
    let mut response = request.response.borrow_mut();
    if !matches!(response.status, 200 | 206 | 304) {
        // The time of a file that stands in for an error says nothing of what was asked for.
        response.last_modified = None;
    }
    if response.status == 204 {
        response.content_type.clear();
    }
    if !response.location_is_own {
        return;
    }
    let absolute = response.headers.get(b"Location").filter(|target| target.starts_with(b"/")).and_then(|target| {
        request.with_location(|location| {
            let mut full = Vec::new();
            location.core.absolute_redirect.unwrap_or(true).then(|| {
                push_origin(&mut full, request, &location.core);
                full.extend_from_slice(target);
                full
            })
        })
    });
    // One that stays as it is stands where it was added.
    response.location_is_own = absolute.is_some();
    if let Some(full) = absolute {
        response.headers.set_first(b"Location", &full);
    }
}

/// `scheme://host:port` of redirects to ourselves.
fn push_origin(out: &mut Vec<u8>, request: &Request, core: &Core) {
    out.extend_from_slice(if request.connection.is_tls() { b"https://" } else { b"http://" });
    let line = request.line.borrow();
    let server = request.server();
    if core.server_name_in_redirect.unwrap_or(false) && !server.name.is_empty() {
        out.extend_from_slice(&server.name);
    } else if !line.host.is_empty() {
        out.extend_from_slice(&line.host);
    } else {
        match &request.connection.local {
            Address::Ip(address) if address.is_ipv6() => out.extend_from_slice(format!("[{}]", address.ip()).as_bytes()),
            local => local.push_host(out),
        }
    }
    if core.port_in_redirect.unwrap_or(true)
        && let Some(port) = request.connection.local.port()
    {
        let usual = if request.connection.is_tls() { 443 } else { 80 };
        if port != usual {
            out.push(b':');
            base::text::push_number(out, u64::from(port));
        }
    }
}
