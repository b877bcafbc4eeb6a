//! TLS in `stream`: the choice of the server, ALPN, clients' certificates, sessions that come back.

use crate::client::{Authority, Client, Connection};
use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use tls::resume::Slot;

/// What a server of `stream` sends to a client that says nothing.
fn heard(client: &Client, port: u16, name: &str, slot: Option<Arc<Slot>>) -> Result<String, String> {
    client.connect(port, name, slot).and_then(Connection::rest)
}

fn started(servers: &str) -> (Prefix, Authority, Foreground, u16) {
    started_beside(servers, "")
}

/// The same beside `http { }`.
fn started_beside(servers: &str, http: &str) -> (Prefix, Authority, Foreground, u16) {
    let (prefix, port, plain) = (Prefix::new(), free_port(), free_port());
    let authority = Authority::new();
    for name in ["a.test", "b.test"] {
        authority.write(&prefix, name);
    }
    prefix.write("conf/authority.crt", &authority.pem());
    let text = format!(
        "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}\nstream {{\n\
         ssl_certificate a.test.crt; ssl_certificate_key a.test.key;\n\
         server {{ listen 127.0.0.1:{plain}; return plain; }}\n{servers}\n}}\n{http}\n"
    );
    prefix.write("conf/nginx.conf", &text.replace("PORT", &port.to_string()));
    let server = Foreground::start(&prefix, plain, "").unwrap();
    (prefix, authority, server, port)
}

#[test]
fn the_name_chooses_the_server_and_its_certificate() {
    let metrics = free_port();
    let (prefix, _, _server, port) = started_beside(
        "server { listen 127.0.0.1:PORT ssl; return \"a:$ssl_server_name:$ssl_protocol:$ssl_session_reused\"; }\n\
         server { listen 127.0.0.1:PORT ssl; server_name b.test ~^(?<what>.+)\\.c\\.test$;\n\
         ssl_certificate $ssl_server_name.crt; ssl_certificate_key $ssl_server_name.key; return \"b:$ssl_server_name:$what\"; }",
        &format!("http {{ server {{ listen 127.0.0.1:{metrics}; metrics; }} }}"),
    );
    let client = Client::new(&["TLSv1.3"], None);
    assert_eq!(heard(&client, port, "a.test", None).unwrap(), "a:a.test:TLSv1.3:.");
    assert_eq!(heard(&client, port, "other.test", None).unwrap(), "a:other.test:TLSv1.3:.");
    assert_eq!(heard(&client, port, "b.test", None).unwrap(), "b:b.test:");
    for suffix in ["crt", "key"] {
        std::fs::copy(prefix.path.join(format!("conf/a.test.{suffix}")), prefix.path.join(format!("conf/x.c.test.{suffix}"))).unwrap();
    }
    assert_eq!(heard(&client, port, "x.c.test", None).unwrap(), "b:x.c.test:x");
    let counted = get(metrics, "/").unwrap().text();
    assert!(counted.contains("tls_handshakes_total 4\n"), "{counted}");
    let slot = Arc::new(Slot::default());
    let both = Client::new(&["TLSv1.2"], None);
    heard(&both, port, "a.test", Some(slot.clone())).unwrap();
    assert_eq!(heard(&both, port, "a.test", Some(slot)).unwrap(), "a:a.test:TLSv1.2:r");
}

#[test]
fn protocols_are_those_that_the_server_names() {
    let (_prefix, _, _server, port) =
        started("server { listen 127.0.0.1:PORT ssl; ssl_alpn first second; return \"[$ssl_alpn_protocol]\"; }");
    assert_eq!(heard(&Client::speaking(b"second"), port, "a.test", None).unwrap(), "[second]");
    assert_eq!(heard(&Client::new(&["TLSv1.3"], None), port, "a.test", None).unwrap(), "[]");
    assert!(heard(&Client::speaking(b"third"), port, "a.test", None).is_err());
}

#[test]
fn who_does_not_satisfy_the_server_is_closed() {
    let (prefix, authority, _server, port) = started(
        "server { listen 127.0.0.1:PORT ssl; ssl_verify_client on; ssl_client_certificate authority.crt; return $ssl_client_verify; }\n\
         server { listen 127.0.0.1:PORT ssl; server_name b.test; ssl_reject_handshake on; return never; }",
    );
    let shown = authority.issue("client");
    assert_eq!(heard(&Client::new(&["TLSv1.3"], Some(&shown)), port, "a.test", None).unwrap(), "SUCCESS");
    assert_eq!(heard(&Client::new(&["TLSv1.3"], None), port, "a.test", None).unwrap(), "");
    until("the reason", || {
        prefix.read("logs/error.log").contains("client sent no required SSL certificate while SSL handshaking, client: ")
    });
    assert!(heard(&Client::new(&["TLSv1.3"], Some(&shown)), port, "b.test", None).is_err());
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(answer.is_empty());
}
