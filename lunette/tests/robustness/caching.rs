//! A cache gives no wrong answer: damaged files, other workers, purges, restarts, clients that leave, a directory that is none.

use crate::rig::{Foreground, Prefix, Response, accept_request, exchange, free_port, get, parse, signal, until};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// A cache in front of a server that answers with what it was asked, or with files.
struct Site {
    prefix: Prefix,
    port: u16,
    upstream: u16,
    parameters: &'static str,
    running: Option<Foreground>,
}

impl Site {
    fn start(parameters: &'static str) -> Site {
        let mut site = Site { prefix: Prefix::new(), port: free_port(), upstream: free_port(), parameters, running: None };
        site.again();
        site
    }

    /// Starts the server, anew if it runs.
    fn again(&mut self) {
        self.running = None;
        let (port, upstream, parameters) = (self.port, self.upstream, self.parameters);
        self.prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 3; error_log logs/error.log crit; events {{ }} http {{
                proxy_cache_path cache levels=1:2 keys_zone=one:1m use_temp_path=off {parameters};
                map $request_method $purges {{ PURGE 1; }}
                server {{ listen {port};
                  location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache one; proxy_cache_key $uri; proxy_cache_valid 1h;
                    proxy_cache_purge $purges; add_header X-Cache $upstream_cache_status; }} }}
                server {{ listen {upstream}; root html;
                  location /echo/ {{ add_header Vary X-Kind; return 200 \"$uri $http_x_kind $arg_s\"; }} }} }}"
            ),
        );
        self.running = Some(Foreground::start(&self.prefix, port, "").unwrap());
    }

    fn get(&self, path: &str) -> Response {
        get(self.port, path).unwrap()
    }

    fn ask(&self, method: &str, path: &str, kind: &str) -> Response {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nX-Kind: {kind}\r\nConnection: close\r\n\r\n");
        parse(&exchange(self.port, request.as_bytes()).unwrap()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.prefix.path.join("cache"), &mut found);
        found
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

fn status(answer: &Response) -> &str {
    answer.header("X-Cache").unwrap_or_default()
}

/// More than stays in a worker's memory.
const LARGE: usize = 100_000;

#[test]
fn damaged_and_foreign_files_are_misses() {
    let site = Site::start("");
    let body = "0123456789".repeat(LARGE / 10);
    site.prefix.write("html/large", &body);
    assert_eq!(status(&site.get("/large")), "MISS");
    assert_eq!(status(&site.get("/large")), "HIT");
    let whole = fs::read(site.files().first().unwrap()).unwrap();
    let start = whole.len() - LARGE;
    let mut damages: Vec<Vec<u8>> = vec![Vec::new(), b"\x05\0\0\0foreign".repeat(50), [&whole[..], b"x"].concat()];
    damages.extend([1, 50, start - 1, start, start + 1, whole.len() - 1].map(|length| whole[..length].to_vec()));
    for at in (0..start).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        damages.push(damaged);
    }
    for damaged in damages {
        let path = site.files().pop().unwrap();
        // A file of its own: the server may have this one open.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &damaged).unwrap();
        let answer = site.get("/large");
        assert_eq!((answer.status, status(&answer), answer.text() == body), (200, "MISS", true), "{} bytes", damaged.len());
        assert_eq!(status(&site.get("/large")), "HIT");
    }
}

/// A body of the right length with other bytes: found by its checksum where the server has not written it itself a moment ago.
#[test]
fn damaged_bodies_are_misses() {
    let mut site = Site::start("");
    for (name, length) in [("large", LARGE), ("small", 1000)] {
        let body = "0123456789".repeat(length / 10);
        site.prefix.write(&format!("html/{name}"), &body);
        for at in [0, length / 2, length - 1] {
            assert_eq!(site.get(&format!("/{name}")).text(), body);
            let path = site.files().pop().unwrap();
            let mut damaged = fs::read(&path).unwrap();
            let start = damaged.len() - length;
            damaged[start + at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            site.again();
            let answer = site.get(&format!("/{name}"));
            assert_eq!((answer.status, status(&answer), answer.text() == body), (200, "MISS", true), "{name}, byte {at}");
            assert_eq!(status(&site.get(&format!("/{name}"))), "HIT");
            site.again();
            assert_eq!(status(&site.get(&format!("/{name}"))), "HIT");
        }
        assert_eq!(site.ask("PURGE", &format!("/{name}"), "").status, 204);
    }
}

#[test]
fn files_of_an_earlier_run_are_found_and_half_ones_are_not() {
    let mut site = Site::start("");
    site.prefix.write("html/large", &"x".repeat(LARGE));
    assert_eq!(status(&site.get("/large")), "MISS");
    let file = site.files().pop().unwrap();
    let half = file.with_extension("0000000007.999999999");
    fs::write(&half, "half").unwrap();
    let other = file.with_file_name("readme");
    fs::write(&other, "not ours").unwrap();
    site.again();
    assert_eq!(status(&site.get("/large")), "HIT");
    until("the half file to go", || !half.exists());
    assert!(other.exists());
}

#[test]
fn a_client_that_leaves_takes_nothing_from_the_others() {
    let site = Site::start("");
    site.prefix.write("html/large", &"x".repeat(20 << 20));
    let mut client = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
    client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    drop(client);
    until("the answer to be kept", || site.files().iter().any(|file| file.extension().is_none()));
    // The file has its name a moment before other workers hear of it.
    until("a hit", || {
        let answer = site.get("/large");
        assert_eq!(answer.body.len(), 20 << 20);
        status(&answer) == "HIT"
    });
}

#[test]
fn without_a_directory_answers_are_passed_on() {
    let site = Site::start("");
    site.prefix.write("html/large", &"x".repeat(LARGE));
    let cache = site.prefix.path.join("cache");
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "a file").unwrap();
    for _ in 0..3 {
        let answer = site.get("/large");
        assert_eq!((answer.status, status(&answer), answer.body.len()), (200, "MISS", LARGE));
    }
}

#[test]
fn a_cache_stays_within_its_size() {
    let site = Site::start("max_size=300k");
    for n in 0..30 {
        site.prefix.write(&format!("html/{n}"), &"x".repeat(30_000));
        assert_eq!(site.get(&format!("/{n}")).body.len(), 30_000);
    }
    until("the cache to shrink", || site.files().len() <= 10);
    assert!(!site.files().is_empty());
}

/// Random requests, variants and purges on three workers: each answer is the one that must be there.
#[test]
fn no_answer_is_stale_or_anothers() {
    let site = Site::start("");
    let mut stored: HashMap<(String, u64), u64> = HashMap::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for step in 0..1500 {
        let path = format!("/echo/{}/{}", next(2), next(3));
        match next(12) {
            0 => {
                let existed = stored.keys().any(|(other, _)| *other == path);
                let answer = site.ask("PURGE", &path, "");
                assert_eq!(answer.status, if existed { 204 } else { 404 }, "step {step}");
                stored.retain(|(other, _), _| *other != path);
            }
            1 => {
                let prefix = &path[..8];
                assert_eq!(site.ask("PURGE", &format!("{prefix}*"), "").status, 204);
                stored.retain(|(other, _), _| !other.starts_with(prefix));
            }
            _ => {
                let kind = next(3);
                let answer = site.ask("GET", &format!("{path}?s={step}"), &kind.to_string());
                let known = stored.contains_key(&(path.clone(), kind));
                let expected = *stored.entry((path.clone(), kind)).or_insert(step);
                assert_eq!(answer.text(), format!("{path} {kind} {expected}"), "step {step}");
                assert_eq!(status(&answer), if known { "HIT" } else { "MISS" }, "step {step}");
            }
        }
    }
}

/// Many ask for what is not there: with a lock the upstream is asked once, and when the process that asks is killed another does.
#[test]
fn a_stampede_asks_once_and_outlives_who_asks() {
    let (prefix, port) = (Prefix::new(), free_port());
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log crit; events {{ }} http {{
            proxy_cache_path cache keys_zone=one:1m;
            server {{ listen {port}; location = /up {{ return 200; }} location / {{ proxy_pass http://{}; proxy_cache one; proxy_cache_valid 1h;
              proxy_cache_lock on; proxy_cache_lock_age 1s; proxy_cache_lock_timeout 60s; proxy_set_header X-Worker $pid; }} }} }}",
            upstream.local_addr().unwrap()
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let mut clients: Vec<_> = (0..50).map(|_| std::thread::spawn(move || get(port, "/key"))).collect();
    let (first, worker) = accept(&upstream);
    signal("-KILL", worker);
    // All of them may have been the killed worker's.
    clients.push(std::thread::spawn(move || get(port, "/key")));
    let (mut second, _) = accept(&upstream);
    drop(first);
    second.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nonce").unwrap();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    // Those of the killed worker got nothing.
    for answer in answers.iter().flatten() {
        assert_eq!(answer.text(), "once");
    }
    upstream.set_nonblocking(true).unwrap();
    assert_eq!(get(port, "/key").unwrap().text(), "once");
    assert!(upstream.accept().is_err(), "the upstream was asked a third time");
}

/// The next request, and the worker that it says it comes from.
fn accept(upstream: &TcpListener) -> (TcpStream, String) {
    let (stream, head) = accept_request(upstream);
    let worker = head.lines().find_map(|line| line.strip_prefix("X-Worker: ")).unwrap().to_owned();
    (stream, worker)
}
