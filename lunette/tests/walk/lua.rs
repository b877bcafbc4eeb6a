//! Lua as a user meets it first.

use crate::rig::{Prefix, exchange, free_port, get, parse, until};
use crate::serve;
use std::io::{Read, Write};
use std::net::TcpStream;

fn say(port: u16, path: &str) -> (u16, String) {
    let answer = get(port, path).unwrap();
    (answer.status, answer.text())
}

const MD5: &str = "local args = ngx.req.get_uri_args()\nlocal salt = args.salt\nif not salt then\n  \
                   ngx.exit(ngx.HTTP_BAD_REQUEST)\nend\nngx.say(ngx.md5(ngx.time() .. salt))\n";

#[test]
fn hello_world_in_all_spellings() {
    let prefix = Prefix::new();
    prefix.write("lua/test.lua", MD5);
    let absolute = prefix.path.join("lua/test.lua").display().to_string();
    let inside = format!(
        "location /block {{ content_by_lua_block {{ ngx.say(\"hello world\") }} }}\n\
         location /string {{ content_by_lua 'ngx.say(\"it\\'s \\\\\"Lua\\\\\"\")'; }}\n\
         location /file {{ content_by_lua_file lua/test.lua; }}\n\
         location /absolute {{ content_by_lua_file {absolute}; }}\n\
         location ~ ^/by/(.+) {{ content_by_lua_file lua/$1.lua; }}"
    );
    let port = serve(&prefix, "", &inside);
    assert_eq!(say(port, "/block"), (200, "hello world\n".to_owned()));
    assert_eq!(say(port, "/string"), (200, "it's \"Lua\"\n".to_owned()));
    for path in ["/file", "/absolute", "/by/test"] {
        let (status, text) = say(port, &format!("{path}?salt=pepper"));
        assert_eq!((status, text.len()), (200, 33), "{path}: {text}");
        assert!(text.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}: {text}");
        assert_eq!(say(port, path).0, 400, "{path}");
    }
}

#[test]
fn a_reload_takes_up_changed_lua() {
    let prefix = Prefix::new();
    prefix.write("lua/word.lua", "ngx.say(\"one\")");
    let port = serve(&prefix, "", "location / { content_by_lua_file lua/word.lua; }");
    assert_eq!(say(port, "/").1, "one\n");
    prefix.write("lua/word.lua", "ngx.say(\"two\")");
    assert_eq!(say(port, "/").1, "one\n");
    assert!(prefix.run(&["-s", "reload"]).status.success());
    until("the changed code", || say(port, "/").1 == "two\n");
}

#[test]
fn without_the_code_cache_a_change_counts_at_once() {
    let prefix = Prefix::new();
    prefix.write("lua/word.lua", "count = (count or 0) + 1\nngx.say(\"one \", count)");
    let port = serve(&prefix, "lua_code_cache off;", "location / { content_by_lua_file lua/word.lua; }");
    let log = prefix.read("logs/error.log");
    assert!(log.contains("[alert]") && log.contains("lua_code_cache is off; this will hurt performance"), "{log}");
    assert_eq!(say(port, "/").1, "one 1\n");
    assert_eq!(say(port, "/").1, "one 1\n");
    prefix.write("lua/word.lua", "ngx.say(\"two, and longer\")");
    assert_eq!(say(port, "/").1, "two, and longer\n");
}

#[test]
fn paths_of_the_environment_count_with_and_without_the_code_cache() {
    for cache in ["on", "off"] {
        let (prefix, port) = (Prefix::new(), free_port());
        prefix.write("far/word.lua", "return 'found'");
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "worker_processes 1;\nerror_log logs/error.log;\nevents {{ worker_connections 10224; }}\nhttp {{\nlua_code_cache {cache};\n\
                 server {{\nlisten {port};\nlocation / {{ content_by_lua_block {{ ngx.say(require 'word', package.cpath:match('/c/%?.so')) }} }}\n}}\n}}\n"
            ),
        );
        let mut command = crate::rig::command(&prefix.path);
        command.env("LUA_PATH", prefix.path.join("far/?.lua;;")).env("LUA_CPATH", "/c/?.so;;");
        assert!(command.status().unwrap().success());
        assert_eq!(say(port, "/"), (200, "found/c/?.so\n".to_owned()), "{cache}");
    }
}

