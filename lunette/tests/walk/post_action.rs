//! `post_action`: what a request does when its answer is over.

use crate::rig::{Foreground, Prefix, exchange, free_port, get, h2, until};
use std::io::{Read, Write};
use std::net::TcpStream;

fn server(locations: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\n\
             http {{ lua_shared_dict d 100k; log_format l '$uri $status $body_bytes_sent $request_completion'; access_log off;\n\
             server {{ listen 127.0.0.1:{port}; http2 on; location = /ready {{ return 200 ready; }}\n\
             location = /count {{ content_by_lua_block {{ ngx.print(ngx.shared.d:incr(ngx.var.arg_k, 1, 0)) }} }}\n\
             location = /seen {{ content_by_lua_block {{ ngx.print(ngx.shared.d:get(ngx.var.arg_k) or 0) }} }}\n{locations} }} }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    until("a worker", || get(port, "/ready").is_ok());
    (prefix, port, running)
}

fn seen(port: u16, key: &str) -> String {
    get(port, &format!("/seen?k={key}")).unwrap().text()
}

#[test]
fn it_runs_behind_each_answer_and_is_not_seen() {
    let (prefix, port, _running) = server(
        "location /static { root html; post_action @count; }\n\
         location /missing { root html; post_action @count; }\n\
         location /lua { content_by_lua_block { ngx.say('lua') } post_action /counted; }\n\
         location /waits { content_by_lua_block { ngx.sleep(0.01) ngx.say('waited') } post_action /slow; }\n\
         location /proxied { post_action @proxied; return 200 proxied; }\n\
         location @proxied { proxy_pass http://$server_addr:$server_port/count?k=proxied; access_log logs/p.log l; }\n\
         location @count { content_by_lua_block { ngx.shared.d:incr('all', 1, 0) ngx.say('HIDDEN') } access_log logs/c.log l; }\n\
         location /fails { post_action /failed; return 200 fine; } location /failed { access_log logs/f.log l; return 500; }\n\
         location /counted { content_by_lua_block { ngx.shared.d:incr('all', 1, 0) ngx.status = 500 ngx.header.x = 'HIDDEN' ngx.say('HIDDEN') ngx.exit(500) } }\n\
         location /slow { content_by_lua_block { ngx.sleep(0.05) ngx.shared.d:incr('all', 1, 0) ngx.print('HIDDEN') ngx.flush(true) } }",
    );
    prefix.write("html/static", "a file");
    for (at, (path, status, body)) in
        [("/static", 200, "a file"), ("/missing", 404, "404 Not Found"), ("/lua", 200, "lua\n"), ("/waits", 200, "waited\n")]
            .into_iter()
            .enumerate()
    {
        let answer = get(port, path).unwrap();
        assert!(answer.status == status && answer.text().contains(body), "{path}: {answer:?}");
        until("the action", || seen(port, "all") == (at + 1).to_string());
    }
    // An answer that is kept alive, pipelined requests, and HTTP/2.
    let two = "GET /waits HTTP/1.1\r\nHost: x\r\n\r\nGET /lua HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let text = String::from_utf8(exchange(port, two.as_bytes()).unwrap()).unwrap();
    assert_eq!((text.matches("HTTP/1.1 200").count(), text.matches("HIDDEN").count()), (2, 0), "{text}");
    until("both actions", || seen(port, "all") == "6");
    let answer = h2::exchange(port, "GET /lua HTTP/2\nHost: x\n").unwrap();
    assert_eq!((answer.status, &*answer.text()), (200, "lua\n"));
    until("the action", || seen(port, "all") == "7");
    assert_eq!(get(port, "/fails").unwrap().text(), "fine");
    until("the failure in the log", || prefix.read("logs/f.log") == "/failed 500 4 OK\n");
    assert_eq!(get(port, "/proxied").unwrap().text(), "proxied");
    until("the upstream", || seen(port, "proxied") == "1");
    until("lines in the log", || prefix.read("logs/c.log").lines().count() == 2 && prefix.read("logs/p.log").lines().count() == 1);
    assert!(prefix.read("logs/c.log").starts_with("/static 200 6 OK\n"), "{}", prefix.read("logs/c.log"));
}

#[test]
fn an_action_that_leads_to_itself_ends() {
    let (prefix, port, _running) = server(
        "post_action /again; location /page { return 200 page; }\n\
         location /again { return 200 again; }",
    );
    assert_eq!(get(port, "/page").unwrap().text(), "page");
    until("the end", || {
        prefix.read("logs/error.log").contains("rewrite or internal redirection cycle while internally redirecting to \"/again\"")
    });
    assert_eq!(get(port, "/page").unwrap().text(), "page");
}

#[test]
fn a_client_that_leaves_does_not_keep_it_from_running() {
    let (_prefix, port, _running) = server(
        "location /long { content_by_lua_block { ngx.print('begun') ngx.flush(true) ngx.sleep(0.01) for _ = 1, 2000 do ngx.print(('x'):rep(10000)) end } post_action @gone; }\n\
         location @gone { content_by_lua_block { ngx.shared.d:incr('gone', 1, 0) } }",
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut first = [0; 20];
    stream.read_exact(&mut first).unwrap();
    drop(stream);
    until("the action", || seen(port, "gone") == "1");
}
