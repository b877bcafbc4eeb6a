//! Calls of Lua's API in `stream` with arguments and states that the manual's examples leave out: what each returns.

use crate::rig::{Foreground, Prefix, connect, free_port, until};
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

/// The phase that a row's code runs in. `s` is the client's socket in those whose name says so.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Content,
    ContentSocket,
    PrereadSocket,
    Datagram,
    DatagramSocket,
}

use Place::{Content, ContentSocket, Datagram, DatagramSocket, PrereadSocket};

/// What `show` gets, whatever the client can still be told.
const SHOW: &str = "function show(row, ...) local t = {...} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end \
    ngx.log(ngx.WARN, 'row ', row, ': ', table.concat(t, ' '), ' :end') end";

/// Runs rows of code, each for a client of a server of its own that sends `hello`, and compares what they show.
fn shows(rows: &[(Place, &str, &str)]) {
    let (prefix, ports) = (Prefix::new(), rows.iter().map(|_| free_port()).collect::<Vec<_>>());
    let port = free_port();
    let mut servers = String::new();
    for (row, ((place, code, _), port)) in rows.iter().zip(&ports).enumerate() {
        let socket = if matches!(place, Content | Datagram) { "" } else { "local s = assert(ngx.req.socket()) " };
        let code = format!("local function show(...) return _G.show({row}, ...) end {socket}{code}");
        let udp = if matches!(place, Datagram | DatagramSocket) { " udp" } else { "" };
        let (phase, rest) = if *place == PrereadSocket { ("preread", " return x;") } else { ("content", "") };
        servers.push_str(&format!("server {{ listen 127.0.0.1:{port}{udp}; {phase}_by_lua_block {{ {code} }}{rest} }}\n"));
    }
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}\n\
             stream {{ init_by_lua_block {{ {SHOW} }}\nserver {{ listen 127.0.0.1:{port}; return ready; }}\n\
             server {{ listen unix:{}/s; content_by_lua_block {{ show('unix', ngx.req.get_original_addr()) }} }}\n{servers} }}",
            prefix.path.display()
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let shown = |row: &str| {
        let log = prefix.read("logs/error.log");
        let (_, rest) = log.split_once(&format!("row {row}: "))?;
        rest.split_once(" :end").map(|(text, _)| text.to_owned())
    };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (row, ((place, code, expected), port)) in rows.iter().zip(&ports).enumerate() {
        let row = row.to_string();
        let _stream = if matches!(place, Datagram | DatagramSocket) {
            client.send_to(b"hello", ("127.0.0.1", *port)).unwrap();
            None
        } else {
            let mut stream = connect(*port);
            stream.write_all(b"hello").unwrap();
            Some(stream)
        };
        until("what the row shows", || shown(&row).is_some());
        assert_eq!(shown(&row).as_deref(), Some(*expected), "{code}");
    }
    let _stream = UnixStream::connect(prefix.path.join("s")).unwrap();
    until("the original address", || shown("unix").is_some());
    assert_eq!(shown("unix").as_deref(), Some("nil unsupported address family: 1"));
}

#[test]
fn the_clients_socket_and_output() {
    shows(&[
        (Content, "show(pcall(ngx.req.socket, 1, 2))", "false expecting zero arguments, but got 2"),
        (Content, "ngx.req.socket() show(ngx.req.socket())", "nil duplicate call"),
        (Content, "ngx.req.socket() ngx.say('x') show(ngx.req.socket())", "nil duplicate call"),
        (Content, "show(ngx.now() - ngx.req.start_time() < 60, ngx.status)", "true 0"),
        (ContentSocket, "show(s:setoption('tcp-nodelay', true), s:getoption('tcp-nodelay'))", "true 1"),
        (ContentSocket, "show(s:getoption('nonsense'))", "nil unsupported option nonsense"),
        (ContentSocket, "show(s:getfd() > 2)", "true"),
        (
            Content,
            "ngx.timer.at(0, function() show(ngx.get_phase(), pcall(ngx.say, 'x')) end)",
            "timer false API disabled in the context of ngx.timer",
        ),
        (ContentSocket, "show(s:receive(5), pcall(s.peek, s, 1))", "hello false API disabled in the context of content_by_lua*"),
        // Closing.
        (ContentSocket, "show(s:shutdown('send'), s:shutdown('send'))", "1 nil already shutdown"),
        (ContentSocket, "ngx.eof() show(s:shutdown('send'))", "nil seen eof"),
        (ContentSocket, "show(s:shutdown(''))", "nil pattern is empty"),
        (ContentSocket, "show(pcall(s.shutdown, s, 'receive'))", "false bad argument #2 to '?' (bad shutdown argument: receive)"),
        (ContentSocket, "show(pcall(s.shutdown, s))", "false expecting 2 arguments (including the object) but seen 1"),
        (ContentSocket, "s:shutdown('send') show(ngx.say('x'))", "nil seen eof"),
        // Looking ahead.
        (PrereadSocket, "show(s:peek(2), s:peek(5), s:receive(5))", "he hello hello"),
        (PrereadSocket, "show(s:receive(1), pcall(s.peek, s, 1))", "h false attempt to peek on a consumed socket"),
        (PrereadSocket, "show(pcall(s.peek, s, -1))", "false bad argument #2 to '?' (bytes can not be negative)"),
        (PrereadSocket, "show(pcall(s.peek, s, {}))", "false argument must be a number"),
        (PrereadSocket, "show(pcall(s.peek, s))", "false expecting 2 arguments (including the object), but got 1"),
        // Output.
        (Content, "show(pcall(ngx.flush, 1))", "false bad argument #1 to 'flush' (boolean expected, got number)"),
        (Content, "show(pcall(ngx.flush, true, true))", "false attempt to pass 2 arguments, but accepted 0 or 1"),
        (Content, "show(ngx.flush(), ngx.flush(true))", "1 1"),
        (Content, "show(pcall(ngx.eof, 1))", "false no argument is expected"),
        (Content, "show(ngx.eof(), ngx.eof())", "1 nil seen eof"),
        (Content, "ngx.eof() show(ngx.say('x'))", "nil seen eof"),
        (Content, "ngx.eof() show(ngx.print({'x'}))", "nil seen eof"),
        (Content, "ngx.eof() show(ngx.flush(true))", "nil seen eof"),
        (Content, "show(pcall(ngx.say, {print}))", "false bad argument #1 to 'say' (bad data type function found)"),
    ]);
}

