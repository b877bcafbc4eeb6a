//! Lua in `stream`: what becomes of sessions and timers when they are cut off, and clients that do not do their part.

use crate::rig::{PATIENCE, Prefix, connect, exchange, free_port, until};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;

fn prefix_of(stream: &str, main: &str) -> Prefix {
    let prefix = Prefix::new();
    configure(&prefix, stream, main);
    std::fs::set_permissions(prefix.path.join("logs"), Permissions::from_mode(0o777)).unwrap();
    prefix
}

fn configure(prefix: &Prefix, stream: &str, main: &str) {
    let text = format!("worker_processes 1; error_log logs/error.log info; {main}\nevents {{ }}\nstream {{\n{stream}\n}}\n");
    prefix.write("conf/nginx.conf", &text);
}

/// A server with this `stream` block and these directives outside of it.
fn started(stream: &str, main: &str) -> Prefix {
    let prefix = prefix_of(stream, main);
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    prefix
}

fn ask(port: u16, bytes: &[u8]) -> String {
    String::from_utf8(exchange(port, bytes).unwrap()).unwrap()
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    drop(stream.read_to_string(&mut text));
    text
}

/// Every way to wait; the one that each server is in when it is cut off.
const WAITS: [&str; 9] = [
    "ngx.sleep(100)",
    "ngx.req.socket():receive(1)",
    "ngx.req.socket():receiveuntil('end')()",
    "local thread = ngx.thread.spawn(function () ngx.sleep(100) end) ngx.thread.wait(thread)",
    "ngx.thread.spawn(function () ngx.sleep(100) ngx.log(ngx.WARN, 'went on') end) do return end",
    "require('ngx.semaphore').new():wait(100)",
    "local sock = ngx.socket.tcp() sock:connect('127.0.0.1', tonumber(ngx.var.silent)) sock:receive()",
    "local sock = ngx.socket.udp() sock:setpeername('127.0.0.1', tonumber(ngx.var.silent)) sock:receive()",
    "coroutine.wrap(function () ngx.sleep(100) end)()",
];

#[test]
fn sessions_are_cut_off_wherever_they_wait() {
    let silent = free_port();
    let ports: Vec<[u16; 2]> = WAITS.iter().map(|_| [free_port(), free_port()]).collect();
    let mut servers = format!(
        "map 1 $silent {{ default {silent}; }}\n\
         log_by_lua_block {{ ngx.log(ngx.WARN, 'logged ', ngx.var.server_port, ' ', ngx.ctx.begun) }}\n\
         server {{ listen 127.0.0.1:{silent}; listen 127.0.0.1:{silent} udp; content_by_lua_block {{ ngx.sleep(100) }} }}\n"
    );
    for (code, [content, preread]) in WAITS.iter().zip(&ports) {
        let code = format!("ngx.ctx.begun = 'begun' ngx.log(ngx.WARN, 'waits ', ngx.var.server_port) {code} ngx.log(ngx.WARN, 'went on')");
        servers.push_str(&format!("server {{ listen 127.0.0.1:{content}; content_by_lua_block {{ {code} }} }}\n"));
        servers.push_str(&format!(
            "server {{ listen 127.0.0.1:{preread}; preread_timeout 100s; preread_by_lua_block {{ {code} }} return never; }}\n"
        ));
    }
    let prefix = started(&servers, "worker_shutdown_timeout 100ms;");
    let clients: Vec<TcpStream> = ports.iter().flatten().map(|port| connect(*port)).collect();
    until("the sessions", || {
        let log = prefix.read("logs/error.log");
        ports.iter().flatten().all(|port| log.contains(&format!("waits {port}")))
    });
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the end of the server", || prefix.is_down());
    for client in clients {
        assert_eq!(rest(client), "");
    }
    let log = prefix.read("logs/error.log");
    for port in ports.iter().flatten() {
        assert!(log.contains(&format!("logged {port} begun")), "{port}: {log}");
    }
    for sign in ["went on", "[alert]", "[emerg]", "panicked"] {
        assert!(!log.contains(sign), "{sign}: {log}");
    }
}

