//! What a person sees besides nginx's line, and what `-t` lists together.

use crate::rig::{Foreground, Prefix, connect_and_send, free_port, get, signal, until};
use std::io::Read;
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

/// What `-t` prints of a configuration, the path of its file as `FILE`.
fn test(text: &str) -> String {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", text);
    let output = prefix.run(&["-t"]);
    let file = prefix.path.join("conf/nginx.conf").display().to_string();
    String::from_utf8_lossy(&output.stderr).replace(&file, "FILE")
}

const FAILED: &str = "nginx: configuration file FILE test failed\n";

fn missing(what: &str, line: u32) -> String {
    format!("nginx: [emerg] {what} is not supported yet, see spec/core/not_supported.md in FILE:{line}\n")
}

#[test]
fn hints_stand_below_nginxs_line() {
    let table = [
        (
            "events { }\nhttp { server {\nreturn 200 ${reqest_uri}x; } }",
            "unknown \"reqest_uri\" variable in FILE:3",
            "did you mean \"request_uri\"?",
        ),
        (
            "events { }\nroot a;",
            "\"root\" directive is not allowed here in FILE:2",
            "\"root\" is allowed in: http, server, location, if in location",
        ),
        (
            "events { }\nuser a b c;",
            "invalid number of arguments in \"user\" directive in FILE:2",
            "\"user\" takes 1 to 2 arguments, here are 3",
        ),
        (
            "events { }\nhttp { gzip on off; }",
            "invalid number of arguments in \"gzip\" directive in FILE:2",
            "\"gzip\" takes 1 argument, \"on\" or \"off\", here are 2",
        ),
        ("events { }\nhttp {\nserver\n{\n}\n", "unexpected end of file, expecting \"}\" in FILE:6", "\"http\" in line 2 is not closed"),
        (
            "events { }\nhttp {\nserver {\nroot",
            "unexpected end of file, expecting \";\" or \"}\" in FILE:4",
            "\"server\" in line 3 is not closed\n\"http\" in line 2 is not closed",
        ),
    ];
    for (text, message, hint) in table {
        let shown = test(text);
        assert!(shown.starts_with(&format!("nginx: [emerg] {message}\n")), "{shown}");
        assert!(shown.ends_with(&format!("\n{hint}\n{FAILED}")), "{shown}");
        assert!(!shown.contains(":0"), "{shown}");
    }
}

#[test]
fn everything_that_is_missing_is_listed_at_once() {
    let text = "load_module modules/x.so;\nevents { }\nmail {\n    server { bogus { } }\n}\nhttp {\n    perl_set $from_perl x;\n    \
                keyval_zone zone=z:64k sync;\n    server {\n                ssi_min_file_chunk 1k;\n        location / { drizzle_status; return 200 $from_perl; }\n    }\n}\n";
    let module = "nginx: [emerg] \"load_module\" is not supported: modules of nginx are built in, remove the directive in FILE:1\n";
    let expected = [
        module,
        &missing("\"mail\" directive", 3),
        &missing("\"perl_set\" directive", 7),
        &missing("\"sync\" of \"keyval_zone\"", 8),
        &missing("\"drizzle_status\" directive", 11),
        FAILED,
    ];
    assert_eq!(test(text), expected.concat());
    // An error that does not follow from them comes last, and ends the reading.
    let shown = test("events { }\nmail { }\nhttp {\n bogus;\n perl_set $x y; }");
    assert!(
        shown.starts_with(&format!("{}nginx: [emerg] unknown directive \"bogus\" in FILE:4\n", missing("\"mail\" directive", 2))),
        "{shown}"
    );
}

#[test]
fn a_start_and_a_reload_list_it_too() {
    let (prefix, port) = crate::started("one");
    prefix.write("conf/nginx.conf", "error_log logs/error.log;\nevents { }\nmail { }\nhttp { drizzle_status; }\n");
    prefix.run(&["-t"]);
    let before = prefix.read("logs/error.log").matches("is not supported yet").count();
    assert_eq!(before, 2);
    let start = String::from_utf8_lossy(&prefix.run(&[]).stderr).into_owned();
    assert_eq!(start.matches("is not supported yet").count(), 2, "{start}");
    signal("-HUP", prefix.master());
    until("both lines", || prefix.read("logs/error.log").matches("is not supported yet").count() >= 6);
    assert_eq!(crate::rig::get(port, "/").unwrap().text(), "one\n");
}

