//! What only streams have: bodies that come while they are answered, resets, trailers, tunnels.

use crate::rig::{h2::Client, until};
use crate::{server, server_with};

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
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")];
    let stream = client.open(&fields, false);
    let mut expected = String::new();
    for piece in ["first", "again", "third"] {
        client.data(stream, piece.as_bytes(), false);
        expected = format!("{expected}<{piece}>");
        let wanted = expected.clone();
        client.until("an echo", |client| client.replies[&stream].answer.text() == wanted);
        assert!(!client.closed);
    }
    client.data(stream, b"x", true);
    assert_eq!(client.reply(stream).answer.text(), format!("{expected}<x>"));
}

#[test]
fn large_bodies_go_both_ways_within_windows() {
    let (_prefix, port, _running) = server_with(
        "client_max_body_size 0; client_body_buffer_size 64k;",
        "location = /sum { content_by_lua_block {
            ngx.req.read_body()
            local f = ngx.req.get_body_file()
            local n = f and io.open(f):seek('end') or #ngx.req.get_body_data()
            ngx.print(n)
        } }
        location = /pass { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://$http_host/sum; }
        location = /back { content_by_lua_block { ngx.req.read_body() local f = ngx.req.get_body_file() ngx.print(f and io.open(f):read('*a') or ngx.req.get_body_data()) } }",
    );
    let body: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 251) as u8).collect();
    let host = format!("127.0.0.1:{port}");
    let mut client = Client::with_window(port, 1000);
    for path in ["/sum", "/pass"] {
        let stream = client.request("POST", path, &[("host", &host)], Some(&body));
        assert_eq!(client.reply(stream).answer.text(), "1500000", "{path}");
    }
    let stream = client.request("POST", "/back", &[], Some(&body[..300_000]));
    assert!(client.reply(stream).answer.body == body[..300_000]);
}

#[test]
fn a_body_that_nobody_reads_may_end() {
    let (_prefix, port, _running) = server("location = /early { return 200 early; }");
    let mut client = Client::connect(port);
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/early"), (":authority", "localhost")];
    // Who ends the body gets no reset.
    let stream = client.open(&fields, false);
    client.data(stream, b"body", true);
    assert_eq!(client.reply(stream).answer.text(), "early");
    assert_eq!(client.get("/ready").answer.text(), "ready");
    // Who does not is reset with NO_ERROR, behind the whole answer.
    let stream = client.open(&fields, false);
    client.until("a reset", |client| client.replies[&stream].reset.is_some());
    let reply = client.replies.remove(&stream).unwrap();
    assert_eq!((reply.answer.text().as_str(), reply.ended, reply.reset), ("early", true, Some(0)));
}

/// The answer is there when the client turns out to be wrong: it leaves whole, and the reset follows.
#[test]
fn a_body_of_another_length_is_told_behind_the_answer() {
    let (prefix, port, _running) =
        server("location = /early { return 200 early; } location = /lua { content_by_lua_block { ngx.req.read_body() } }");
    let mut client = Client::connect(port);
    for (path, length, status) in [("/early", "9", 200), ("/early", "2", 200), ("/lua", "9", 400), ("/lua", "2", 400)] {
        let stream = client.post_of_length(path, length, b"body");
        client.until("a reset", |client| client.replies[&stream].reset.is_some());
        let reply = client.replies.remove(&stream).unwrap();
        assert_eq!((reply.answer.status, reply.reset), (status, Some(1)), "{path} {length}");
        assert!(status != 200 || reply.answer.text() == "early", "{path} {length}: {}", reply.answer.text());
    }
    let log = prefix.read("logs/error.log");
    for line in [
        "client prematurely closed stream: only 4 out of 9 bytes of request body received, client: 127.0.0.1, server: , request: \"POST /lua",
        "client intended to send body data larger than declared, client: 127.0.0.1, server: , request: \"POST /lua",
    ] {
        assert!(log.contains(line), "{log}");
    }
    assert!(!log.contains("chunked"), "{log}");
}