#[test]
fn code_waits_for_bodies_that_come_late_also_at_the_top_of_a_module() {
    let prefix = Prefix::new();
    prefix.write(
        "lua/late.lua",
        "ngx.req.read_body()\nlocal all = ngx.location.capture('/inner').body\nreturn ngx.req.get_body_data() .. all\n",
    );
    let inside = "location /body { content_by_lua_block { ngx.shared.seen:incr('begun', 1, 0) ngx.req.read_body() ngx.say(ngx.req.get_body_data()) } }\n\
                  location /module { content_by_lua_block { ngx.shared.seen:incr('begun', 1, 0) ngx.say((require 'late')) } }\n\
                  location /inner { content_by_lua_block { ngx.sleep(0.001) ngx.print(' inner') } }\n\
                  location /begun { content_by_lua_block { ngx.print(ngx.shared.seen:get('begun') or 0) } }";
    let main = format!("lua_shared_dict seen 1m; lua_package_path '{}/?.lua;;';", prefix.path.join("lua").display());
    let port = serve(&prefix, &main, inside);
    for (number, (path, expected)) in [("/body", "late\n"), ("/module", "late inner\n")].into_iter().enumerate() {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\n").unwrap();
        until("the handler", || say(port, "/begun").1 == (number + 1).to_string());
        stream.write_all(b"late").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = parse(&answer).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{path}");
    }
}

#[test]
fn an_error_in_lua_is_a_500_and_a_line_in_the_log() {
    let prefix = Prefix::new();
    let port = serve(&prefix, "", "location / { content_by_lua_block { error(\"Oops\") } }");
    assert_eq!(say(port, "/").0, 500);
    let log = prefix.read("logs/error.log");
    assert!(log.contains("lua entry thread aborted: runtime error: content_by_lua(nginx.conf:8):1: Oops"), "{log}");
    assert_eq!(say(port, "/").0, 500);
}

#[test]
fn modules_hear_whether_debug_lines_are_written() {
    for (level, heard) in [("debug", "true"), ("info", "false")] {
        let (prefix, port) = (Prefix::new(), free_port());
        let text = format!(
            "worker_processes 1; error_log logs/error.log {level}; events {{}}\n\
             http {{ server {{ listen {port}; location / {{ content_by_lua_block {{ ngx.say(ngx.config.debug) }} }} }} }}\n"
        );
        prefix.write("conf/nginx.conf", &text);
        assert!(prefix.run(&[]).status.success());
        assert_eq!(say(port, "/"), (200, format!("{heard}\n")), "{level}");
    }
}

#[test]
fn a_brought_library_goes_before_the_servers_own() {
    let prefix = Prefix::new();
    for name in ["lock", "lrucache", "shell", "upload", "string", "aes", "sha1"] {
        prefix.write(&format!("html/resty/{name}.lua"), "return { whose = 'mine' }");
    }
    let path = format!("lua_package_path \"{}/html/?.lua;;\";", prefix.path.display());
    let inside = "location / { content_by_lua_block {\n\
                  for _, name in ipairs { 'lock', 'lrucache', 'lrucache.pureffi', 'shell', 'upload', 'string', 'aes', 'sha1' } do\n\
                  ngx.print(require('resty.' .. name).whose or 'own', ' ') end } }";
    let port = serve(&prefix, &path, inside);
    assert_eq!(say(port, "/").1, "mine mine own mine mine own own own ");
}

#[test]
fn pooled_connections_do_not_hold_up_the_end() {
    let prefix = Prefix::new();
    // The server's own end of this connection waits for a request.
    let inside = "location / { content_by_lua_block {\n\
                  local sock = ngx.socket.connect('127.0.0.1', ngx.var.server_port)\n\
                  ngx.say(sock:setkeepalive(0)) } }";
    let port = serve(&prefix, "", inside);
    assert_eq!(say(port, "/").1, "1\n");
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the end of the server", || prefix.is_down());
}

#[test]
fn code_at_a_workers_start_logs_to_the_log_of_http() {
    let prefix = Prefix::new();
    let main = "error_log logs/http.log debug;\ninit_worker_by_lua_block { ngx.log(ngx.ERR, \"at start\") \
                ngx.timer.at(0, function() ngx.log(ngx.ERR, \"in a timer\") ngx.log(ngx.DEBUG, \"quietly\") end) }";
    let port =
        serve(&prefix, main, "location / { content_by_lua_block { ngx.log(ngx.DEBUG, \"of a request\") ngx.log(ngx.INFO, \"told\") } }");
    assert_eq!(say(port, "/").0, 200);
    until("the timer", || prefix.read("logs/http.log").contains("quietly"));
    let log = prefix.read("logs/http.log");
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text} in {log}"));
    assert!(line("at start").ends_with(", context: init_worker_by_lua*"), "{log}");
    assert!(line("in a timer").ends_with(", context: ngx.timer"), "{log}");
    // Lines for debugging say no more than their text.
    assert!(line("quietly").ends_with("quietly") && line("of a request").ends_with("of a request"), "{log}");
    assert!(line("told").contains("told, client: 127.0.0.1"), "{log}");
    assert!(!prefix.read("logs/error.log").contains("[lua]"));
}

