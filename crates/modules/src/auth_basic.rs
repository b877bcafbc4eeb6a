//! `auth_basic`, `auth_basic_user_file`: HTTP Basic authentication (RFC 7617; nginx manual, `ngx_http_auth_basic_module`).

mod hash;

use crate::compile::complex;
use base::errno;
use base::log::Level;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Complex, Headers, Levels, Module, Outcome, Phase, Request, Step, log_request};
use session::alarms::Alarms;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Basic authentication. In the access phase, after `allow`/`deny`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<AuthBasic>, attach, ..Module::named("auth_basic") };

#[derive(Default)]
struct AuthBasic {
    realm: Option<Complex>,
    user_file: Option<Complex>,
}

impl Config for AuthBasic {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; realm, user_file);
    }
}

fn rows() -> Vec<Row> {
    let contexts = Context::HTTP_ALL | Context::LIMIT_EXCEPT;
    vec![
        Row::new("auth_basic", contexts, Arity::exactly(1), "Asks for a name and a password.", |cx| {
            let value = complex(cx, 0)?;
            cx.once(&mut cx.location::<AuthBasic>().realm, value)
        }),
        Row::new("auth_basic_user_file", contexts, Arity::exactly(1), "File of names and passwords.", |cx| {
            let value = complex(cx, 0)?;
            cx.once(&mut cx.location::<AuthBasic>().user_file, value)
        }),
    ]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<AuthBasic>();
    if own.realm.as_ref().is_none_or(|realm| realm.literal() == Some(b"off")) || own.user_file.is_none() {
        return Ok(());
    }
    place.phase(Phase::Access, move |request| delayed(request, check(request, &own)));
    Ok(())
}

/// The outcome, a refusal only after `auth_delay`: guessing passwords by the time of a response gains nothing.
pub(crate) fn delayed(request: &Request, outcome: Outcome) -> Step {
    let delay = request.core().auth_delay.unwrap_or(0);
    if delay == 0 || !matches!(outcome, Outcome::Status(401 | 407)) {
        return Step::Now(outcome);
    }
    let alarm = Alarms::after(&request.worker, Duration::from_millis(delay));
    Step::wait(|| async move {
        alarm.await;
        outcome
    })
}

/// A name and a password as a client sent them.
pub struct Credentials {
    /// The name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Vec<u8>,
}

/// Whether the client is to say who it is to a proxy: it asks for a tunnel.
#[must_use]
pub fn is_proxy(request: &Request) -> bool {
    request.method() == http::Method::CONNECT
}

/// What `Authorization: Basic …` says, or `Proxy-Authorization` to a `proxy` (RFC 7617 section 2); `None` if there is no such header or it is malformed.
pub fn credentials(headers: &Headers, proxy: bool) -> Option<Credentials> {
    const DECODER: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
    );
    let value = headers.get(if proxy { b"proxy-authorization" } else { b"authorization" })?;
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let start = rest.iter().position(|b| *b != b' ')?;
    let decoded = DECODER.decode(rest.get(start..)?.trim_ascii_end()).ok()?;
    let colon = memchr::memchr(b':', &decoded).filter(|at| *at > 0)?;
    Some(Credentials { user: decoded.get(..colon)?.to_vec(), password: decoded.get(colon + 1..)?.to_vec() })
}

fn check(request: &Rc<Request>, own: &AuthBasic) -> Outcome {
    let (Some(realm), Some(user_file)) = (&own.realm, &own.user_file) else { return Outcome::Declined };
    let realm = realm.to_vec(&**request);
    if realm == b"off" {
        return Outcome::Declined;
    }
    let given = credentials(&request.headers.borrow(), is_proxy(request));
    let Some(given) = given else {
        request.log(Level::Info, b"no user/password was provided for basic authentication");
        return challenge(request, &realm);
    };
    let path = request.http.paths.resolve_conf(&user_file.to_vec(&**request));
    let name = path.display();
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let level = if missing { Level::Error } else { Level::Crit };
            log_request!(request, level, "open() \"{name}\" failed {}", errno::describe(&error));
            return Outcome::Status(if missing { 403 } else { 500 });
        }
    };
    let user = String::from_utf8_lossy(&given.user).into_owned();
    let Some(stored) = find(&text, &given.user) else {
        log_request!(request, Level::Error, "user \"{user}\" was not found in \"{name}\"");
        return challenge(request, &realm);
    };
    match hash::verify(&given.password, stored) {
        Some(true) => Outcome::Ok,
        Some(false) => {
            log_request!(request, Level::Error, "user \"{user}\": password mismatch");
            challenge(request, &realm)
        }
        None => {
            log_request!(request, Level::Error, "user \"{user}\": the form of the stored password is not supported");
            Outcome::Status(500)
        }
    }
}

/// The password of `user` in a file of `name:password[:comment]` lines.
fn find<'a>(text: &'a [u8], user: &[u8]) -> Option<&'a [u8]> {
    text.split(|b| *b == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#' | b'\r'))).find_map(|line| {
        let rest = line.strip_prefix(user)?.strip_prefix(b":")?;
        rest.split(|b| matches!(b, b'\r' | b':')).next()
    })
}

fn challenge(request: &Request, realm: &[u8]) -> Outcome {
    let mut value = b"Basic realm=\"".to_vec();
    value.extend_from_slice(realm);
    value.push(b'"');
    let (name, status): (&[u8], u16) = if is_proxy(request) { (b"Proxy-Authenticate", 407) } else { (b"WWW-Authenticate", 401) };
    request.response.borrow_mut().headers.push(name, &value);
    Outcome::Status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut headers = Headers::default();
        headers.push(b"Authorization", value);
        credentials(&headers, false).map(|c| (c.user, c.password))
    }

    #[test]
    fn headers_of_clients() {
        assert_eq!(with(b"Basic dXNlcjpwOnc="), Some((b"user".to_vec(), b"p:w".to_vec())));
        assert_eq!(with(b"basic   dXNlcjpwOnc"), Some((b"user".to_vec(), b"p:w".to_vec())));
        assert_eq!(with(b"Basic OnB3"), None);
        assert_eq!(with(b"Basic dXNlcg=="), None);
        assert_eq!(with(b"Bearer dXNlcjpwOnc="), None);
        assert_eq!(with(b"Basic "), None);
    }

    #[test]
    fn lines_of_the_file() {
        let text = b"# c:x\n\na:one\r\nab:two:note\nb:three";
        assert_eq!(find(text, b"a"), Some(&b"one"[..]));
        assert_eq!(find(text, b"ab"), Some(&b"two"[..]));
        assert_eq!(find(text, b"b"), Some(&b"three"[..]));
        assert_eq!(find(text, b"# c"), None);
        assert_eq!(find(text, b"c"), None);
    }
}
