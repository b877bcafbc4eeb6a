//! `set_real_ip_from`, `real_ip_header`, `real_ip_recursive`: the client behind trusted proxies (nginx manual,
//! `ngx_http_realip_module`).

use crate::cidr::{Cidr, forwarded};
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Phase, Request};
use session::{Address, Client, Configured, Variables};
use std::net::ToSocketAddrs;
use std::rc::Rc;

/// The client's real address. First in post-read, and in preaccess for values of locations.
pub const MODULE: Module =
    Module { rows: http_rows, levels: Levels::location_only::<RealIp>, variables: variables::<Request>, attach, ..Module::named("realip") };

/// The client's real address in streams, which only the PROXY protocol names. In post-accept.
pub const STREAM: stream::Module = stream::Module {
    rows: rows::<stream::Session>,
    levels: Levels::location_only::<RealIp>,
    variables: variables::<stream::Session>,
    attach: attach_stream,
    ..stream::Module::named("realip")
};

/// Where the address stands.
#[derive(Clone, PartialEq, Eq)]
enum Source {
    /// All `X-Forwarded-For` fields together.
    Forwarded,
    /// The PROXY protocol.
    Proxy,
    /// The first field of this name.
    Header(Box<[u8]>),
}

#[derive(Default)]
struct RealIp {
    from: Option<Vec<Cidr>>,
    source: Option<Source>,
    recursive: Option<bool>,
}

impl Config for RealIp {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; from, source, recursive);
    }
}

fn rows<S: Configured>() -> Vec<Row> {
    vec![Row::new("set_real_ip_from", S::BLOCKS, Arity::exactly(1), "A proxy that is trusted.", from)]
}

/// A request can name its client itself, too.
fn http_rows() -> Vec<Row> {
    let mut rows = rows::<Request>();
    rows.extend([
        Row::new("real_ip_header", Context::HTTP_ALL, Arity::exactly(1), "The header field that names the client.", |cx| {
            let source = match cx.arg(0) {
                b"X-Forwarded-For" => Source::Forwarded,
                b"proxy_protocol" => Source::Proxy,
                name => Source::Header(name.into()),
            };
            cx.once(&mut cx.location::<RealIp>().source, source)
        }),
        row::flag("real_ip_recursive", Context::HTTP_ALL, "Looks for the last address that is not trusted.", |own: &mut RealIp| {
            &mut own.recursive
        }),
    ]);
    rows
}

fn from(cx: &mut Cx<'_>) -> Result<(), Error> {
    let text = cx.arg(0);
    let mut own = cx.location::<RealIp>();
    let list = own.from.get_or_insert_default();
    if text == b"unix:" {
        list.push(Cidr::Unix);
        return Ok(());
    }
    if let Some(cidr) = Cidr::read(text, |warning| cx.warn(warning)) {
        list.push(cidr);
        return Ok(());
    }
    let name = cx.text(0);
    if name.contains('/') {
        return Err(cx.invalid_parameter(0));
    }
    let found = (&*name, 0u16).to_socket_addrs().map_err(|_| cx.error_at(0, format!("host not found in set_real_ip_from \"{name}\"")))?;
    list.extend(found.map(|address| Cidr::of(address.ip())));
    Ok(())
}

fn variables<S: Client>(variables: &mut Variables<S>) {
    let address = |session: &S, out: &mut Vec<u8>| {
        session.peer().push_host(out);
        true
    };
    let port = |session: &S, out: &mut Vec<u8>| {
        if let Some(port) = session.peer().port().filter(|port| *port != 0) {
            base::text::push_number(out, u64::from(port));
        }
        true
    };
    variables.define("realip_remote_addr", 0, Rc::new(address));
    variables.define("realip_remote_port", 0, Rc::new(port));
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<RealIp>();
    if own.from.is_none() {
        return Ok(());
    }
    // A field that the rewrite phase sets counts too.
    let phases: &[Phase] = if place.is_server { &[Phase::PostRead, Phase::Preaccess] } else { &[Phase::Preaccess] };
    for phase in phases {
        let own = own.clone();
        place.phase(*phase, move |request| {
            replace(request, &own);
            Outcome::Declined.into()
        });
    }
    Ok(())
}

fn attach_stream(place: &mut stream::Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<RealIp>();
    if own.from.is_some() {
        place.phase(stream::Phase::PostAccept, move |session| {
            if let Some(found) = own.proxied(&**session) {
                session.set_client(found);
            }
            Outcome::Declined.into()
        });
    }
    Ok(())
}

fn replace(request: &Request, own: &RealIp) {
    // Once is enough, also after an internal redirect; subrequests see what their parent saw.
    if !request.is_main() || *request.client.borrow() != request.connection.peer {
        return;
    }
    let default = Source::Header((*b"X-Real-IP").into());
    let named = |list: &[u8]| forwarded(request.peer(), list, own.trusted(), own.recursive.unwrap_or(false));
    let found = match own.source.as_ref().unwrap_or(&default) {
        Source::Forwarded => named(&request.forwarded_for()),
        Source::Proxy => own.proxied(request),
        Source::Header(name) => request.headers.borrow().get(name).and_then(named),
    };
    if let Some(found) = found {
        request.set_client(found);
    }
}

impl RealIp {
    fn trusted(&self) -> &[Cidr] {
        self.from.as_deref().unwrap_or_default()
    }

    /// The client that the PROXY protocol names, if who says it is trusted.
    fn proxied<S: Client>(&self, session: &S) -> Option<Address> {
        let trusted = self.trusted().iter().any(|cidr| cidr.contains(session.peer()));
        session.proxied().filter(|_| trusted).map(|proxied| Address::Ip(proxied.client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_tests::{Bare, Setup};

    #[test]
    fn only_who_is_trusted_names_another() {
        let from = |text: &str| Setup::read(text, rows::<Bare>(), |configs| configs.register::<RealIp>()).unwrap();
        let table = [
            ("set_real_ip_from 127.0.0.1;", "127.0.0.1:9", Some("192.0.2.1:7"), Some("192.0.2.1:7")),
            ("set_real_ip_from 127.0.0.0/8; set_real_ip_from unix:;", "unix:", Some("192.0.2.1:7"), Some("192.0.2.1:7")),
            ("set_real_ip_from 10.0.0.0/8;", "127.0.0.1:9", Some("192.0.2.1:7"), None),
            ("set_real_ip_from 127.0.0.1;", "127.0.0.1:9", None, None),
        ];
        for (text, peer, proxied, expected) in table {
            let client = from(text).client(peer, proxied);
            let found = client.conf::<RealIp>().proxied(&client);
            assert_eq!(found, expected.map(|text| Address::Ip(text.parse().unwrap())), "{text}, {peer}");
        }
        let refused = Setup::read("set_real_ip_from a/b;", rows::<Bare>(), |_| {}).err();
        assert_eq!(refused.as_deref(), Some("invalid parameter \"a/b\""));
    }
}