#[test]
fn a_header_filter_that_fails_runs_once() {
    let prefix = Prefix::new();
    let inside = "location / { header_filter_by_lua_block { error(\"in the filter\") } content_by_lua_block { ngx.say(1) ngx.say(2) ngx.flush(true) } }";
    let port = serve(&prefix, "", inside);
    assert!(get(port, "/").is_err());
    let log = prefix.read("logs/error.log");
    assert_eq!(log.matches("failed to run header_filter_by_lua*").count(), 1, "{log}");
}

#[test]
fn a_head_that_its_filter_refused_has_a_status_that_stays() {
    let prefix = Prefix::new();
    let inside =
        "location / { header_filter_by_lua_block { error(\"in the filter\") } content_by_lua_block { ngx.print(1) ngx.exit(404) } }";
    let port = serve(&prefix, "", inside);
    assert!(get(port, "/").is_err());
    let line = "attempt to set status 404 via ngx.exit after sending out the response status 200";
    until("the attempt", || prefix.read("logs/error.log").contains(line));
}

#[test]
fn tracebacks_of_the_start_name_the_function_that_failed() {
    let prefix = Prefix::new();
    let port = free_port();
    let init =
        "init_by_lua_block { local function broken() local x = nil; x.y = 1 end\nlocal function outer() broken() return 1 end\nouter() }";
    let text = format!("events {{}}\nhttp {{\n{init}\nserver {{ listen {port}; }}\n}}\n");
    prefix.write("conf/nginx.conf", &text);
    let output = prefix.run(&[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let frames: Vec<&str> = error.lines().filter(|line| line.starts_with('\t')).collect();
    assert!(frames[0].ends_with("in function 'broken'") && frames[1].ends_with("in function 'outer'"), "{error}");
}

#[test]
fn what_a_dictionary_refuses_is_blamed_on_its_caller() {
    let prefix = Prefix::new();
    let code = "local d = ngx.shared.d\nfor _, f in ipairs {\nfunction() d:set('k', 1, -1) end,\nfunction() d.set({}, 'k', 1) end,\n\
                function() d.get({}, 'k') end,\nfunction() d.lpush({}, 'k', 1) end,\nfunction() d.rpop({}, 'k') end,\nfunction() d.delete({}, 'k') end,\n\
                function() d:expire('k') end,\n} do ngx.say(select(2, pcall(f))) end";
    let port = serve(&prefix, "lua_shared_dict d 1m;", &format!("location / {{ content_by_lua_block {{\n{code}\n}} }}"));
    let (_, said) = say(port, "/");
    let places: Vec<&str> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    let expected: Vec<String> = (4..11).map(|line| format!("content_by_lua(nginx.conf:8):{line}")).collect();
    assert_eq!(places, expected, "{said}");
}

#[test]
fn digits_are_numbers_for_a_dictionary() {
    let prefix = Prefix::new();
    let code =
        "local d = ngx.shared.d d:set('k', 1) ngx.say(d:expire('k', '100'), d:ttl('k') > 90, d:flush_expired('3'), d:flush_expired())
        ngx.say(select(2, pcall(d.expire, d, 'k', true))) ngx.say(select(2, pcall(d.flush_expired, d, 'x')))";
    let port = serve(&prefix, "lua_shared_dict d 1m;", &format!("location / {{ content_by_lua_block {{ {code} }} }}"));
    let (_, said) = say(port, "/");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.first(), Some(&"truetrue00"), "{said}");
    assert!(said.contains("attempt to perform arithmetic on local 'exptime' (a boolean value)"), "{said}");
    assert!(said.contains("bad argument #1 to 'flush_expired' (number expected, got string)"), "{said}");
}

#[test]
fn odd_arguments_are_taken_as_in_openresty() {
    let prefix = Prefix::new();
    let code = r#"
        local add = require "ngx.req".add_header
        ngx.header[12] = 34
        ngx.print(ngx.resp.get_headers()[12], " ")
        ngx.req.set_header("Foo", "bar")
        add("Foo", "")
        ngx.say("[", table.concat(ngx.req.get_headers().Foo, ", "), "]")
        add(123, 456)
        add(123, 789)
        ngx.say(table.concat(ngx.req.get_headers()[123], ", "))
        ngx.req.set_uri_args({})
        ngx.say("[", ngx.var.args, "]", ngx.var.is_args)
        local sock = ngx.socket.tcp()
        sock:connect("127.0.0.1", ngx.var.server_port)
        ngx.say(sock:setoption("keepintvl", 10), sock:setoption("keepcnt", 3), " ", sock:getoption("keepintvl"), sock:getoption("keepcnt"), sock:getoption("keepalive"))
        ngx.say(sock:setoption("keepidle", 10))
        for _, name in ipairs { "rtt", "rttvar", "snd_cwnd", "rcv_space" } do
            ngx.print(tonumber(ngx.var["tcpinfo_" .. name]) > 0, " ")
        end
        ngx.say(pcall(function() return (ndk.set_var.set_decode_hex("x")) end))"#;
    let port = serve(&prefix, "", &format!("location / {{ content_by_lua_block {{ {code} }} }}"));
    let expected = "34 [bar, ]\n456, 789\n[]\ntruetrue 1030\nnilunsupported option keepidle\ntrue true true true \
                    falsecontent_by_lua(nginx.conf:8):20: calling directive set_decode_hex failed with code -1\n";
    assert_eq!(say(port, "/?x=y"), (200, expected.to_owned()), "{}", prefix.read("logs/error.log"));
    assert!(prefix.read("logs/error.log").contains("set_decode_hex: invalid value"));
}

#[test]
fn variables_that_code_assigns_are_empty_before() {
    let prefix = Prefix::new();
    let locations = r#"
        location /arg { set_by_lua $a "return tostring(ngx.arg[1]) .. tostring(ngx.arg[2]) .. tostring(ngx.arg[3])" $arg_x y; return 200 $a; }
        location /unset { if ($arg_x) { set_by_lua_block $b { return 1 } set_md5 $c 1; } return 200 "[$b$c]"; }
        location /body { content_by_lua_block { ngx.req.read_body() if ngx.var.arg_x then ngx.req.set_body_data("") end ngx.print(ngx.var.request_body) } }"#;
    let port = serve(&prefix, "error_log logs/error.log warn;", locations);
    for (path, expected) in
        [("/arg", "nilynil"), ("/arg?x=1", "1ynil"), ("/unset", "[]"), ("/unset?x=1", "[1c4ca4238a0b923820dcc509a6f75849b]")]
    {
        assert_eq!(say(port, path), (200, expected.to_owned()));
    }
    for (path, expected) in [("/body", ""), ("/body?x=1", "nil")] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(parse(&exchange(port, request.as_bytes()).unwrap()).unwrap().text(), expected, "{path}");
    }
    let log = prefix.read("logs/error.log");
    for name in ["b", "c"] {
        assert_eq!(log.matches(&format!("using uninitialized \"{name}\" variable")).count(), 1, "{log}");
    }
}

