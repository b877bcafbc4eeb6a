//! Calls of Lua's API in `stream` with arguments and states that the manual's examples leave out: what each returns.

use crate::rig::{Foreground, Prefix, connect, free_port, until};
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

/// The server that a row's code runs in. `s` is the client's socket in those whose name says so.
#[derive(Clone, Copy, PartialEq)]
enum RunsIn {
    Content,
    ContentSocket,
    PrereadSocket,
    Datagram,
    DatagramSocket,
}

use RunsIn::{Content, ContentSocket, Datagram, DatagramSocket, PrereadSocket};

impl RunsIn {
    fn server(self) -> &'static str {
        match self {
            Content | ContentSocket => "content",
            PrereadSocket => "preread",
            Datagram | DatagramSocket => "datagram",
        }
    }
}

/// Servers that run the next row of their list for each client, one after the other: a port for each row would be one too many.
struct Rows {
    prefix: Prefix,
    content: u16,
    preread: u16,
    datagram: u16,
    _running: Foreground,
}

impl Rows {
    /// Each row is a server's name and code; `log` is what `log_by_lua` does.
    fn start(rows: &[(&str, String)], log: &str) -> Rows {
        let (prefix, port) = (Prefix::new(), free_port());
        let (content, preread, datagram) = (free_port(), free_port(), free_port());
        let functions: String =
            rows.iter().map(|(server, code)| format!("table.insert(rows.{server}, function(show) {code} end)\n")).collect();
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}\n\
                 stream {{ init_by_lua_block {{ rows = {{ content = {{}}, preread = {{}}, datagram = {{}} }} next_row = {{}}\n{functions}\n\
                 function run(server) local row = (next_row[server] or 0) + 1 next_row[server] = row ngx.ctx.row = server .. row\n\
                 return rows[server][row](function(...) local t = {{...}} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end\n\
                 ngx.log(ngx.WARN, 'row ', server .. row, ': ', table.concat(t, ' '), ' :end') end) end }}\n\
                 log_by_lua_block {{ {log} }}\n\
                 server {{ listen 127.0.0.1:{port}; return ready; }}\n\
                 server {{ listen 127.0.0.1:{content}; content_by_lua_block {{ run('content') }} }}\n\
                 server {{ listen 127.0.0.1:{preread}; preread_by_lua_block {{ run('preread') }} return x; }}\n\
                 server {{ listen 127.0.0.1:{datagram} udp; content_by_lua_block {{ run('datagram') }} }}\n\
                 server {{ listen unix:{}/s; content_by_lua_block {{\n\
                 ngx.log(ngx.WARN, 'row unix: ', table.concat({{ tostring((ngx.req.get_original_addr())), select(2, ngx.req.get_original_addr()) }}, ' '), ' :end') }} }} }}",
                prefix.path.display()
            ),
        );
        let _running = Foreground::start(&prefix, port, "").unwrap();
        Rows { prefix, content, preread, datagram, _running }
    }

    /// What a row has logged, once that is there.
    fn shown(&self, row: &str) -> String {
        let find = || {
            let log = self.prefix.read("logs/error.log");
            let (_, rest) = log.split_once(&format!("row {row}: "))?;
            rest.split_once(" :end").map(|(text, _)| text.to_owned())
        };
        until(&format!("what row {row} shows"), || find().is_some());
        find().unwrap()
    }
}

/// Runs rows of code, each for a client that sends `hello`, and compares what they show.
fn shows(rows: &[(RunsIn, &str, &str)]) {
    let code = |(place, code, _): &(RunsIn, &str, &str)| {
        let socket = if matches!(place, Content | Datagram) { "" } else { "local s = assert(ngx.req.socket()) " };
        (place.server(), format!("{socket}{code}"))
    };
    let running = Rows::start(&rows.iter().map(code).collect::<Vec<_>>(), "");
    for (at, (place, code, expected)) in rows.iter().enumerate() {
        let number = rows[..=at].iter().filter(|row| row.0.server() == place.server()).count();
        let row = format!("{}{number}", place.server());
        let shown = if place.server() == "datagram" {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"hello", ("127.0.0.1", running.datagram)).unwrap();
            running.shown(&row)
        } else {
            let mut stream = connect(if *place == PrereadSocket { running.preread } else { running.content });
            stream.write_all(b"hello").unwrap();
            running.shown(&row)
        };
        assert_eq!(shown, *expected, "{code}");
    }
    let _stream = UnixStream::connect(running.prefix.path.join("s")).unwrap();
    assert_eq!(running.shown("unix"), "nil unsupported address family: 1");
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
    let code = |row: &(&'static str, &str, u16)| (row.0, row.1.to_owned());
    let log = "if ngx.ctx.row then ngx.log(ngx.WARN, 'row ', ngx.ctx.row, ': ', ngx.status, ' ', ngx.var.status, ' :end') end";
    let running = Rows::start(&rows.iter().map(code).collect::<Vec<_>>(), log);
    for (at, (phase, code, status)) in rows.iter().enumerate() {
        let number = rows[..=at].iter().filter(|row| row.0 == *phase).count();
        let _client = connect(if *phase == "preread" { running.preread } else { running.content });
        assert_eq!(running.shown(&format!("{phase}{number}")), format!("{status} {status}"), "{phase}: {code}");
    }
}
