//! `upstream { }` as a protocol of its own reads it: what is said of servers and methods, and what is refused.

use crate::group::{self, Upstream, Upstreams};
use crate::protocol::Protocol;
use crate::{hosts, live, methods, url, zone};
use balance::{Balancing, Measure, ServerState};
use base::log::{ErrorLog, Level};
use conf::context::Context;
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Table, Warnings};
use conf::scope::Frame;
use session::{Cache, Session, Variables};
use std::rc::Rc;

pub(crate) struct Fake(Cache<Fake>);

impl Session for Fake {
    fn cache(&self) -> &Cache<Fake> {
        &self.0
    }
    fn variable_cycle(&self, _: &str) {}
}

/// A protocol whose clients may be bound to servers; without a port of its own if `BOUND` is false.
enum Toy<const BOUND: bool> {}

impl<const BOUND: bool> Protocol for Toy<BOUND> {
    type Session = Fake;
    type Part = ();
    type Own = ();

    const OUTSIDE: Context = Context::STREAM;
    const INSIDE: Context = Context::STREAM_UPSTREAM;
    const PORT: Option<u16> = if BOUND { Some(80) } else { None };
    const OWNER: &'static str = "toy";
    const HAS_BOUND_CLIENTS: bool = BOUND;
    const MEASURES: &'static [(&'static str, Measure)] = &[("header", Measure::Header), ("last_byte", Measure::LastByte)];
    const BETTER: &'static [(&'static str, Option<Measure>)] = &[("least_conn", None), ("least_time=header", Some(Measure::Header))];

    fn own((): ()) {}

    fn error_log(_: &Frame) -> Option<ErrorLog> {
        Some(ErrorLog::stderr(Level::Emerg))
    }
}

type Bound = Toy<true>;
type Loose = Toy<false>;

/// Reads blocks; the frame holds what came of them.
fn read<P: Protocol<Session = Fake>>(text: &str) -> Result<Frame, String> {
    let mut table = Table::default();
    let rows = [
        group::rows::<P>(),
        zone::rows::<P>(),
        methods::hash_rows::<P>(),
        methods::ip_hash_rows::<P>(),
        methods::least_conn_rows::<P>(),
        methods::least_time_rows::<P>(),
        methods::random_rows::<P>(),
    ];
    rows.into_iter().flatten().for_each(|row| table.add(row));
    let frame = Frame::default();
    frame.global.get::<Variables<Fake>>().define("key", 0, Rc::new(|_, _| false));
    let parsed = Parser::new(Text(text.into()), "/").parse_file(b"/conf/nginx.conf");
    let block = parsed.into_result().map_err(|error| error.message)?;
    table.read(&block, P::OUTSIDE, &frame).map_err(|error| error.message)?;
    group::complete::<P>(&frame).map_err(|error| error.message)?;
    Ok(frame)
}

fn refusal<P: Protocol<Session = Fake>>(text: &str) -> String {
    read::<P>(text).err().unwrap_or_else(|| panic!("{text} is read"))
}

fn found<P: Protocol>(frame: &Frame, name: &str) -> Rc<Upstream<P>> {
    frame.main.get::<Upstreams<P>>().find(name.as_bytes()).unwrap().clone()
}

#[test]
fn blocks_that_make_no_group_are_refused() {
    let rows = [
        ("upstream a { }", "no servers are inside upstream"),
        ("upstream a { server 127.0.0.1; } upstream A { server 127.0.0.1; }", "duplicate upstream \"A\""),
        ("upstream a { server 127.0.0.1 backup; }", "no servers in upstream \"a\""),
        ("upstream a { zone \"\" 64k; server 127.0.0.1; }", "invalid zone name \"\""),
        ("upstream a { zone z 64q; server 127.0.0.1; }", "invalid zone size \"64q\""),
        ("upstream a { zone z; server 127.0.0.1; }", "zero size shared memory zone \"z\""),
        ("upstream a { server a.test resolve; }", "resolving names at run time requires upstream \"a\" to be in shared memory"),
        ("upstream a { zone z 64k; server a.test resolve; }", "no resolver defined to resolve names at run time in upstream \"a\""),
        ("upstream a { state /tmp/none/state; }", "\"state\" requires upstream \"a\" to be in shared memory"),
        ("upstream a { server 127.0.0.1; state /tmp/none/state; }", "\"state\" is not allowed in an upstream with \"server\""),
        ("upstream a { state /tmp/none/state; server 127.0.0.1; }", "\"server\" is not allowed in an upstream with \"state\""),
        ("upstream a { state /tmp/none/a; state /tmp/none/b; }", "\"state\" directive is duplicate"),
    ];
    for (text, message) in rows {
        assert_eq!(refusal::<Bound>(text), message, "{text}");
    }
}

