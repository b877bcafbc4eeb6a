//! The master, its workers, and signals.

use crate::rig::{BINARY, Prefix, free_port, get, signal, until};
use crate::{configuration, started};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

fn say(port: u16) -> String {
    get(port, "/").unwrap().text()
}

/// Process numbers and titles of the master's children.
fn workers(prefix: &Prefix) -> Vec<(i32, String)> {
    let master = prefix.master();
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    let title = |pid: i32| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    };
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(|pid| (pid, title(pid))).collect()
}

fn stop(prefix: &Prefix, how: &str) {
    assert!(prefix.run(&["-s", how]).status.success());
    until("the end of the server", || prefix.is_down());
}

#[test]
fn hello_and_stop() {
    let (prefix, port) = started("hello world");
    assert_eq!(say(port), "hello world\n");
    until("a worker's title", || workers(&prefix).iter().any(|(_, title)| title == "nginx: worker process"));
    stop(&prefix, "stop");
    assert!(get(port, "/").is_err());
    let output = prefix.run(&["-s", "stop"]);
    let pid_file = prefix.path.join("logs/nginx.pid").display().to_string();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&format!("open() \"{pid_file}\" failed (2: No such file or directory)")), "{error}");
}

#[test]
fn a_symlink_named_nginx_is_the_same() {
    let prefix = Prefix::new();
    let link = prefix.path.join("nginx");
    std::os::unix::fs::symlink(BINARY, &link).unwrap();
    let port = free_port();
    prefix.write("conf/nginx.conf", &configuration(port, "linked"));
    assert!(Command::new(&link).arg("-p").arg(&prefix.path).status().unwrap().success());
    assert_eq!(say(port), "linked\n");
    assert!(Command::new(&link).arg("-p").arg(&prefix.path).args(["-s", "quit"]).status().unwrap().success());
    until("the end of the server", || prefix.is_down());
}

#[test]
fn a_reload_takes_up_changes_and_loses_nothing() {
    let (prefix, port) = started("one");
    let stopped = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicUsize::new(0));
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let (stopped, answers) = (stopped.clone(), answers.clone());
            thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let answer = get(port, "/").unwrap();
                    assert!(["one\n", "two\n", "three\n"].contains(&answer.text().as_str()));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for word in ["two", "three"] {
        let before = answers.load(Ordering::Relaxed);
        until("answers", || answers.load(Ordering::Relaxed) > before + 20);
        prefix.write("conf/nginx.conf", &configuration(port, word));
        assert!(prefix.run(&["-s", "reload"]).status.success());
        until("the new configuration", || say(port) == format!("{word}\n"));
    }
    stopped.store(true, Ordering::Relaxed);
    for thread in asking {
        thread.join().unwrap();
    }
    stop(&prefix, "quit");
}

#[test]
fn a_bad_configuration_leaves_the_old_one_serving() {
    let (prefix, port) = started("old");
    prefix.write("conf/nginx.conf", "events { } http { bogus; }");
    // The signal's sender refuses it already; the master must too.
    signal("-HUP", prefix.master());
    until("the refusal", || prefix.read("logs/error.log").contains("unknown directive \"bogus\""));
    assert_eq!(say(port), "old\n");
    prefix.write("conf/nginx.conf", &configuration(port, "new"));
    assert!(prefix.run(&["-s", "reload"]).status.success());
    until("the new configuration", || say(port) == "new\n");
    stop(&prefix, "stop");
}

#[test]
fn a_killed_worker_is_replaced() {
    let (prefix, port) = started("alive");
    let mut first = Vec::new();
    until("a worker", || {
        first = workers(&prefix);
        first.len() == 1
    });
    signal("-KILL", first[0].0);
    until("another worker", || workers(&prefix).iter().any(|(pid, _)| *pid != first[0].0));
    until("an answer", || get(port, "/").is_ok_and(|answer| answer.text() == "alive\n"));
    assert!(prefix.read("logs/error.log").contains("exited on signal 9"));
    stop(&prefix, "stop");
}

#[test]
fn logs_are_opened_again() {
    let (prefix, port) = started("x");
    get(port, "/before").unwrap();
    std::fs::rename(prefix.path.join("logs/access.log"), prefix.path.join("logs/old.log")).unwrap();
    std::fs::rename(prefix.path.join("logs/error.log"), prefix.path.join("logs/old-error.log")).unwrap();
    assert!(prefix.run(&["-s", "reopen"]).status.success());
    until("a new access log", || {
        get(port, "/after").unwrap();
        prefix.read("logs/access.log").contains("GET /after")
    });
    assert!(prefix.read("logs/old.log").contains("GET /before"));
    assert!(prefix.path.join("logs/error.log").exists());
    stop(&prefix, "stop");
    assert!(prefix.read("logs/error.log").contains("exit"), "{}", prefix.read("logs/error.log"));
}

#[test]
fn one_process_serves_without_a_master() {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write("conf/nginx.conf", &format!("master_process off;\n{}", configuration(port, "alone")));
    assert!(prefix.run(&[]).status.success());
    assert_eq!(say(port), "alone\n");
    assert!(workers(&prefix).is_empty());
    stop(&prefix, "quit");
}

