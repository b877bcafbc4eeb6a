//! HTTP/0.9 over QUIC.

use crate::rig::h3;
use crate::rig::quic::{Client, Wishes};
use crate::server_with;

#[test]
fn a_line_is_answered_with_content() {
    let (prefix, port, _running) = server_with(
        "http3_hq on;",
        "location / { root html; } location /lua { content_by_lua_block { ngx.print(ngx.var.http3, ' ', ngx.var.args) } } location /none { return 204; }",
    );
    prefix.write("html/file.txt", &"line\n".repeat(50_000));
    let mut client = Client::connect(port, &Wishes::new(b"hq-interop")).unwrap();
    assert!(client.exchange(b"GET /file.txt\r\n").bytes == "line\n".repeat(50_000).as_bytes());
    assert_eq!(client.exchange(b"GET /lua?x=1").bytes, b"hq x=1");
    let empty = client.exchange(b"GET /none\r\n");
    assert_eq!((empty.bytes.len(), empty.ended), (0, true));
    assert!(String::from_utf8_lossy(&client.exchange(b"PUT /lua\r\n").bytes).contains("400 Bad Request"));
    assert_eq!(client.exchange(b"").reset, Some(0x10d));
    // HTTP/3 is spoken beside it.
    assert_eq!(h3::Client::connect(port).get("/lua?y").text(), "h3 y");
}

#[test]
fn it_is_not_there_unless_asked_for() {
    let (_prefix, port, _running) = server_with("", "");
    assert!(Client::connect(port, &Wishes::new(b"hq-interop")).is_err());
    let (_prefix, port, _running) = server_with("http3 off; http3_hq on;", "");
    assert!(Client::connect(port, &Wishes::new(b"h3")).is_err());
    let mut client = Client::connect(port, &Wishes::new(b"hq-interop")).unwrap();
    assert_eq!(client.exchange(b"GET /ready\r\n").bytes, b"ready");
}
