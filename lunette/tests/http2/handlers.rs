//! The same handlers answer the same over HTTP/1 and HTTP/2.

use crate::rig::{Response, exchange, h2::Client, parse};
use crate::server;
use std::fmt::Write;

/// Name, code of the handler, and the body of the request.
const HANDLERS: [(&str, &str, Option<&str>); 22] = [
    ("say", r#"ngx.say("a", 1, true, nil)"#, None),
    ("exit", r#"return ngx.exit(403)"#, None),
    ("redirect", r#"return ngx.redirect("/elsewhere")"#, None),
    ("headers", r#"ngx.header.x_one = { "a", "b" } ngx.header["X-Empty"] = nil ngx.print(ngx.req.get_headers()["x-in"])"#, None),
    ("method", r#"ngx.req.set_method(ngx.HTTP_PUT) ngx.say(ngx.req.get_method(), " ", ngx.var.request_method)"#, None),
    ("arguments", r#"ngx.req.set_uri_args({ a = 1 }) ngx.say(ngx.var.args, " ", ngx.var.uri)"#, None),
    ("capture", r#"local r = ngx.location.capture("/inner?x=1") ngx.status = r.status ngx.print(r.body, r.header["X-Inner"])"#, None),
    (
        "capture_multi",
        r#"local a, b = ngx.location.capture_multi({ { "/inner?x=1" }, { "/slow" } }) ngx.print(a.body, b.body, b.status)"#,
        None,
    ),
    (
        "capture_post",
        r#"local r = ngx.location.capture("/echo", { method = ngx.HTTP_POST, body = "given" }) ngx.print(r.body)"#,
        Some("own"),
    ),
    (
        "capture_forward",
        r#"ngx.req.read_body() local r = ngx.location.capture("/echo", { method = ngx.HTTP_POST }) ngx.print(r.body)"#,
        Some("kept"),
    ),
    ("exec", r#"return ngx.exec("/inner", "x=exec")"#, None),
    ("exec_named", r#"return ngx.exec("@named")"#, None),
    ("read_body", r#"ngx.req.read_body() ngx.say(#ngx.req.get_body_data(), " ", ngx.req.get_post_args().a)"#, Some("a=1&b=2")),
    ("no_body", r#"ngx.req.read_body() ngx.say(tostring(ngx.req.get_body_data()))"#, None),
    ("empty_body", r#"ngx.req.read_body() ngx.say(tostring(ngx.req.get_body_data()))"#, Some("")),
    (
        "socket",
        r#"local s = assert(ngx.req.socket()) s:settimeout(5000)
           while true do local d, e, p = s:receive(4) ngx.print("<", d or p or "", ">") if not d then break end end"#,
        Some("0123456789"),
    ),
    ("flush", r#"ngx.print("a") ngx.flush(true) ngx.sleep(0.01) ngx.print("b") ngx.flush(true) ngx.eof() ngx.print("c")"#, None),
    (
        "large",
        r#"for i = 1, 300 do ngx.print(string.rep(string.char(65 + i % 26), 1000)) if i % 50 == 0 then ngx.flush(true) end end"#,
        None,
    ),
    (
        "threads",
        r#"local t = ngx.thread.spawn(function() ngx.sleep(0.01) return 7 end) local _, n = ngx.thread.wait(t) ngx.print(n)"#,
        None,
    ),
    ("raw_header", r#"ngx.print((pcall(ngx.req.raw_header)) and "can" or "cannot")"#, None),
    ("error", r#"error("on purpose")"#, None),
    ("length", r#"ngx.header["Content-Length"] = 3 ngx.print("abc")"#, None),
];

/// Where HTTP/2 differs and why: HTTP/2 has no header as text.
const DIFFERENT: [&str; 1] = ["raw_header"];

fn locations() -> String {
    let mut text = String::from(
        "location = /inner { add_header X-Inner yes; return 201 \"inner $arg_x $request_method\"; }\n\
         location = /slow { content_by_lua_block { ngx.sleep(0.02) ngx.print('slow') } }\n\
         location = /echo { content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data() or 'nothing') } }\n\
         location @named { return 200 \"named $uri\"; }\n\
         location = /filter { header_filter_by_lua_block { ngx.header.content_length = nil ngx.header.x_filter = 'on' }\n\
            body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1]:upper() } return 200 'filtered'; }\n",
    );
    for (name, code, _) in HANDLERS {
        writeln!(text, "location = /{name} {{ content_by_lua_block {{ {code} }} }}").unwrap();
    }
    text
}

fn http1(port: u16, path: &str, body: Option<&str>) -> Response {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-In: here\r\n");
    match body {
        Some(body) => write!(request, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap(),
        None => request.push_str("\r\n"),
    }
    parse(&exchange(port, request.as_bytes()).unwrap()).unwrap()
}

/// What belongs to the connection or to the moment, and how names are written, is the protocol's.
fn plain(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let own = ["date", "connection", "transfer-encoding", "keep-alive"];
    let mut headers: Vec<_> = answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.retain(|(name, _)| !own.contains(&name.as_str()));
    headers.sort();
    (answer.status, headers, answer.text())
}

#[test]
fn handlers_answer_alike() {
    let (prefix, port, _running) = server(&locations());
    let mut client = Client::connect(port);
    let filter = ("filter", "", None);
    for (name, _, body) in HANDLERS.into_iter().chain([filter]) {
        let path = format!("/{name}");
        let one = http1(port, &path, body);
        let method = if body.is_some() { "POST" } else { "GET" };
        let stream = client.request(method, &path, &[("x-in", "here")], body.map(str::as_bytes));
        let two = client.reply(stream);
        if DIFFERENT.contains(&name) {
            continue;
        }
        let (mut one, mut two) = (plain(&one), plain(&two.answer));
        // Error pages and redirects are the same; only the port of the host stands in neither.
        one.2 = one.2.replace("\r\n", "\n");
        two.2 = two.2.replace("\r\n", "\n");
        assert_eq!(two, one, "{name}\n{}", prefix.read("logs/error.log"));
    }
}

#[test]
fn streams_of_a_connection_share_nothing() {
    let (_prefix, port, _running) = server(
        "location /own { content_by_lua_block {
            ngx.ctx.id = ngx.var.arg_id
            kept = (kept or '') .. ngx.var.arg_id
            ngx.sleep(0.005)
            local r = ngx.location.capture('/sub', { args = { id = ngx.ctx.id } })
            ngx.print(ngx.ctx.id, ' ', r.body, ' ', ngx.var.arg_id, ' ', ngx.req.get_headers()['x-id'])
        } }
        location = /sub { content_by_lua_block { ngx.sleep(0.002) ngx.print(ngx.var.arg_id) } }",
    );
    let mut client = Client::connect(port);
    let streams: Vec<_> = (0..60)
        .map(|id| {
            let text = id.to_string();
            (id, client.request("GET", &format!("/own?id={id}"), &[("x-id", &text)], None))
        })
        .collect();
    for (id, stream) in streams {
        assert_eq!(client.reply(stream).answer.text(), format!("{id} {id} {id} {id}"));
    }
}

#[test]
fn a_raw_header_is_refused_as_openresty_does() {
    let (prefix, port, _running) = server("location / { content_by_lua_block { ngx.print(ngx.req.raw_header()) } }");
    assert_eq!(Client::connect(port).get("/").answer.status, 500);
    assert!(prefix.read("logs/error.log").contains("http2 requests not supported yet"), "{}", prefix.read("logs/error.log"));
}

#[test]
fn a_request_that_comes_again_means_the_same() {
    let (_prefix, port, _running) = server(
        "location / { content_by_lua_block {
            ngx.req.read_body()
            local s = { ngx.var.request, ngx.var.uri, ngx.var.args, ngx.var.host, ngx.req.get_headers()['x-id'], ngx.req.get_body_data() }
            ngx.print(table.concat(s, '|'))
            ngx.req.set_uri('/changed')
            ngx.req.set_uri_args('changed')
            ngx.req.set_header('x-id', 'changed')
        } }",
    );
    let mut client = Client::connect(port);
    let mut ask = |path: &str, body: Option<&[u8]>| {
        let stream = client.request("POST", path, &[("x-id", "7")], body);
        let answer = client.reply(stream).answer;
        (answer.status, answer.text())
    };
    for body in ["one", "two", "three"] {
        assert_eq!(ask("/%61?b", Some(body.as_bytes())), (200, format!("POST /%61?b HTTP/2.0|/a|b|localhost|7|{body}")));
    }
    for _ in 0..3 {
        assert_eq!(ask("/../..", Some(b"x")).0, 400);
    }
    for _ in 0..3 {
        assert_eq!(ask("/c?d", None), (200, "POST /c?d HTTP/2.0|/c|d|localhost|7".to_owned()));
    }
    assert_eq!(ask("/%61?b", Some(b"x")).1, "POST /%61?b HTTP/2.0|/a|b|localhost|7|x");
}
