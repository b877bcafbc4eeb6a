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
fn as_many_requests_at_once_as_are_allowed() {
    for (directive, most) in [("", 128), ("http3_max_concurrent_streams 300;", 300), ("http3_max_concurrent_streams 101;", 101)] {
        let (_prefix, port, _running) = server_with(
            &format!("lua_shared_dict met 1m; {directive}"),
            &format!(
                "location / {{ content_by_lua_block {{ local met = ngx.shared.met; met:incr('count', 1, 0)
                     while met:get('count') < {most} do ngx.sleep(0.01) end ngx.print(ngx.var.uri) }} }}"
            ),
        );
        let mut client = Client::with_table(port, 4096);
        let streams: Vec<_> = (0..most).map(|at| (at, client.open("GET", &format!("/{at}"), &[], true))).collect();
        for (at, stream) in streams {
            assert_eq!(client.reply(stream).text(), format!("/{at}"), "of {most}");
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
    // Without a body, with the beginning of one, and with more than is taken in while nobody reads.
    for (round, sent) in [None, Some(0), Some(100_000)].into_iter().enumerate() {
        let both = sent.is_some();
        let stream = client.open("POST", "/", &[], !both);
        if let Some(length) = sent.filter(|length| *length > 0) {
            client.data(stream, &vec![b'x'; length], false);
        }
        client.until(|client| client.get("/count").text().starts_with(&format!("{} ", round + 1)));
        if both {
            client.quic.reset(stream, 0x10c);
        }
        if sent != Some(100_000) {
            client.quic.stop(stream, 0x10c);
        }
        client.until(|client| client.get("/count").text() == format!("{} {}", round + 1, round + 1));
    }
    // A body that is given up ends its request.
    let stream = client.open("POST", "/body", &[("content-length", "10")], false);
    client.data(stream, b"abc", false);
    client.until(|client| client.get("/count").text().starts_with("4 "));
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

#[test]
fn early_hints_come_before_the_head() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap().to_string();
    let (_prefix, port, _running) = server("location / { early_hints 1; proxy_pass http://$http_x_backend; }");
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = backend.accept().unwrap();
        let mut head = [0; 4096];
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            std::io::Read::read(&mut stream, &mut head).unwrap();
        }
        let answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        std::io::Write::write_all(&mut stream, answer).unwrap();
    });
    let mut client = Client::connect(port);
    let stream = client.request("GET", "/", &[("x-backend", &address)], None);
    let reply = client.reply(stream);
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    assert_eq!(reply.interim, vec![vec![("link".to_owned(), "</a.css>".to_owned())]]);
    serving.join().unwrap();
}

#[test]
fn who_does_not_take_an_answer_loses_it() {
    let (prefix, port, _running) = server("send_timeout 300ms; location / { root html; }");
    prefix.write("html/large.txt", &"x".repeat(5_000_000));
    let mut client = Client::with(port, 0, &quic::Wishes { window: 10_000, ..quic::Wishes::new(b"h3") });
    client.quic.idle = true;
    let stream = client.open("GET", "/large.txt", &[], true);
    until("a line of the log", || {
        client.quic.turn(std::time::Duration::from_millis(20));
        prefix.read("logs/access.log").contains("/large.txt")
    });
    client.quic.idle = false;
    assert_eq!(client.reply(stream).reset, Some(0x101));
    assert_eq!(client.get("/ready").text(), "ready");
}