/// The codes that nginx has for answers that are cut off, or never come.
#[test]
fn an_answer_that_is_cut_off_resets_its_stream() {
    let (_prefix, port, _running) = server(
        "location = /none { return 444; }
        location = /lua { content_by_lua_block { ngx.exit(444) } }
        location = /error { content_by_lua_block { ngx.exit(ngx.ERROR) } }
        location = /head { return 200 x; header_filter_by_lua_block { error('x') } }
        location = /body { return 200 x; body_filter_by_lua_block { error('x') } }
        location = /half { content_by_lua_block { ngx.print('x') ngx.flush(true) error('x') } }",
    );
    let mut client = Client::connect(port);
    for (path, code) in [("/none", 1), ("/lua", 1), ("/error", 2), ("/head", 2), ("/body", 2), ("/half", 2)] {
        let reply = client.get(path);
        assert_eq!((reply.ended, reply.reset), (false, Some(code)), "{path}");
    }
    // The connection and its other streams go on.
    assert_eq!(client.get("/ready").answer.text(), "ready");
}

/// Clients that are refused stop sending, and some wait for ever when the answer's end comes before the reset.
#[test]
fn a_refusal_ends_with_its_reset() {
    let (_prefix, port, _running) = server("location = /refused { content_by_lua_block { ngx.status = 401 ngx.say('no') } }");
    let mut client = Client::connect(port);
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/refused"), (":authority", "localhost")];
    let stream = client.open(&fields, false);
    client.until("the answer", |client| client.replies[&stream].answer.text() == "no\n");
    client.until("its end", |client| client.replies[&stream].ended);
    assert_eq!(client.replies[&stream].reset, Some(0));
    // Who ends the body gets the end at once, and no reset.
    let stream = client.open(&fields, false);
    client.until("the answer", |client| client.replies[&stream].answer.text() == "no\n");
    client.data(stream, b"x", true);
    assert_eq!(client.reply(stream).reset, None);
}

/// As in HTTP/1: two of these could be read differently by two servers, and pages and logs say what was asked.
#[test]
fn a_head_that_is_refused_says_what_was_asked() {
    let http = "log_format t '$status $request_uri $host $server_name'; access_log logs/access.log t;";
    let (prefix, port, _running) =
        server_with(http, "server_name localhost; error_page 400 /bad; location = /bad { return 200 \"bad $request_uri\"; }");
    let single = [
        ("content-length", "0"),
        ("content-range", "bytes 0-1/2"),
        ("expect", "nothing"),
        ("authorization", "Basic eDp5"),
        ("proxy-authorization", "Basic eDp5"),
        ("if-modified-since", "now"),
        ("if-unmodified-since", "now"),
        ("if-match", "*"),
        ("if-none-match", "*"),
        ("if-range", "x"),
    ];
    let mut client = Client::connect(port);
    let mut ask = |path: &str, fields: &[(&str, &str)]| {
        let stream = client.request("GET", path, fields, None);
        client.reply(stream).answer
    };
    for (name, value) in single {
        let path = format!("/asked?{name}");
        assert_eq!(ask(&path, &[(name, value)]).status, 404, "{name}");
        let answer = ask(&path, &[(name, value), (name, "other")]);
        assert_eq!((answer.status, answer.text()), (400, format!("bad {path}")), "{name}");
        let line = format!("client sent duplicate header line: \"{name}: other\", previous value: \"{name}: {value}\"");
        assert!(prefix.read("logs/error.log").contains(&line), "{line}");
        until("the log", || prefix.read("logs/access.log").contains(&format!("400 {path} localhost localhost")));
    }
    assert_eq!(ask("/bad", &[("accept", "a"), ("accept", "b"), ("x", "1"), ("x", "2")]).status, 200);
}

#[test]
fn a_reset_calls_the_handler_that_waits_for_it() {
    let (prefix, port, _running) = server_with(
        "lua_shared_dict seen 1m;",
        "location = /wait { lua_check_client_abort on; content_by_lua_block {
            assert(ngx.on_abort(function() ngx.shared.seen:incr('aborts', 1, 0) ngx.exit(499) end))
            ngx.shared.seen:incr('waiting', 1, 0)
            ngx.sleep(600)
        } }
        location = /aborts { content_by_lua_block { ngx.print(ngx.shared.seen:get('waiting') or 0, ' ', ngx.shared.seen:get('aborts') or 0) } }
        location = /upload { lua_check_client_abort on; content_by_lua_block {
            local s = ngx.req.socket()
            ngx.shared.seen:incr('waiting', 1, 0)
            local d, e = s:receive(100)
            ngx.shared.seen:incr('aborts', 1, 0)
            ngx.log(ngx.WARN, 'upload ended: ', e)
        } }",
    );
    let mut client = Client::connect(port);
    let stream = client.request("GET", "/wait", &[], None);
    until("the handler", || client.get("/aborts").answer.text() == "1 0");
    client.reset(stream, 8);
    until("the abort", || client.get("/aborts").answer.text() == "1 1");
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/upload"), (":authority", "localhost")];
    let stream = client.open(&fields, false);
    client.data(stream, b"some", false);
    until("the upload", || client.get("/aborts").answer.text() == "2 1");
    client.reset(stream, 8);
    until("its end", || client.get("/aborts").answer.text() == "2 2");
    assert!(prefix.read("logs/error.log").contains("upload ended: "));
    // The connection goes on, and one that is lost ends all its handlers.
    client.request("GET", "/wait", &[], None);
    until("the handler again", || client.get("/aborts").answer.text() == "3 2");
    drop(client);
    let mut other = Client::connect(port);
    until("the last abort", || other.get("/aborts").answer.text() == "3 3");
}

