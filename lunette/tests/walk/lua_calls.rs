//! Calls of Lua's API with arguments, states and peers that the manual's examples leave out: what each answers.

use crate::rig::{Foreground, Prefix, exchange, free_port, parse};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

/// What a row's code may use: `show` joins values, `try` joins what a call answers or its error, and `port`, `sink`, `mute`, `silent` are ports of
/// this server, of one that reads everything, of one that reads nothing, and of one for datagrams that answers nothing.
const HELP: &str = "function show(...) local t = {...} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end return table.concat(t, ' ') end \
    function try(f, ...) return show(select(2, pcall(f, ...))) end \
    function tcp() local s = ngx.socket.tcp() s:settimeout(10000) assert(s:connect('127.0.0.1', port)) return s end";

/// Runs rows of code in requests with the body `hello`, each in a location of its own, and compares what they answer.
fn answers(more: &str, rows: &[(&str, &str)]) -> Prefix {
    let (prefix, port) = (Prefix::new(), free_port());
    let listener = |reads: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if reads {
                    let mut all = Vec::new();
                    // Who asks has all of its answer by then.
                    let _ = stream.read_to_end(&mut all);
                }
                kept.push(stream);
            }
        });
        port
    };
    let (sink, mute, silent) = (listener(true), listener(false), UdpSocket::bind("127.0.0.1:0").unwrap());
    let silent_port = silent.local_addr().unwrap().port();
    let places: String = rows
        .iter()
        .enumerate()
        .map(|(row, (code, _))| format!("location = /row{row} {{ set $dog p; content_by_lua_block {{ {code} }} }}\n"))
        .collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }} http {{ lua_socket_log_errors on;
             init_by_lua_block {{ port, sink, mute, silent = {port}, {sink}, {mute}, {silent_port} {HELP} }}
             server {{ listen 127.0.0.1:{port}; location = /file.txt {{ root html; }} location = /text {{ return 200 text; }}\n{more}\n{places} }} }}"
        ),
    );
    prefix.write("html/file.txt", "file");
    let _running = Foreground::start(&prefix, port, "").unwrap();
    for (row, (code, expected)) in rows.iter().enumerate() {
        let request = format!("POST /row{row} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        let answer = parse(&exchange(port, request.as_bytes()).unwrap()).unwrap();
        assert_eq!((answer.status, answer.text().trim_end()), (200, *expected), "{code}\n{}", prefix.read("logs/error.log"));
    }
    prefix
}

#[test]
fn subrequests() {
    let prefix = answers(
        "location = /dog { content_by_lua_block { ngx.print(ngx.var.dog) } }
         location = /ctx { content_by_lua_block { ngx.ctx.seen = ngx.ctx.given .. '!' } }
         location = /many { content_by_lua_block { ngx.header['X-Many'] = {'a', 'b', 'c'} ngx.header['X-Two'] = {'a', 'b'} ngx.header['X-One'] = 'a' } }
         location = /args { return 200 $args; } location = /method { content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_method(), ngx.req.get_body_data()) } }",
        &[
            ("ngx.print(ngx.location.capture('/dog', {vars = {dog = 'x'}}).body, ngx.var.dog)", "xp"),
            ("ngx.print(ngx.location.capture('/dog', {vars = {DOG = 7}}).body)", "7"),
            ("ngx.print(ngx.location.capture('/dog', {share_all_vars = true}).body, ngx.location.capture('/dog', {copy_all_vars = true}).body)", "pp"),
            ("ngx.print(try(ngx.location.capture, '/dog', {vars = {uri = 'x'}}))", "variable \"uri\" not changeable"),
            (
                "ngx.print(try(ngx.location.capture, '/dog', {vars = {none = 'x'}}))",
                "variable \"none\" cannot be assigned a value (maybe you forgot to define it first?)",
            ),
            ("ngx.print(try(ngx.location.capture, '/dog', {vars = {dog = true}}))", "attempt to use bad variable value type boolean"),
            ("ngx.print(try(ngx.location.capture, '/dog', {vars = {[true] = 'x'}}))", "attempt to use a non-string key in the \"vars\" option table"),
            ("ngx.print(try(ngx.location.capture, '/../../x'))", "unsafe uri in argument #1: /../../x"),
            ("local c = {given = 'a'} ngx.location.capture('/ctx', {ctx = c}) ngx.print(c.seen, ngx.ctx.seen)", "a!nil"),
            ("local c = ngx.location.capture('/many').header ngx.print(table.concat(c['X-Many'], ','), table.concat(c['X-Two'], ','), c['X-One'])", "a,b,ca,ba"),
            ("local r = ngx.location.capture('/file.txt') ngx.print(r.status, r.body, #r.header['Last-Modified'], r.truncated)", "200file29false"),
            ("ngx.print(ngx.location.capture('/args?a=1', {args = {b = 2}}).body)", "a=1&b=2"),
            ("ngx.print(ngx.location.capture('/method', {method = ngx.HTTP_PUT, body = 'b'}).body)", "PUTb"),
            ("ngx.print(ngx.location.capture('/none').status)", "404"),
            ("local a, b = ngx.location.capture_multi({{'/text'}, {'/none'}}) ngx.print(a.body, b.status)", "text404"),
            ("ngx.print(try(ngx.location.capture_multi, {}))", "at least one subrequest should be specified"),
        ],
    );
    // Who asked hears of it.
    assert!(!prefix.read("logs/error.log").contains("was detected"));
}