#[test]
fn addresses_that_are_none_are_refused() {
    let rows = [
        ("127.0.0.1:0", "invalid port in upstream \"127.0.0.1:0\""),
        ("127.0.0.1:65536", "invalid port in upstream \"127.0.0.1:65536\""),
        ("127.0.0.1:x", "invalid port in upstream \"127.0.0.1:x\""),
        (":80", "no host in upstream \":80\""),
        ("unix:", "no path in the unix domain socket in upstream \"unix:\""),
        ("127.0.0.1/a", "invalid host in upstream \"127.0.0.1/a\""),
        ("[::1", "invalid host in upstream \"[::1\""),
        ("[::1]80", "invalid host in upstream \"[::1]80\""),
        ("[::g]:80", "invalid IPv6 address in upstream \"[::g]:80\""),
        ("a.invalid:80", "host not found in upstream \"a.invalid:80\""),
        ("a b:80", "host not found in upstream \"a b:80\""),
        ("a\tb:80", "host not found in upstream \"a\tb:80\""),
        ("[]:80", "no host in upstream \"[]:80\""),
    ];
    for (address, message) in rows {
        assert_eq!(refusal::<Bound>(&format!("upstream a {{ server \"{address}\"; }}")), message, "{address}");
    }
    assert_eq!(refusal::<Loose>("upstream a { server 127.0.0.1; }"), "no port in upstream \"127.0.0.1\"");
    assert!(read::<Loose>("upstream a { server unix:/run/a; }").is_ok());
}

#[test]
fn parameters_of_servers_that_make_no_sense_are_refused() {
    let rows = [
        "weight=0",
        "weight=1000001",
        "weight=-1",
        "weight=x",
        "weight",
        "weight=",
        "max_fails=x",
        "max_conns=-1",
        "fail_timeout=1x",
        "slow_start=",
        "backup=1",
        "down=yes",
        "drain=1",
        "resolve=on",
        "nothing",
        "=",
    ];
    for word in rows {
        let text = format!("upstream a {{ server 127.0.0.1 {word}; }}");
        assert_eq!(refusal::<Bound>(&text), format!("invalid parameter \"{word}\""));
    }
    for word in ["slow_start=1s", "drain", "route=a"] {
        let text = format!("upstream a {{ server 127.0.0.1:80 {word}; }}");
        assert_eq!(refusal::<Loose>(&text), format!("invalid parameter \"{word}\""), "where no client is bound");
        assert!(read::<Bound>(&text).is_ok(), "{word}");
    }
    let long = "r".repeat(200);
    let rows = [
        ("route=".to_owned(), "route is empty".to_owned()),
        (format!("route={long}"), "route is longer than 32".to_owned()),
        ("service=".to_owned(), "service is empty".to_owned()),
        ("service=http".to_owned(), "service upstream \"127.0.0.1\" requires \"resolve\" parameter".to_owned()),
        ("service=http resolve".to_owned(), "service upstream \"127.0.0.1\" requires domain name".to_owned()),
    ];
    for (words, message) in rows {
        assert_eq!(refusal::<Bound>(&format!("upstream a {{ server 127.0.0.1 {words}; }}")), message);
    }
    let with_port = "upstream a { zone z 64k; server a.test:80 service=http resolve; }";
    assert_eq!(refusal::<Bound>(with_port), "service upstream \"a.test:80\" may not have port");
}

