//! A server that closes connections behind a few answers without a word, beside one that is dead: it stays in use, and nobody sees a 502
//! who could be served.

use super::{CLIENTS, STORY, Speech, check, crowd, so_many, stories};
use crate::raw::{ANSWER, Seen, note, read, server};
use crate::rig::{Foreground, Prefix, free_port};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MOST: usize = 30;

#[test]
fn connections_that_end_unannounced_beside_a_dead_server() {
    let (good, dead, front) = (free_port(), free_port(), free_port());
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
    let to = seen.clone();
    // It ends with the test's process.
    server(good, &stop, move |mut stream, _| {
        for _ in 0..3 {
            let Some(path) = read(&mut stream) else { return };
            note(&to, path);
            stream.write_all(ANSWER).unwrap();
        }
    });
    let prefix = Prefix::new();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log info; events {{ worker_connections 512; }}\n\
             http {{ {STORY}\n\
             upstream group {{ zone group 64k; server 127.0.0.1:{good}; server 127.0.0.1:{dead} fail_timeout=1s; keepalive 16; }}\n\
             server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://group; }} }} }}\n"
        ),
    );
    let _proxy = Foreground::start(&prefix, front, "").unwrap();
    let all = crowd(Speech::Connections, front, MOST, |answers| so_many(answers, CLIENTS * MOST));
    let seen = seen.lock().unwrap().clone();
    check(&prefix, &all, |uri| seen.get(uri).copied().unwrap_or_default());
    let dead = format!("127.0.0.1:{dead}");
    for (uri, story) in stories(&prefix, &all) {
        let last = story.tries.last().unwrap();
        assert_ne!(last.0, dead, "{uri}");
        assert!(story.tries.len() <= 2 && story.tries[..story.tries.len() - 1].iter().all(|(address, ..)| *address == dead), "{uri}");
    }
    let log = prefix.read("logs/error.log");
    let disabled: Vec<_> = log.lines().filter(|line| line.contains("temporarily disabled")).collect();
    assert!(!disabled.is_empty() && disabled.iter().all(|line| line.contains(&format!("upstream: \"http://{dead}/"))), "{disabled:?}");
    assert!(!log.contains("no live upstreams"), "{log}");
    stop.store(true, Ordering::SeqCst);
}