#[test]
fn lua_code_is_compiled_by_a_test() {
    let text = "events { }\nhttp {\n    init_by_lua_block {\n        local x = 1\n    }\n    server {\n        location / {\n            \
                content_by_lua_block {\n                ngx.say('a')\n                local = 3\n            }\n            \
                access_by_lua 'if';\n            set_by_lua $a 'return 1 +';\n        }\n    }\n}\n";
    let shown = test(text);
    let expected = "nginx: [emerg] failed to load inlined Lua code of \"content_by_lua_block\": '<name>' expected near '=' in FILE:10\n\
                    10 |                 local = 3\n   | ^\nnginx: [emerg] failed to load inlined Lua code of \"access_by_lua\": ";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("\"set_by_lua\": unexpected symbol near '<eof>' in FILE:13\n"), "{shown}");
}

#[test]
fn code_that_is_not_cached_is_an_alert_for_each_place() {
    let text = "events { }\nhttp {\n    lua_code_cache off;\n    server { location / {\n        lua_code_cache off; } }\n}\n\
                stream { server { listen unix:/none; return a;\n    lua_code_cache off; } }\n";
    let alert =
        |prefix: &str, line: u32| format!("nginx: [alert] {prefix}lua_code_cache is off; this will hurt performance in FILE:{line}\n");
    let shown = test(text);
    assert!(shown.starts_with(&(alert("", 3) + &alert("", 5) + &alert("stream ", 8))), "{shown}");
}

#[test]
fn servers_log_where_the_main_level_says_also_behind_them() {
    let (prefix, port) = (Prefix::new(), free_port());
    let http = format!("http {{ server {{ listen {port}; }} }}");
    prefix.write("conf/nginx.conf", &format!("daemon off;\nevents {{ }}\n{http}\nerror_log logs/last.log info;\n"));
    let _running = Foreground::start(&prefix, port, "").unwrap();
    drop(connect_and_send(port, "\x01 / HTTP/1.1\r\n\r\n"));
    until("an info", || prefix.read("logs/last.log").contains("[info]"));
    assert!(prefix.read("logs/last.log").contains("client sent invalid method while reading client request line"));
}

#[test]
fn errors_go_to_a_file_beside_syslog() {
    let (prefix, port) = (Prefix::new(), free_port());
    let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
    let log = format!("error_log syslog:server={} info;", syslog.local_addr().unwrap());
    prefix.write("conf/nginx.conf", &format!("daemon off;\n{log}\nevents {{ }}\nhttp {{ server {{ listen {port}; }} }}\n"));
    let _running = Foreground::start(&prefix, port, "").unwrap();
    assert_eq!(get(port, "/nothing").unwrap().status, 404);
    let line = "html/nothing\" failed (2: No such file or directory)";
    until("the file", || prefix.read("logs/error.log").contains(line));
    let mut packet = vec![0; 4096];
    while syslog.recv(&mut packet).is_ok_and(|length| !String::from_utf8_lossy(&packet[..length]).contains(line)) {}
}

#[test]
fn clients_that_go_without_a_request_are_told_of() {
    let (prefix, port) = (Prefix::new(), free_port());
    let server = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}");
    prefix.write("conf/nginx.conf", &format!("daemon off;\nerror_log logs/error.log info;\nevents {{ }}\nhttp {{ {server} }}\n"));
    let _running = Foreground::start(&prefix, port, "").unwrap();
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let silent = format!(" client closed connection while waiting for request, client: 127.0.0.1, server: 127.0.0.1:{port}\n");
    until("a client that said nothing", || prefix.read("logs/error.log").contains(&silent));
    // One before and one after its connection was parked.
    for rest in [Duration::ZERO, Duration::from_millis(1500)] {
        let mut stream = connect_and_send(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        std::thread::sleep(rest);
        // What is unread would make a reset of it.
        stream.shutdown(Shutdown::Write).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    }
    until("clients that kept their connection", || {
        prefix.read("logs/error.log").matches(" client 127.0.0.1 closed keepalive connection\n").count() == 2
    });
}
