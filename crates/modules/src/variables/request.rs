//! Variables of the request line, the request's header fields and its body.

use super::{put, put_headers, put_port, put_seconds, root};
use crate::auth_basic;
use base::clock;
use base::errno;
use base::log::Level;
use base::text::{parse_size, push_hex, push_number};
use http::body::BodyState;
use http::line::{Line, Version};
use http::variables::{define as http_define, define_family, getter};
use http::{Request, Variables, log_request};
use session::variable::NO_CACHE;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

pub(super) fn define(variables: &mut Variables) {
    line(variables);
    settable(variables);
    files(variables);
    body(variables);
    http_define(variables, "host", 0, |request, out| match &*request.line.borrow().host {
        b"" => put(out, &request.server().name),
        host => put(out, host),
    });
    http_define(variables, "request_port", 0, |request, out| put_port(out, port(request).unwrap_or(0)));
    http_define(variables, "is_request_port", 0, |request, out| put(out, if port(request).is_some() { b":" } else { b"" }));
    http_define(variables, "server_name", 0, |request, out| put(out, &request.server().name));
    http_define(variables, "remote_user", 0, |request, out| {
        auth_basic::credentials(&root(request).headers.borrow(), auth_basic::is_proxy(root(request)))
            .is_some_and(|found| put(out, &found.user))
    });
    http_define(variables, "request_id", 0, |_, out| {
        push_id(out);
        true
    });
    http_define(variables, "request_time", NO_CACHE, |request, out| {
        put_seconds(out, clock::now().epoch_ms().saturating_sub(request.started.get().epoch_ms()))
    });
    http_define(variables, "request_length", NO_CACHE, |request, out| {
        push_number(out, root(request).request_length.get());
        true
    });
    define_family(variables, "http_", 0, |request, name, out| put_headers(&request.headers.borrow(), name.as_bytes(), out));
    define_family(variables, "cookie_", 0, |request, name, out| {
        let headers = request.headers.borrow();
        let mut lines = headers.get_all(b"cookie");
        lines.find_map(|line| cookie(line, name.as_bytes())).is_some_and(|value| put(out, value))
    });
    define_family(variables, "arg_", NO_CACHE, |request, name, out| {
        let line = request.line.borrow();
        !name.is_empty() && wire::uri::args::find(&line.args, name.as_bytes()).is_some_and(|value| put(out, value))
    });
}

/// Whether the request line could be understood.
fn is_known(line: &Line) -> bool {
    !line.raw_uri.is_empty()
}

fn line(variables: &mut Variables) {
    for name in ["uri", "document_uri"] {
        http_define(variables, name, NO_CACHE, |request, out| {
            let line = request.line.borrow();
            (is_known(&line) || !line.uri.is_empty()) && put(out, &line.uri)
        });
    }
    http_define(variables, "request_uri", 0, |request, out| {
        let line = root(request).line.borrow();
        is_known(&line) && put(out, &line.raw_uri)
    });
    http_define(variables, "request", 0, |request, out| {
        let line = root(request).line.borrow();
        !line.text.is_empty() && put(out, &line.text)
    });
    http_define(variables, "request_method", NO_CACHE, |request, out| {
        let line = root(request).line.borrow();
        !line.method_name.is_empty() && put(out, &line.method_name)
    });
    http_define(variables, "server_protocol", 0, |request, out| {
        let line = root(request).line.borrow();
        // A line without a version names no protocol.
        is_known(&line) && line.version != Version::Http09 && put(out, line.version.name().as_bytes())
    });
    http_define(variables, "query_string", NO_CACHE, push_args);
    http_define(variables, "is_args", NO_CACHE, |request, out| put(out, if request.line.borrow().args.is_empty() { b"" } else { b"?" }));
}

/// Without a query the variable is not found, which logs show as a dash.
fn push_args(request: &Request, out: &mut Vec<u8>) -> bool {
    let line = request.line.borrow();
    put(out, &line.args) && (line.args_are_set || !line.args.is_empty())
}

