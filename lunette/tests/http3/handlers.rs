//! What handlers and variables see.

use crate::rig::h3::Client;
use crate::{server, server_with};

#[test]
fn all_phases_of_lua_run() {
    let (prefix, port, _running) = server_with(
        "init_worker_by_lua_block { started = true }",
        "location / {
            set_by_lua_block $set { return 'set' }
            rewrite_by_lua_block { ngx.ctx.trace = 'rewrite' }
            access_by_lua_block { ngx.ctx.trace = ngx.ctx.trace .. ' access' }
            content_by_lua_block { ngx.header['X-Trace'] = ngx.ctx.trace ngx.say(ngx.var.set, ' ', ngx.req.http_version(), ' ', tostring(started)) }
            header_filter_by_lua_block { ngx.header['X-Filter'] = ngx.status }
            body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1]:upper() }
            log_by_lua_block { ngx.log(ngx.WARN, 'logged ', ngx.var.server_protocol, ' ', ngx.var.status) }
        }",
    );
    let mut client = Client::connect(port);
    let reply = client.get("/x");
    assert_eq!((reply.status, reply.header("x-trace"), reply.header("x-filter")), (200, Some("rewrite access"), Some("200")));
    assert_eq!(reply.text(), "SET 3 TRUE\n");
    assert!(prefix.read("logs/error.log").contains("logged HTTP/3.0 200"));
}

#[test]
fn captures_and_internal_redirects() {
    let (_prefix, port, _running) = server(
        "location / { content_by_lua_block {
            local one, two = ngx.location.capture_multi({ { '/part', { args = 'a=1' } }, { '/part', { method = ngx.HTTP_POST, body = 'sent' } } })
            ngx.print(one.status, one.body, ' ', two.body)
        } }
        location /part { content_by_lua_block { ngx.req.read_body() ngx.print('<', ngx.var.args, ngx.req.get_body_data(), '>') } }
        location /exec { content_by_lua_block { ngx.exec('/part', 'b=2') } }
        location /away { content_by_lua_block { ngx.redirect('/elsewhere') } }
        location /auth { auth_request /denied; content_by_lua_block { ngx.print('yes') } }
        location /denied { return 403; }",
    );
    let mut client = Client::connect(port);
    assert_eq!(client.get("/").text(), "200<a=1nil> <nilsent>");
    assert_eq!(client.get("/exec").text(), "<b=2nil>");
    let away = client.get("/away");
    assert_eq!((away.status, away.header("location")), (302, Some("/elsewhere")));
    assert_eq!(client.get("/auth").status, 403);
}

#[test]
fn variables_and_headers() {
    let (prefix, port, _running) = server_with(
        "log_format own '$request|$http3|$http2|$scheme|$https|$ssl_protocol|$server_port|$request_length|$bytes_sent';",
        "access_log logs/own.log own;
        location / { content_by_lua_block {
            local h = ngx.req.get_headers()
            ngx.header['X-Own'] = { 'one', 'two' }
            ngx.header['Connection'] = 'close'
            ngx.header['Set-Cookie'] = 'a=b'
            ngx.print(h.host, ' ', h.cookie, ' ', h['x-a'], ' ', ngx.var.http3, ' ', ngx.var.ssl_alpn_protocol, ' ', ngx.req.raw_header and pcall(ngx.req.raw_header))
        } }",
    );
    let mut client = Client::connect(port);
    let stream = client.open("GET", "/v?x=1", &[("cookie", "a=1"), ("x-a", "b"), ("cookie", "b=2")], true);
    let reply = client.reply(stream);
    assert!(reply.text().starts_with("localhost a=1; b=2 b h3 h3 false"), "{}", reply.text());
    let own: Vec<_> = reply.fields.iter().filter(|field| field.0 == "x-own").map(|field| field.1.as_str()).collect();
    assert_eq!((own, reply.header("connection"), reply.header("set-cookie")), (vec!["one", "two"], None, Some("a=b")));
    let log = prefix.read("logs/own.log");
    let line: Vec<_> = log.lines().last().unwrap().split('|').collect();
    assert_eq!(line[..7], ["GET /v?x=1 HTTP/3.0", "h3", "", "https", "on", "TLSv1.3", &port.to_string()]);
    assert!(line[7].parse::<u64>().unwrap() > 20 && line[8].parse::<u64>().unwrap() > reply.body.len() as u64, "{line:?}");
}

#[test]
fn limits_on_requests_end_a_connection() {
    let (_prefix, port, _running) = server("keepalive_requests 3; location / { return 200 $connection_requests; }");
    let mut client = Client::connect(port);
    for at in ["1", "2", "3"] {
        assert_eq!(client.get("/").text(), at);
    }
    client.until(|client| client.goaway().is_some());
    assert_eq!(client.goaway(), Some(12));
    client.until(|client| client.quic.lost.is_some());
    assert_eq!(client.quic.code(), Some(0x100));
}

#[test]
fn a_server_without_http3_is_another() {
    let (_prefix, port, _running) = server_with("", "");
    // One that is named by another server's connection.
    let mut client = Client::connect(port);
    let stream = client.open("GET", "/ready", &[("x", "y")], true);
    assert_eq!(client.reply(stream).text(), "ready");
}