#[test]
fn a_choice_of_a_server_and_the_end_of_a_session_are_cut_off_too() {
    let [choosing, ending] = std::array::from_fn(|_| free_port());
    let wait = |phase: &str| format!("ngx.log(ngx.WARN, '{phase} waits') ngx.sleep(100) ngx.log(ngx.WARN, 'went on')");
    let prefix = started(
        &format!(
            "lua_yield_in_all_phases on;\n\
             upstream chosen {{ server 127.0.0.1:1; balancer_by_lua_block {{ {} }} }}\n\
             server {{ listen 127.0.0.1:{choosing}; proxy_pass chosen; }}\n\
             server {{ listen 127.0.0.1:{ending}; return ending; log_by_lua_block {{ {} }} }}",
            wait("balancer"),
            wait("log")
        ),
        "worker_shutdown_timeout 100ms;",
    );
    let [chosen, ended] = [choosing, ending].map(connect);
    for phase in ["balancer", "log"] {
        until(phase, || prefix.read("logs/error.log").contains(&format!("{phase} waits")));
    }
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the end of the server", || prefix.is_down());
    assert_eq!((rest(chosen), rest(ended)), (String::new(), "ending".to_owned()));
    let log = prefix.read("logs/error.log");
    assert!(!["went on", "[alert]", "[emerg]", "panicked"].iter().any(|sign| log.contains(sign)), "{log}");
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let port = free_port();
    let prefix = started(
        &format!(
            "server {{ listen 127.0.0.1:{port}; lua_socket_send_timeout 100ms; content_by_lua_block {{\n\
             local much = string.rep('x', 1024 * 1024)\n\
             for count = 1, 1000 do\n\
             ngx.print(much)\n\
             local ok, err = ngx.flush(true)\n\
             if not ok then ngx.log(ngx.WARN, 'flush: ', err, ', then: ', select(2, ngx.flush(true))) return end\n\
             end }} }}"
        ),
        "",
    );
    let _client = connect(port);
    until("the end of patience", || prefix.read("logs/error.log").contains("flush: timeout, then: "));
}

#[test]
fn both_directions_at_once() {
    let port = free_port();
    let prefix = started(
        &format!(
            "server {{ listen 127.0.0.1:{port}; content_by_lua_block {{\n\
             local sock = assert(ngx.req.socket(true))\n\
             local writer = ngx.thread.spawn(function ()\n\
             for count = 1, 64 do assert(sock:send(string.rep('w', 65536))) end\n\
             end)\n\
             local total = 0\n\
             while true do\n\
             local data, err = sock:receiveany(100000)\n\
             if not data then break end\n\
             total = total + #data\n\
             end\n\
             assert(ngx.thread.wait(writer))\n\
             assert(sock:send('read ' .. total)) }} }}"
        ),
        "",
    );
    let mut client = connect(port);
    let mut reading = client.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut heard = Vec::new();
        reading.read_to_end(&mut heard).map(|_| heard)
    });
    for _ in 0..64 {
        client.write_all(&[b'r'; 65536]).unwrap();
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let heard = reader.join().unwrap().unwrap_or_else(|error| panic!("{error}: {}", prefix.read("logs/error.log")));
    assert_eq!(heard.iter().filter(|byte| **byte == b'w').count(), 64 * 65536);
    assert!(heard.ends_with(b"read 4194304"), "{}", prefix.read("logs/error.log"));
}

#[test]
fn what_comes_before_the_content_has_its_limits() {
    let port = free_port();
    let prefix = started(
        &format!(
            "log_format f '$status'; access_log logs/sessions.log f; preread_buffer_size 16; preread_timeout 100ms;\n\
             server {{ listen 127.0.0.1:{port}; preread_by_lua_block {{ ngx.req.socket():peek(17) }} return never; }}"
        ),
        "",
    );
    assert_eq!(ask(port, b"sixteen or more bytes"), "");
    until("the refusal", || prefix.read("logs/sessions.log") == "400\n");
}

#[test]
fn datagrams_have_sessions_of_their_own() {
    let port = free_port();
    let prefix = started(
        &format!(
            "server {{ listen 127.0.0.1:{port} udp; content_by_lua_block {{\n\
             local sock = assert(ngx.req.socket())\n\
             package.loaded.count = (package.loaded.count or 0) + 1\n\
             sock:send(package.loaded.count .. ': ' .. sock:receive()) }} }}"
        ),
        "",
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 100];
    for (number, word) in ["one", "two", "three"].iter().enumerate() {
        socket.send(word.as_bytes()).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), format!("{}: {word}", number + 1));
    }
    assert!(prefix.run(&["-s", "stop"]).status.success());
}