fn settable(variables: &mut Variables) {
    variables.define_settable(
        "args",
        NO_CACHE,
        getter(push_args),
        Rc::new(|request, value| match value {
            Some(args) => request.line.borrow_mut().set_explicit_args(args),
            None => request.line.borrow_mut().set_args(b""),
        }),
    );
    variables.define_settable(
        "limit_rate",
        NO_CACHE,
        getter(|request, out| {
            push_number(out, request.limit_rate.get().unwrap_or(0));
            true
        }),
        Rc::new(|request, value| match parse_size(value.unwrap_or_default(), false) {
            Some(rate) => request.limit_rate.set(Some(rate)),
            None => log_request!(request, Level::Error, "invalid $limit_rate \"{}\"", String::from_utf8_lossy(value.unwrap_or_default())),
        }),
    );
}

fn files(variables: &mut Variables) {
    http_define(variables, "request_filename", NO_CACHE, |request, out| request.map_path().is_ok_and(|mapped| put(out, &mapped.bytes)));
    http_define(variables, "document_root", NO_CACHE, |request, out| {
        push_document_root(request, out);
        true
    });
    http_define(variables, "realpath_root", NO_CACHE, |request, out| {
        let mut root = Vec::new();
        push_document_root(request, &mut root);
        match http::root::os_path(&root).canonicalize() {
            Ok(real) => put(out, real.as_os_str().as_bytes()),
            Err(error) => {
                let name = String::from_utf8_lossy(&root);
                log_request!(request, Level::Crit, "realpath() \"{name}\" failed {}", errno::describe(&error));
                false
            }
        }
    });
}

/// Appends `root` or `alias` of the location, absolute.
fn push_document_root(request: &Request, out: &mut Vec<u8>) {
    let start = out.len();
    match &request.core().root {
        Some(root) => root.path.eval(request, out),
        None => out.extend_from_slice(b"html"),
    }
    request.http.paths.resolve_in(out, start);
}

fn body(variables: &mut Variables) {
    http_define(variables, "content_type", 0, |request, out| put_headers(&request.headers.borrow(), b"content_type", out));
    // A body in chunks has a length once it has been read.
    http_define(variables, "content_length", NO_CACHE, |request, out| {
        if let Some(value) = request.headers.borrow().get(b"content-length") {
            return put(out, value);
        }
        let body = request.body.borrow();
        match body.length() {
            Some(length) if !body.is_none() && body.state() == BodyState::Read => {
                push_number(out, length);
                true
            }
            _ => false,
        }
    });
    http_define(variables, "request_body", 0, |request, out| {
        let body = request.body.borrow();
        if body.is_none() || body.state() != BodyState::Read || body.file().is_some() {
            return false;
        }
        // A client's empty body is a body, that of `ngx.req.set_body_data("")` is none.
        body.with_data(|data| (body.is_clients() || !data.is_empty()) && put(out, data))
    });
    http_define(variables, "request_body_file", 0, |request, out| {
        request.body.borrow().file().is_some_and(|file| put(out, file.path.as_os_str().as_bytes()))
    });
}

/// The port that the client named in the target, or in `Host` where the target names no host.
fn port(request: &Request) -> Option<u16> {
    let request = root(request);
    let line = request.line.borrow();
    match authority(&line.text) {
        Some(named) => port_of(named),
        None => port_of(request.headers.borrow().get(b"host")?),
    }
}

/// Host and port in the target of a request line: that of CONNECT is nothing else.
fn authority(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let (method, target) = (words.next()?, words.next()?);
    if method == b"CONNECT" {
        return Some(target);
    }
    if target.starts_with(b"/") {
        return None;
    }
    let at = memchr::memmem::find(target, b"://")?;
    let rest = target.get(at + 3..)?;
    rest.get(..rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len()))
}