#[test]
fn a_status_has_three_digits() {
    let prefix = Prefix::new();
    let code = "local status = tonumber(ngx.var.arg_s) if ngx.var.arg_r then require 'ngx.resp'.set_status(status, 'So') else ngx.status = status end";
    let inside = format!(
        "location /code {{ content_by_lua_block {{ {code} ngx.print(ngx.status) }} }}\n\
         location /exit {{ access_by_lua_block {{ ngx.exit(1000) }} }}\n\
         location /filter {{ header_filter_by_lua_block {{ {code} }} return 200 x; }}"
    );
    let port = serve(&prefix, "", &inside);
    for number in ["0", "1", "99", "1000", "70000", "-1", "65736"] {
        for path in ["/code", "/filter"] {
            assert_eq!(say(port, &format!("{path}?s={number}")).0, 200, "{path} {number}");
            assert_eq!(say(port, &format!("{path}?s={number}&r=1")).0, 200, "{path} {number}");
        }
        let line = format!("invalid HTTP status code {number}, client: ");
        assert_eq!(prefix.read("logs/error.log").matches(&line).count(), 4, "{number}");
    }
    assert_eq!(say(port, "/exit").0, 500);
    assert_eq!(say(port, "/code?s=299"), (299, "299".to_owned()));
    assert_eq!(say(port, "/filter?s=999&r=1").0, 999);
}