#[test]
fn datagrams() {
    shows(&[
        (Datagram, "show(pcall(ngx.say, 'x'))", "false API disabled in the current context"),
        (Datagram, "show(pcall(ngx.say, {'x'}))", "false API disabled in the current context"),
        (Datagram, "show(pcall(ngx.flush))", "false API disabled in the current context"),
        (Datagram, "show(pcall(ngx.eof))", "false API disabled in the current context"),
        (Datagram, "show(ngx.req.get_original_addr())", "nil failed to get IPv4 origin addr"),
        (DatagramSocket, "show(s:receive(2), s:receive(), s:receive())", "he llo nil no more data"),
        (DatagramSocket, "show(s:receive(-1))", "hello"),
        (DatagramSocket, "show(s:receive(5), s:receive(1))", "hello nil no more data"),
        (DatagramSocket, "show(s:send({'a', 1, {'b'}}))", "1"),
        (DatagramSocket, "show(pcall(s.send, s))", "false expecting 2 arguments (including the object), but got 1"),
        (DatagramSocket, "show(pcall(s.send, s, true))", "true 1"),
        // No datagram is that long.
        (DatagramSocket, "show(s:send(('x'):rep(70000)))", "nil message too long"),
        (DatagramSocket, "show(s.shutdown, s.peek, s.receiveuntil)", "nil nil nil"),
    ]);
}

/// The status of a session by how its code ends; `return` follows the preread phase.
#[test]
fn statuses() {
    let rows = [
        ("preread", "do return end", 200),
        ("preread", "ngx.exit(ngx.OK)", 200),
        ("preread", "ngx.exit(ngx.DECLINED)", 200),
        ("preread", "ngx.exit(403)", 403),
        ("preread", "ngx.exit(ngx.ERROR)", 500),
        ("preread", "error('x')", 500),
        ("preread", "ngx.sleep(0.01)", 200),
        ("preread", "ngx.sleep(0.01) ngx.exit(403)", 403),
        ("content", "ngx.exit(ngx.OK)", 200),
        ("content", "ngx.exit(ngx.DECLINED)", 200),
        ("content", "ngx.say('hello') ngx.exit(200)", 200),
        ("content", "ngx.exit(403)", 403),
        ("content", "ngx.exit(ngx.ERROR)", 500),
        ("content", "error('x')", 500),
        ("content", "ngx.sleep(0.01) error('x')", 500),
        // Nobody waits for a client of code that is broken.
        ("content", "ngx.say(('x'):rep(3000000)) error('x')", 500),
    ];
    let (prefix, port) = (Prefix::new(), free_port());
    let ports: Vec<u16> = rows.iter().map(|_| free_port()).collect();
    let server = |((phase, code, _), port): (&(&str, &str, u16), &u16)| {
        let rest = if *phase == "preread" { "return x;" } else { "" };
        format!("server {{ listen 127.0.0.1:{port}; {phase}_by_lua_block {{ {code} }} {rest} }}\n")
    };
    let servers: String = rows.iter().zip(&ports).map(server).collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}\n\
             stream {{ log_by_lua_block {{ ngx.log(ngx.WARN, 'ended ', ngx.var.server_port, ' ', ngx.status, ' ', ngx.var.status, ' :end') }}\n\
             server {{ listen 127.0.0.1:{port}; return ready; }}\n{servers} }}"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    for ((phase, code, status), port) in rows.iter().zip(&ports) {
        let _client = connect(*port);
        let ended = || prefix.read("logs/error.log").split_once(&format!("ended {port} ")).map(|(_, rest)| rest.to_owned());
        until("the end of the session", || ended().is_some_and(|rest| rest.contains(":end")));
        assert!(ended().is_some_and(|rest| rest.starts_with(&format!("{status} {status} :end"))), "{phase}: {code}: {:?}", ended());
    }
}
