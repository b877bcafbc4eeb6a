//! What is ready waits for nothing: bytes of a finished answer, the next request behind a log handler that waits, and
//! what a request held.

use crate::rig::{Foreground, Prefix, connect_and_send, free_port, get, until};
use std::io::{Read, Write};
use std::net::TcpStream;

/// `/wait` and log handlers wait for a file that the test makes once it has seen what must not wait.
const CONF: &str = "lua_yield_in_all_phases on; lua_shared_dict notes 64k;
limit_conn_zone $uri zone=held:64k; set_real_ip_from 127.0.0.1;
log_format line '$uri $remote_addr $connection_requests'; access_log logs/access.log line;
init_by_lua_block {
    local path = ngx.config.prefix() .. 'go'
    function go() local f = io.open(path) if f then f:close() end return f end
    function nap() for _ = 1, 1000 do if go() then return end ngx.sleep(0.01) end end
    function spin() local since = os.clock() while not go() and os.clock() - since < 10 do end end
}
server {
    listen 127.0.0.1:$PORT;
    location /quick { return 200 quick; }
    location /wait { content_by_lua_block { nap() ngx.say('awake') } }
    location /eof { content_by_lua_block { ngx.say('all') ngx.eof() nap() } }
    location /spin { return 200 spun; log_by_lua_block { spin() } }
    location /held {
        limit_conn held 1;
        limit_conn_status 429;
        content_by_lua_block { ngx.print(ngx.var.remote_addr) }
        log_by_lua_block {
            nap()
            ngx.shared.notes:rpush('late', ngx.var.remote_addr .. ' ' .. ngx.var.connection_requests)
        }
    }
    location /late { content_by_lua_block { ngx.say(ngx.shared.notes:lpop('late')) } }
}";

fn server() -> (Prefix, u16, Foreground) {
    let (prefix, port) = (Prefix::new(), free_port());
    let conf = CONF.replace("$PORT", &port.to_string());
    prefix.write("conf/nginx.conf", &format!("daemon off; worker_processes 1; events {{ }}\nhttp {{ {conf} }}\n"));
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

/// Reads until the text ends like this; fails when nothing more comes.
fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let read = stream.read(&mut byte);
        assert!(matches!(read, Ok(1)), "{read:?} behind {:?}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn the_end_of_an_answer_leaves_when_what_follows_waits() {
    let (prefix, port, _running) = server();
    let mut ended = connect_and_send(port, "GET /eof HTTP/1.1\r\nHost: a\r\n\r\n");
    read_to(&mut ended, "all\n\r\n0\r\n\r\n");
    let mut bodiless = connect_and_send(port, "HEAD /eof HTTP/1.1\r\nHost: a\r\n\r\n");
    read_to(&mut bodiless, "\r\n\r\n");
    let mut pipelined = connect_and_send(port, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    read_to(&mut pipelined, "quick");
    let mut headless = connect_and_send(port, "HEAD /quick HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    read_to(&mut headless, "\r\n\r\n");
    prefix.write("go", "");
    read_to(&mut pipelined, "awake\n\r\n0\r\n\r\n");
}

#[test]
fn an_answer_leaves_before_code_logs_it() {
    let (prefix, port, _running) = server();
    let mut stream = connect_and_send(port, "GET /spin HTTP/1.1\r\nHost: a\r\n\r\n");
    read_to(&mut stream, "spun");
    prefix.write("go", "");
    // The next request on the connection begins when the log phase has ended.
    stream.write_all(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_to(&mut stream, "quick");
    until("both are logged", || prefix.read("logs/access.log").ends_with("/spin 127.0.0.1 1\n/quick 127.0.0.1 2\n"));
}

#[test]
fn a_log_handler_that_waits_holds_nothing_and_keeps_its_own_facts() {
    let (prefix, port, _running) = server();
    let mut stream = connect_and_send(port, "GET /held HTTP/1.1\r\nHost: a\r\nX-Real-IP: 192.0.2.7\r\n\r\n");
    read_to(&mut stream, "192.0.2.7\r\n0\r\n\r\n");
    stream.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let second = read_to(&mut stream, "127.0.0.1\r\n0\r\n\r\n");
    assert!(second.starts_with("HTTP/1.1 200"), "{second}");
    // Both lines are in the log although both handlers wait.
    until("both are logged", || prefix.read("logs/access.log").ends_with("/held 192.0.2.7 1\n/held 127.0.0.1 2\n"));
    prefix.write("go", "");
    let mut late: Vec<String> = (0..2)
        .map(|_| {
            let mut line = String::new();
            until("the handlers are done", || {
                line = get(port, "/late").unwrap().text();
                line != "nil\n"
            });
            line
        })
        .collect();
    // Which of the two looks first is chance.
    late.sort_unstable();
    assert_eq!(late, ["127.0.0.1 2\n", "192.0.2.7 1\n"]);
}