#[test]
fn trailers_leave_and_are_logged() {
    let (prefix, port, _running) = server_with(
        "log_format t '$uri sent=$sent_trailer_x_sum status=$status'; access_log logs/access.log t;",
        "location = /var { add_trailer X-Sum \"n=$request_length\"; return 200 'body'; }
        location = /lua { add_trailer X-Sum $sum; set $sum ''; content_by_lua_block { ngx.print('x') ngx.flush(true) ngx.var.sum = 'late' } }
        location = /empty { add_trailer X-Sum always; return 204; }",
    );
    let mut client = Client::connect(port);
    let reply = client.get("/var");
    assert_eq!((reply.answer.status, reply.answer.text().as_str()), (200, "body"));
    assert!(reply.trailers[0].0 == "x-sum" && reply.trailers[0].1.starts_with("n="), "{:?}", reply.trailers);
    assert_eq!(client.get("/lua").trailers, [("x-sum".to_owned(), "late".to_owned())]);
    until("the log", || prefix.read("logs/access.log").contains("/lua sent=late status=200"));
}

#[test]
fn extended_connect_opens_a_websocket() {
    let (prefix, port, _running) = server(
        "location = /ws { content_by_lua_block {
            local server = require 'resty.websocket.server'
            local ws, err = server:new({ timeout = 60000 })
            if not ws then ngx.log(ngx.ERR, 'no websocket: ', err) return ngx.exit(444) end
            while true do
                local data, kind = ws:recv_frame()
                if not data or kind == 'close' then ws:send_close(1000, 'bye') break end
                ws:send_text('echo ' .. data)
            end
        } }
        location = /raw { content_by_lua_block {
            ngx.status = 101
            ngx.send_headers()
            ngx.flush(true)
            local s = assert(ngx.req.socket(true))
            s:settimeout(60000)
            local line = s:receive('*l')
            s:send('got ' .. line)
        } }",
    );
    let mut client = Client::connect(port);
    let connect =
        |path| [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    let raw = client.open(&connect("/raw"), false);
    client.until("consent", |client| client.replies[&raw].answer.status != 0);
    assert_eq!(client.replies[&raw].answer.status, 200, "{}", prefix.read("logs/error.log"));
    client.data(raw, b"a line\n", false);
    client.until("an echo", |client| client.replies[&raw].answer.text() == "got a line");
    let mut fields = connect("/ws").to_vec();
    fields.push(("sec-websocket-version", "13"));
    let ws = client.open(&fields, false);
    client.until("consent", |client| client.replies[&ws].answer.status != 0);
    assert_eq!(client.replies[&ws].answer.status, 200, "{}", prefix.read("logs/error.log"));
    for text in ["one", "two"] {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        client.data(ws, &frame, false);
    }
    client.until("echoes", |client| client.replies[&ws].answer.text() == "\u{fffd}\u{8}echo one\u{fffd}\u{8}echo two");
    client.data(ws, &[0x88, 0x80, 0, 0, 0, 0], false);
    let end = client.reply(ws);
    assert!(end.ended && end.answer.body.ends_with(b"bye"), "{end:?}");
}

#[test]
fn what_waits_is_cut_off_when_its_request_fails() {
    let (prefix, port, _running) =
        server("location = /half { content_by_lua_block { ngx.print('half') ngx.flush(true) error('broken') } }");
    let mut client = Client::connect(port);
    let reply = client.get("/half");
    assert_eq!((reply.answer.status, reply.reset.is_some()), (200, true), "{reply:?} {}", prefix.read("logs/error.log"));
    assert_eq!(client.get("/ready").answer.text(), "ready");
}