#[test]
fn bodies() {
    answers(
        "",
        &[
            ("ngx.req.discard_body() ngx.print(ngx.req.get_body_data(), try(ngx.req.set_body_data, 'x'))", "nilrequest body not read yet"),
            ("ngx.print(try(ngx.req.set_body_data, 'x'))", "request body not read yet"),
            ("ngx.req.read_body() ngx.req.set_body_data('other') ngx.print(ngx.req.get_body_data())", "other"),
            (
                "ngx.req.read_body() local p = ngx.config.prefix() .. 'html/file.txt' ngx.req.set_body_file(p) \
                 ngx.print(ngx.req.get_body_data(), ngx.req.get_body_file() == p, ngx.var.http_content_length)",
                "niltrue4",
            ),
            ("ngx.req.read_body() ngx.print(try(ngx.req.set_body_file, '/none/at/all'))", "stat() \"/none/at/all\" failed"),
            (
                "ngx.req.read_body() ngx.print(try(ngx.req.set_body_file, 'x', 1))",
                "bad argument #2 to 'set_body_file' (boolean expected, got number)",
            ),
            (
                "ngx.req.read_body() ngx.req.init_body(4) ngx.req.append_body('abcdef') ngx.req.append_body('gh') ngx.req.finish_body() \
                 local f = io.open(ngx.req.get_body_file()) ngx.print(ngx.req.get_body_data(), f:read('*a')) f:close()",
                "nilabcdefgh",
            ),
            (
                "ngx.req.read_body() ngx.req.init_body() ngx.req.append_body('ab') ngx.req.finish_body() ngx.print(ngx.req.get_body_data())",
                "ab",
            ),
            ("ngx.req.read_body() ngx.print(try(ngx.req.init_body, -1))", "bad size argument: -1"),
            ("ngx.print(try(ngx.req.init_body))", "request body not read yet"),
        ],
    );
}

#[test]
fn who_calls_a_method_does_not_count_the_object() {
    answers(
        "",
        &[(
            "local s, u = tcp(), ngx.socket.udp() \
                 for _, call in ipairs { function() s:receive {} end, function() s:receiveany(0) end, function() s:receiveuntil {} end, \
                 function() s:send(print) end, function() s:send { { a = 1 } } end, function() s:connect({}, 1) end, \
                 function() s:connect('127.0.0.1', port, { pool = true }) end, function() s:setkeepalive(1, 'x') end, \
                 function() u:setpeername('127.0.0.1', 'x') end, function() s.receive(1) end } do ngx.say(try(call):match('bad.*')) end",
            "bad argument #1 to 'receive' (bad argument)\n\
                 bad argument #1 to 'receiveany' (bad max argument)\n\
                 bad argument #1 to 'receiveuntil' (string expected, got table)\n\
                 bad argument #1 to 'send' (string, number, boolean, nil, or array table expected, got function)\n\
                 bad argument #1 to 'send' (non-array table found)\n\
                 bad argument #1 to 'connect' (string expected, got table)\n\
                 bad argument #3 to 'connect' (bad \"pool\" option type: boolean)\n\
                 bad argument #2 to 'setkeepalive' (number expected, got string)\n\
                 bad argument #2 to 'setpeername' (number expected, got string)\n\
                 bad argument #1 to 'receive' (table expected, got number)",
        )],
    );
}

