//! The fuzz targets' invariants, checked with a small deterministic mutator for machines without a fuzzer.

use crate::check;
use crate::h2::check as check_h2;
use crate::h2::client::check as check_client;
use crate::h3::check as check_h3;
use crate::quic::check as check_quic;

const SPICE: &[u8] = b"\0\r\n\t :;,/.%?#+-_AaZ09\x7f\xff=\"'[]{}\\";

fn fuzz(seeds: &[&[u8]], rounds: usize, check: fn(&[u8])) {
    base::mutation::fuzz(seeds, SPICE, rounds, check);
}

#[test]
fn h1_head() {
    let seeds: &[&[u8]] = &[
        b"GET /a/../b%20c.html?x=1 HTTP/1.1\r\nHost: a.b:80\r\nConnection: close\r\n\r\n",
        b"\r\nPOST http://h.x?y HTTP/1.0\nContent-Length: 5\nFoo_bar:  b \n\n",
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /\r\n",
    ];
    fuzz(seeds, 3000, check::h1_head);
}

#[test]
fn h1_response() {
    let seeds: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204\nConnection: close\n\n",
        b"HTTP/1.0 304 Not Modified\r\nHTTP/1.0 304 x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    fuzz(seeds, 5000, check::h1_response);
}

#[test]
fn chunked() {
    let seeds: &[&[u8]] = &[b"5\r\nhello\r\n0\r\n\r\n", b"0005;a=b\r\nhello\r\nA\r\n0123456789\r\n0;x\r\nTrailer: y\r\nB: c\r\n\r\nGET"];
    fuzz(seeds, 10_000, check::chunked);
}

#[test]
fn uri() {
    let seeds: &[&[u8]] =
        &[b"/a/b/../c/./d//e.html?x=%20&y=a+b#f", b"/%2e%2e/%2F..%2fa%3F%23%25b.c", b"?a=b&c&=d", b"/plain/path.tar.gz?q=1"];
    fuzz(seeds, 20_000, check::uri);
}

#[test]
fn range() {
    let seeds: &[&[u8]] = &[
        b"bytes=0-5,7-,-3, 10 - 12",
        b"bytes=9223372036854775807-",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ];
    fuzz(seeds, 20_000, check::range);
}

#[test]
fn mp4() {
    let films = [false, true].map(crate::mp4::cut::tests::film);
    fuzz(&films.each_ref().map(Vec::as_slice), 20_000, check::mp4);
}

#[test]
fn proxy_protocol() {
    let seeds: &[&[u8]] = &[
        b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\nGET / HTTP/1.0\r\n",
        b"PROXY TCP6 2001:db8::1 ::2 1 65535\r\n",
        b"PROXY UNKNOWN a b c\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1e\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02\x01\0\x02h2\x20\0\x0a\x01\0\0\0\0\x22\0\x02cn",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET",
    ];
    fuzz(seeds, 20_000, check::proxy_protocol);
}

#[test]
fn json() {
    let seeds: &[&[u8]] = &[
        br#"{"a":[1,-2.5e3,"x\n\u00e4\ud83d\ude00"],"b":{},"c":null,"d":[[],[true,false]]}"#,
        b" [0x1F, -inf, NaN, +1, 01, 0x1.8p-3] // x\n",
        b"/* a */ \"text\"",
        b"123456789012345678901",
    ];
    fuzz(seeds, 6000, check::json);
}

#[test]
fn dns() {
    let seeds: &[&[u8]] = &[
        b"\0\x07\x81\x80\0\x01\0\x03\0\0\0\0\x01a\x01b\0\0\x01\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01c\xc0\x0e\
\xc0\x1f\0\x01\0\x01\0\0\0\x09\0\x04\x0a\0\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x04\x0a\0\0\x02",
        b"\0\x07\x81\x83\0\x01\0\0\0\0\0\0\x01a\0\0\x1c\0\x01",
        b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x01a\0\0\x21\0\x01\xc0\x0c\0\x21\0\x01\0\0\0\x09\0\x08\0\x01\0\x02\0\x50\xc0\x0c",
    ];
    fuzz(seeds, 20_000, check::dns);
}

