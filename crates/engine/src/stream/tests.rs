//! Blocks and rows of `stream` against nginx's errors, and what is built from them.

use super::{Finished, rows};
use conf::context::Context;
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table, Warnings};
use conf::scope::Frame;
use conf::tree::Error;
use net::listener::{Kind, ListenSpec};
use session::Outcome;
use std::rc::Rc;
use stream::{Attach, Configuration, Module, Phase, Step};

/// A module whose handlers stand in two phases.
const PROBE: Module = Module {
    attach: |place: &mut Attach<'_>| {
        place.phase(Phase::Access, |_| Step::Now(Outcome::Declined));
        place.phase(Phase::Access, |_| Step::Now(Outcome::Declined));
        place.content(|_| Step::Now(Outcome::Ok));
        Ok(())
    },
    rows: || vec![Row::new("probe", Context::STREAM_SERVER, conf::context::Arity::exactly(0), "Nothing.", |_| Ok(()))],
    ..Module::named("probe")
};

fn load(text: &str) -> Result<(Rc<Configuration>, Vec<ListenSpec>, Vec<String>), Error> {
    let modules: Rc<[Module]> = Rc::from([PROBE]);
    let mut table = Table::default();
    rows(&modules).into_iter().chain((PROBE.rows)()).for_each(|row| table.add(row));
    let text = format!("stream {{ {text} }}");
    let block = Parser::new(Text(text.into()), "/").parse_file(b"/conf/nginx.conf").into_result()?;
    let frame = Frame::default();
    table.read(&block, Context::MAIN, &frame)?;
    let (configuration, specs) = frame.global.take::<Finished>().stream.unwrap();
    let warnings = frame.global.take::<Warnings>().list.into_iter().map(|warning| warning.message).collect();
    Ok((configuration, specs, warnings))
}

fn error(text: &str) -> String {
    load(text).err().unwrap().message
}

#[test]
fn errors_are_nginxs() {
    let table = [
        ("server { }", "no \"listen\" is defined for server"),
        ("server { listen 1; listen 1; }", "a duplicate listen 0.0.0.0:1"),
        ("server { listen 1 udp backlog=2; }", "\"listen\" directive \"backlog\" parameter is incompatible with \"udp\""),
        ("server { listen 1 proxy_protocol udp; }", "\"listen\" directive \"proxy_protocol\" parameter is incompatible with \"udp\""),
        ("server { listen 1 udp so_keepalive=on; }", "\"listen\" directive \"so_keepalive\" parameter is incompatible with \"udp\""),
        ("server { listen 1 default; }", "invalid parameter \"default\""),
        ("server { listen 1 http2; }", "invalid parameter \"http2\""),
        ("server { listen 1 bind; } server { listen 1 bind; }", "duplicate listen options for 0.0.0.0:1"),
        ("server { listen 1 default_server; } server { listen 1 default_server; }", "a duplicate default server for 0.0.0.0:1"),
        ("server { listen 1 ssl; }", "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive"),
        ("server { listen unix:; }", "no path in the unix domain socket in \"unix:\" of the \"listen\" directive"),
        ("server { listen 1/x; }", "invalid host in \"1/x\" of the \"listen\" directive"),
        ("server { listen :1; }", "no host in \":1\" of the \"listen\" directive"),
        ("server { listen :0; }", "invalid port in \":0\" of the \"listen\" directive"),
        ("server { listen 0; }", "invalid port in \"0\" of the \"listen\" directive"),
        ("server { listen 1; server_name ~; }", "empty regex in server name \"~\""),
        ("preread_buffer_size x;", "\"preread_buffer_size\" directive invalid value"),
        ("tcp_nodelay on; tcp_nodelay on;", "\"tcp_nodelay\" directive is duplicate"),
        ("listen 1;", "\"listen\" directive is not allowed here"),
    ];
    for (text, message) in table {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn sockets_are_apart_by_kind_and_a_wildcard_answers_for_others() {
    let (configuration, specs, _) =
        load("server { listen 1-2; listen 1 udp reuseport; } server { listen 127.0.0.1:1; } server { listen 127.0.0.1:2 bind; }").unwrap();
    let shown: Vec<_> = specs.iter().map(|spec| (spec.address.to_string(), spec.kind, spec.reuseport)).collect();
    let expected = [
        ("0.0.0.0:1", Kind::Stream, false),
        ("0.0.0.0:2", Kind::Stream, false),
        ("0.0.0.0:1", Kind::Datagram, true),
        ("127.0.0.1:2", Kind::Stream, false),
    ];
    assert_eq!(shown, expected.map(|(address, kind, reuseport)| (address.to_owned(), kind, reuseport)));
    let endpoints: Vec<_> = configuration.listens.iter().map(|listen| listen.endpoints.len()).collect();
    assert_eq!(endpoints, [2, 1, 1, 1]);
    let local = session::Address::Ip("127.0.0.1:1".parse().unwrap());
    let second = configuration.listens[0].endpoint(&local).unwrap();
    assert!(Rc::ptr_eq(&second.default, &configuration.servers[1]));
}

#[test]
fn protocols_of_an_address_that_change_are_warned_of() {
    let warned = |servers: &str| load(servers).unwrap().2;
    let redefined = ["protocol options redefined for 0.0.0.0:1"];
    let of = |first: &str, second: &str| warned(&format!("server {{ listen 1 {first}; server_name a; }} server {{ listen 1 {second}; }}"));
    assert_eq!(of("proxy_protocol", ""), [""; 0]);
    assert_eq!(of("", "proxy_protocol"), [""; 0]);
    assert_eq!(of("bind", "proxy_protocol"), redefined);
    assert_eq!(of("proxy_protocol", "bind"), redefined);
    let third =
        "server { listen 1 proxy_protocol; } server { listen 1; server_name a; } server { listen 1 proxy_protocol; server_name b; }";
    assert_eq!(warned(third), redefined);
}

#[test]
fn servers_inherit_and_handlers_keep_their_places() {
    let (configuration, _, warnings) = load(
        "preread_timeout 7s; tcp_nodelay off; server { listen 1; preread_timeout 1s; server_name a; } server { listen 1; server_name A; }",
    )
    .unwrap();
    let [one, two] = [&configuration.servers[0], &configuration.servers[1]];
    assert_eq!((one.core.preread_timeout(), two.core.preread_timeout()), (1000, 7000));
    assert_eq!((one.core.tcp_nodelay, &*two.name), (Some(false), &b"a"[..]));
    assert_eq!(warnings, ["conflicting server name \"a\" on 0.0.0.0:1, ignored"]);
    let orders = |server: &stream::Server| server.handlers(Phase::Access).iter().map(|handler| handler.order).collect::<Vec<_>>();
    assert_eq!((orders(one), orders(two)), (vec![0, 1], vec![0, 1]));
    assert!(one.content.is_some());
}
