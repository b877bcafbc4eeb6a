//! A model of a cache: random requests, variants, purges of all kinds, expiries and killed workers, each answer compared with what must be there.
//!
//! `CACHE_MODEL_STEPS=100000 cargo test -p lunette --test robustness model` takes more steps than an ordinary run.

use crate::rig::{Foreground, Prefix, Response, exchange, free_port, parse, signal, until};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What may be stored for a variant: the steps that may have made it, and since when at the latest.
#[derive(Clone)]
struct Stored {
    steps: HashSet<u64>,
    /// It may also be gone.
    uncertain: bool,
    since: Instant,
}

type Model = HashMap<(String, u64), Stored>;

/// An answer that is fresh for one second is given for less than two: its end is a whole second.
const SHORT: Duration = Duration::from_secs(2);

fn start() -> (Prefix, u16, Foreground) {
    let (prefix, port, upstream) = (Prefix::new(), free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log alert; events {{ }} http {{
            proxy_cache_path cache levels=1:2 keys_zone=one:1m use_temp_path=off;
            server {{ listen {port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache one; proxy_cache_key $uri;
              proxy_cache_valid 1h; proxy_cache_purge_method PURGE; proxy_cache_purge_tag $http_cache_tag; proxy_cache_purge_soft $http_soft;
              proxy_cache_lock on; add_header X-Cache $upstream_cache_status; }} }}
            server {{ listen {upstream}; add_header Vary X-Kind; add_header Cache-Tag \"t$arg_t\";
              location / {{ return 200 \"$uri $http_x_kind $arg_s\"; }}
              location /short/ {{ add_header X-Accel-Expires 1; add_header Vary X-Kind; add_header Cache-Tag \"t$arg_t\";
                return 200 \"$uri $http_x_kind $arg_s\"; }} }} }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

fn ask(port: u16, method: &str, path: &str, fields: &str) -> Option<Response> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n");
    exchange(port, request.as_bytes()).ok().and_then(|bytes| parse(&bytes).ok())
}

fn workers(master: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Kills a worker; sometimes while a request is under way, of which nobody then knows what it has left.
fn kill(random: &mut Random, site: (u16, u32), (path, kind): (&str, u64), step: u64, model: &mut Model) {
    let (port, master) = site;
    let all = workers(master);
    let victim = all[random.below(all.len() as u64) as usize].clone();
    let target = format!("{path}?s={step}&t={}", path.len() % 3);
    let client = (random.below(2) == 0).then(|| std::thread::spawn(move || ask(port, "GET", &target, &format!("X-Kind: {kind}\r\n"))));
    signal("-KILL", &victim);
    if let Some(client) = client {
        let _ = client.join().unwrap();
        let fresh = Stored { steps: HashSet::new(), uncertain: true, since: Instant::now() };
        let stored = model.entry((path.to_owned(), kind)).or_insert(fresh);
        stored.steps.insert(step);
        stored.since = Instant::now();
    }
    until("another worker", || {
        let now = workers(master);
        now.len() == all.len() && !now.contains(&victim)
    });
}

/// Removes what `gone` says; a request that was killed in between may have had its answer kept.
fn forget(model: &mut Model, gone: impl Fn(&str) -> bool) {
    model.retain(|(path, _), _| !gone(path));
}

#[test]
fn every_answer_is_one_that_must_be_there() {
    let steps: u64 = std::env::var("CACHE_MODEL_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500);
    let (_prefix, port, running) = start();
    let master = running.child.id();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut model = Model::new();
    let (mut hits, mut kills) = (0_u64, 0_u64);
    for step in 0..steps {
        let path = format!("/{}/{}", ["a", "b", "short"][random.below(3) as usize], random.below(4));
        let tag = path.len() % 3;
        match random.below(200) {
            0..=5 => {
                let _ = ask(port, "PURGE", &path, "").unwrap();
                forget(&mut model, |other| other == path);
            }
            6..=9 => {
                let prefix = &path[..3];
                let soft = ["", "Soft: 1\r\n"][random.below(2) as usize];
                assert_eq!(ask(port, "PURGE", &format!("{prefix}*"), soft).unwrap().status, 204);
                forget(&mut model, |other| other.starts_with(prefix));
            }
            10..=13 => {
                let soft = ["", "Soft: 1\r\n"][random.below(2) as usize];
                assert_eq!(ask(port, "PURGE", "/", &format!("{soft}Cache-Tag: t{tag}\r\n")).unwrap().status, 204);
                forget(&mut model, |other| other.len() % 3 == tag);
            }
            14 => {
                kills += 1;
                let kind = random.below(3);
                kill(&mut random, (port, master), (&path, kind), step, &mut model);
            }
            _ => {
                let kind = random.below(3);
                let before = Instant::now();
                let answer = ask(port, "GET", &format!("{path}?s={step}&t={tag}"), &format!("X-Kind: {kind}\r\n")).unwrap();
                let name = (path.clone(), kind);
                let (said, text) = (answer.header("X-Cache").unwrap_or_default().to_owned(), answer.text());
                let found: u64 = text.strip_prefix(&format!("{path} {kind} ")).and_then(|rest| rest.parse().ok()).expect(&text);
                let is_short = path.starts_with("/short");
                let expired = |stored: &Stored| is_short && before.duration_since(stored.since) > SHORT;
                match model.get(&name).filter(|stored| !expired(stored)) {
                    Some(stored) if found != step => assert!(stored.steps.contains(&found), "step {step}: {path} {kind}: {found}, {said}"),
                    Some(stored) => assert!(stored.uncertain || is_short, "step {step}: {path} {kind} is missing, {said}"),
                    None => assert_eq!(found, step, "step {step}: {path} {kind} is old, {said}"),
                }
                hits += u64::from(found != step);
                let since = if found == step { Instant::now() } else { model.get(&name).map_or(before, |stored| stored.since) };
                model.insert(name, Stored { steps: HashSet::from([found]), uncertain: false, since });
            }
        }
    }
    println!("{steps} steps, {hits} hits, {kills} workers killed");
    assert!(hits > steps / 10, "{hits} hits of {steps}");
}
