//! `sticky`: requests of one client go to one server, by a cookie, a route or a learned session.

use balance::sessions::{BindOutcome, Sessions};
use base::clock;
use base::log::Level;
use http::{Complex, Request, log_request};
use session::variable;
use session::variable::VarIndex;

/// What a group's `sticky` says.
pub struct Sticky {
    /// Variables that name the server, or the session; the first that is not empty counts.
    pub lookup: Vec<VarIndex>,
    /// The cookie that names the server.
    pub cookie: Option<Cookie>,
    /// Sessions that are learned.
    pub learn: Option<LearnConf>,
}

/// How sessions are learned.
pub struct LearnConf {
    /// Variables that name a session which begins.
    pub create: Vec<VarIndex>,
    /// What was learned.
    pub sessions: Sessions,
    /// Learned from an answer's head already, not at its end.
    pub at_header: bool,
}

/// A cookie of `sticky cookie`.
#[derive(Default)]
pub struct Cookie {
    /// Its name.
    pub name: Vec<u8>,
    /// `domain`
    pub domain: Option<Complex>,
    /// `path`
    pub path: Option<Vec<u8>>,
    /// `expires`
    pub expires: Option<Expires>,
    /// `httponly`
    pub httponly: bool,
    /// `secure`
    pub secure: bool,
    /// `samesite`
    pub samesite: Option<Complex>,
}

/// When a cookie expires.
#[derive(Clone, Copy)]
pub enum Expires {
    /// `max`
    Never,
    /// Seconds from now.
    After(i64),
}

impl Sticky {
    /// The id that a request has: of a server, or of a session where sessions are learned.
    #[must_use]
    pub fn id(&self, request: &Request) -> Vec<u8> {
        first(&self.lookup, request)
    }

    /// Writes the id of the server that a request with this id is bound to; nothing if it is not bound.
    pub fn bind(&self, id: &[u8], now_ms: u64, server: &mut Vec<u8>) {
        match &self.learn {
            _ if id.is_empty() => {}
            Some(learn) => {
                learn.sessions.find(id, now_ms, server);
            }
            None => server.extend_from_slice(id),
        }
    }

    /// Learns, at the head of an answer or at its end, which server a session is bound to.
    pub fn learn(&self, request: &Request, id: &[u8], server: &str, at_header: bool, now_ms: u64) {
        let Some(learn) = self.learn.as_ref().filter(|learn| learn.at_header == at_header) else { return };
        let created = first(&learn.create, request);
        let session = if created.is_empty() { id } else { &created };
        if session.is_empty() {
            return;
        }
        let name = learn.sessions.name();
        match learn.sessions.bind(session, server.as_bytes(), !created.is_empty(), now_ms) {
            BindOutcome::Kept | BindOutcome::Unknown => {}
            learned => {
                let log = &request.worker.log;
                base::log!(
                    log,
                    Level::Warn,
                    0,
                    "could not allocate node in sticky session zone \"{name}\", expiring least recently used session"
                );
                if learned == BindOutcome::Full {
                    base::log!(log, Level::Alert, 0, "could not allocate node in sticky session zone \"{name}\"");
                }
            }
        }
    }
}

/// The value of the first of these variables that is not empty.
fn first(variables: &[VarIndex], request: &Request) -> Vec<u8> {
    let mut value = Vec::new();
    for index in variables {
        if variable::get_flushed(request, *index, &mut value) && !value.is_empty() {
            break;
        }
        value.clear();
    }
    value
}

impl Cookie {
    /// The cookie that binds a client to `server`.
    #[must_use]
    pub fn value(&self, request: &Request, server: &str) -> Vec<u8> {
        let mut out = self.name.clone();
        out.push(b'=');
        out.extend_from_slice(server.as_bytes());
        match self.expires {
            None => {}
            Some(Expires::Never) => out.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000"),
            Some(Expires::After(seconds)) => {
                out.extend_from_slice(b"; expires=");
                wire::date::cookie(clock::now().sec.saturating_add(seconds), &mut out);
                out.extend_from_slice(format!("; max-age={seconds}").as_bytes());
            }
        }
        push(&mut out, b"; domain=", &self.domain.as_ref().map(|domain| domain.to_vec(request)).unwrap_or_default());
        if self.httponly {
            out.extend_from_slice(b"; httponly");
        }
        if self.secure {
            out.extend_from_slice(b"; secure");
        }
        push(&mut out, b"; samesite=", &self.samesite(request));
        push(&mut out, b"; path=", self.path.as_deref().unwrap_or_default());
        out
    }

    fn samesite(&self, request: &Request) -> Vec<u8> {
        let Some(said) = &self.samesite else { return Vec::new() };
        let value = said.to_vec(request);
        if value.is_empty() || is_samesite(&value) {
            return value;
        }
        log_request!(request, Level::Debug, "sticky: invalid cookie samesite value \"{}\"", String::from_utf8_lossy(&value));
        b"strict".to_vec()
    }
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !value.is_empty() {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
}

/// Whether browsers know this value of `samesite`.
#[must_use]
pub(crate) fn is_samesite(value: &[u8]) -> bool {
    [&b"strict"[..], b"lax", b"none"].iter().any(|known| known.eq_ignore_ascii_case(value))
}
