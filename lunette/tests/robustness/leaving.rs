//! Clients that leave while a Lua handler waits, and clients that only look as if they had.

use crate::rig::{Foreground, Prefix, connect_and_send, free_port, h2, until};
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

/// A server with these directives at the main level and in its server, whose log has status and size of each answer.
fn logging(main: &str, locations: &str) -> (Prefix, u16) {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1; error_log logs/error.log info; {main}\nevents {{ worker_connections 64; }}\n\
             http {{ log_format sizes '$uri $server_protocol $status $body_bytes_sent'; access_log logs/access.log sizes;\n\
             server {{ listen 127.0.0.1:{port}; http2 on; location = /ready {{ return 204; }}\n{locations}\n}} }}\n"
        ),
    );
    assert!(prefix.run(&[]).status.success());
    (prefix, port)
}

#[test]
fn logs_tell_how_much_has_left() {
    const SIZE: u64 = 64 << 20;
    let (prefix, port) = logging("", "location / { sendfile on; } location /read/ { sendfile off; alias html/; }");
    prefix.write("html/large", "");
    std::fs::File::options().write(true).open(prefix.path.join("html/large")).unwrap().set_len(SIZE).unwrap();
    for path in ["/large", "/read/large"] {
        let mut stream = connect_and_send(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        stream.read_exact(&mut [0; 1000]).unwrap();
        drop(stream);
        let mut client = h2::Client::with_window(port, 50_000);
        client.takes = false;
        client.request("GET", path, &[], None);
        client.get("/ready");
        drop(client);
    }
    until("the lines", || prefix.read("logs/access.log").lines().count() == 6);
    for line in prefix.read("logs/access.log").lines().filter(|line| !line.starts_with("/ready")) {
        let sent: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        let most = if line.contains("HTTP/2") { 70_000 } else { SIZE - 1 };
        assert!((1..=most).contains(&sent), "{line}");
    }
}

#[test]
fn requests_that_a_leaving_worker_cuts_are_logged() {
    let (prefix, port) = logging(
        "worker_shutdown_timeout 100ms;",
        "location /long { content_by_lua_block { ngx.sleep(600) } log_by_lua_block { ngx.log(ngx.ERR, 'cut ', ngx.var.server_protocol) } }
         location /part { content_by_lua_block { ngx.print('part') ngx.flush(true) ngx.sleep(600) } }
         location /body { proxy_pass http://127.0.0.1:1; }",
    );
    let mut streams = Vec::new();
    for (path, more) in [("/long", "\r\n"), ("/part", "\r\n"), ("/body", "Content-Length: 9\r\n\r\nabc")] {
        streams.push(connect_and_send(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}")));
    }
    let mut client = h2::Client::connect(port);
    client.request("GET", "/long", &[], None);
    client.get("/ready");
    let mut part = [0; 16];
    streams[1].read_exact(&mut part).unwrap();
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the end of the server", || prefix.is_down());
    let log = prefix.read("logs/access.log");
    let mut lines: Vec<&str> =
        log.lines().filter(|line| !line.starts_with("/ready")).map(|line| line.rsplit_once(' ').unwrap().0).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/body HTTP/1.1 408", "/long HTTP/1.1 000", "/long HTTP/2.0 499", "/part HTTP/1.1 200"], "{log}");
    let errors = prefix.read("logs/error.log");
    assert!(errors.contains("cut HTTP/1.1") && errors.contains("cut HTTP/2.0"), "{errors}");
}