#[test]
fn two_families_of_addresses_share_a_port() {
    let prefix = Prefix::new();
    let port = free_port();
    let text = configuration(port, "both")
        .replace(&format!("listen {port};"), &format!("listen {port}; listen [::]:{port} ipv6only=on default_server;"));
    prefix.write("conf/nginx.conf", &text);
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(say(port), "both\n");
    stop(&prefix, "stop");
}

/// Answers the kinds of processes that have come up, and how many workers there are.
const KINDS: &str = r#"
    lua_shared_dict seen 1m;
    init_by_lua_block {
        local process = require "ngx.process"
        in_master = process.type() .. " " .. ngx.worker.count()
        assert(process.enable_privileged_agent(100))
    }
    init_worker_by_lua_block {
        local kind = require "ngx.process".type()
        ngx.shared.seen:set(kind, kind .. " " .. tostring(ngx.worker.id() ~= nil))
    }
    server {
        listen PORT;
        location / {
            content_by_lua_block {
                local seen = ngx.shared.seen
                ngx.say(in_master, ", ", seen:get("worker"), ", ", seen:get("privileged agent"), ", ", #ngx.worker.pids())
            }
        }
        location /leave {
            content_by_lua_block {
                ngx.say(ngx.worker.pid())
                require "ngx.process".signal_graceful_exit()
            }
        }
    }
"#;

#[test]
fn the_privileged_agent_lives_beside_the_workers() {
    let (prefix, port) = (Prefix::new(), free_port());
    let http = KINDS.replace("PORT", &port.to_string());
    prefix.write("conf/nginx.conf", &format!("worker_processes 2;\nevents {{ worker_connections 64; }}\nhttp {{\n{http}\n}}\n"));
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until("all processes", || say(port) == "master 2, worker true, privileged agent false, 2\n");
    let agent = |prefix: &Prefix| workers(prefix).into_iter().find(|(_, title)| title == "nginx: privileged agent process");
    until("the agent's title", || agent(&prefix).is_some());
    let (first, _) = agent(&prefix).unwrap();
    assert!(prefix.run(&["-s", "reload"]).status.success());
    until("another agent in its place", || agent(&prefix).is_some_and(|(pid, _)| pid != first) && workers(&prefix).len() == 3);
    let left = get(port, "/leave").unwrap().text();
    until("another worker", || {
        let all = workers(&prefix);
        all.len() == 3 && all.iter().all(|(pid, _)| pid.to_string() != left.trim())
    });
    stop(&prefix, "quit");
}

#[test]
fn a_daemon_of_syslog_that_is_not_there_is_noticed() {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "error_log logs/error.log;\nevents {{ worker_connections 64; }}\nhttp {{ server {{ listen 127.0.0.1:{port};\n\
             error_log syslog:server=127.0.0.1:1,tag=x; }} }}\n"
        ),
    );
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = "send() failed (111: Connection refused) while logging to syslog, server: 127.0.0.1:1";
    until("a line about it", || get(port, "/nothing").unwrap().status == 404 && prefix.read("logs/error.log").contains(line));
    stop(&prefix, "quit");
}

#[test]
fn connections_are_numbered_in_all_workers_together() {
    let (prefix, port) = (Prefix::new(), free_port());
    let text = format!(
        "worker_processes 3; error_log logs/error.log warn; events {{ }} http {{
         init_worker_by_lua_block {{
             ngx.log(ngx.WARN, '<start>')
             ngx.timer.at(0, function() ngx.log(ngx.WARN, '<timer>') error('<error>') end)
         }}
         exit_worker_by_lua_block {{ ngx.log(ngx.WARN, '<exit>') }}
         server {{ listen 127.0.0.1:{port}; location / {{ content_by_lua_block {{ ngx.log(ngx.WARN, '<request>') ngx.say(ngx.var.connection) }} }} }} }}"
    );
    prefix.write("conf/nginx.conf", &text);
    assert!(prefix.run(&[]).status.success());
    until("all workers", || prefix.read("logs/error.log").matches("<error>").count() == 3);
    let mut numbers: Vec<u64> = (0..20).map(|_| say(port).trim().parse().unwrap()).collect();
    assert!(prefix.run(&["-s", "reload"]).status.success());
    until("the new workers", || prefix.read("logs/error.log").matches("<error>").count() == 6);
    numbers.extend((0..20).map(|_| say(port).trim().parse::<u64>().unwrap()));
    stop(&prefix, "quit");
    let log = prefix.read("logs/error.log");
    let numbers_of = |what: &str| -> Vec<Option<u64>> {
        let number = |line: &str| line.split_once(": *")?.1.split_once(' ')?.0.parse().ok();
        log.lines().filter(|line| line.contains(what)).map(number).collect()
    };
    assert_eq!(numbers_of("<request>"), numbers.iter().copied().map(Some).collect::<Vec<_>>(), "{log}");
    assert_eq!(numbers_of("<exit>"), [None; 6], "{log}");
    let (starts, timers) = (numbers_of("<start>"), numbers_of("<timer>"));
    assert_eq!((starts.len(), timers.len()), (6, 6), "{log}");
    // Lines of several workers come in any order.
    let sorted = |mut all: Vec<Option<u64>>| {
        all.sort_unstable();
        all
    };
    assert_eq!(sorted(timers.clone()), sorted(numbers_of("<error>")), "{log}");
    let of_code = [starts, timers].concat();
    numbers.extend(of_code.iter().map(|number| number.expect("code without a request has a number")));
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=52).collect::<Vec<_>>(), "{log}");
}
