//! Lua code that runs wild: its own request fails with OpenResty's words, and the others are served.

use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::process::Command;

/// Each fault, the status that its client sees, and what the log or the body then says.
const FAULTS: &[(&str, &str, u16, &str)] = &[
    ("loop", "while true do end", 500, "lua_max_cpu_time exceeded: more than 1000 ms without a pause"),
    ("stubborn", "while true do pcall(function() while true do end end) end", 500, "lua_max_cpu_time exceeded"),
    (
        "gigabyte",
        "ngx.say(#string.rep('x', 1024 * 1024 * 1024))",
        500,
        "lua entry thread aborted: [lua] memory allocation error: not enough memory",
    ),
    ("recursion", "local function f() return 1 + f() end f()", 500, "stack overflow"),
    ("deep_pcall", "local function f() return pcall(f) end ngx.say((select(-1, f())))", 200, "stack overflow"),
    ("arguments", "local t = {} for i = 1, 7997 do t[i] = 'x' end ngx.say(unpack(t))", 200, "xxx\n"),
    ("gsub", "local function f(s) return (s:gsub('.', f)) end f('x')", 500, "stack overflow"),
    ("regex", "local r = { ngx.re.match(('a'):rep(40) .. 'b', '(a+)+$', 'j') } ngx.say(r[1], ' ', r[2])", 200, "pcre_exec() failed: -47"),
    (
        "timers",
        "local n = 0 for _ = 1, 10000 do local ok, err = ngx.timer.at(3600, function() end)
      if not ok then ngx.say(err) break end n = n + 1 end ngx.say(n)",
        200,
        "too many pending timers\n1024\n",
    ),
    ("threads", "local n = 0 for _ = 1, 2000 do ngx.thread.spawn(function() n = n + 1 end) end ngx.say(n)", 200, "2000\n"),
    ("table", "local t = {} for i = 1, 1e9 do t[i] = { i } end", 500, "lua entry thread aborted"),
];

fn server(workers: u32, limit: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    let locations: String =
        FAULTS.iter().map(|(name, code, ..)| format!("location /{name} {{ content_by_lua_block {{ {code} }} }}\n")).collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes {workers}; error_log logs/error.log info; pid logs/nginx.pid;\n\
             events {{ worker_connections 256; }}\n\
             http {{ lua_max_cpu_time {limit}; lua_max_memory 64m; lua_regex_match_limit 1000000;\n\
             server {{ listen {port}; location / {{ content_by_lua_block {{ ngx.say(ngx.worker.pid()) }} }}\n{locations}\
             location /stuck {{ content_by_lua_block {{ ('a'):rep(36):find(('a?'):rep(36) .. ('a'):rep(36)) }} }}\n\
             }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

#[test]
fn each_fault_stays_with_its_request() {
    // Long enough for what is not a loop, also in a slow build.
    let (prefix, port, _running) = server(1, "1s");
    let worker = get(port, "/").unwrap().text();
    for &(name, _, status, words) in FAULTS {
        let before = prefix.read("logs/error.log").len();
        let answer = get(port, &format!("/{name}")).unwrap_or_else(|error| panic!("{name}: {error} {}", prefix.read("logs/error.log")));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let said = || format!("{}{}", answer.text(), &prefix.read("logs/error.log")[before..]);
        until(&format!("{name} to say {words}; it said {}", said()), || said().contains(words));
        assert_eq!(get(port, "/").unwrap().text(), worker, "after {name}: {}", &prefix.read("logs/error.log")[before..]);
    }
}

#[test]
fn a_loop_holds_up_one_worker_only_for_its_time() {
    let (_prefix, port, _running) = server(2, "100ms");
    let loops: Vec<_> = (0..8).map(|_| std::thread::spawn(move || get(port, "/loop").unwrap().status)).collect();
    for _ in 0..50 {
        assert_eq!(get(port, "/").unwrap().status, 200);
    }
    for one in loops {
        assert_eq!(one.join().unwrap(), 500);
    }
}

#[test]
fn what_cannot_be_interrupted_costs_its_worker() {
    let (prefix, port, running) = server(1, "100ms");
    let worker = get(port, "/").unwrap().text();
    // The connection is cut instead of an answer that would never come.
    assert!(get(port, "/stuck").is_err());
    until("a new worker", || get(port, "/").is_ok_and(|answer| answer.status == 200 && answer.text() != worker));
    let log = prefix.read("logs/error.log");
    assert!(log.contains("[alert]") && log.contains("in a C function that cannot be interrupted, the worker aborts"), "{log}");
    assert!(log.contains("exited on signal 6"), "{log}");
    // The old worker is gone for good, not a zombie.
    let state = Command::new("ps").args(["-o", "stat=", "-p", worker.trim()]).output().unwrap();
    assert!(state.stdout.is_empty(), "{:?}", state.stdout);
    drop(running);
}