#[test]
fn addresses_of_sockets() {
    answers(
        "",
        &[
            (
                "local s = ngx.socket.tcp() ngx.print(show(s:bind('::1')), show(s:bind('[::1]')), show(s:bind('127.0.0.1:0')))",
                "truenil bad addressnil bad address",
            ),
            ("local s = ngx.socket.udp() ngx.print(show(s:bind('::1')), show(s:bind('[::1]')))", "1nil bad address"),
            (
                "local s = ngx.socket.tcp() ngx.print(show(s:connect('::1', port)), ';', show(s:connect('[]', port)), ';', show(s:connect('[::g]', port)))",
                "nil failed to parse host name \"::1\": invalid port;nil failed to parse host name \"[]\": no host;\
                 nil failed to parse host name \"[::g]\": invalid IPv6 address",
            ),
            (
                "local s = ngx.socket.udp() ngx.print(show(s:setpeername('::', port)), ';', show(s:setpeername('[::1]', port)))",
                "nil failed to parse host name \"::\": invalid port;1",
            ),
        ],
    );
}

#[test]
fn options_of_connections() {
    answers(
        "",
        &[
            (
                "local s = ngx.socket.tcp() ngx.print(try(s.connect, s, '127.0.0.1', port, {pool_size = 0}))",
                "bad argument #4 to 'connect' (bad \"pool_size\" option value: 0)",
            ),
            (
                "local s = ngx.socket.tcp() ngx.print(try(s.connect, s, '127.0.0.1', port, {pool_size = 'x'}))",
                "bad argument #4 to 'connect' (bad \"pool_size\" option type: string)",
            ),
            (
                "local s = ngx.socket.tcp() ngx.print(try(s.connect, s, '127.0.0.1', port, {backlog = -1}))",
                "bad argument #4 to 'connect' (bad \"backlog\" option value: -1)",
            ),
            (
                "local s = ngx.socket.tcp() ngx.print(try(s.connect, s, '127.0.0.1', port, {pool = true}))",
                "bad argument #4 to 'connect' (bad \"pool\" option type: boolean)",
            ),
            ("local s = ngx.socket.tcp() ngx.print(show(s:bind('127.0.0.1')), show(s:connect('127.0.0.1', port)))", "true1"),
            ("local s = ngx.socket.tcp() ngx.print(show(s:bind('nowhere')))", "nil bad address"),
            ("local s = ngx.socket.tcp() ngx.print(show(s:connect('unix:/none/at/all')))", "nil no such file or directory"),
            ("local s = tcp() ngx.print(try(s.receive, s, '*xy'))", "bad argument #2 to 'receive' (bad pattern argument: *xy)"),
            ("local s = tcp() ngx.print(try(s.receiveany, s, 0))", "bad argument #2 to '?' (bad max argument)"),
            (
                "local s = tcp() s:close() ngx.print(show(s:send('x')), ';', show(s:receive()), ';', show(s:receiveany(1)), ';', show(s:close()))",
                "nil closed;nil closed;nil closed;nil closed",
            ),
            (
                "local s = tcp() s:send('GET /text HTTP/1.0\\r\\n\\r\\n') s:receive() ngx.print(show(s:setkeepalive()))",
                "nil unread data in buffer",
            ),
            ("local s = tcp() s:send('GET /text HTTP/1.0\\r\\n\\r\\n') local d = s:receiveany(4) ngx.print(d)", "HTTP"),
            (
                "local s = tcp() ngx.print(show(s:setoption()), ';', show(s:setoption('keepalive')), ';', show(s:setoption('x', 1)))",
                "nil missing the \"option\" argument;nil missing the \"value\" argument;nil unsupported option x",
            ),
            (
                "local s = tcp() ngx.print(show(s:setoption('reuseaddr', true), s:setoption('rcvbuf', 10000), s:setoption('tcp-nodelay', true)), ';', \
                 show(s:getoption('reuseaddr'), s:getoption('tcp-nodelay'), s:getoption('rcvbuf') > 1, s:getoption('sndbuf') > 1))",
                "true true true;1 1 true true",
            ),
            ("local s = tcp() ngx.print(type(s:getfd())) s:close() ngx.print(show(s:getfd()))", "numbernil closed"),
            (
                "local s = ngx.socket.tcp() s:settimeouts(10000, 10000, 1) s:connect('127.0.0.1', mute) ngx.print(show(s:receive()))",
                "nil timeout",
            ),
            (
                "local s = ngx.socket.tcp() s:settimeouts(10000, 20, 10000) s:connect('127.0.0.1', mute) \
                 ngx.print(show(s:send(string.rep('x', 20000000))), ';', show(s:send('x')))",
                "nil timeout;nil closed",
            ),
            (
                "local s = ngx.socket.tcp() s:settimeout(60000) s:connect('127.0.0.1', sink) ngx.print(show(s:send(string.rep('x', 20000000))))",
                "20000000",
            ),
        ],
    );
}

