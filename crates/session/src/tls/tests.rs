//! Who gets past `ssl_verify_client`, and what the first bytes of a connection amount to.

use super::*;
use crate::address::Address;
use crate::paths::Paths;
use crate::{Cache, Client, Session};
use base::log::Level;
use conf::context::Context;
use conf::scope::Config;
use std::cell::Ref;

/// A session that is there for its types alone.
struct Bare(Cache<Bare>);

impl Session for Bare {
    fn cache(&self) -> &Cache<Bare> {
        &self.0
    }
    fn variable_cycle(&self, _: &str) {}
}

impl Client for Bare {
    type Server = ();

    fn connection(&self) -> &Rc<Connection<()>> {
        unreachable!()
    }
    fn server_name(&self) -> Box<[u8]> {
        unreachable!()
    }
    fn client(&self) -> Ref<'_, Address> {
        unreachable!()
    }
    fn set_client(&self, _: Address) {}
    fn log_enabled(&self, _: Level) -> bool {
        false
    }
    fn log(&self, _: Level, _: &[u8]) {}
}

impl Configured for Bare {
    const OUTERMOST: Context = Context::STREAM;
    const BLOCKS: Context = Context::STREAM;
    const UPSTREAM: Context = Context::STREAM_UPSTREAM;

    fn conf<T: Config>(&self) -> Rc<T> {
        Rc::default()
    }
    fn main_conf<T: Config>(&self) -> Rc<T> {
        Rc::default()
    }
    fn session_context<T: Default + 'static>(&self) -> Rc<T> {
        Rc::default()
    }
    fn find_lasting<T: 'static>(&self) -> Option<Rc<T>> {
        None
    }
    fn on_end(&self, _: impl FnOnce() + 'static) {}
    fn worker(&self) -> &Worker {
        unreachable!()
    }
    fn paths(&self) -> &Paths {
        unreachable!()
    }
}

impl Secured for Bare {
    fn tls_of(_: &()) -> &ServerTls<Bare> {
        unreachable!()
    }
}