fn port_of(host: &[u8]) -> Option<u16> {
    let colon = memchr::memrchr(b':', host)?;
    let digits = host.get(colon + 1..)?;
    base::text::parse_number(digits).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// The value of a cookie in one `Cookie` line (RFC 6265 section 5.4); names compare without case, as in nginx.
pub(crate) fn cookie<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.split(|b| *b == b';').find_map(|pair| {
        let pair = pair.trim_ascii_start();
        let (key, rest) = pair.split_at_checked(name.len())?;
        let rest = key.eq_ignore_ascii_case(name).then_some(rest)?.trim_ascii_start();
        let value = rest.strip_prefix(b"=")?;
        let start = value.iter().position(|b| *b != b' ').unwrap_or(value.len());
        value.get(start..)
    })
}

/// Appends 32 random hexadecimal digits.
fn push_id(out: &mut Vec<u8>) {
    use std::cell::Cell;
    use std::hash::{BuildHasher, Hasher, RandomState};
    thread_local! {
        // Keyed once per worker from the system's randomness; ids are outputs of SipHash on a counter, as in nginx.
        static KEYS: (RandomState, RandomState) = (RandomState::new(), RandomState::new());
        static OWNER: Cell<u32> = const { Cell::new(0) };
        static COUNTER: Cell<u64> = const { Cell::new(0) };
        static SALT: Cell<u64> = const { Cell::new(0) };
    }
    let pid = std::process::id();
    if OWNER.replace(pid) != pid {
        // After a fork the keys are shared with the siblings: fresh salt keeps their sequences apart.
        let mut salt = [0; 8];
        SALT.set(if getrandom::fill(&mut salt).is_ok() { u64::from_ne_bytes(salt) } else { u64::from(pid) });
    }
    let number = COUNTER.get() + 1;
    COUNTER.set(number);
    KEYS.with(|(first, second)| {
        for key in [first, second] {
            let mut hasher = key.build_hasher();
            hasher.write_u64(SALT.get());
            hasher.write_u64(number);
            let value = hasher.finish();
            for shift in (0..16).rev() {
                push_hex(out, (value >> (shift * 4)) & 15);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_by_name() {
        let line = b"a=1; bb=22;c = 3 ; d; e=1, f=2";
        assert_eq!((cookie(line, b"e"), cookie(line, b"f")), (Some(&b"1, f=2"[..]), None));
        assert_eq!(cookie(line, b"a"), Some(&b"1"[..]));
        assert_eq!(cookie(line, b"BB"), Some(&b"22"[..]));
        assert_eq!(cookie(line, b"c"), Some(&b"3 "[..]));
        assert_eq!(cookie(line, b"b"), None);
        assert_eq!(cookie(line, b"d"), None);
    }

    #[test]
    fn a_target_that_names_a_host_names_the_port() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"CONNECT a:22 HTTP/1.1", Some(b"a:22")),
            (b"CONNECT  a:22  HTTP/1.1", Some(b"a:22")),
            (b"GET http://a:1/b?c HTTP/1.1", Some(b"a:1")),
            (b"GET http://a?b:1 HTTP/1.1", Some(b"a")),
            (b"GET /x?u=http://a:1 HTTP/1.1", None),
            (b"GET", None),
        ];
        for (line, expected) in cases {
            assert_eq!(authority(line), expected);
        }
    }

    #[test]
    fn ports_of_hosts() {
        assert_eq!(port_of(b"example.com:8080"), Some(8080));
        assert_eq!(port_of(b"[::1]:80"), Some(80));
        assert_eq!(port_of(b"[::1]"), None);
        assert_eq!(port_of(b"example.com"), None);
        assert_eq!(port_of(b"example.com:99999"), None);
    }

    #[test]
    fn ids_differ() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        push_id(&mut one);
        push_id(&mut two);
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
        assert!(one.iter().all(u8::is_ascii_hexdigit));
    }
}
