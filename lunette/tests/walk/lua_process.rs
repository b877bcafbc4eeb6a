//! Lua before requests and beside them: what `init_by_lua*` can ask for, what it leaves behind, and how lines of timers look.

use crate::rig::{Foreground, Prefix, command, exchange, free_port, get, until};

fn start(http: &str, inside: &str) -> (Prefix, u16, Foreground) {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; env COLOUR=red; events {{ }} http {{ {http}\n\
             server {{ listen {port}; {inside} }} }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

#[test]
fn groups_are_there_before_workers_are() {
    let (prefix, ..) = start(
        "upstream group { server 127.0.0.1:1 weight=3; server 127.0.0.1:2 backup; }\n\
         init_by_lua_block { local u = require 'ngx.upstream'; ngx.log(ngx.WARN, 'seen: ', table.concat(u.get_upstreams(), ','), ' ', u.get_servers('group')[1].weight,\n\
         ' ', u.get_primary_peers('group')[1].name, ' ', u.get_backup_peers('group')[1].name, ' ', tostring(u.get_servers('none'))) }",
        "",
    );
    let log = prefix.read("logs/error.log");
    assert!(log.contains("seen: group 3 127.0.0.1:1 127.0.0.1:2 nil"), "{log}");
}

#[test]
fn a_getenv_that_init_has_replaced_lasts_until_it_is_called() {
    let (_prefix, port, _running) = start(
        "init_by_lua_block { local own = os.getenv; os.getenv = function(name) return own(name) .. '!' end }",
        "location / { content_by_lua_block { ngx.print(os.getenv('COLOUR'), ' ', os.getenv('COLOUR')) } }",
    );
    assert_eq!(get(port, "/").unwrap().text(), "red! red");
    assert_eq!(get(port, "/").unwrap().text(), "red red");
}

/// Kong and APISIX walk `environ` by themselves.
#[test]
fn an_empty_environment_is_a_list_for_c_code_too() {
    let (prefix, port) = (Prefix::new(), free_port());
    let count = "local ffi = require 'ffi' local n = 0 while ffi.C.environ[n] ~= nil do n = n + 1 end";
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1; error_log logs/error.log; events {{ }} http {{\n\
             init_by_lua_block {{ require('ffi').cdef 'extern char **environ;' {count} at_start = n }}\n\
             server {{ listen {port}; location / {{ content_by_lua_block {{ {count} ngx.print(at_start, ' ', n) }} }} }} }}"
        ),
    );
    assert!(command(&prefix.path).env_clear().status().unwrap().success());
    let answer = get(port, "/");
    // Its title has no room for the prefix, by which the end of the prefix would find it.
    assert!(prefix.run(&["-s", "stop"]).status.success());
    until("the end", || prefix.is_down());
    assert_eq!(answer.unwrap().text(), "0 0");
}

#[test]
fn lines_without_a_request_have_numbers_of_connections() {
    let (prefix, port, _running) = start(
        "init_by_lua_block { ngx.log(ngx.WARN, 'from init') }\n\
         init_worker_by_lua_block { ngx.log(ngx.WARN, 'from worker'); for i = 1, 2 do ngx.timer.at(0, function() ngx.log(ngx.WARN, 'timer ', i); ngx.log(ngx.WARN, 'again ', i) end) end }",
        "location / { content_by_lua_block { ngx.log(ngx.WARN, 'from request') } }",
    );
    let line = |text: &str| prefix.read("logs/error.log").lines().find(|line| line.contains(text)).map(str::to_owned);
    until("the timers", || line("again 2").is_some());
    assert_eq!(get(port, "/").unwrap().status, 200);
    let number = |text: &str| {
        let line = line(text).unwrap();
        line.split_once(": *").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!(number("from init"), None);
    let all = ["from worker", "timer 1", "timer 2", "from request"].map(|text| number(text).unwrap());
    assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
    assert_eq!([1, 2].map(|i| number(&format!("again {i}"))), [1, 2].map(|i| number(&format!("timer {i}"))));
}

#[test]
fn a_body_that_is_here_and_thrown_away_counts_as_not_read() {
    let (_prefix, port, _running) = start(
        "",
        "location / { lingering_close off; content_by_lua_block { ngx.req.discard_body() if ngx.var.arg_read then ngx.req.read_body() end\n\
         local ok, err = pcall(ngx.req.set_body_data, 'abc') ngx.print(tostring(ok), ' ', tostring(err), ' ', tostring(ngx.req.get_body_data())) } }",
    );
    let post = |path: &str, length: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\nhello");
        String::from_utf8(exchange(port, head.as_bytes()).unwrap()).unwrap()
    };
    let said = |answer: &str, text: &str| assert!(answer.contains(text), "{answer}");
    said(&post("/", 5), "false request body not read yet nil");
    said(&post("/?read=1", 5), "true nil abc");
    said(&post("/", 100), "false request body already discarded asynchronously nil");
}
