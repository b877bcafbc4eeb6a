//! The URLs of an ACME server.

use base::authority::{self, Host};
use std::fmt;

/// An absolute URL with `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// With TLS.
    pub(crate) secure: bool,
    /// The host without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
    /// Host and port as written.
    authority: String,
}

impl Url {
    /// Takes a URL apart; `None` if it is none of these.
    pub(crate) fn parse(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = scheme.eq_ignore_ascii_case("https");
        if !(secure || scheme.eq_ignore_ascii_case("http")) || text.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let parsed = authority::parse(authority).ok()?;
        let host = match parsed.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) if name.contains(['@', '[', ']']) => return None,
            Host::Name(name) => name.to_owned(),
        };
        let port = parsed.port.unwrap_or(if secure { 443 } else { 80 });
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(Url { secure, host, port, path: format!("{slash}{path}"), authority: authority.to_owned() })
    }

    /// The URL that a reference means where this one is the base (RFC 3986, 5.2, without dot segments).
    pub(crate) fn join(&self, reference: &str) -> Option<Url> {
        let scheme = if self.secure { "https" } else { "http" };
        if reference.contains("://") {
            return Url::parse(reference);
        }
        if reference.starts_with("//") {
            return Url::parse(&format!("{scheme}:{reference}"));
        }
        let path = self.path.split('?').next().unwrap_or_default();
        let directory = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
        let base = match reference.bytes().next() {
            Some(b'/') => "",
            Some(b'?') | None => path,
            Some(_) => directory,
        };
        Url::parse(&format!("{scheme}://{}{base}{reference}", self.authority))
    }

    /// What goes into `Host`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, host, port, path) in [
            ("https://ca.example", "ca.example", 443, "/"),
            ("http://ca.example:14000/dir?x=1#y", "ca.example", 14000, "/dir?x=1"),
            ("HTTPS://[::1]:8443/a", "::1", 8443, "/a"),
            ("https://[::1]", "::1", 443, "/"),
            ("https://ca.example?x", "ca.example", 443, "/?x"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((&*url.host, url.port, &*url.path), (host, port, path), "{text}");
        }
        for text in [
            "",
            "ca.example",
            "ftp://a/",
            "https://",
            "https:///x",
            "https://a:0/",
            "https://a:x/",
            "https://a b/",
            "https://u@a/",
            "https://[::1",
            "https://é/",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn references() {
        let base = Url::parse("https://ca.example:14000/a/b?c").unwrap();
        for (reference, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x", "https://ca.example:14000/x"),
            ("x", "https://ca.example:14000/a/x"),
            ("?d", "https://ca.example:14000/a/b?d"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected);
        }
    }
}
