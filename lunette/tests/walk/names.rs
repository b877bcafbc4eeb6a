//! Groups whose names are followed: a name server of the test's own says what they stand for.

use crate::rig::dns::NameServer;
use crate::rig::{Prefix, free_port, get, signal, until};
use std::collections::HashSet;

/// A server with two workers, a group that is followed, and what its addresses answer: their own address.
fn started(server: &str, names: &NameServer) -> (Prefix, u16, u16) {
    let prefix = Prefix::new();
    let (front, back, dns) = (free_port(), free_port(), names.port);
    let server = server.replace("PORT", &back.to_string());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 2;\nerror_log logs/error.log notice;\nevents {{ }}\nhttp {{\n\
             upstream group {{ zone group 64k; {server} }}\n\
             resolver 127.0.0.1:{dns} valid=1s ipv6=off;\n\
             server {{ listen {front}; location / {{ proxy_pass http://group; }} }}\n\
             server {{ listen 127.0.0.2:{back}; listen 127.0.0.3:{back}; listen 127.0.0.4:{back}; return 200 $server_addr; }} }}\n"
        ),
    );
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (prefix, front, back)
}

/// Waits until requests see exactly these addresses, from connection to connection; all of them must be answered.
fn until_seen(port: u16, expected: &[&str]) {
    let expected: HashSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    until(&format!("{expected:?}"), || {
        let answers: Vec<_> = (0..20).map(|_| get(port, "/").unwrap()).collect();
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        answers.iter().map(|answer| answer.text()).collect::<HashSet<_>>() == expected
    });
}

fn first_worker(prefix: &Prefix) -> Option<i32> {
    let master = prefix.master();
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn addresses_of_a_name_come_and_go_while_requests_run() {
    let names = NameServer::start();
    let (prefix, port, _) = started("server back.test:PORT resolve;", &names);
    // No address yet is no reason not to start: the server is down.
    until("a refusal", || get(port, "/").is_ok_and(|answer| answer.status == 502));
    assert!(prefix.read("logs/error.log").contains("no live upstreams while connecting to upstream"));
    until("the log", || prefix.read("logs/error.log").contains("back.test could not be resolved (3: Host not found)"));
    names.say(&[2]);
    until("an address", || get(port, "/").is_ok_and(|answer| answer.status == 200));
    names.say(&[2, 3]);
    until_seen(port, &["127.0.0.2", "127.0.0.3"]);
    names.say(&[3, 4]);
    until_seen(port, &["127.0.0.3", "127.0.0.4"]);
    // The worker that asks dies: the next one goes on.
    let killed = first_worker(&prefix).unwrap();
    signal("-KILL", killed);
    until("the master's word", || prefix.read("logs/error.log").contains("exited on signal 9"));
    until("a new worker", || get(port, "/").is_ok_and(|answer| answer.status == 200));
    names.say(&[2]);
    until_seen(port, &["127.0.0.2"]);
    // A reload knows at once what the configuration before knew.
    names.say(&[]);
    assert!(prefix.run(&["-s", "reload"]).status.success());
    for _ in 0..20 {
        let answer = get(port, "/").unwrap_or_else(|error| panic!("{error}: {}", prefix.read("logs/error.log")));
        assert!([200, 502].contains(&answer.status), "{answer:?}");
    }
    until("a refusal", || get(port, "/").is_ok_and(|answer| answer.status == 502));
    assert!(prefix.run(&["-s", "stop"]).status.success());
    until("the end", || prefix.is_down());
}

#[test]
fn a_service_says_ports_and_backups() {
    let names = NameServer::start();
    names.say(&[3]);
    let (prefix, port, back) = started("server back.test service=http resolve;", &names);
    until("a refusal", || get(port, "/").is_ok_and(|answer| answer.status == 502));
    until("the log", || prefix.read("logs/error.log").contains("service http of back.test could not be resolved (3: Host not found)"));
    // Nobody listens on port 1; the one that does is a backup.
    names.say_services(&[(1, 1), (2, back)]);
    until("the backup", || get(port, "/").is_ok_and(|answer| answer.text() == "127.0.0.3"));
    assert!(prefix.run(&["-s", "stop"]).status.success());
    until("the end", || prefix.is_down());
}
