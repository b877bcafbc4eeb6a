//! Whether a client takes gzip or brotli: `Accept-Encoding`, proxies, old browsers (`gzip_http_version`, `gzip_proxied`,
//! `gzip_disable`, `gzip_vary`).

use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::line::Version;
use http::{Levels, Module, Regex, Request, Variables};
use std::rc::Rc;

/// The module; it has no filter of its own.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, ..Module::named("accept_gzip") };

const OFF: u32 = 1;
const EXPIRED: u32 = 2;
const NO_CACHE: u32 = 4;
const NO_STORE: u32 = 8;
const PRIVATE: u32 = 16;
const NO_LAST_MODIFIED: u32 = 32;
const NO_ETAG: u32 = 64;
const AUTH: u32 = 128;
const ANY: u32 = 256;

/// `gzip_proxied`: reasons to compress for proxies.
const PROXIED: [(&str, u32); 9] = [
    ("off", OFF),
    ("expired", EXPIRED),
    ("no-cache", NO_CACHE),
    ("no-store", NO_STORE),
    ("private", PRIVATE),
    ("no_last_modified", NO_LAST_MODIFIED),
    ("no_etag", NO_ETAG),
    ("auth", AUTH),
    ("any", ANY),
];

/// Values of the directives.
#[derive(Default)]
pub(crate) struct Conf {
    version: Option<Version>,
    proxied: Option<u32>,
    disable: Option<Rc<Vec<Regex>>>,
    vary: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; version, proxied, disable, vary);
    }
}

impl Conf {
    /// `gzip_vary on`
    pub(crate) fn varies(&self) -> bool {
        self.vary == Some(true)
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    let versions = [("1.0", Version::Http10), ("1.1", Version::Http11)];
    vec![
        Row::new("gzip_http_version", at, Arity::exactly(1), "Lowest version of requests that are answered compressed.", move |cx| {
            let version = cx.choice(0, &versions)?;
            cx.once(&mut cx.location::<Conf>().version, version)
        }),
        Row::new("gzip_proxied", at, Arity::AtLeast(1), "When requests that came through a proxy are answered compressed.", |cx| {
            let before = cx.location::<Conf>().proxied;
            let value = cx.bitmask(before, &PROXIED)?;
            cx.location::<Conf>().proxied = Some(value);
            Ok(())
        }),
        Row::new("gzip_disable", at, Arity::AtLeast(1), "User agents that are answered uncompressed.", |cx| {
            let value = Rc::new(disable(cx)?);
            cx.once(&mut cx.location::<Conf>().disable, value)
        }),
        row::flag::<Conf>("gzip_vary", at, "Adds Vary: Accept-Encoding where compression depends on the client.", |c| &mut c.vary),
    ]
}

fn disable(cx: &Cx<'_>) -> Result<Vec<Regex>, Error> {
    let mut list = Vec::new();
    for i in 0..cx.args().len() {
        let pattern = match cx.arg(i) {
            b"msie6" => &b"MSIE [4-5]\\.|MSIE 6\\.(?!.*SV1)"[..],
            b"degradation" => continue,
            other => other,
        };
        list.push(Regex::new(pattern, true, &mut cx.global::<Variables>()).map_err(|e| cx.error_at(i, e))?);
    }
    Ok(list)
}

/// Whether this response may be compressed for this client (`ngx_http_gzip_ok`).
pub(crate) fn accepted(request: &Request, conf: &Conf) -> bool {
    if !request.is_main() {
        return false;
    }
    let headers = request.headers.borrow();
    if !headers.get(b"Accept-Encoding").is_some_and(|value| names(value, b"gzip")) {
        return false;
    }
    if let Some(agent) = headers.get(b"User-Agent")
        && conf.disable.iter().flat_map(|d| d.iter()).any(|regex| regex.is_match(agent))
    {
        return false;
    }
    if request.version() < conf.version.unwrap_or(Version::Http11) {
        return false;
    }
    !headers.contains(b"Via") || for_proxies(request, conf.proxied.unwrap_or(OFF), headers.contains(b"Authorization"))
}

/// Whether this response may be compressed with brotli. Versions, proxies and old browsers do not matter: whoever names it, takes it.
pub(crate) fn names_brotli(request: &Request) -> bool {
    request.is_main() && request.headers.borrow().get(b"Accept-Encoding").is_some_and(|value| names(value, b"br"))
}

/// nginx's reading of `gzip_proxied`: the reasons are tried in this order, and an expiry that is known decides.
fn for_proxies(request: &Request, set: u32, authorized: bool) -> bool {
    let has = |bit| set & bit != 0;
    if has(OFF) {
        return false;
    }
    if has(ANY) || (authorized && has(AUTH)) {
        return true;
    }
    let response = request.response.borrow();
    let headers = &response.headers;
    if let Some(expires) = headers.get(b"Expires") {
        let date = match headers.get(b"Date") {
            Some(date) => wire::date::parse(date),
            None => Some(base::clock::now().sec),
        };
        let expired = wire::date::parse(expires).zip(date).is_some_and(|(expires, date)| expires < date);
        return has(EXPIRED) && expired;
    }
    if headers.contains(b"Cache-Control") {
        let says = |word: &[u8]| headers.get_all(b"Cache-Control").any(|v| has_token(v, word));
        return (has(NO_CACHE) && says(b"no-cache")) || (has(NO_STORE) && says(b"no-store")) || (has(PRIVATE) && says(b"private"));
    }
    // Each of them only rules out; a response that nothing speaks against is compressed.
    let dated = response.last_modified.is_some() || headers.contains(b"Last-Modified");
    !((has(NO_LAST_MODIFIED) && dated) || (has(NO_ETAG) && headers.contains(b"ETag")))
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|b| *b == b',').any(|part| {
        let part = part.trim_ascii();
        let end = memchr::memchr2(b'=', b';', part).unwrap_or(part.len());
        part.get(..end).is_some_and(|name| name.eq_ignore_ascii_case(token))
    })
}

/// Whether an `Accept-Encoding` names a coding with a quality above zero; `*` does not count, as in nginx.
fn names(value: &[u8], coding: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|part| {
        let mut fields = part.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        if !fields.next().is_some_and(|name| name.eq_ignore_ascii_case(coding)) {
            return false;
        }
        fields.all(|field| match field.split_at_checked(2) {
            Some((name, quality)) if name.eq_ignore_ascii_case(b"q=") => quality.iter().any(|b| matches!(b, b'1'..=b'9')),
            _ => true,
        })
    })
}

/// Adds `Vary: Accept-Encoding` if `gzip_vary` is on: the response would differ for another client.
pub(crate) fn vary(request: &Request, conf: &Conf) {
    if conf.vary != Some(true) {
        return;
    }
    let mut response = request.response.borrow_mut();
    let there = response.headers.get_all(b"Vary").any(|v| has_token(v, b"Accept-Encoding"));
    if !there {
        response.headers.push_first(b"Vary", b"Accept-Encoding");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("GZIP ; Q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("x-gzip", false),
            ("deflate", false),
            ("*", false),
        ] {
            assert_eq!(names(value.as_bytes(), b"gzip"), want, "{value}");
        }
    }

    #[test]
    fn tokens() {
        assert!(has_token(b"max-age=3, No-Cache", b"no-cache"));
        assert!(has_token(b"private=\"x\"", b"private"));
        assert!(!has_token(b"no-cached", b"no-cache"));
    }
}
