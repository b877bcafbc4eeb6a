//! `ssl_preread`: reads the ClientHello without terminating TLS (nginx manual, `ngx_stream_ssl_preread_module`).

use conf::context::Context;
use conf::row::{self, Row};
use conf::scope::Config;
use conf::tree::Error;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use stream::variables::define;
use stream::{Attach, Levels, Module, Outcome, Preread, Session, Variables};
use wire::h1::host;
use wire::tls::hello::{Hello, Status, extension};

/// `ssl_preread`.
pub const STREAM: Module = Module { rows, levels: Levels::location_only::<Conf>, variables, attach, ..Module::named("ssl_preread") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::STREAM | Context::STREAM_SERVER;
    vec![row::flag("ssl_preread", at, "Looks at the ClientHello before the connection is passed on.", |conf: &mut Conf| &mut conf.on)]
}

fn variables(variables: &mut Variables) {
    define(variables, "ssl_preread_protocol", 0, |session, out| put(session, out, |found| version(found.version)));
    define(variables, "ssl_preread_server_name", 0, |session, out| put(session, out, |found| &found.name));
    define(variables, "ssl_preread_alpn_protocols", 0, |session, out| put(session, out, |found| &found.alpn));
}

fn put(session: &Session, out: &mut Vec<u8>, what: impl FnOnce(&Found) -> &[u8]) -> bool {
    let Some(look) = session.find_context::<HelloReader>() else { return false };
    // While the hello is not whole nothing is known of it, which is not the same as nobody looking.
    if let Some(found) = &*look.found.borrow() {
        out.extend_from_slice(what(found));
    }
    !look.foreign.get()
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if place.conf::<Conf>().on == Some(true) {
        place.preread(parse);
    }
    Ok(())
}

/// What has been seen of a session's hello.
struct HelloReader {
    hello: RefCell<Hello>,
    found: RefCell<Option<Found>>,
    /// It is none.
    foreign: Cell<bool>,
}

impl Default for HelloReader {
    fn default() -> Self {
        HelloReader { hello: RefCell::new(Hello::lenient()), found: RefCell::default(), foreign: Cell::new(false) }
    }
}

fn parse(session: &Rc<Session>) -> Preread {
    if session.is_udp() {
        return Preread::Now(Outcome::Declined);
    }
    if session.preread().is_empty() {
        // Of a client that leaves so nothing is known, as if nobody had looked.
        return Preread::More;
    }
    let look = session.context::<HelloReader>();
    match read(&mut look.hello.borrow_mut(), &session.preread()) {
        Reading::More => return Preread::More,
        Reading::Foreign => {
            look.foreign.set(true);
            return Preread::Now(Outcome::Declined);
        }
        Reading::Found(found) => look.found.replace(Some(found)),
    };
    let name = look.found.borrow().as_ref().and_then(|found| host::validate(&found.name)).map(|host| host.name.to_ascii_lowercase());
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        session.choose_server(&name);
    }
    Preread::Now(Outcome::Ok)
}

/// What a hello says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    version: [u8; 2],
    name: Box<[u8]>,
    alpn: Box<[u8]>,
}

#[derive(Debug, PartialEq, Eq)]
enum Reading {
    More,
    /// No ClientHello.
    Foreign,
    Found(Found),
}

/// Continues to parse `data`, all bytes received so far.
fn read(hello: &mut Hello, data: &[u8]) -> Reading {
    match data {
        // The hello of SSL 2.0, which later versions were offered with, too.
        [first, _, 1, major @ (0 | 3), minor, ..] if first & 0x80 != 0 => {
            return Reading::Found(Found { version: [*major, *minor], ..Found::default() });
        }
        [_, _, _, _, _, ..] => {}
        _ => return Reading::More,
    }
    match hello.parse(data) {
        Ok(Status::Partial) => Reading::More,
        Ok(Status::Complete { .. }) => found(hello).map_or(Reading::Foreign, Reading::Found),
        Err(_) => Reading::Foreign,
    }
}

/// `None`: an extension is broken.
fn found(hello: &Hello) -> Option<Found> {
    let named = hello.extension(extension::SERVER_NAME).is_some();
    let name = hello.server_name();
    if named && name.is_none() {
        return None;
    }
    let alpn: Vec<&[u8]> = hello.alpn().collect();
    let broken = hello.extension(extension::ALPN).is_some() && (alpn.is_empty() || alpn.iter().any(|name| name.is_empty()));
    let version = if hello.extension(extension::VERSIONS).is_some() { 0x0304 } else { hello.version };
    (!broken).then(|| Found { version: version.to_be_bytes(), name: name.unwrap_or_default().into(), alpn: alpn.join(&b","[..]).into() })
}