#[test]
fn pools_that_are_full() {
    let connect = "local function open(t) local s = ngx.socket.tcp() s:settimeout(t or 60000) \
                   local ok, err = s:connect('127.0.0.1', port, {pool = 'p', pool_size = 1, backlog = 1}) return ok and s, err end ";
    let row = |code: &str| format!("{connect}{code}");
    let rows = [
        // The second waits until the first gives its connection back; a third has no place to wait.
        (
            row("local a = open() local b local t = ngx.thread.spawn(function() b = open() end) ngx.print(show(open())) \
                 a:setkeepalive() ngx.thread.wait(t) ngx.print(b:getreusedtimes()) b:close()"),
            "nil too many waiting connect operations1",
        ),
        // Who goes lets the next one connect anew.
        (
            row(
                "local a = open() local b local t = ngx.thread.spawn(function() b = open() end) a:close() ngx.thread.wait(t) ngx.print(b:getreusedtimes()) b:close()",
            ),
            "0",
        ),
        (row("local a = open() ngx.print(show(open(1))) a:close()"), "nil timeout"),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(code, expected)| (code.as_str(), *expected)).collect();
    let prefix = answers("", &rows);
    let log = prefix.read("logs/error.log");
    assert!(log.contains("lua tcp socket queued connect timed out, when trying to connect to 127.0.0.1:"), "{log}");
}

#[test]
fn datagrams() {
    answers(
        "",
        &[
            ("ngx.print(try(ngx.socket.udp, 1))", "expecting zero arguments, but got 1"),
            ("local s = ngx.socket.udp() ngx.print(show(s:setpeername('unix:/none/at/all')))", "nil no such file or directory"),
            (
                "local s = ngx.socket.udp() ngx.print(show(s:bind('nowhere')), ';', show(s:bind('127.0.0.1')), ';', show(s:setpeername('127.0.0.1', silent)))",
                "nil bad address;1;1",
            ),
            (
                "local s = ngx.socket.udp() s:settimeout(1) s:setpeername('127.0.0.1', silent) ngx.print(show(s:send({'a', {'b'}})), ';', show(s:receive()))",
                "1;nil timeout",
            ),
            (
                "local s = ngx.socket.udp() s:setpeername('127.0.0.1', silent) ngx.print(show(s:setpeername('127.0.0.1', silent)), show(s:close()), ';', show(s:send('a')), ';', show(s:receive()), ';', show(s:close()))",
                "11;nil closed;nil closed;nil closed",
            ),
            ("local s = ngx.socket.udp() ngx.print(show(s:send('a')))", "nil closed"),
        ],
    );
}

#[test]
fn tables_in_lines_of_the_log() {
    let shown = |tostring: &str, metatable: &str| {
        format!("ngx.log(ngx.WARN, '<', setmetatable({{}}, {{ __tostring = function() {tostring} end, {metatable} }}), '>')")
    };
    let code = [
        shown("return 'word'", ""),
        shown("return 7", ""),
        shown("return nil, 'no word'", ""),
        shown("return {}", ""),
        shown("return 'locked'", "__metatable = 'none'"),
        shown("ngx.log(ngx.WARN, '<inside>') return 'around'", ""),
        "ngx.say(try(ngx.log, ngx.WARN, setmetatable({}, setmetatable({}, { __index = { __tostring = tostring } }))))".to_owned(),
    ];
    let prefix = answers("", &[(&code.join(" "), "bad argument #1 to 'log' (expected table to have __tostring metamethod)")]);
    let log = prefix.read("logs/error.log");
    let words: Vec<&str> = log.lines().filter_map(|line| line.split_once('<')?.1.split_once('>')).map(|(word, _)| word).collect();
    assert_eq!(words, ["word", "7", "", "", "locked", "inside", "around"], "{log}");
    assert!(log.contains("[lua] content_by_lua(nginx.conf:5):1: <inside>"), "a metamethod has no name: {log}");
}