#[test]
fn what_is_said_of_servers_is_kept() {
    let text = "upstream a {
        server 127.0.0.1 weight=5 max_conns=7 max_fails=0 fail_timeout=1m slow_start=1500ms route=r;
        server [::1]:8080 backup;
        server unix:/run/a down;
        server 127.0.0.2:81 drain;
    }";
    let frame = read::<Bound>(text).unwrap();
    let group = found::<Bound>(&frame, "A");
    assert_eq!((&*group.name, &*group.full_name), ("a", "a"));
    let members = group.group.snapshot();
    let servers: Vec<_> = members.peers().map(|peer| &peer.server).collect();
    let names: Vec<_> = servers.iter().map(|server| (&*server.name, server.state, server.backup)).collect();
    let expected = [
        ("127.0.0.1:80", ServerState::Up, false),
        ("unix:/run/a", ServerState::Down, false),
        ("127.0.0.2:81", ServerState::Draining, false),
        ("[::1]:8080", ServerState::Up, true),
    ];
    assert_eq!(names, expected);
    let first = servers[0];
    assert_eq!((first.weight, first.max_conns, first.max_fails, first.fail_timeout, first.slow_start), (5, 7, 0, 60, 1500));
    assert_eq!(first.route.as_deref(), Some("r"));
    let second = servers[3];
    assert_eq!((second.weight, second.max_conns, second.max_fails, second.fail_timeout), (1, 0, 1, 10));
}

#[test]
fn methods_and_their_words() {
    let server = "server 127.0.0.1;";
    let least = |measure, waiting| Balancing::LeastTime { measure, waiting };
    let rows = [
        ("", Balancing::RoundRobin),
        ("hash $key;", Balancing::Hash),
        ("hash $key consistent;", Balancing::ConsistentHash),
        ("ip_hash;", Balancing::IpHash),
        ("least_conn;", Balancing::LeastConnections),
        ("least_time header;", least(Measure::Header, false)),
        ("least_time last_byte inflight;", least(Measure::LastByte, true)),
        ("random;", Balancing::Random),
        ("random two;", Balancing::RandomTwo(None)),
        ("random two least_conn;", Balancing::RandomTwo(None)),
        ("random two least_time=header;", Balancing::RandomTwo(Some(Measure::Header))),
    ];
    for (words, balancing) in rows {
        let frame = read::<Bound>(&format!("upstream a {{ {words} {server} }}")).unwrap();
        let group = found::<Bound>(&frame, "a");
        assert_eq!(group.group.balancing(), balancing, "{words}");
        assert_eq!(group.key.is_some(), words.starts_with("hash"), "{words}");
    }
    let rows = [
        ("hash $key steady;", "invalid parameter \"steady\""),
        ("hash ${key;", "the closing bracket in \"key\" variable is missing"),
        ("least_time quickest;", "invalid value \"quickest\""),
        ("least_time header quickly;", "invalid parameter \"quickly\""),
        ("random three;", "invalid parameter \"three\""),
        ("random two least_time=nothing;", "invalid parameter \"least_time=nothing\""),
    ];
    for (words, message) in rows {
        assert_eq!(refusal::<Bound>(&format!("upstream a {{ {words} {server} }}")), message);
    }
}

#[test]
fn methods_refuse_parameters_that_they_cannot_keep_to() {
    let rows = [
        ("hash $key;", "backup", false),
        ("ip_hash;", "backup", false),
        ("random;", "slow_start=1s", false),
        ("least_conn;", "backup", true),
        ("least_time header;", "slow_start=1s", true),
        ("", "backup", true),
    ];
    for (words, parameter, allowed) in rows {
        let text = format!("upstream a {{ {words} server 127.0.0.1; server 127.0.0.2 {parameter}; }}");
        match allowed {
            true => assert!(read::<Bound>(&text).is_ok(), "{text}"),
            false => assert_eq!(refusal::<Bound>(&text), format!("balancing method does not support parameter \"{parameter}\"")),
        }
    }
}

#[test]
fn a_second_method_takes_the_place_of_the_first_with_a_warning() {
    for (text, warnings, balancing) in [
        ("ip_hash;", 0, Balancing::IpHash),
        ("ip_hash; least_conn;", 1, Balancing::LeastConnections),
        ("hash $key; random; ip_hash;", 2, Balancing::IpHash),
    ] {
        let frame = read::<Bound>(&format!("upstream a {{ {text} server 127.0.0.1; }}")).unwrap();
        let list = std::mem::take(&mut frame.global.get::<Warnings>().list);
        assert_eq!(list.len(), warnings, "{text}");
        assert!(list.iter().all(|warning| warning.message == "load balancing method redefined"), "{list:?}");
        assert_eq!(found::<Bound>(&frame, "a").group.balancing(), balancing, "{text}");
    }
}

