//! The choice for one client: certificates by name, protocols for ALPN.

use super::Named;
use base::clock;
use http::tls::{Answer, Greeting, Handshakes, Rejection};
use http::{Complex, Request};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tls::certificate::Pair;
use tls::error::TlsError;
use tls::server::Settings;

/// `unrecognized_name` (RFC 6066, 3).
const UNRECOGNIZED_NAME: u8 = 112;
/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;

/// `ssl_certificate_cache`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheLimits {
    /// Most pairs.
    pub(super) max: usize,
    /// Seconds after which a pair is read again.
    pub(super) valid: u64,
    /// Seconds without use after which it goes.
    pub(super) inactive: u64,
}

impl CacheLimits {
    /// Nothing is kept.
    pub(super) const NONE: CacheLimits = CacheLimits { max: 0, valid: 0, inactive: 0 };
}

/// A pair that is kept, when it was read and used, in seconds.
pub(super) struct Kept {
    pair: Pair,
    read: u64,
    used: u64,
    /// The order of uses within one second.
    turn: u64,
}

/// A server's certificates.
pub(super) enum Certificates {
    /// The same for all clients.
    Fixed(Vec<Pair>),
    /// By names with variables.
    Named {
        /// The names.
        pairs: Vec<Named>,
        /// Passwords of the keys.
        passwords: Rc<Vec<Vec<u8>>>,
        /// What is kept.
        limits: CacheLimits,
        /// What is kept, by both names.
        kept: RefCell<HashMap<(String, String), Kept>>,
    },
}

impl Certificates {
    /// Those that need no client.
    pub(super) fn fixed(&self) -> Vec<Pair> {
        match self {
            Certificates::Fixed(pairs) => pairs.clone(),
            Certificates::Named { .. } => Vec::new(),
        }
    }
}

/// Who answers the handshakes of a server.
pub(super) struct Shakes {
    settings: Settings,
    certificates: Certificates,
    reject: bool,
    /// The settings for each list of protocols that was asked for.
    by_alpn: RefCell<Vec<(Vec<&'static [u8]>, Settings)>>,
}

impl Shakes {
    pub(super) fn new(settings: Settings, certificates: Certificates, reject: bool) -> Shakes {
        Shakes { settings, certificates, reject, by_alpn: RefCell::default() }
    }

    fn with_alpn(&self, alpn: &[&'static [u8]]) -> Settings {
        let mut known = self.by_alpn.borrow_mut();
        if let Some((_, settings)) = known.iter().find(|(list, _)| list == alpn) {
            return settings.clone();
        }
        let settings = self.settings.with_alpn(alpn.iter().map(|name| name.to_vec()).collect());
        known.push((alpn.to_vec(), settings.clone()));
        settings
    }
}

impl Handshakes for Shakes {
    fn suites(&self) -> Vec<u16> {
        self.settings.suites().collect()
    }

    fn answer(&self, greeting: &Rc<Greeting>) -> Answer {
        if self.reject {
            return Answer::Now(Err(Rejection { alert: UNRECOGNIZED_NAME, detail: String::new(), error: TlsError::CALLBACK_FAILED }));
        }
        let settings = self.with_alpn(&greeting.alpn);
        Answer::Now(match &self.certificates {
            Certificates::Fixed(_) => Ok(settings),
            Certificates::Named { pairs, passwords, limits, kept } => {
                let request = greeting.request();
                named(&request, pairs, passwords, *limits, kept).map(|pairs| settings.with_pairs(pairs))
            }
        })
    }
}

/// Evaluates the names and reads what they name; an empty name gives no certificate.
fn named(
    request: &Request,
    pairs: &[Named],
    passwords: &[Vec<u8>],
    limits: CacheLimits,
    kept: &RefCell<HashMap<(String, String), Kept>>,
) -> Result<Vec<Pair>, Rejection> {
    let text = |name: &Complex| {
        let value = name.to_vec(request);
        if value.is_empty() || value.starts_with(b"data:") {
            return String::from_utf8_lossy(&value).into_owned();
        }
        request.http.paths.resolve_conf(&value).to_string_lossy().into_owned()
    };
    let mut found = Vec::new();
    for pair in pairs {
        let names = (text(&pair.certificate), pair.key.as_ref().map(text).unwrap_or_default());
        if names.0.is_empty() {
            continue;
        }
        found.push(one(names, passwords, limits, kept)?);
    }
    Ok(found)
}

fn one(
    names: (String, String),
    passwords: &[Vec<u8>],
    limits: CacheLimits,
    kept: &RefCell<HashMap<(String, String), Kept>>,
) -> Result<Pair, Rejection> {
    let now = clock::monotonic_ms() / 1000;
    let mut kept = kept.borrow_mut();
    let turn = kept.values().map(|known| known.turn).max().unwrap_or_default() + 1;
    if let Some(known) = kept.get_mut(&names).filter(|known| now - known.read < limits.valid) {
        (known.used, known.turn) = (now, turn);
        return Ok(known.pair.clone());
    }
    let failed =
        |problem: tls::certificate::LoadError| Rejection { alert: INTERNAL_ERROR, detail: problem.to_string(), error: TlsError::CERT_CB };
    let pair = Pair::load(&names.0, &names.1, passwords).map_err(failed)?;
    if limits.max > 0 {
        kept.retain(|_, known| now - known.used < limits.inactive);
        // A certificate and its key count as two.
        if 2 * kept.len() + 2 > limits.max
            && let Some(oldest) = kept.iter().min_by_key(|(_, known)| known.turn).map(|(names, _)| names.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(names, Kept { pair: pair.clone(), read: now, used: now, turn });
    }
    Ok(pair)
}
