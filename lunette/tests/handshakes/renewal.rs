//! What clients notice while a server changes: certificates in their files, its configuration, its program.

use crate::client::{Authority, Client};
use crate::rig::{Prefix, free_port, parked, signal, until};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use tls::resume::Slot;

const BOTH: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

/// Starts a server in the background.
fn serve(prefix: &Prefix, said: &str) -> u16 {
    let port = free_port();
    let text = format!(
        "worker_processes 2;\nerror_log logs/error.log notice;\nevents {{ worker_connections 10224; }}\nhttp {{\n\
         ssl_certificate server.crt;\nssl_certificate_key server.key;\n{said}\nserver {{ listen {port} ssl; return 200 answer; }}\n}}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    port
}

#[test]
fn a_watched_certificate_is_taken_up_without_a_reload() {
    let (prefix, authority) = (Prefix::new(), Authority::new());
    authority.write(&prefix, "server");
    let port = serve(&prefix, "ssl_certificate_watch on;");
    let client = Client::new(&["TLSv1.3"], None);
    let shown = || client.get(port, "server", None).unwrap().certificate;
    assert_eq!(shown(), "CN=server");
    let (certificate, key) = authority.issue("other");
    prefix.write("conf/server.crt", &certificate);
    // The key does not fit yet: the former pair stays.
    until("a line about the pair", || {
        assert_eq!(shown(), "CN=server");
        prefix.read("logs/error.log").contains("the former certificate stays")
    });
    prefix.write("conf/server.key", &key);
    until("the new certificate", || shown() == "CN=other");
}

/// Performs the handshake and asks again and again until `enough`; every session is resumed by the next, and every request is answered.
fn load(port: u16, version: &str, enough: &AtomicBool, served: &AtomicUsize) {
    let (client, slot) = (Client::new(&[version], None), Slot::new());
    let mut is_first = true;
    while !enough.load(Ordering::Relaxed) {
        let heard = client.get(port, "server", Some(slot.clone())).unwrap();
        assert_eq!((heard.text.as_str(), heard.resumed), ("answer", !is_first), "{version}");
        is_first = false;
        served.fetch_add(1, Ordering::Relaxed);
    }
}

/// Puts load on the server meanwhile.
fn beside(port: u16, change: impl FnOnce(&dyn Fn(usize))) {
    let (enough, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    scope(|threads| {
        for version in BOTH {
            threads.spawn(|| load(port, version, &enough, &served));
        }
        let more = |count: usize| {
            let wanted = served.load(Ordering::Relaxed) + count;
            until("requests", || served.load(Ordering::Relaxed) >= wanted);
        };
        more(10);
        change(&more);
        more(10);
        enough.store(true, Ordering::Relaxed);
    });
}

/// Sessions that clients keep as tickets, and those that the server keeps.
const KEPT: [&str; 2] = ["", "ssl_session_cache shared:sessions:1m;\nssl_session_tickets off;"];

#[test]
fn reloads_lose_no_request_and_no_session() {
    for said in KEPT {
        let (prefix, authority) = (Prefix::new(), Authority::new());
        authority.write(&prefix, "server");
        let port = serve(&prefix, said);
        beside(port, |more| {
            for _ in 0..10 {
                signal("-HUP", prefix.master());
                more(6);
            }
        });
        let log = prefix.read("logs/error.log");
        assert!(!log.contains("[alert]") && !log.contains("[error]"), "{log}");
    }
}

#[test]
fn a_new_binary_loses_no_request_and_no_session() {
    for said in KEPT {
        let (prefix, authority) = (Prefix::new(), Authority::new());
        authority.write(&prefix, "server");
        let port = serve(&prefix, said);
        beside(port, |more| {
            // What the second one has was never the third one's parent's own.
            for _ in 0..2 {
                let old = start_new_binary(&prefix);
                more(6);
                end_old_binary(&prefix, old);
                more(6);
            }
            signal("-HUP", prefix.master());
            more(6);
        });
        let log = prefix.read("logs/error.log");
        assert!(!log.contains("[alert]") && !log.contains("[error]"), "{log}");
    }
}

/// Returns the old master.
fn start_new_binary(prefix: &Prefix) -> i32 {
    let old = prefix.master();
    signal("-USR2", old);
    until("a new master", || std::fs::exists(prefix.path.join("logs/nginx.pid.oldbin")).unwrap() && prefix.master() != old);
    old
}

fn end_old_binary(prefix: &Prefix, old: i32) {
    signal("-QUIT", old);
    until("the end of the old master", || !std::fs::exists(prefix.path.join("logs/nginx.pid.oldbin")).unwrap());
}

#[test]
fn a_new_binary_makes_a_zone_of_another_size_anew() {
    let (prefix, authority) = (Prefix::new(), Authority::new());
    authority.write(&prefix, "server");
    let port = serve(&prefix, KEPT[1]);
    let (client, slot) = (Client::new(&["TLSv1.2"], None), Slot::new());
    let resumed = || client.get(port, "server", Some(slot.clone())).unwrap().resumed;
    assert_eq!([resumed(), resumed()], [false, true]);
    let text = prefix.read("conf/nginx.conf");
    prefix.write("conf/nginx.conf", &text.replace("sessions:1m", "sessions:2m"));
    let old = start_new_binary(&prefix);
    end_old_binary(&prefix, old);
    assert_eq!([resumed(), resumed()], [false, true]);
    // No file of memory is open twice or was left open: each process has that of its one zone.
    let files = std::fs::read_dir(format!("/proc/{}/fd", prefix.master())).unwrap();
    let memory =
        files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).filter(|to| to.to_string_lossy().contains("memfd"));
    assert_eq!(memory.count(), 1);
}

#[test]
fn sessions_that_wait_long_wake_and_answer() {
    const MANY: usize = 300;
    let (prefix, authority) = (Prefix::new(), Authority::new());
    authority.write(&prefix, "server");
    let port = serve(&prefix, "keepalive_timeout 1h; keepalive_requests 1000000;");
    let master = u32::try_from(prefix.master()).unwrap();
    let mut open: Vec<_> = (0..MANY)
        .map(|number| {
            let client = Client::new(&BOTH[number % 2..][..1], None);
            let mut connection = client.connect(port, "server", None).unwrap();
            // Some of them have not asked for anything yet.
            if number % 3 > 0 {
                connection.ask("answer").unwrap();
            }
            connection
        })
        .collect();
    for _ in 0..2 {
        // Those that have not asked for anything need not be.
        until("connections to be parked", || parked(master) >= MANY - MANY / 3);
        for (number, connection) in open.iter_mut().enumerate() {
            connection.ask("answer").unwrap_or_else(|error| panic!("{number}: {error}"));
        }
    }
    // Parked ones are told when the server leaves.
    signal("-QUIT", prefix.master());
    until("the end of the server", || prefix.is_down());
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("[error]"), "{log}");
}
