//! Active health checks in `http`: servers that fail in many ways and recover, two workers, reloads, the death of the checking worker.

use crate::backend::{Backend, Mood};
use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;

struct Setting {
    prefix: Prefix,
    port: u16,
    running: Foreground,
}

/// `ROOM` stands for the ports of backends.
fn text(port: u16, backends: &[&Backend], check: &str, more: &str) -> String {
    let servers = backends.iter().fold(String::new(), |mut all, backend| {
        write!(all, "server 127.0.0.1:{};", backend.port).unwrap();
        all
    });
    format!(
        "daemon off; worker_processes 2; error_log logs/error.log notice;\nevents {{ }}\nhttp {{\n\
         upstream group {{ zone group 256k; {servers} }}\n\
         match fine {{ status 200-299; header X-State = fine; body ~ well; }}\n\
         server {{ listen {port};\n location / {{ proxy_pass http://group; proxy_read_timeout 2s; proxy_send_timeout 2s;\n\
         proxy_connect_timeout 2s; proxy_next_upstream off; {check} }}\n\
         location /own {{ metrics json; }} }} {more} }}\n"
    )
}

fn start(backends: &[&Backend], check: &str) -> Setting {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write("conf/nginx.conf", &text(port, backends, check, ""));
    let running = Foreground::start(&prefix, port, "").unwrap();
    Setting { prefix, port, running }
}

impl Setting {
    fn log_has(&self, what: &str) -> bool {
        self.prefix.read("logs/error.log").contains(what)
    }

    /// How many of some requests were answered with 200.
    fn answered(&self) -> usize {
        (0..8).filter(|_| get(self.port, "/x").is_ok_and(|answer| answer.status == 200)).count()
    }

