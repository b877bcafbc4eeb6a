//! Heads of responses.

use super::*;
use crate::fields;
use crate::h1::head_out;
use crate::output::{Next, Output};
use http::Method;
use http::core::ServerTokens;
use http::line::Version;
use http::response::Response;

/// What is written for a response that `change` makes, without `Date` unless it is another's, and whether content goes in chunks.
fn written(core: Core, change: impl Fn(&Request, &mut Response)) -> (String, bool) {
    let (request, _) = request(server("", core, ServerCore::default()));
    request.flags.keepalive.set(true);
    request.line.borrow_mut().method = Method::GET;
    {
        let mut response = request.response.borrow_mut();
        response.set_status(200);
        change(&request, &mut response);
    }
    let mut output = Output::default();
    let chunked = head_out::write(&mut output, &request);
    let Next::Memory(bytes) = output.next() else { panic!("nothing is written") };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(output.queued(), text.len() as u64);
    let head = text.strip_suffix("\r\n\r\n").expect("an empty line ends it");
    assert!(!head.contains("\r\n\r\n"), "and only one: {head}");
    let lines = head.split("\r\n").filter(|line| !line.starts_with("Date: ") || line.contains("own"));
    (lines.collect::<Vec<_>>().join("|"), chunked)
}

const SERVER: &str = engine::error_page::PRODUCT_VERSION;

#[test]
fn content_is_framed_by_length_or_chunks_or_the_end() {
    let unchunked = || Core { chunked_transfer_encoding: Some(false), ..Core::default() };
    type Change = fn(&Request, &mut Response);
    let rows: [(Core, Change, &str, bool); 12] = [
        (Core::default(), |_, r| r.content_length = Some(4), "Content-Length: 4|Connection: keep-alive", false),
        (Core::default(), |_, _| {}, "Transfer-Encoding: chunked|Connection: keep-alive", true),
        (unchunked(), |_, _| {}, "Connection: close", false),
        (Core::default(), |q, _| q.line.borrow_mut().version = Version::Http10, "Connection: close", false),
        (unchunked(), |_, r| r.content_length = Some(4), "Content-Length: 4|Connection: keep-alive", false),
        // Trailers need chunks, whatever the length.
        (
            Core::default(),
            |q, r| {
                q.flags.expects_trailers.set(true);
                r.content_length = Some(4);
            },
            "Transfer-Encoding: chunked|Connection: keep-alive",
            true,
        ),
        (Core::default(), |q, _| q.flags.header_only.set(true), "Connection: keep-alive", false),
        (
            Core::default(),
            |q, r| {
                q.flags.header_only.set(true);
                r.content_length = Some(4);
            },
            "Content-Length: 4|Connection: keep-alive",
            false,
        ),
        // This has no length (RFC 9110, 8.6), whatever was said; the next one may tell what a 200 would have had.
        (
            Core::default(),
            |q, r| {
                r.set_status(204);
                r.content_length = Some(4);
                q.flags.header_only.set(true);
            },
            "Connection: keep-alive",
            false,
        ),
        (
            Core::default(),
            |q, r| {
                r.set_status(304);
                r.content_length = Some(4);
                q.flags.header_only.set(true);
            },
            "Content-Length: 4|Connection: keep-alive",
            false,
        ),
        (Core::default(), |_, r| r.set_status(101), "Connection: upgrade", false),
        (Core::default(), |q, _| q.line.borrow_mut().method = Method::CONNECT, "Connection: keep-alive", false),
    ];
    for (row, (core, change, expected, chunks)) in rows.into_iter().enumerate() {
        let (text, chunked) = written(core, change);
        let rest = text.split_once(SERVER).map(|(_, rest)| rest.trim_start_matches('|').to_owned());
        assert_eq!((rest.as_deref(), chunked), (Some(expected), chunks), "row {row}: {text}");
    }
}

#[test]
fn status_lines() {
    type Change = fn(&mut Response);
    let rows: [(Change, &str); 6] = [
        (|r| r.set_status(404), "HTTP/1.1 404 Not Found"),
        (|r| r.set_status(299), "HTTP/1.1 299 "),
        (|r| r.set_status(999), "HTTP/1.1 999 "),
        (|r| r.status_line = b"200 Fine".to_vec(), "HTTP/1.1 200 Fine"),
        (|r| r.status_line = b"200 a\r\nX: y".to_vec(), "HTTP/1.1 200 a%0D%0AX: y"),
        (|r| r.take_status_line(b"200 OK"), "HTTP/1.1 200 OK"),
    ];
    for (change, expected) in rows {
        let (text, _) = written(Core::default(), |_, response| change(response));
        assert_eq!(text.split('|').next(), Some(expected));
    }
}

