//! `pass`: another listener of this process, of `http` or `stream`, serves the connection (nginx manual, `ngx_stream_pass_module`).

use base::authority::{self, AuthorityError, Host};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use session::Address;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use stream::pass::PassedConnection;
use stream::{Attach, Complex, Core, Levels, Module, Outcome, Session, log_session, status};

/// `pass`.
pub const STREAM: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("pass") };

/// How often one connection may be passed on.
const MOST: u8 = 10;

/// Where the connections of a server go.
enum Target {
    Fixed(Address),
    Varying(Complex),
}

#[derive(Default)]
struct Conf {
    target: Option<Target>,
}

impl Config for Conf {
    // What a server does is its own.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![Row::new("pass", Context::STREAM_SERVER, Arity::exactly(1), "Another listener of this process serves the connection.", |cx| {
        let target = target(cx)?;
        let mut conf = cx.location::<Conf>();
        if conf.target.is_some() {
            return Err(cx.error("\"pass\" directive is duplicate"));
        }
        conf.target = Some(target);
        drop(conf);
        Core::choose_content(cx, STREAM.name);
        Ok(())
    })]
}

fn target(cx: &Cx<'_>) -> Result<Target, Error> {
    let value: Complex = crate::compile::complex(cx, 0)?;
    if value.literal().is_none() {
        return Ok(Target::Varying(value));
    }
    match address(cx.arg(0)) {
        Ok(address) => Ok(Target::Fixed(address)),
        Err(why @ (Unusable::Text(_) | Unusable::Path)) => Err(cx.error(format!("{why} in \"{}\" of the \"pass\" directive", cx.text(0)))),
        Err(Unusable::Address) => Err(cx.error("\"pass\" directive has no addresses")),
        Err(Unusable::Port) => Err(cx.error("\"pass\" directive has no port")),
    }
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let conf = place.conf::<Conf>();
    if conf.target.is_some() {
        place.content(move |session| conf.target.as_ref().map_or(Outcome::Declined, |target| hand_over(session, target)).into());
    }
    Ok(())
}

fn hand_over(session: &Rc<Session>, target: &Target) -> Outcome {
    session.action.set("passing connection to port");
    if session.is_udp() {
        log_session!(session, Level::Error, "cannot pass udp connection");
        return Outcome::Status(status::INTERNAL_SERVER_ERROR);
    }
    // What was read out of TLS cannot be read by another again; over plain connections it goes along.
    if !session.preread().is_empty() && session.connection.is_tls() {
        log_session!(session, Level::Error, "cannot pass connection with preread data");
        return Outcome::Status(status::INTERNAL_SERVER_ERROR);
    }
    let to = match target {
        Target::Fixed(address) => address.clone(),
        Target::Varying(value) => {
            let text = value.to_vec(session);
            match address(&text) {
                Ok(address) => address,
                Err(why) => {
                    log_session!(session, Level::Error, "{why} in pass \"{}\"", String::from_utf8_lossy(&text));
                    return Outcome::Status(status::INTERNAL_SERVER_ERROR);
                }
            }
        }
    };
    if session.passes >= MOST {
        log_session!(session, Level::Error, "stream pass cycle");
        return Outcome::Status(status::INTERNAL_SERVER_ERROR);
    }
    forward(session, to)
}

fn forward(session: &Rc<Session>, to: Address) -> Outcome {
    let Some(stream) = session.take_stream() else { return Outcome::Error };
    let passed = PassedConnection {
        stream,
        early: session.take_preread().unwrap_or_default(),
        id: session.connection.id,
        client: session.client.borrow().clone(),
        to,
        proxied: session.connection.proxy_protocol.borrow().clone(),
        started_ms: session.connection.started_ms,
        times: session.passes + 1,
    };
    match session.worker.pass(Box::new(passed)) {
        Ok(()) => Outcome::Done,
        Err(back) => {
            let mut name = Vec::new();
            back.to.push_whole(&mut name);
            session.put_stream(back.stream);
            log_session!(session, Level::Error, "port not found for \"{}\"", String::from_utf8_lossy(&name));
            Outcome::Ok
        }
    }
}

/// Why a text is no address of a listener.
#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    /// It cannot be taken apart.
    Text(AuthorityError),
    /// Nothing follows `unix:`.
    Path,
    /// It is a name, which is not looked up, or nothing at all.
    Address,
    Port,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Text(why) => why.text(),
            Unusable::Path => "no path in the unix domain socket",
            Unusable::Address => "no addresses",
            Unusable::Port => "no port",
        })
    }
}

impl std::error::Error for Unusable {}

fn address(text: &[u8]) -> Result<Address, Unusable> {
    if let Some(path) = text.strip_prefix(b"unix:") {
        return if path.is_empty() { Err(Unusable::Path) } else { Ok(Address::Unix(Some(session::paths::os_path(path)))) };
    }
    let text = std::str::from_utf8(text).map_err(|_| Unusable::Address)?;
    let found = authority::parse(text).map_err(Unusable::Text)?;
    match (found.host, found.port) {
        (Host::Name(_), _) => Err(Unusable::Address),
        (Host::Ip(_), None) => Err(Unusable::Port),
        (Host::Ip(ip), Some(port)) => Ok(Address::Ip(SocketAddr::new(ip, port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let table = [
            ("127.0.0.1:80", Ok(Address::Ip("127.0.0.1:80".parse().unwrap()))),
            ("[::1]:80", Ok(Address::Ip("[::1]:80".parse().unwrap()))),
            ("unix:/tmp/x", Ok(Address::Unix(Some("/tmp/x".into())))),
            ("127.0.0.1", Err(Unusable::Port)),
            ("127.0.0.1:0", Err(Unusable::Text(AuthorityError::InvalidPort))),
            ("[::1", Err(Unusable::Text(AuthorityError::InvalidHost))),
            ("[::1]", Err(Unusable::Port)),
            ("localhost:80", Err(Unusable::Address)),
            ("80", Err(Unusable::Address)),
            ("unix:", Err(Unusable::Path)),
            ("", Err(Unusable::Text(AuthorityError::NoHost))),
        ];
        for (text, expected) in table {
            assert_eq!(address(text.as_bytes()), expected, "{text}");
        }
    }
}