    fn workers(&self) -> Vec<i32> {
        let master = self.running.child.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

#[test]
fn a_server_that_fails_gets_no_requests_until_it_recovers() {
    let (one, two) = (Backend::start(Mood::good()), Backend::start(Mood::good()));
    let setting = start(&[&one, &two], "health_check interval=100ms uri=/health match=fine; proxy_set_header X-Asks yes;");
    until("checks of both", || one.checks() > 0 && two.checks() > 0);
    assert!(one.head.lock().unwrap().contains("\r\nX-Asks: yes\r\n"), "{:?}", one.head);
    let name = format!("health check \"fine\" of peer 127.0.0.1:{} in upstream \"group\"", one.port);
    let bad = [
        (Mood::status(500, "well"), "checking status code"),
        (Mood::status(200, "ill"), "checking body"),
        (Mood::Says("HTTP/1.1 200 OK\r\nX-State: bad\r\nContent-Length: 4\r\n\r\nwell".to_owned()), "checking header"),
        (Mood::Closes, "reading response header from upstream"),
        (Mood::Hangs, "reading response header from upstream"),
        (Mood::Drips, "reading upstream"),
        (Mood::Says("garbage\r\n\r\n".to_owned()), "reading response header from upstream"),
    ];
    for (round, (mood, action)) in bad.into_iter().enumerate() {
        one.be(mood.clone());
        let count = |what: &str| setting.prefix.read("logs/error.log").matches(what).count();
        until(&format!("{mood:?} to be found out"), || count("peer is unhealthy") > round);
        assert!(setting.log_has("[warn] ") && setting.log_has(&format!("peer is unhealthy while {action}, {name}")), "{mood:?}");
        let before = one.requests();
        assert_eq!((setting.answered(), one.requests()), (8, before), "{mood:?}");
        one.be(Mood::good());
        until("it to recover", || count("peer is healthy while checking body") > round);
        until("requests to come", || setting.answered() == 8 && one.requests() > before);
    }
    let json = get(setting.port, "/own").unwrap().text();
    assert!(json.contains("\"health_checks\":{\"checks\":") && json.contains("\"unhealthy\":7,\"last_passed\":true}"), "{json}");
}

#[test]
fn a_mandatory_check_comes_first_and_its_result_outlives_a_reload_if_wanted() {
    let one = Backend::start(Mood::Hangs);
    let mandatory = "health_check interval=100ms uri=/health mandatory passes=2;";
    let setting = start(&[&one], mandatory);
    until("a check", || one.checks() > 0);
    assert_eq!(get(setting.port, "/x").unwrap().status, 502);
    assert!(setting.log_has("no live upstreams"));
    one.be(Mood::good());
    until("it to be well", || setting.answered() == 8);
    assert!(one.checks() >= 3);
    // A reload begins anew, unless the check is persistent.
    one.be(Mood::Hangs);
    let reload = |check: &str| {
        let before = setting.prefix.read("logs/error.log").matches("reconfiguring").count();
        setting.prefix.write("conf/nginx.conf", &text(setting.port, &[&one], check, ""));
        assert!(Command::new("kill").arg("-HUP").arg(setting.running.child.id().to_string()).status().unwrap().success());
        until("the reload", || setting.prefix.read("logs/error.log").matches("reconfiguring").count() > before);
    };
    reload(mandatory);
    until("the new configuration to ask first", || get(setting.port, "/x").is_ok_and(|answer| answer.status == 502));
    one.be(Mood::good());
    until("it to be well again", || setting.answered() == 8);
    let slow = "health_check interval=1h uri=/health mandatory persistent; add_header X-Slow yes;";
    let old = setting.workers();
    reload(slow);
    until("only new workers", || setting.workers().iter().all(|worker| !old.contains(worker)));
    one.be(Mood::status(200, "still"));
    assert_eq!(setting.answered(), 8);
}

#[test]
fn when_the_checking_worker_is_killed_another_goes_on() {
    let one = Backend::start(Mood::good());
    let setting = start(&[&one], "health_check interval=50ms uri=/health;");
    for _ in 0..3 {
        until("checks", || one.checks() > 2);
        // One of them does it.
        for worker in setting.workers() {
            assert!(Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap().success());
        }
        let before = one.checks();
        until("another to go on", || one.checks() > before + 3);
    }
    one.be(Mood::Closes);
    until("the new one to judge", || setting.log_has("peer is unhealthy"));
    assert_eq!(get(setting.port, "/x").unwrap().status, 502);
}

#[test]
fn one_process_asks_and_a_connection_may_serve_many_questions() {
    let one = Backend::start(Mood::good());
    let setting = start(&[&one], "health_check interval=20ms uri=/health?a=b keepalive_time=1h;");
    until("many checks", || one.checks() > 20);
    // The port was tried for once to see that the server is there.
    let (checks, connections) = (one.checks(), one.connections.load(Ordering::SeqCst));
    assert!(connections <= 2, "{connections} connections for {checks} checks");
    assert!(one.head.lock().unwrap().starts_with("GET /health?a=b HTTP/1.1\r\n"));
    drop(setting);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let prefix = Prefix::new();
    let table = [
        ("location / { proxy_pass http://free; health_check; }", "health checks require upstream \"free\" to be in shared memory"),
        ("location / { proxy_pass http://zoned; health_check match=x; }", "match \"x\" not found"),
        ("location / { return 200; health_check; }", "health checks require a location that passes requests on"),
        ("location / { proxy_pass http://zoned; health_check persistent; }", "\"persistent\" requires \"mandatory\""),
        ("location / { proxy_pass http://zoned; health_check interval=0; }", "invalid parameter \"interval=0\""),
        ("location / { proxy_pass http://zoned; health_check port=65536; }", "invalid parameter \"port=65536\""),
        ("location / { proxy_pass http://zoned; health_check uri=health; }", "invalid parameter \"uri=health\""),
        ("location / { proxy_pass http://zoned; health_check type=grpc; }", "\"type=grpc\" requires \"grpc_pass\""),
        ("location / { grpc_pass zoned; health_check type=grpc uri=/; }", "\"type=grpc\" can have neither \"uri\" nor \"match\""),
        ("} match a { } match a { } server {", "duplicate match \"a\""),
        ("} match a { status 99; } server {", "invalid parameters of \"status\" in \"match\""),
        ("} match a { header A like B; } server {", "invalid parameters of \"header\" in \"match\""),
        ("} match a { body ~ \"(\"; } server {", "pcre2_compile() failed"),
        ("} match a { require x; } server {", "invalid variable name \"x\""),
        ("} match a { cookie x; } server {", "unknown directive \"cookie\""),
    ];
    for (text, expected) in table {
        let groups = "upstream free { server 127.0.0.1:1; } upstream zoned { zone z 64k; server 127.0.0.1:1; }";
        prefix.write("conf/nginx.conf", &format!("events {{ }} http {{ {groups} server {{ listen 127.0.0.1:1; {text} }} }}"));
        let output = prefix.run(&["-t"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{text}: {said}");
    }
}