#[test]
fn hosts_of_urls_find_groups_or_make_them() {
    let frame = read::<Bound>("upstream App { server 127.0.0.1; }").unwrap();
    let groups = frame.main.get::<Upstreams<Bound>>();
    let parse = |text: &str| url::parse(text.as_bytes(), 80).unwrap();
    let resolve = |text: &str, port| hosts::resolve(&groups, &parse(text), port);
    assert_eq!(&*resolve("app", 80).unwrap().name, "App");
    assert_eq!(resolve("app:80", 80).err().unwrap(), "upstream \"app\" may not have port 80".into());
    assert_eq!(resolve("127.0.0.1", 0).err().unwrap(), "no port in upstream \"127.0.0.1\"".into());
    assert_eq!(resolve("a.invalid", 80).err().unwrap(), "host not found in upstream \"a.invalid\"".into());
    assert_eq!(&*resolve("127.0.0.1", 80).unwrap().full_name, "127.0.0.1:80");
    assert_eq!(&*resolve("[::1]:81", 80).unwrap().full_name, "[::1]:81");
    assert_eq!(&*resolve("unix:/run/a:/b", 0).unwrap().full_name, "unix:/run/a");
    // URLs with variables find groups, which have no port, and hosts that fixed ones have made.
    let known = |text: &str| hosts::known(&groups, &parse(text), 80);
    assert!(known("APP").is_some() && known("app:80").is_none() && known("app:81").is_none());
    assert!(known("127.0.0.1").is_none() && known("localhost").is_none());
    let made = resolve("localhost", 80).unwrap();
    assert!(Rc::ptr_eq(&made, &resolve("LocalHost:80", 80).unwrap()));
    assert!(Rc::ptr_eq(&made, &known("localhost:80").unwrap()));
    assert!(known("localhost:81").is_none());
}

/// A configuration whose group `a` is in a zone and has one server.
fn zoned(more: &str) -> Frame {
    read::<Bound>(&format!("upstream a {{ zone z 256k; {more} server 127.0.0.1; }}")).unwrap()
}

fn change(server: &str) -> live::ServerChange {
    live::ServerChange { server: Some(server.to_owned()), ..live::ServerChange::default() }
}

#[test]
fn changes_of_groups_that_are_refused() {
    let frame = zoned("ip_hash;");
    let named = frame.main.get::<Upstreams<Bound>>().directory().all()[0].clone();
    let backup = live::ServerChange { backup: Some(true), ..change("127.0.0.2") };
    let service = |text: &str, server: &str| live::ServerChange { service: Some(text.to_owned()), ..change(server) };
    let rows = [
        (live::ServerChange::default(), 400, "UpstreamConfFormatError", "missing \"server\" argument"),
        (backup, 400, "UpstreamNoBackup", "upstream \"a\" has no backup"),
        (change("127.0.0.1"), 409, "EntryExists", "entry exists"),
        (change("127.0.0.1:0"), 400, "UpstreamBadAddress", "invalid port while parsing"),
        (change(""), 400, "UpstreamBadAddress", "no host while parsing"),
        (change("a.test"), 400, "UpstreamConfNoResolver", "no resolver defined to resolve \"a.test\""),
        (service("", "a.test"), 400, "UpstreamBadService", "\"service\" is empty"),
        (service("http", "a.test:80"), 400, "UpstreamBadAddress", "service upstream \"a.test:80\" may not have port"),
        (service("http", "127.0.0.1"), 400, "UpstreamBadAddress", "service upstream \"127.0.0.1\" requires domain name"),
    ];
    for (change, status, code, text) in rows {
        let error = live::add(&named, &change).unwrap_err();
        assert_eq!((error.status, error.code, error.text.as_str()), (status, code, text));
    }
    let missing = live::change(&named, 99, &live::ServerChange::default()).unwrap_err();
    assert_eq!((missing.status, missing.code), (404, "UpstreamServerNotFound"));
    assert_eq!(live::remove(&named, 99).unwrap_err().text, "server with ID \"99\" does not exist");
    let elsewhere = live::change(&named, 0, &change("a.test")).unwrap_err();
    assert_eq!((elsewhere.status, elsewhere.code), (400, "UpstreamConfNoResolver"));
    let fixed = read::<Bound>("upstream a { server 127.0.0.1; }").unwrap();
    let named = fixed.main.get::<Upstreams<Bound>>().directory().all()[0].clone();
    for error in
        [live::members(&named).unwrap_err(), live::add(&named, &change("127.0.0.2")).unwrap_err(), live::remove(&named, 0).unwrap_err()]
    {
        assert_eq!((error.status, error.code, error.text.as_str()), (400, "UpstreamStatic", "upstream is static"));
    }
}