fn info(peer: bool, verdict: (u16, &'static str), lacks_authority: bool, revocation: Revocation) -> TlsInfo<()> {
    TlsInfo {
        server: Rc::new(()),
        is_named: false,
        protocol: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        group: None,
        resumed: false,
        server_name: None,
        alpn: None,
        client_random: [0; 32],
        suites: Box::default(),
        groups: Box::default(),
        signatures: Box::default(),
        exporter: None,
        signed: Default::default(),
        session_id: Box::default(),
        peer: if peer { Box::new([Box::from(&b"der"[..])]) } else { Box::default() },
        verdict,
        revocation,
        lacks_authority,
        early: Cell::new(false),
        leftovers: None,
    }
}

#[test]
fn clients_without_a_good_certificate_are_refused_where_one_is_demanded() {
    use ClientVerify::{Off, On, Optional, OptionalNoCa};
    let good = || info(true, (0, "ok"), false, None);
    let none = || info(false, (0, "ok"), false, None);
    let stranger = || info(true, (18, "self-signed certificate"), true, None);
    let expired = || info(true, (10, "certificate has expired"), false, None);
    let revoked = || info(true, (0, "ok"), false, Some("certificate revoked"));
    let wrong = |words: &str| Some((495, format!("client SSL certificate verify error: {words}")));
    let missing = || Some((496, "client sent no required SSL certificate".to_owned()));
    let rows = [
        (Off, none(), None),
        (Off, expired(), None),
        (Off, revoked(), None),
        (On, good(), None),
        (On, none(), missing()),
        (On, stranger(), wrong("(18:self-signed certificate)")),
        (On, expired(), wrong("(10:certificate has expired)")),
        (On, revoked(), wrong("certificate revoked")),
        (Optional, none(), None),
        (Optional, good(), None),
        (Optional, stranger(), wrong("(18:self-signed certificate)")),
        (Optional, revoked(), wrong("certificate revoked")),
        (OptionalNoCa, none(), None),
        (OptionalNoCa, stranger(), None),
        // An unknown authority excuses nothing else.
        (OptionalNoCa, expired(), wrong("(10:certificate has expired)")),
        (OptionalNoCa, revoked(), wrong("certificate revoked")),
    ];
    for (row, (verify, found, expected)) in rows.into_iter().enumerate() {
        let server = ServerTls::<Bare>::default();
        server.verify.set(verify);
        assert_eq!(server.refusal(Some(&found)), expected, "row {row}, {verify:?}");
        let fault = expected.map(|(status, _)| match (status, found.verdict.0, found.revocation) {
            (496, ..) => TlsCounter::NoCertificate,
            (_, 10, _) => TlsCounter::ExpiredCertificate,
            (_, _, Some(_)) => TlsCounter::RevokedCertificate,
            _ => TlsCounter::OtherFault,
        });
        assert_eq!(server.end(&found), HandshakeEnd::Complete { resumed: found.resumed, fault }, "row {row}, {verify:?}");
    }
}

#[test]
fn plain_text_on_a_port_of_tls_is_refused_whatever_is_demanded() {
    for verify in [ClientVerify::Off, ClientVerify::On, ClientVerify::Optional, ClientVerify::OptionalNoCa] {
        let server = ServerTls::<Bare>::default();
        server.verify.set(verify);
        assert_eq!(server.refusal(None), Some((497, "client sent plain HTTP request to HTTPS port".to_owned())));
    }
}

/// What [`look`] makes of the bytes of a connection: a word, and for what is malformed the alert and the line for the log.
fn seen(bytes: &[u8]) -> (&'static str, Option<u8>, String) {
    match classify(bytes, &mut Default::default()) {
        FirstBytes::More => ("more", None, String::new()),
        FirstBytes::Plain => ("plain", None, String::new()),
        FirstBytes::Hello(_) => ("hello", None, String::new()),
        FirstBytes::Malformed(failed) => ("malformed", failed.alert, failed.lines.into_iter().map(|(_, line)| line).collect()),
    }
}

#[test]
fn first_bytes_are_plain_text_or_a_part_of_a_handshake_or_refused() {
    let rows: &[(&[u8], &str, Option<u8>, &str)] = &[
        (b"", "more", None, ""),
        (b"\x16", "more", None, ""),
        (b"\x16\x03\x01\x00\x05\x01", "more", None, ""),
        (b"GET / HTTP/1.1\r\n", "plain", None, ""),
        (b"\n", "plain", None, ""),
        // SSL 2's ClientHello.
        (b"\x80\x2e\x01\x00\x02", "malformed", Some(70), "unsupported protocol"),
        // A record of another major version, one that is too long, and one that holds no handshake's beginning.
        (b"\x16\x01\x00\x00\x05\x01\x00\x00\x01\x00", "malformed", Some(70), "wrong version number"),
        (b"\x16\x03\x01\xff\xff\x01\x00\x00\x01\x00", "malformed", Some(22), "packet length too long"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "malformed", Some(10), "unexpected message"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "malformed", Some(50), "length mismatch"),
    ];
    for (bytes, word, alert, line) in rows {
        let (found, number, said) = seen(bytes);
        assert_eq!((found, number), (*word, *alert), "{bytes:?}: {said}");
        assert!(said.contains(line), "{bytes:?}: {said}");
    }
}

#[test]
fn who_goes_or_is_silent_gets_no_alert() {
    for (failed, line) in [
        (Failed::closed(), "peer closed connection in SSL handshake"),
        (Failed::silent(), "client closed connection"),
        (Failed::timed_out(), "client timed out (110: Connection timed out)"),
        (Failed::from(net::tls::HandshakeFailure::Closed), "peer closed connection in SSL handshake"),
        (
            Failed::from(net::tls::HandshakeFailure::Io(std::io::Error::from_raw_os_error(104))),
            "peer closed connection in SSL handshake (104: Connection reset by peer)",
        ),
    ] {
        assert_eq!(failed.alert, None);
        assert_eq!(failed.lines, [(Level::Info, line.to_owned())]);
    }
    let plain = Failed::not_tls();
    assert!(plain.lines.iter().all(|(level, line)| *level == Level::Info && line.contains("wrong version number")), "{:?}", plain.lines);
}

#[test]
fn what_code_says_of_a_refusal_stands_before_what_the_library_says() {
    let rejection = |detail: &str| Rejection { alert: 80, detail: detail.to_owned(), error: TlsError::new(258, "unsupported protocol") };
    let failed = Failed::from(rejection("code failed"));
    assert_eq!(failed.alert, Some(80));
    assert_eq!(failed.lines.len(), 2);
    assert_eq!(failed.lines[0], (Level::Error, "code failed".to_owned()));
    assert_eq!(Failed::from(rejection("")).lines.len(), 1);
}
