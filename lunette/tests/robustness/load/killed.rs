//! One of two servers is killed and started again.

use super::{CLIENTS, STORY, Speech, check, crowd, more, stories};
use crate::rig::{Foreground, Prefix, free_port, until};
use std::collections::HashMap;

/// A server that writes down what it does, before it answers; one process, so that one signal kills it.
fn backend(port: u16) -> (Prefix, Foreground) {
    let prefix = Prefix::new();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; master_process off; error_log logs/error.log info; events {{ worker_connections 512; }}\n\
             http {{ access_log off; keepalive_requests 50; server {{ listen 127.0.0.1:{port}; location / {{ content_by_lua_block {{\n\
             ngx.req.read_body()\n\
             local file = assert(io.open(ngx.config.prefix() .. 'logs/done', 'a'))\n\
             file:write(ngx.var.uri, '\\n') file:close()\n\
             ngx.sleep(0.002) ngx.header.content_length = 4 ngx.print('done')\n\
             }} }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, running)
}

fn done(prefix: &Prefix) -> usize {
    prefix.read("logs/done").lines().count()
}

#[test]
fn a_server_that_is_killed_and_started_again_costs_no_answer() {
    killed_and_started_again(Speech::Connections);
    killed_and_started_again(Speech::Streams);
}

fn killed_and_started_again(speech: Speech) {
    let (first, second, front) = (free_port(), free_port(), free_port());
    let (killed, mut running) = backend(first);
    let (other, _stays) = backend(second);
    let prefix = Prefix::new();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log info; events {{ worker_connections 512; }}\n\
             http {{ {STORY} keepalive_requests 100000;\n\
             upstream group {{ zone group 64k; server 127.0.0.1:{first} fail_timeout=1s; server 127.0.0.1:{second}; keepalive 8; }}\n\
             server {{ listen 127.0.0.1:{front}; http2 on; location / {{ proxy_pass http://group; }} }} }}\n"
        ),
    );
    let _proxy = Foreground::start(&prefix, front, "").unwrap();
    let mut kills = 0;
    let all = crowd(speech, front, 2000, |answers| {
        for _ in 0..3 {
            more(answers, 300);
            running.child.kill().unwrap();
            running.child.wait().unwrap();
            kills += 1;
            more(answers, 300);
            let before = done(&killed);
            running = Foreground::start(&killed, first, "").unwrap();
            until("its return", || done(&killed) > before);
        }
    });
    let mut times = HashMap::<String, usize>::new();
    for server in [&killed, &other] {
        server.read("logs/done").lines().for_each(|uri| *times.entry(uri.to_owned()).or_default() += 1);
    }
    check(&prefix, &all, |uri| times.get(uri).copied().unwrap_or_default());
    // A POST is refused only if it was with the server when that was killed.
    let refused = all.iter().filter(|got| got.status != 200).count();
    assert!(refused <= kills * CLIENTS, "{refused}");
    let stories = stories(&prefix, &all);
    let (first, second) = (format!("127.0.0.1:{first}"), format!("127.0.0.1:{second}"));
    let mut failures = 0;
    for (uri, story) in &stories {
        let tries: Vec<_> = story.tries.iter().map(|(address, status, _)| (address.as_str(), status.as_str())).collect();
        let told = match tries[..] {
            [(_, "200")] => true,
            [(one, "502")] => one == first && uri.starts_with("/POST"),
            [(one, "502"), (two, "200")] => one == first && two == second,
            _ => false,
        };
        assert!(told, "{uri}: {tries:?}");
        failures += usize::from(tries[0].1 == "502");
    }
    // Each failure has its line, and each line its failure.
    let log = prefix.read("logs/error.log");
    let lines = log.lines().filter(|line| line.contains("[error]")).collect::<Vec<_>>();
    assert!(lines.iter().all(|line| line.contains(&format!("upstream: \"http://{first}/"))), "{log}");
    assert_eq!(lines.len(), failures, "{log}");
    assert!(log.contains("upstream server temporarily disabled"));
}
