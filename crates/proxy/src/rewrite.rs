//! Rewriting of response headers in which an upstream names itself: `Location`, `Refresh` and cookies.

use http::Request;
use http::{Complex, Regex};
use std::rc::Rc;

/// What a rule looks for.
#[derive(Clone)]
pub enum Pattern {
    /// Text: a prefix of URLs and paths, the whole of a domain.
    Text(Complex),
    /// An expression.
    Regex(Rc<Regex>),
}

/// `proxy_redirect`, `proxy_cookie_domain`, `proxy_cookie_path`: what is found, and what comes in its place.
#[derive(Clone)]
pub struct Rule {
    /// What is found.
    pub pattern: Pattern,
    /// What comes in its place.
    pub replacement: Complex,
}

impl Rule {
    /// The value with the rule applied; `None` if the rule does not match.
    fn prefix(&self, request: &Request, value: &[u8]) -> Option<Vec<u8>> {
        match &self.pattern {
            Pattern::Text(text) => {
                let literal;
                let prefix = match text.literal() {
                    Some(text) => text,
                    None => {
                        literal = text.to_vec(request);
                        &literal
                    }
                };
                let rest = value.strip_prefix(prefix)?;
                let mut out = self.replacement.to_vec(request);
                out.extend_from_slice(rest);
                Some(out)
            }
            Pattern::Regex(regex) => regex.exec(request, value).then(|| self.replacement.to_vec(request)),
        }
    }

    /// As [`Rule::prefix`] for domains, which match as a whole and without case; a leading dot stays.
    fn domain(&self, request: &Request, value: &[u8]) -> Option<Vec<u8>> {
        let Pattern::Text(text) = &self.pattern else { return self.prefix(request, value) };
        let (dot, bare) = match value.strip_prefix(b".") {
            Some(bare) => (&b"."[..], bare),
            None => (&b""[..], value),
        };
        bare.eq_ignore_ascii_case(&text.to_vec(request)).then(|| [dot, &self.replacement.to_vec(request)].concat())
    }
}

/// `Location` under the first rule that matches; `None` leaves it.
#[must_use]
pub fn location(rules: &[Rule], request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    rules.iter().find_map(|rule| rule.prefix(request, value))
}

/// `Refresh: 5; url=...`: the URL under the first rule that matches.
#[must_use]
pub fn refresh(rules: &[Rule], request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let at = value.windows(4).position(|w| w.eq_ignore_ascii_case(b"url="))? + 4;
    let (before, url) = value.split_at_checked(at)?;
    let mut out = before.to_vec();
    out.extend(location(rules, request, url)?);
    Some(out)
}

/// A flag of `proxy_cookie_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `secure`, `nosecure`
    Secure(bool),
    /// `httponly`, `nohttponly`
    HttpOnly(bool),
    /// `samesite`, `samesite=...`, `nosamesite`
    SameSite(Option<&'static str>),
}

/// The words of `proxy_cookie_flags`.
pub const FLAGS: [(&str, Flag); 8] = [
    ("secure", Flag::Secure(true)),
    ("nosecure", Flag::Secure(false)),
    ("httponly", Flag::HttpOnly(true)),
    ("nohttponly", Flag::HttpOnly(false)),
    ("samesite=strict", Flag::SameSite(Some("Strict"))),
    ("samesite=lax", Flag::SameSite(Some("Lax"))),
    ("samesite=none", Flag::SameSite(Some("None"))),
    ("nosamesite", Flag::SameSite(None)),
];

/// One `proxy_cookie_flags`: flags for the cookies that the pattern means. Words with variables are read per request.
#[derive(Clone)]
pub struct CookieFlags {
    /// Whole names of cookies, compared without case.
    pub pattern: Pattern,
    /// What is set or removed.
    pub flags: Rc<Vec<Complex>>,
}

/// All that is done to cookies.
#[derive(Clone, Default)]
pub struct CookieRules {
    /// `proxy_cookie_domain`
    pub domains: Rc<Vec<Rule>>,
    /// `proxy_cookie_path`
    pub paths: Rc<Vec<Rule>>,
    /// `proxy_cookie_flags`
    pub flags: Rc<Vec<CookieFlags>>,
}

impl CookieRules {
    /// Whether cookies pass as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.paths.is_empty() && self.flags.is_empty()
    }

    /// A `Set-Cookie` value under the rules; `None` leaves it as it is.
    #[must_use]
    pub fn apply(&self, request: &Request, value: &[u8]) -> Option<Vec<u8>> {
        let mut parts: Vec<Vec<u8>> = value.split(|b| *b == b';').map(|p| p.trim_ascii().to_vec()).collect();
        let mut changed = attribute(&mut parts, b"domain", |v| self.domains.iter().find_map(|r| r.domain(request, v)));
        changed |= attribute(&mut parts, b"path", |v| self.paths.iter().find_map(|r| r.prefix(request, v)));
        changed |= self.set_flags(request, &mut parts);
        changed.then(|| parts.join(&b"; "[..]))
    }

    fn set_flags(&self, request: &Request, parts: &mut Vec<Vec<u8>>) -> bool {
        let name = parts.first().map(|p| p.split(|b| *b == b'=').next().unwrap_or_default().to_vec()).unwrap_or_default();
        let wanted = self.flags.iter().find(|rule| match &rule.pattern {
            Pattern::Text(text) => text.to_vec(request).eq_ignore_ascii_case(&name),
            Pattern::Regex(regex) => regex.exec(request, &name),
        });
        let Some(wanted) = wanted else { return false };
        let mut changed = false;
        for word in wanted.flags.iter() {
            let word = word.to_vec(request);
            let Some((_, flag)) = FLAGS.iter().find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(&word)) else { continue };
            changed = true;
            match flag {
                Flag::Secure(on) => set_bare(parts, b"secure", on.then_some(b"Secure".to_vec())),
                Flag::HttpOnly(on) => set_bare(parts, b"httponly", on.then_some(b"HttpOnly".to_vec())),
                Flag::SameSite(value) => set_bare(parts, b"samesite", value.map(|v| format!("SameSite={v}").into_bytes())),
            }
        }
        changed
    }
}

/// The attribute's name, without its value.
fn name_of(part: &[u8]) -> &[u8] {
    part.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii()
}

/// Replaces an attribute in place, appends it, or removes it.
fn set_bare(parts: &mut Vec<Vec<u8>>, name: &[u8], value: Option<Vec<u8>>) {
    let place = parts.iter().skip(1).position(|p| name_of(p).eq_ignore_ascii_case(name)).map(|i| i + 1);
    match (place, value) {
        (Some(i), Some(value)) => {
            if let Some(slot) = parts.get_mut(i) {
                *slot = value;
            }
        }
        (Some(i), None) => drop(parts.remove(i)),
        (None, Some(value)) => parts.push(value),
        (None, None) => {}
    }
}

fn attribute(parts: &mut [Vec<u8>], name: &[u8], rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    let mut changed = false;
    for part in parts.iter_mut().skip(1) {
        let Some(at) = memchr::memchr(b'=', part) else { continue };
        if !part.get(..at).is_some_and(|n| n.trim_ascii().eq_ignore_ascii_case(name)) {
            continue;
        }
        if let Some(value) = rewrite(part.get(at + 1..).unwrap_or_default()) {
            part.truncate(at + 1);
            part.extend(value);
            changed = true;
        }
    }
    changed
}