#[test]
fn who_serves_and_when_is_said_once() {
    let tokens = |tokens| Core { server_tokens: Some(tokens), ..Core::default() };
    type Change = fn(&mut Response);
    let rows: [(Core, Change, &str); 8] = [
        (Core::default(), |_| {}, SERVER),
        (tokens(ServerTokens::Build), |_| {}, SERVER),
        (tokens(ServerTokens::Off), |_| {}, engine::error_page::PRODUCT),
        (tokens(ServerTokens::Custom(complex("mine"))), |_| {}, "mine"),
        (tokens(ServerTokens::Custom(complex(""))), |_| {}, ""),
        (Core::default(), |r| r.no_server = true, ""),
        (Core::default(), |r| r.headers.push(b"server", b"upstream's"), "upstream's"),
        (tokens(ServerTokens::Off), |r| r.headers.push(b"Server", b"upstream's"), "upstream's"),
    ];
    for (row, (core, change, expected)) in rows.into_iter().enumerate() {
        let (text, _) = written(core, |_, response| change(response));
        let found: Vec<&str> = text
            .split('|')
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.eq_ignore_ascii_case("server"))
            .map(|(_, value)| value)
            .collect();
        let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
        assert_eq!(found, expected, "row {row}");
    }
    let (text, _) = written(Core::default(), |_, response| response.headers.push(b"Date", b"own"));
    assert_eq!(text.matches("Date: ").count(), 1, "{text}");
}

#[test]
fn fields_come_in_nginxs_order_and_none_splits_the_head() {
    let core = Core { keepalive_header: Some(20), ..Core::default() };
    let (text, _) = written(core, |_, response| {
        response.content_length = Some(1);
        response.set_content_type(b"text/html");
        response.set_charset(b"utf-8");
        response.last_modified = Some(784_111_777);
        response.redirect_to(b"/there\r\nX-Evil: 1");
        response.headers.push(b"X-One", b"1\nX-Evil: 1");
        response.headers.push(b"Location", b"another's");
        // What the framing says is not said twice.
        for name in ["Connection", "keep-alive", "Content-Length", "transfer-encoding"] {
            response.headers.push(name.as_bytes(), b"wrong");
        }
    });
    let expected = format!(
        "HTTP/1.1 200 OK|Server: {SERVER}|Content-Type: text/html; charset=utf-8|Content-Length: 1|\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT|Location: /there%0D%0AX-Evil: 1|Connection: keep-alive|Keep-Alive: timeout=20|\
         X-One: 1%0AX-Evil: 1|Location: another's"
    );
    assert_eq!(text, expected);
}

#[test]
fn the_beginning_that_is_kept_is_that_of_the_same_answer() {
    // Kinds that fall into one place: statuses and types that differ, one after the other and back.
    type Change = fn(&mut Response);
    let kinds: [(Change, &str); 5] = [
        (|r| r.set_content_type(b"text/html"), "HTTP/1.1 200 OK|Content-Type: text/html"),
        (|r| r.set_content_type(b"image/png"), "HTTP/1.1 200 OK|Content-Type: image/png"),
        (
            |r| {
                r.set_status(208);
                r.set_content_type(b"text/html");
            },
            "HTTP/1.1 208 |Content-Type: text/html",
        ),
        (
            |r| {
                r.set_content_type(b"text/html");
                r.set_charset(b"utf-8");
            },
            "HTTP/1.1 200 OK|Content-Type: text/html; charset=utf-8",
        ),
        (|_| {}, "HTTP/1.1 200 OK"),
    ];
    for _ in 0..3 {
        for (change, expected) in kinds {
            let (text, _) = written(Core::default(), |_, response| change(response));
            let found: Vec<&str> = text.split('|').filter(|line| line.starts_with("HTTP") || line.starts_with("Content-Type")).collect();
            assert_eq!(found.join("|"), expected);
        }
    }
}

#[test]
fn fields_that_are_decided_elsewhere() {
    let rows = [
        ("Connection", true, true),
        ("KEEP-ALIVE", true, true),
        ("content-length", true, true),
        ("Transfer-Encoding", true, true),
        ("Location", true, true),
        ("location", false, false),
        ("Content-Lengths", true, false),
        ("Connections", true, false),
        ("X", true, false),
        ("", true, false),
    ];
    for (name, own, decided) in rows {
        let mut own_location = own;
        assert_eq!(fields::is_decided(name.as_bytes(), &mut own_location), decided, "{name}");
        let is_location = name.eq_ignore_ascii_case("location");
        assert_eq!(own_location, own && !is_location, "{name}: only the first is ours");
    }
}

#[test]
fn dates_that_share_a_place_are_not_mixed_up() {
    let mut text = String::new();
    for time in [0, 16, 0, -16, 1_000_000_000, 1_000_000_016] {
        fields::with_date(time, |date| text.push_str(&String::from_utf8_lossy(date)));
        assert_eq!(std::mem::take(&mut text).as_bytes(), wire::date::http(time), "{time}");
    }
}
