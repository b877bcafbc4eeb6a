//! Clients that leave while a Lua handler waits, and clients that only look as if they had.

use crate::rig::{Foreground, Prefix, connect_and_send, free_port, until};
use std::io::Read;
use std::net::{Shutdown, UdpSocket};

const HANDLERS: &str = "lua_check_client_abort on;
location /nap { content_by_lua_block { ngx.sleep(1) ngx.say('awake') } }
location /part { content_by_lua_block { ngx.req.socket():receive(1) ngx.sleep(1) ngx.say('awake') } }
location /next { content_by_lua_block { ngx.say('next') } }
location /raw { content_by_lua_block {
    local sock = ngx.req.socket(true)
    sock:send('HTTP/1.1 200 OK\\r\\n\\r\\n' .. sock:receive('*l'))
} }
";

fn server() -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ worker_connections 64; }}\n\
             http {{ log_format status '$uri $status;'; access_log logs/access.log status;\n\
             server {{ listen {port};\n{HANDLERS}}} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

#[test]
fn a_handler_ends_with_its_client() {
    let (prefix, port, _running) = server();
    for (path, rest) in [
        ("/nap", "\r\n"),
        ("/nap", "Content-Length: 5\r\n\r\nhello"),
        ("/nap", "Content-Length: 9\r\n\r\nhel"),
        ("/part", "Content-Length: 5\r\n\r\nhello"),
    ] {
        let before = prefix.read("logs/access.log").matches("499;").count();
        drop(connect_and_send(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{rest}")));
        until("499 is logged", || prefix.read("logs/access.log").matches("499;").count() == before + 1);
    }
    assert!(!prefix.read("logs/access.log").contains("200;"));
}

#[test]
fn nobody_is_asked_for_a_name_when_the_client_has_left() {
    let prefix = Prefix::new();
    // A name server that says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (port, dns) = (free_port(), silent.local_addr().unwrap().port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ worker_connections 64; }}\n\
             http {{ log_format status '$uri $status;'; access_log logs/access.log status; resolver 127.0.0.1:{dns};\n\
             server {{ listen {port}; set $host_name some.test;\n\
             location / {{ proxy_pass http://$host_name; }}\n\
             location /fastcgi {{ fastcgi_pass $host_name:9000; }}\n\
             location /stays {{ proxy_pass http://$host_name; proxy_ignore_client_abort on; resolver_timeout 1s; }} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    drop(connect_and_send(port, "GET /stays HTTP/1.1\r\nHost: a\r\n\r\n"));
    for path in ["/", "/fastcgi"] {
        drop(connect_and_send(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")));
        until("499 is logged", || prefix.read("logs/access.log").contains(&format!("{path} 499;")));
    }
    until("the name's failure", || prefix.read("logs/access.log").contains("/stays 502;"));
}

#[test]
fn a_client_that_has_asked_for_more_is_alive() {
    let (_prefix, port, _running) = server();
    let mut stream =
        connect_and_send(port, "GET /nap HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("awake\n") && answer.ends_with("next\n\r\n0\r\n\r\n"), "{answer}");
}

#[test]
fn a_raw_socket_sees_what_came_with_the_head_and_nothing_follows() {
    let (_prefix, port, _running) = server();
    let mut stream = connect_and_send(
        port,
        "POST /raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\n5");
}