/// OpenSSL's name of a version; empty if it has none.
fn version(number: [u8; 2]) -> &'static [u8] {
    match number {
        [0, 2] => b"SSLv2",
        [3, 0] => b"SSLv3",
        [3, 1] => b"TLSv1",
        [3, 2] => b"TLSv1.1",
        [3, 3] => b"TLSv1.2",
        [3, 4] => b"TLSv1.3",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake message in one record.
    fn hello(version: [u8; 2], extensions: &[(u16, &[u8])]) -> Vec<u8> {
        hello_with(version, &[0x13, 1], extensions)
    }

    fn hello_with(version: [u8; 2], suites: &[u8], extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let sized = |content: &[u8]| [&(content.len() as u16).to_be_bytes(), content].concat();
        let list: Vec<u8> =
            extensions.iter().flat_map(|(number, content)| [number.to_be_bytes().to_vec(), sized(content)].concat()).collect();
        let body = [&version[..], &[7; 32], &[0], &sized(suites), &[1, 0], &sized(&list)].concat();
        let message = [&[1, 0], &sized(&body)[..]].concat();
        [&[22, 3, 1], &sized(&message)[..]].concat()
    }

    fn with_long_versions() -> Vec<u8> {
        let mut data = hello([3, 3], &[(43, &[2, 3, 4])]);
        let at = data.len() - 4;
        data[at] = 7;
        data
    }

    fn name(text: &str) -> Vec<u8> {
        let size = text.len() as u8;
        [&[0, size + 3, 0, 0, size], text.as_bytes()].concat()
    }

    #[test]
    fn what_hellos_say() {
        let found = |version: [u8; 2], name: &str, alpn: &str| {
            Reading::Found(Found { version, name: name.as_bytes().into(), alpn: alpn.as_bytes().into() })
        };
        let alpn = b"\x00\x0c\x02h2\x08http/1.1";
        let table = [
            (hello([3, 3], &[]), found([3, 3], "", "")),
            (hello([3, 3], &[(0, &name("a.example"))]), found([3, 3], "a.example", "")),
            (hello([3, 3], &[(16, alpn), (43, &[2, 3, 4])]), found([3, 4], "", "h2,http/1.1")),
            (hello_with([3, 1], &[], &[(0, &name("a"))]), found([3, 1], "a", "")),
            // Its length says more than is there, which nobody looks at.
            (with_long_versions(), found([3, 4], "", "")),
            // A name of another kind, a name longer than its list, an empty protocol.
            (hello([3, 3], &[(0, &[0, 4, 1, 0, 1, 97])]), Reading::Foreign),
            (hello([3, 3], &[(0, &[0, 4, 0, 0, 9, 97])]), Reading::Foreign),
            (hello([3, 3], &[(16, &[0, 1, 0])]), Reading::Foreign),
            (vec![0x80, 0x1c, 1, 0, 2], found([0, 2], "", "")),
            (vec![0x80, 0x1c, 1, 3, 1], found([3, 1], "", "")),
            (b"GET / HTTP/1.0".to_vec(), Reading::Foreign),
            (vec![22, 2, 0, 0, 1, 1], Reading::Foreign),
            // A server's hello.
            (vec![22, 3, 1, 0, 1, 2], Reading::Foreign),
            (b"GET".to_vec(), Reading::More),
        ];
        for (data, expected) in table {
            assert_eq!(read(&mut Hello::lenient(), &data), expected, "{data:?}");
        }
    }

    #[test]
    fn pieces_and_records_of_any_size() {
        let whole = hello([3, 3], &[(0, &name("b.example"))]);
        let expected = read(&mut Hello::lenient(), &whole);
        let mut reader = Hello::lenient();
        for end in 1..whole.len() {
            assert_eq!(read(&mut reader, &whole[..end]), Reading::More, "{end} bytes");
        }
        assert_eq!(read(&mut reader, &whole), expected);
        let split: Vec<u8> = whole[5..].chunks(7).flat_map(|part| [&[22, 3, 1, 0, part.len() as u8], part].concat()).collect();
        assert_eq!(read(&mut Hello::lenient(), &split), expected);
    }

    #[test]
    fn versions_have_names() {
        let all = [[0, 2], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4], [3, 5]].map(version);
        assert_eq!(all, [&b"SSLv2"[..], b"SSLv3", b"TLSv1", b"TLSv1.1", b"TLSv1.2", b"TLSv1.3", b""]);
    }
}