#[test]
fn a_new_configuration_has_a_machine_of_its_own() {
    let port = free_port();
    let server = |word: &str, cache: &str| {
        format!(
            "lua_code_cache {cache}; init_by_lua_block {{ word = '{word}' }}\n\
             exit_worker_by_lua_block {{ ngx.log(ngx.WARN, word, ' ends') }}\n\
             server {{ listen 127.0.0.1:{port}; content_by_lua_block {{\n\
             package.loaded.count = (package.loaded.count or 0) + 1 ngx.print(word, package.loaded.count) }} }}"
        )
    };
    let prefix = started(&server("one", "on"), "");
    assert_eq!((ask(port, b""), ask(port, b"")), ("one1".to_owned(), "one2".to_owned()));
    configure(&prefix, &server("two", "off"), "");
    assert!(prefix.run(&["-s", "reload"]).status.success());
    until("the new configuration", || ask(port, b"") == "two1");
    // Nothing is kept without a cache.
    assert_eq!(ask(port, b""), "two1");
    until("the end of the old machine", || prefix.read("logs/error.log").contains("one ends"));
}

/// Globals, modules and dictionaries of `http` and `stream` are apart.
#[test]
fn the_machines_of_http_and_stream_are_apart() {
    let (port, web) = (free_port(), free_port());
    let block = |count: usize| {
        format!(
            "lua_shared_dict zone{count} 64k; init_by_lua_block {{ package.loaded.mark = {count}; ngx.shared.zone{count}:set('a', {count}) }}"
        )
    };
    let code = "local names = {} for name in pairs(ngx.shared) do names[#names + 1] = name end\n\
                ngx.print(ngx.config.subsystem, ' ', require 'mark', ' ', table.concat(names, ' '))";
    let stream = format!("{}\nserver {{ listen 127.0.0.1:{port}; content_by_lua_block {{ {code} }} }}", block(1));
    let http = format!("http {{ {}\nserver {{ listen {web}; location / {{ content_by_lua_block {{ {code} }} }} }} }}", block(2));
    let _prefix = started(&stream, &http);
    assert_eq!(ask(port, b""), "stream 1 zone1");
    assert_eq!(crate::rig::get(web, "/").unwrap().text(), "http 2 zone2");
}

#[test]
fn what_both_protocols_cannot_have_is_refused() {
    let web = free_port();
    let table = [
        (
            "lua_shared_dict zone 64k;",
            "lua_shared_dict zone 64k;",
            "the shared memory zone \"zone\" is already declared for a different use",
        ),
        ("lua_capture_error_log 32k;", "lua_capture_error_log 32k;", "capture error log handler has been hooked"),
    ];
    for (stream, http, error) in table {
        let prefix = prefix_of(stream, &format!("http {{ {http} server {{ listen {web}; }} }}"));
        let output = prefix.run(&["-t"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(error), "{text}");
    }
}

/// A peer of a connection that rests may wait for its end, also while the worker still has a session.
#[test]
fn a_worker_that_leaves_closes_connections_that_rest() {
    let (port, busy) = (free_port(), free_port());
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let prefix = started(
        &format!(
            "server {{ listen 127.0.0.1:{port}; content_by_lua_block {{\n\
             local sock = assert(ngx.socket.connect('127.0.0.1', {}))\n\
             ngx.print(sock:setkeepalive()) }} }}\n\
             server {{ listen 127.0.0.1:{busy}; content_by_lua_block {{ ngx.req.socket():receive() ngx.print('done') }} }}",
            peer.local_addr().unwrap().port()
        ),
        "",
    );
    assert_eq!(ask(port, b""), "1");
    let (mut resting, _) = peer.accept().unwrap();
    resting.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = connect(busy);
    until("the session", || prefix.read("logs/error.log").contains(&format!("connected to 127.0.0.1:{busy}")));
    assert!(prefix.run(&["-s", "quit"]).status.success());
    assert_eq!(resting.read(&mut [0]).unwrap(), 0);
    client.write_all(b"end\n").unwrap();
    assert_eq!(rest(client), "done");
    until("the end of the server", || prefix.is_down());
}

#[test]
fn timers_and_workers_end_with_their_worker() {
    let prefix = started(
        &format!(
            "init_worker_by_lua_block {{\n\
             ngx.timer.at(0, function () ngx.log(ngx.WARN, 'begun') ngx.sleep(100) ngx.log(ngx.WARN, 'went on') end)\n\
             ngx.timer.at(100, function (premature) ngx.log(ngx.WARN, 'premature: ', premature) end) }}\n\
             server {{ listen 127.0.0.1:{}; return a; }}",
            free_port()
        ),
        "worker_shutdown_timeout 100ms;",
    );
    until("the timer", || prefix.read("logs/error.log").contains("begun"));
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the end of the server", || prefix.is_down());
    let log = prefix.read("logs/error.log");
    assert!(log.contains("premature: true") && !log.contains("went on"), "{log}");
}
