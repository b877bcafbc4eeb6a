//! What only streams have: bodies that come while they are answered, resets, trailers, tunnels.

use crate::rig::h3::Client;
use crate::rig::{quic, until};
use crate::{server, server_with};
use wire::h3::frame::kind;

#[test]
fn a_body_is_answered_while_it_comes() {
    let (_prefix, port, _running) = server(
        "location / { content_by_lua_block {
            local s = ngx.req.socket()
            s:settimeout(60000)
            while true do
                local d, e, p = s:receive(5)
                ngx.print('<', d or p or '', '>')
                ngx.flush(true)
                if not d then break end
            end
        } }",
    );
    let mut client = Client::connect(port);
    let stream = client.open("POST", "/", &[], false);
    let mut expected = String::new();
    for piece in ["first", "again", "third"] {
        client.data(stream, piece.as_bytes(), false);
        expected = format!("{expected}<{piece}>");
        let wanted = expected.clone();
        client.until(|client| client.peek(stream).text() == wanted);
    }
    client.data(stream, b"x", true);
    assert_eq!(client.reply(stream).text(), format!("{expected}<x>"));
}

#[test]
fn large_bodies_go_both_ways_within_windows() {
    let (_prefix, port, _running) = server_with(
        "client_max_body_size 0; client_body_buffer_size 64k; http3_stream_buffer_size 16k;",
        "location = /sum { content_by_lua_block {
            ngx.req.read_body()
            local f = ngx.req.get_body_file()
            local n = f and io.open(f):seek('end') or #ngx.req.get_body_data()
            ngx.print(n)
        } }
        location = /pass { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://$http_x_backend/sum; }
        location = /back { content_by_lua_block { ngx.req.read_body() local f = ngx.req.get_body_file() ngx.print(f and io.open(f):read('*a') or ngx.req.get_body_data()) } }",
    );
    let body: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 251) as u8).collect();
    let backend = format!("127.0.0.1:{port}");
    let mut client = Client::with(port, 0, &quic::Wishes { window: 1000, ..quic::Wishes::new(b"h3") });
    let length = body.len().to_string();
    for path in ["/sum", "/pass"] {
        for fields in [&[("x-backend", backend.as_str())][..], &[("x-backend", backend.as_str()), ("content-length", &length)]] {
            let stream = client.request("POST", path, fields, Some(&body));
            assert_eq!(client.reply(stream).text(), "1500000", "{path}");
        }
    }
    let stream = client.request("POST", "/back", &[], Some(&body[..300_000]));
    assert!(client.reply(stream).body == body[..300_000]);
}

#[test]
fn a_file_arrives_whole_and_in_parts() {
    let (prefix, port, _running) = server("location / { root html; } location /slow/ { alias html/; limit_rate 400k; }");
    let body: String = (0..100_000).map(|at| format!("{at}\n")).collect();
    prefix.write("html/large.txt", &body);
    let mut client = Client::with_table(port, 4096);
    let whole = client.get("/large.txt");
    assert_eq!((whole.status, whole.header("content-length")), (200, Some(body.len().to_string().as_str())));
    assert!(whole.body == body.as_bytes());
    let stream = client.request("GET", "/large.txt", &[("range", "bytes=100000-299999")], None);
    let part = client.reply(stream);
    assert!(part.status == 206 && part.body == body.as_bytes()[100_000..300_000]);
    let head = client.request("HEAD", "/large.txt", &[], None);
    let head = client.reply(head);
    assert_eq!((head.status, head.body.len(), head.ended), (200, 0, true));
    assert!(client.get("/slow/large.txt").body == body.as_bytes());
}

#[test]
fn a_hundred_requests_at_once() {
    let (_prefix, port, _running) =
        server("location / { content_by_lua_block { ngx.sleep(0.05) ngx.print(ngx.var.uri, ' ', ngx.var.connection_requests) } }");
    let mut client = Client::with_table(port, 4096);
    for round in 0..2 {
        let streams: Vec<_> = (0..100).map(|at| (at, client.open("GET", &format!("/{at}"), &[], true))).collect();
        for (at, stream) in streams {
            let reply = client.reply(stream);
            assert_eq!((reply.status, reply.text()), (200, format!("/{at} {}", round * 100 + at + 1)));
        }
    }
}

#[test]
fn heads_repeat_themselves_in_few_bytes() {
    let (_prefix, port, _running) = server("location / { add_header X-Own \"always the same value of some length\"; return 200 x; }");
    let mut sizes = [0, 4096].map(|capacity| {
        let mut client = Client::with_table(port, capacity);
        let mut last = 0;
        for _ in 0..6 {
            let stream = client.open("GET", "/", &[], true);
            let reply = client.reply(stream);
            assert_eq!(reply.header("x-own"), Some("always the same value of some length"));
            last = client.quic.received(stream).bytes.len();
            client.acknowledge();
        }
        last
    });
    sizes.reverse();
    assert!(sizes[0] * 2 < sizes[1], "{sizes:?}");
}