#[test]
fn nobody_overtakes_who_waits_for_a_semaphore() {
    let prefix = Prefix::new();
    let code = "local sem = require 'ngx.semaphore'.new()
        local spawn, said = ngx.thread.spawn, {}
        local function wait(name) local ok = sem:wait(1) said[#said + 1] = name .. tostring(ok) end
        local first = spawn(wait, 'first ')
        sem:post(3)
        said[#said + 1] = tostring(sem:wait(0)) .. sem:count()
        local second = spawn(wait, 'second ')
        said[#said + 1] = tostring(sem:wait(0)) .. sem:count()
        ngx.thread.kill(first)
        ngx.thread.wait(second)
        said[#said + 1] = tostring(sem:wait(0)) .. ' ' .. tostring(sem:wait(0)) .. ' ' .. tostring(sem:wait(0))
        ngx.say(table.concat(said, '; '))";
    let port = serve(&prefix, "", &format!("location / {{ content_by_lua_block {{ {code} }} }}"));
    assert_eq!(say(port, "/").1, "nil2; nil1; second true; true true nil\n");
}

#[test]
fn captured_lines_do_not_tell_of_the_start() {
    let prefix = Prefix::new();
    let port = free_port();
    let text = format!(
        "worker_processes 1;\nerror_log logs/error.log notice;\nevents {{ worker_connections 1024; }}\nhttp {{\nlua_capture_error_log 100k;\n\
         init_by_lua_block {{ ngx.log(ngx.NOTICE, 'of init ', require 'thread.exdata'()) }}\ninit_worker_by_lua_block {{ ngx.log(ngx.NOTICE, 'of a worker') }}\n\
         server {{\nlisten {port};\nlocation / {{ content_by_lua_block {{\n\
         local logs = require 'ngx.errlog'.get_logs(100)\nfor i = 3, #logs, 3 do ngx.say(logs[i]) end\n}} }}\n}}\n}}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    assert!(prefix.run(&[]).status.success());
    let (_, lines) = say(port, "/");
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("of init nil") && lines[1].contains("of a worker"), "{lines:#?}");
}

#[test]
fn values_of_any_number_are_said_alike() {
    let prefix = Prefix::new();
    let code = "local v = { 1, 'a', true, false, 2.5, 'b', 7, 'c', nil, 'd', 11, 'e', 13, 'f' }\n\
                for round = 1, 60 do for n = 0, 14 do ngx.print(unpack(v, 1, n)) ngx.say(unpack(v, 1, n)) end end";
    let port = serve(&prefix, "", &format!("location / {{ content_by_lua_block {{ {code} }} }}"));
    let values = ["1", "a", "true", "false", "2.5", "b", "7", "c", "nil", "d", "11", "e", "13", "f"];
    let round: String = (0..=14).map(|n| values.get(..n).unwrap().concat()).map(|text| format!("{text}{text}\n")).collect();
    assert_eq!(say(port, "/"), (200, round.repeat(60)));
}

#[test]
fn a_timer_that_comes_again_runs_before_what_ends_with_it_and_was_made_later() {
    let prefix = Prefix::new();
    let port = free_port();
    let text = format!(
        "worker_processes 1;\nerror_log logs/error.log notice;\nevents {{ worker_connections 1024; }}\nhttp {{ server {{\nlisten {port};\n\
         location / {{ content_by_lua_block {{\nlocal turns = 0\nngx.timer.every(0.01, function() turns = turns + 1 end)\n\
         for i = 1, 5 do ngx.sleep(0.01) ngx.print(turns >= i and 'x' or '-') end\n}} }}\n}} }}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    assert!(prefix.run(&[]).status.success());
    assert_eq!(say(port, "/").1, "xxxxx");
}

#[test]
fn a_timer_of_the_past_that_comes_again_lets_others_run() {
    let (prefix, code) =
        (Prefix::new(), "local turns = 0 ngx.timer.every(tonumber(ngx.var.arg_s), function() turns = turns + 1 end) ngx.say(\"made\")");
    let port = serve(&prefix, "", &format!("location / {{ content_by_lua_block {{ {code} }} }}"));
    for seconds in ["-1", "-0.001", "-1e300", "1e300", "0.001"] {
        assert_eq!(say(port, &format!("/?s={seconds}")), (200, "made\n".to_owned()), "{seconds}");
    }
}

#[test]
fn functions_of_requests_answer_where_there_is_none() {
    let prefix = Prefix::new();
    let code = "local balancer, ssl = require 'ngx.balancer', require 'ngx.ssl'
        local function said(...) local out = {} for i = 1, select('#', ...) do out[i] = tostring((select(i, ...))) end return table.concat(out, ' ') end
        function ask()
            return table.concat({
                said(balancer.set_current_peer('127.0.0.1', 80)), said(balancer.get_last_failure()), said(balancer.set_timeouts(1, 1, 1)),
                said(ssl.server_name()), said(ssl.raw_client_addr()), said(ssl.set_der_cert('x')), said(ssl.verify_client()),
                said(ngx.req.start_time()), said(pcall(ngx.req.get_method)),
            }, '\\n')
        end";
    let main = format!(
        "lua_shared_dict told 100k;\ninit_by_lua_block {{ {code} }}\n\
         init_worker_by_lua_block {{ ngx.shared.told:set('init_worker', ask()) ngx.timer.at(0, function() ngx.shared.told:set('timer', ask()) end) }}"
    );
    let port = serve(&prefix, &main, "location / { content_by_lua_block { ngx.print(ngx.shared.told:get(ngx.var.arg_of)) } }");
    let expected = "nil no upstream found\nnil nil no upstream found\nfalse no upstream found\nnil bad request\nnil nil bad request\n\
                    nil bad request\nnil API disabled in the current context\n0\nfalse API disabled in the current context";
    assert_eq!(say(port, "/?of=init_worker").1, expected);
    until("the timer", || say(port, "/?of=timer").1 == expected);
}

#[test]
fn a_socket_that_may_not_be_is_blamed_on_its_caller() {
    let prefix = Prefix::new();
    prefix.write(
        "lua/calls.lua",
        "local told = {}\nfor _, call in ipairs { ngx.socket.tcp, ngx.socket.udp, ngx.socket.stream, ngx.socket.connect } do\n\
         told[#told + 1] = select(2, pcall(function()\nlocal socket = call()\nreturn socket\nend))\nend\n\
         told[#told + 1] = select(2, pcall(function() local socket = ngx.socket.tcp(1, 2) return socket end))\nreturn table.concat(told, ' | ')\n",
    );
    let port = serve(&prefix, "", "location / { set_by_lua_file $told lua/calls.lua; return 200 $told; }");
    let at = |line, text: &str| format!("{}:{line}: {text}", prefix.path.join("lua/calls.lua").display());
    let refused = at(4, "API disabled in the context of set_by_lua*");
    let said = say(port, "/").1;
    assert!(said.starts_with(&[refused.as_str(); 4].join(" | ")), "{said}");
    assert!(said.contains("calls.lua:8: "), "{said}");
}

#[test]
fn a_worker_may_leave_a_unix_socket_to_the_others() {
    use std::io::{Read, Write};
    let prefix = Prefix::new();
    let path = prefix.path.join("events.sock");
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "error_log logs/error.log; worker_processes 3; events {{ }}
            http {{
                lua_shared_dict told 100k;
                init_worker_by_lua_block {{
                    local ffi, id = require 'ffi', ngx.worker.id()
                    ffi.cdef 'int ngx_lua_ffi_disable_listening_unix_socket(ngx_str_t *sock_name);'
                    local function leave(name)
                        local s = ffi.new('ngx_str_t[1]')
                        s[0].data, s[0].len = name, #name
                        return ffi.C.ngx_lua_ffi_disable_listening_unix_socket(s)
                    end
                    if id ~= 1 then
                        ngx.shared.told:set(id, leave('unix:{path}') .. ' ' .. leave('unix:/other') .. ' ' .. leave('127.0.0.1'))
                        ngx.timer.at(0, function() ngx.shared.told:set('late', leave('unix:{path}')) end)
                    end
                }}
                server {{
                    listen unix:{path};
                    location / {{
                        content_by_lua_block {{
                            local told = ngx.shared.told
                            ngx.say(ngx.worker.id(), ' | ', told:get(0), ' | ', told:get(2), ' | ', told:get('late'))
                        }}
                    }}
                }}
            }}",
            path = path.display()
        ),
    );
    assert!(prefix.run(&[]).status.success());
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text.split_once("\r\n\r\n")?.1.to_owned())
    };
    until("all workers", || ask().is_some_and(|text| text == "1 | 0 -1 -1 | 0 -1 -1 | -1\n"));
    for _ in 0..60 {
        assert_eq!(ask().unwrap(), "1 | 0 -1 -1 | 0 -1 -1 | -1\n");
    }
}