/// What nginx itself says of a connection is not for `lua_socket_log_errors` to judge.
#[test]
fn lines_about_sockets_that_fail() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resetting = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Closed with a byte that nobody has read.
            let _ = stream.peek(&mut [0]);
        }
    });
    let (free, free_datagrams) = (free_port(), UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let ask = format!(
        "local function call(s, how, ...) s:settimeout(5000) assert(s[how](s, ...)) assert(s:send('x')) return show(s:receive()) end
         ngx.say(call(ngx.socket.tcp(), 'connect', '127.0.0.1', {resetting}), ', ', call(ngx.socket.udp(), 'setpeername', '127.0.0.1', {free_datagrams}), ', ',
             show(ngx.socket.tcp():connect('127.0.0.1', {free})), ', ', show(ngx.socket.tcp():connect('unix:/none')))"
    );
    let location =
        |uri: &str, switch: &str| format!("location = {uri} {{ lua_socket_log_errors {switch}; content_by_lua_block {{ {ask} }} }}\n");
    let more = [location("/on", "on"), location("/off", "off")].concat();
    let code = "ngx.print(ngx.location.capture('/on').body, ngx.location.capture('/off').body)";
    let answer = "nil connection reset by peer , nil connection refused, nil connection refused, nil no such file or directory";
    let prefix = answers(&more, &[(code, &[answer, answer].join("\n"))]);
    let log = prefix.read("logs/error.log");
    let lines = |subrequest: &str| -> Vec<String> {
        let of_it = log.lines().filter(|line| line.contains(&format!("subrequest: \"{subrequest}\"")));
        of_it.filter_map(|line| Some(line.split_once(" *")?.1.split_once(' ')?.1.split_once(", client")?.0.to_owned())).collect()
    };
    let reset = "recv() failed (104: Connection reset by peer)".to_owned();
    let datagram = format!("recv() failed (111: Connection refused), upstream: 127.0.0.1:{free_datagrams}(127.0.0.1)");
    let unix = "connect() to unix:/none failed (2: No such file or directory), upstream: unix:/none(unix:/none)".to_owned();
    let refused = "connect() failed (111: Connection refused)".to_owned();
    assert_eq!(lines("/on"), [reset.clone(), datagram.clone(), refused, unix.clone()], "{log}");
    assert_eq!(lines("/off"), [reset, datagram, unix], "{log}");
}

/// The commands of a location go on while its subrequests run: the first of these waits for the second.
#[test]
fn subrequests_run_while_echo_sleeps() {
    answers(
        "location = /beside { echo_location_async /first; echo_sleep 0.01; echo middle; echo_location_async /second; echo_sleep 0.01; echo end; }
         location = /first { content_by_lua_block {
             local tries = 0
             while not package.loaded.second and tries < 500 do ngx.sleep(0.01) tries = tries + 1 end
             ngx.say('first', tries < 500 and '' or ' was alone')
         } }
         location = /second { content_by_lua_block { package.loaded.second = true ngx.say('second') } }",
        &[("ngx.print((ngx.location.capture('/beside').body:gsub('%s+', ' ')))", "first middle second end")],
    );
}

#[test]
fn what_ends_at_the_same_moment_ends_in_the_order_it_was_made() {
    let made = "local ended, threads = {}, {} for i = 1, 30 do ";
    let expected = (1..=30).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    answers(
        "",
        &[
            (
                &format!(
                    "{made} threads[i] = ngx.thread.spawn(function() ngx.sleep(0.02) ended[#ended + 1] = i end) end \
                     for i = 1, 30 do ngx.thread.wait(threads[i]) end ngx.print(table.concat(ended, ','))"
                ),
                &expected,
            ),
            (
                &format!(
                    "{made} ngx.timer.at(0.02, function() ended[#ended + 1] = i end) end \
                     for i = 1, 1000 do if #ended == 30 then break end ngx.sleep(0.01) end ngx.print(table.concat(ended, ','))"
                ),
                &expected,
            ),
            (
                &format!(
                    "{made} ngx.timer.at(0, function() ended[#ended + 1] = i end) end \
                     for i = 1, 1000 do if #ended == 30 then break end ngx.sleep(0.01) end ngx.print(table.concat(ended, ','))"
                ),
                &expected,
            ),
        ],
    );
}
