//! A cache whose disk is full, whose process is killed while it writes, whose lease passes on at a reload, and a stampede.

use crate::rig::{BINARY, Foreground, PATIENCE, Prefix, accept_request, exchange, free_port, get, parse, signal, until};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

fn configure(prefix: &Prefix, port: u16, upstream: &str, more: &str) {
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log notice; events {{ }} http {{
            proxy_cache_path cache levels=1 keys_zone=one:1m use_temp_path=off;
            server {{ listen {port}; location / {{ proxy_pass http://{upstream}; proxy_cache one; proxy_cache_key $uri; proxy_cache_valid 1h;
              add_header X-Cache $upstream_cache_status; }}
              location /locked {{ proxy_pass http://{upstream}; proxy_cache one; proxy_cache_key $uri; proxy_cache_valid 1h;
                proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s; }} }}
            {more} }}"
        ),
    );
}

/// Starts the server where a file system of 256 KiB lies over its cache; `None` where that is not allowed.
fn start_on_small_disk(prefix: &Prefix, port: u16) -> Option<Foreground> {
    let cache = prefix.path.join("cache");
    fs::create_dir_all(&cache).unwrap();
    let script = format!("mount -t tmpfs -o size=256k,mode=777 none {} && exec {BINARY} -p {}", cache.display(), prefix.path.display());
    for options in ["-m", "-rm"] {
        let child =
            Command::new("unshare").args([options, "sh", "-c", &script]).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut server = Foreground { child };
        let end = Instant::now() + PATIENCE;
        while matches!(server.child.try_wait(), Ok(None)) && Instant::now() < end {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    None
}

#[test]
fn a_full_disk_means_answers_that_are_not_kept() {
    let (prefix, port, upstream) = (Prefix::new(), free_port(), free_port());
    configure(&prefix, port, &format!("127.0.0.1:{upstream}"), &format!("server {{ listen {upstream}; root html; }}"));
    let large = "0123456789".repeat(200_000);
    prefix.write("html/large", &large);
    prefix.write("html/small", "small");
    let Some(_server) = start_on_small_disk(&prefix, port) else {
        // Without the right to mount, a directory that is none stands in: `caching::without_a_directory_answers_are_passed_on`.
        return;
    };
    for _ in 0..3 {
        let answer = get(port, "/large").unwrap();
        assert_eq!((answer.status, answer.header("X-Cache"), answer.text() == large), (200, Some("MISS"), true));
    }
    assert!(prefix.read("logs/error.log").contains("No space left on device"), "the disk was not full");
    // What was begun is gone, so that there is room again.
    assert_eq!(get(port, "/small").unwrap().header("X-Cache"), Some("MISS"));
    assert_eq!(get(port, "/small").unwrap().header("X-Cache"), Some("HIT"));
}

#[test]
fn a_worker_killed_while_it_writes_leaves_no_answer() {
    let (prefix, port) = (Prefix::new(), free_port());
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&prefix, port, &upstream.local_addr().unwrap().to_string(), "");
    let server = Foreground::start(&prefix, port, "").unwrap();
    let master = server.child.id();
    let workers = || fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    for sent in [0, 1, 5_000, 99_999] {
        let path = format!("/{sent}");
        let client = {
            let path = path.clone();
            std::thread::spawn(move || exchange(port, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()))
        };
        let (mut stream, _) = accept_request(&upstream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n").unwrap();
        stream.write_all(&vec![b'x'; sent]).unwrap();
        let before = workers();
        for worker in before.split_whitespace() {
            signal("-KILL", worker);
        }
        drop(stream);
        let _ = client.join().unwrap();
        until("other workers", || {
            let now = workers();
            now.split_whitespace().count() == 2 && before.split_whitespace().all(|old| !now.contains(old))
        });
        let again = std::thread::spawn(move || get(port, &path));
        let (mut stream, _) = accept_request(&upstream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nnew").unwrap();
        assert_eq!(again.join().unwrap().unwrap().text(), "new", "{sent} bytes");
    }
}

/// Clients of a stampede: 500 with `CACHE_STAMPEDE=500`.
fn clients() -> usize {
    std::env::var("CACHE_STAMPEDE").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[test]
fn a_stampede_on_a_cold_key_asks_the_upstream_once() {
    let (prefix, port) = (Prefix::new(), free_port());
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&prefix, port, &upstream.local_addr().unwrap().to_string(), "");
    let _server = Foreground::start(&prefix, port, "").unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    std::thread::spawn(move || {
        loop {
            let (mut stream, head) = accept_request(&upstream);
            if head.starts_with("GET /locked ") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nonce").unwrap();
        }
    });
    let together = Arc::new(Barrier::new(clients()));
    let all: Vec<_> = (0..clients())
        .map(|_| {
            let together = together.clone();
            std::thread::spawn(move || {
                together.wait();
                get(port, "/locked").unwrap().text()
            })
        })
        .collect();
    assert!(all.into_iter().all(|client| client.join().unwrap() == "once"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// Who looks after the cache changes with the workers: what comes after a reload is still noticed.
#[test]
fn the_lease_passes_on_at_a_reload() {
    let (prefix, port, upstream) = (Prefix::new(), free_port(), free_port());
    let serve = format!("server {{ listen {upstream}; location / {{ return 200 $arg_n; }} }}");
    configure(&prefix, port, &format!("127.0.0.1:{upstream}"), &serve);
    let server = Foreground::start(&prefix, port, "").unwrap();
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        parse(&exchange(port, request.as_bytes()).unwrap()).unwrap().text()
    };
    for round in 0..3 {
        let path = format!("/{round}");
        assert_eq!(ask(&format!("{path}?n=old")), "old");
        let workers = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.child.id())).unwrap();
        let before = workers();
        server.signal("-HUP");
        until("new workers alone", || {
            let now = workers();
            now.split_whitespace().count() == 2 && before.split_whitespace().all(|old| !now.contains(old))
        });
        let cache = prefix.path.join("cache");
        let purged = Command::new(BINARY).args(["cache", "purge", cache.to_str().unwrap(), "--prefix", &path]).status().unwrap();
        assert!(purged.success());
        // Only who has the lease looks at the list.
        until("the purge to be noticed", || ask(&format!("{path}?n=new")) == "new");
    }
}