#[test]
fn memcached() {
    let seeds: &[&[u8]] = &[
        b"VALUE k 0 5\r\nhello\r\nEND\r\n",
        b"STAT a 1\r\nSTAT b 2\r\nEND\r\n",
        b"NOT_STORED\r\n",
        b"DELETED\r\n",
        b"12 \r\n",
        b"SERVER_ERROR out of memory\r\n",
        b"VERSION 1.6\r\n",
    ];
    fuzz(seeds, 10_000, check::memcached);
}

#[test]
fn hpack() {
    let seeds: &[&[u8]] = &[
        b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\xbe",
        b"\x20\x3f\x61\x40\x0acustom-key\x0dcustom-header\x10\x08password\x06secret\xbe\xbf",
        b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x0f\x0d\x0212\x7f\x00\x01a",
        b"u=1, i",
        &[0x8c; 39],
    ];
    fuzz(seeds, 20_000, check_h2::hpack);
}

#[test]
fn h2_frame() {
    let seeds: &[&[u8]] = &[b"\0\0\x08\x06\0\0\0\0\x0012345678", b"\0\x40\0\x09\x04\xff\xff\xff\xff"];
    fuzz(seeds, 5000, check_h2::h2_frame);
}

#[test]
fn h2_session() {
    let seeds: &[&[u8]] = &[
        b"\0\0\0\x04\x01\0\0\0\0\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x01\x01a\0\0\x08\x06\0\0\0\0\x0012345678",
        b"\0\0\x06\x01\x04\0\0\0\x01\x82\x87\x84\x01\x01a\0\0\x05\0\x08\0\0\0\x01\x01abc\0\0\0\x01\0\x01\0\0\0\x01x",
        b"\0\0\x0b\x01\x20\0\0\0\x03\0\0\0\x01\x09\x82\x87\x84\x01\x01a\0\0\x05\x09\x04\0\0\0\x03\0\x01x\x01y\0\0\x04\x03\0\0\0\0\x03\0\0\0\x08",
        b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x03\0\0\x04\x08\0\0\0\0\0\0\0\0\x09\0\0\x05\x02\0\0\0\0\x05\x80\0\0\0\x0f",
        b"\0\0\x09\x01\x04\0\0\0\x05\x82\x87\x84\x01\x01a\x0f\x0d\x013\0\0\x03\0\x01\0\0\0\x05abc\0\0\x07\x10\0\0\0\0\0\0\0\0\x05u=1",
        b"\0\0\x06\x01\x04\0\0\0\x01\x82\x87\x84\x01\x01a\0\0\x05\x01\x05\0\0\0\x01\0\x01x\x01y\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    fuzz(seeds, 5000, check_h2::h2_session);
    // Half of the window is padding: in pieces there is something to give back before the end is known.
    let padded =
        [&b"\0\0\0\x04\x01\0\0\0\0\0\0\x06\x01\x04\0\0\0\x01\x82\x87\x84\x01\x01a\0\0\x3d\0\x09\0\0\0\x01\x32xxxxxxxxxx"[..], &[0; 50]]
            .concat();
    check_h2::h2_session(&padded);
}

#[test]
fn h2_client() {
    let seeds: &[&[u8]] = &[
        b"\0\0\0\x04\0\0\0\0\0\0\0\x06\x01\x04\0\0\0\x01\x88\0\x01a\x01b\0\0\x02\0\x01\0\0\0\x01hi\0\0\x01\x01\x05\0\0\0\x03\x88",
        b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03103\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\x08\0\0\0\x01\x02ab\0\0\0\0\x05\x01\x05\0\0\0\x01\0\x01x\x01y",
        b"\0\0\x01\x01\x01\0\0\0\x01\x88\0\0\x05\x09\x04\0\0\0\x01\0\x01x\x01y\0\0\x04\x03\0\0\0\0\x01\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\x03\0\0\0\0",
        b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x03\0\0\x04\x08\0\0\0\0\0\0\0\0\x09\0\0\x08\x06\0\0\0\0\x0012345678",
    ];
    fuzz(seeds, 5000, check_client::h2_client);
}

#[test]
fn client_hello() {
    let short = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x030123456789abcdef0123456789abcdef\x00\x00\x02\x13\x01\x01\x00\x00\x00";
    let named = b"\x16\x03\x01\x00\x3d\x01\x00\x00\x39\x03\x030123456789abcdef0123456789abcdef\x00\x00\x02\x13\x01\x01\x00\x00\x0e\
        \x00\x00\x00\x0a\x00\x08\x00\x00\x05a.com";
    fuzz(&[short, named], 3000, check::client_hello);
}

#[test]
fn quic_datagram() {
    let seeds: &[&[u8]] = &[
        b"\xc0\0\0\0\x01\x08abcdefgh\x02xy\x03tok\x40\x08\0\0\0\0\0\0\0\0\xd0\0\0\0\x01\x01a\0\x02zz",
        b"\x06\x04\x03cde\x06\0\x06\x01\0\0\x03ab\0\0\x01\x02\x09\0\x01\0\0\0",
    ];
    fuzz(seeds, 6000, check_quic::quic_datagram);
}

#[test]
fn fastcgi() {
    let seeds: &[&[u8]] = &[
        b"\x01\x06\0\x01\0\x0a\x02\0Status: 20\0\0\x01\x06\0\x01\0\x05\0\x000\n\nhi\x01\x06\0\x01\0\0\0\0\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0",
        b"\x01\x07\0\x01\0\x03\x01\0bad!\x01\x06\0\x01\0\0\x03\0abc",
        b"\x03abc\x01\x06\0\x01\0\x02\0\0xy",
    ];
    fuzz(seeds, 10_000, check::fastcgi);
}

#[test]
fn cgi_head() {
    let seeds: &[&[u8]] = &[
        b"Status: 404 Not Here\r\nContent-Type: a/b\r\n\r\nbody",
        b"HTTP/1.0 200 OK\nLocation: /x\nContent-Length: 5\n\nhello",
        b"HTTP/x\r\nX: y\r\n\r\n",
    ];
    fuzz(seeds, 5000, check::cgi_head);
}

#[test]
fn redis() {
    let seeds: &[&[u8]] = &[b"+OK\r\n-ERR x\r\n:1\r\n", b"$5\r\nhello\r\n$-1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n*-1\r\n"];
    fuzz(seeds, 10_000, check::redis);
}

#[test]
fn qpack() {
    let seeds: &[&[u8]] = &[
        b"\x0d\x3f\xe1\x01\x41\x61\x01\x62\xc1\x02/x\x00\x00\x03\x00\x80\x81",
        b"\x01\x00\x00\x51\x0b/index.html\xd1\x23\x61\x62\x63\x01\x64",
        b"\x00\x84\x48\x01\x80",
    ];
    fuzz(seeds, 6000, check_h3::qpack);
}

#[test]
fn h3_session() {
    let seeds: &[&[u8]] = &[
        b"\x04\x05\x00\x04\x02\x01\x20\x05\x09\x02\x3f\xe1\x01\x41\x61\x01\x62\x00\x0c\x01\x0a\x03\x00\xd1\xd7\xc1\x50\x01a\x80\x00\x02hi",
        b"\x08\x0b\x01\x07\x00\x00\xd1\xd7\xc1\x50\x01a\x21\x02xy\x01\x0d\x01\x04\x02\x00\x80\xd1\x00\x05hello",
        b"\x0a\x04\x03\x84\x48\x01",
    ];
    fuzz(seeds, 6000, check_h3::h3_session);
}