#[test]
fn changes_leave_what_they_do_not_name() {
    let frame = zoned("");
    let named = frame.main.get::<Upstreams<Bound>>().directory().all()[0].clone();
    let full = live::ServerChange { weight: Some(3), max_conns: Some(9), route: Some("r".to_owned()), ..change("127.0.0.2:81") };
    let (member, saved) = live::add(&named, &full).unwrap();
    assert!(saved.is_ok());
    let number = member.unwrap().id;
    let standing = |down, drain| live::ServerChange { down, drain, ..live::ServerChange::default() };
    let rows = [
        (standing(Some(true), None), ServerState::Down),
        // A server that is down stays so until that is taken back.
        (standing(None, Some(true)), ServerState::Down),
        (standing(Some(false), Some(true)), ServerState::Draining),
        (standing(None, None), ServerState::Draining),
        (standing(None, Some(false)), ServerState::Up),
    ];
    for (change, expected) in rows {
        let (member, _) = live::change(&named, number, &change).unwrap();
        let server = member.unwrap().server;
        assert_eq!(server.state, expected, "{change:?}");
        assert_eq!((server.weight, server.max_conns, server.route.as_deref(), &*server.name), (3, 9, Some("r"), "127.0.0.2:81"));
    }
    let unbound = live::ServerChange { route: Some(String::new()), ..live::ServerChange::default() };
    assert_eq!(live::change(&named, number, &unbound).unwrap().0.unwrap().server.route, None);
    let moved = live::change(&named, number, &change("127.0.0.3")).unwrap().0.unwrap();
    assert_eq!((&*moved.server.name, &*moved.server.source), ("127.0.0.3:80", "127.0.0.3"));
    assert!(live::remove(&named, number).unwrap().0.is_none());
    assert_eq!(live::members(&named).unwrap().len(), 1);
}

#[test]
fn a_state_file_has_servers_and_nothing_else() {
    let directory = std::env::temp_dir().join(format!("lunette-state-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("state");
    let shown = file.display();
    let text = format!("upstream a {{ zone z 256k; state {shown}; }}");
    let rows = [
        ("server 127.0.0.1 weight=0;\n", format!("invalid parameter \"weight=0\" in {shown}:1")),
        ("server 127.0.0.1;\nkeepalive 1;\n", format!("unknown directive \"keepalive\" in {shown}:2")),
        ("include other;\n", format!("unknown directive \"include\" in {shown}:1")),
    ];
    for (content, message) in rows {
        std::fs::write(&file, content).unwrap();
        assert_eq!(refusal::<Bound>(&text), message, "{content:?}");
    }
    std::fs::write(&file, "server 127.0.0.1").unwrap();
    assert!(refusal::<Bound>(&text).contains("unexpected end of file"));
    // One that is not there has no servers; what comes is written down.
    std::fs::remove_file(&file).unwrap();
    let frame = read::<Bound>(&text).unwrap();
    let named = frame.main.get::<Upstreams<Bound>>().directory().all()[0].clone();
    let added = live::ServerChange { weight: Some(2), ..change("127.0.0.9:90") };
    live::add(&named, &added).unwrap().1.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "server 127.0.0.9:90 weight=2;\n");
    let again = read::<Bound>(&text).unwrap();
    let group = found::<Bound>(&again, "a").group.snapshot();
    assert_eq!(group.peers().map(|peer| peer.server.weight).collect::<Vec<_>>(), [2]);
    std::fs::remove_dir_all(&directory).unwrap();
}