#[test]
fn trailers_go_both_ways() {
    let (_prefix, port, _running) = server(
        "location / { add_trailer X-Sum $request_method; content_by_lua_block { ngx.print('body') } }
         location /empty { add_trailer X-Sum none; return 204; }",
    );
    let mut client = Client::connect(port);
    let reply = client.get("/");
    assert_eq!((reply.text().as_str(), reply.trailers), ("body", vec![("x-sum".to_owned(), "GET".to_owned())]));
    // A request's own trailers end its body.
    let stream = client.open("POST", "/", &[], false);
    client.data(stream, b"abc", false);
    client.quic.send(stream, &crate::rig::h3::frame(kind::HEADERS, &crate::rig::h3::section(&[("x-sum", "1")])), true);
    assert_eq!(client.reply(stream).status, 200);
    assert_eq!(client.get("/empty").status, 204);
}

#[test]
fn a_request_that_is_given_up_is_noticed() {
    let (prefix, port, _running) = server_with(
        "lua_shared_dict gone 1m;",
        "location / { lua_check_client_abort on; content_by_lua_block {
            ngx.on_abort(function() ngx.shared.gone:incr('count', 1, 0) ngx.exit(499) end)
            ngx.shared.gone:incr('came', 1, 0)
            ngx.sleep(60)
        } }
        location /body { content_by_lua_block {
            ngx.shared.gone:incr('came', 1, 0)
            ngx.req.read_body()
        } }
        location = /count { content_by_lua_block { ngx.print(ngx.shared.gone:get('came') or 0, ' ', ngx.shared.gone:get('count') or 0) } }",
    );
    let mut client = Client::connect(port);
    for (round, both) in [false, true].into_iter().enumerate() {
        let stream = client.open("POST", "/", &[], !both);
        client.until(|client| client.get("/count").text().starts_with(&format!("{} ", round + 1)));
        if both {
            client.quic.reset(stream, 0x10c);
        }
        client.quic.stop(stream, 0x10c);
        client.until(|client| client.get("/count").text() == format!("{} {}", round + 1, round + 1));
    }
    // A body that is given up ends its request.
    let stream = client.open("POST", "/body", &[("content-length", "10")], false);
    client.data(stream, b"abc", false);
    client.until(|client| client.get("/count").text().starts_with("3 "));
    client.quic.reset(stream, 0x10c);
    until("a line of the log", || prefix.read("logs/access.log").contains("/body"));
    assert_eq!(client.get("/ready").text(), "ready");
}

#[test]
fn a_body_that_nobody_wants_is_stopped() {
    let (_prefix, port, _running) = server("location / { return 200 done; }");
    let mut client = Client::connect(port);
    let stream = client.open("POST", "/", &[("content-length", "100000")], false);
    client.data(stream, &[b'x'; 10_000], false);
    let reply = client.reply(stream);
    assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
    client.until(|client| client.quic.received(stream).stopped.is_some());
    // H3_NO_ERROR
    assert_eq!(client.quic.received(stream).stopped, Some(0x100));
}

#[test]
fn bodies_that_are_not_as_long_as_was_said() {
    let (prefix, port, _running) = server("location / { content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) } }");
    let mut client = Client::connect(port);
    for (body, words) in [
        ("abc", "client sent less body data than expected: 3 out of 5 bytes"),
        ("abcdefg", "client intended to send body data larger than declared"),
    ] {
        let stream = client.request("POST", "/", &[("content-length", "5")], Some(body.as_bytes()));
        assert_eq!(client.reply(stream).status, 400, "{body}");
        assert!(prefix.read("logs/error.log").contains(words), "{words}");
    }
    let stream = client.request("POST", "/", &[("content-length", "5")], Some(b"abcde"));
    assert_eq!(client.reply(stream).text(), "abcde");
}

#[test]
fn a_websocket_goes_through_an_extended_connect() {
    let (_prefix, port, _running) = server(
        "location / { content_by_lua_block {
            local server = require 'resty.websocket.server'
            local ws, err = server:new()
            if not ws then ngx.log(ngx.ERR, err) return ngx.exit(444) end
            while true do
                local data, kind = ws:recv_frame()
                if not data or kind == 'close' then return ws:send_close() end
                ws:send_text('got ' .. data)
            end
        } }",
    );
    let mut client = Client::connect(port);
    let id = client.quic.open(quinn_proto::Dir::Bi);
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    ];
    client.quic.send(id, &crate::rig::h3::frame(kind::HEADERS, &crate::rig::h3::section(&fields)), false);
    client.until(|client| client.peek(id).status == 200);
    // A text frame, masked with zeros.
    client.data(id, b"\x81\x85\0\0\0\0hello", false);
    client.until(|client| client.peek(id).text().ends_with("got hello"));
    client.data(id, b"\x88\x80\0\0\0\0", true);
    assert!(client.reply(id).ended);
}
