//! Request header fields for HTTP upstreams: those set by the configuration, and the client's.

use super::{CacheRequest, Job};
use crate::header_set::HeaderNameSet;
use base::log::Level;
use http::{Complex, Request, log_request};
use wire::known::Known;

/// What the client's headers of these names say holds for its own connection, or is decided anew here.
const NEVER_COPIED: [&str; 11] = [
    "Host",
    "Connection",
    "Proxy-Connection",
    "Content-Length",
    "Transfer-Encoding",
    "TE",
    "Keep-Alive",
    "Expect",
    "Upgrade",
    "Trailer",
    "HTTP2-Settings",
];

/// The fields of a location's requests.
pub(crate) struct Fields {
    set: Vec<(Box<[u8]>, Complex)>,
    not_copied: HeaderNameSet,
    /// Names leave in lower case.
    lower: bool,
}

impl Fields {
    /// The fields `set` by the configuration, in order. Where `decided` says so for a name, the protocol decides itself.
    #[must_use]
    pub(crate) fn new(set: &[(Box<[u8]>, Complex)], lower: bool, decided: impl Fn(&[u8]) -> bool) -> Fields {
        let mut not_copied = HeaderNameSet::new(&NEVER_COPIED, None, None);
        set.iter().for_each(|(name, _)| not_copied.add(name));
        let empty = |value: &Complex| value.literal().is_some_and(<[u8]>::is_empty);
        let sent = set.iter().filter(|(name, value)| !decided(name) && !empty(value));
        let cased = |name: &[u8]| if lower { name.to_ascii_lowercase().into() } else { name.into() };
        Fields { set: sent.map(|(name, value)| (cased(name), value.clone())).collect(), not_copied, lower }
    }

    /// Whether the configuration sets a field of this name.
    #[must_use]
    pub(crate) fn sets(&self, name: &[u8]) -> bool {
        self.set.iter().any(|(set, _)| set.eq_ignore_ascii_case(name))
    }

    /// Appends what the configuration sets; true: `Upgrade` is among it.
    pub(crate) fn push_set(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        let mut upgrade = false;
        for (name, value) in &self.set {
            let start = out.len();
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            let at = out.len();
            value.eval(request, out);
            if out.len() == at {
                out.truncate(start);
                continue;
            }
            clean(out, at);
            upgrade |= name.eq_ignore_ascii_case(b"upgrade");
            out.extend_from_slice(b"\r\n");
        }
        upgrade
    }

    /// Appends what a cache asks for, and the client's fields where they are passed on.
    pub(crate) fn push_others(&self, job: &Job<'_>, out: &mut Vec<u8>) {
        for (name, value) in job.keeping.iter().flat_map(CacheRequest::fields) {
            if !self.not_copied.contains(Known::of(name), name) {
                self.push(name, value, out);
            }
        }
        if job.pass_headers {
            let headers = job.request.headers.borrow();
            for (name, value) in headers.iter() {
                if self.not_copied.contains(Known::of(name), name) || (job.keeping.is_some() && CacheRequest::replaces(name)) {
                    continue;
                }
                if has_control(value) {
                    let name = String::from_utf8_lossy(name);
                    log_request!(job.request, Level::Info, "header \"{name}\" holds a control byte and is not passed on");
                    continue;
                }
                self.push(name, value, out);
            }
        }
    }

    fn push(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(name);
        if self.lower {
            out.iter_mut().skip(at).for_each(|byte| *byte = byte.to_ascii_lowercase());
        }
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether a value holds a byte that no server should be sent (RFC 9110 section 5.5): nginx passes these on.
#[must_use]
pub(crate) fn has_control(value: &[u8]) -> bool {
    value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

/// Line ends and NUL within a value leave escaped, as in answers (`http::Headers::push`).
pub(crate) fn clean(out: &mut Vec<u8>, from: usize) {
    let Some(value) = out.get(from..) else { return };
    if memchr::memchr3(b'\r', b'\n', 0, value).is_none() {
        return;
    }
    let value = out.split_off(from);
    for byte in value {
        match byte {
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            0 => out.extend_from_slice(b"%00"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_seen() {
        assert!(has_control(b"a\x01b") && has_control(b"\x7f"));
        assert!(!has_control(b"a\tb \xff") && !has_control(b""));
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        let mut out = b"X: ".to_vec();
        out.extend_from_slice(b"a\r\nY: b");
        clean(&mut out, 3);
        assert_eq!(out, b"X: a%0D%0AY: b");
    }
}
