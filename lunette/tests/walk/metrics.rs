//! What `metrics` tells, and `lunette top`, which reads it.

use crate::rig::{Foreground, Prefix, Response, exchange, free_port, get, parse, until};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A server with a cache, Lua, a healthy and a failing upstream, and its metrics.
fn server(port: u16) -> Prefix {
    let prefix = Prefix::new();
    let (app, nobody) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "error_log logs/error.log; worker_processes 2; events {{ }}
            http {{
                proxy_cache_path cache keys_zone=c:1m;
                upstream good {{ zone good 256k; server 127.0.0.1:{app}; server 127.0.0.1:{app}; }}
                upstream bad {{ zone bad 256k; server 127.0.0.1:{nobody} max_fails=1; server 127.0.0.1:{nobody} down; }}
                server {{
                    listen 127.0.0.1:{port};
                    location /cached {{ proxy_cache c; proxy_cache_valid 1h; proxy_pass http://good;
                        add_header X-Cache $upstream_cache_status; }}
                    location /bad {{ proxy_pass http://bad; }}
                    location /lua {{ content_by_lua_block {{ ngx.sleep(0.002) ngx.say(ngx.var.arg_a + 0) }} }}
                    location = /metrics {{ metrics; }}
                    location = /metrics.json {{ metrics json; }}
                }}
                server {{ listen 127.0.0.1:{app}; return 200 app; }}
            }}"
        ),
    );
    prefix
}

/// The value of a line.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in {text}")).parse().unwrap()
}

/// Asks for everything that is counted. How often the cache had nothing: an answer may be stored a little after its client has it.
fn ask(port: u16) -> f64 {
    let mut misses = 0.0;
    until("an answer from the cache", || {
        let is_hit = get(port, "/cached").unwrap().header("X-Cache") == Some("HIT");
        misses += if is_hit { 0.0 } else { 1.0 };
        is_hit
    });
    for path in ["/bad", "/lua?a=1", "/lua"] {
        get(port, path).unwrap();
    }
    misses
}

/// Sessions of `stream` that a server takes, and that none takes.
#[test]
fn tries_of_streams_are_counted() {
    let prefix = Prefix::new();
    let [port, good, bad, nobody] = [(); 4].map(|()| free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "error_log logs/error.log; worker_processes 2; events {{ }}
            http {{ server {{ listen 127.0.0.1:{port}; location = /metrics {{ metrics; }} location / {{ return 200 app; }} }} }}
            stream {{
                server {{ listen 127.0.0.1:{good}; proxy_pass 127.0.0.1:{port}; }}
                server {{ listen 127.0.0.1:{bad}; proxy_pass 127.0.0.1:{nobody}; }}
            }}"
        ),
    );
    let _server = Foreground::start(&prefix, port, "daemon off;").unwrap();
    assert_eq!(get(good, "/").unwrap().text(), "app");
    assert!(get(bad, "/").is_err());
    until("the end of both sessions", || {
        let text = get(port, "/metrics").unwrap().text();
        strict(&text);
        let names = ["attempts_total", "failures_total", "duration_seconds_count"];
        names.map(|name| value(&text, &format!("lunette_stream_upstream_{name}"))) == [2.0, 1.0, 2.0]
    });
}

#[test]
fn what_happened_is_counted() {
    let port = free_port();
    let prefix = server(port);
    let _server = Foreground::start(&prefix, port, "daemon off;").unwrap();
    let misses = ask(port);
    let text = get(port, "/metrics").unwrap().text();
    strict(&text);
    for (line, count) in [
        ("lunette_cache_requests_total{status=\"MISS\"}", misses),
        ("lunette_cache_requests_total{status=\"HIT\"}", 1.0),
        ("lunette_cache_requests_total{status=\"STALE\"}", 0.0),
        ("lunette_lua_handlers_total", 2.0),
        ("lunette_lua_failures_total", 1.0),
        ("lunette_upstream_attempts_total", misses + 1.0),
        ("lunette_upstream_failures_total", 1.0),
        ("lunette_upstream_duration_seconds_count", misses + 1.0),
        ("lunette_responses_5xx_total", 2.0),
    ] {
        assert_eq!(value(&text, line), count, "{line}\n{text}");
    }
    assert!(value(&text, "lunette_phase_waits_total{phase=\"content\"}") >= 4.0);
    assert!(value(&text, "lunette_phase_wait_seconds_total{phase=\"content\"}") >= 0.001);
    assert!(value(&text, "lunette_request_duration_seconds_count") >= 5.0);
    let buckets = text.lines().filter(|line| line.starts_with("lunette_request_duration_seconds_bucket")).count();
    assert_eq!(buckets, 14);
    assert_eq!(text.lines().filter(|line| line.starts_with("lunette_worker_resident_bytes{")).count(), 2);
    assert_eq!(text.matches("upstream=\"good\",server=").count(), 6);
    assert_eq!(text.matches("copy=\"1\"").count(), 6);
    let states: Vec<_> = text.lines().filter(|line| line.starts_with("lunette_upstream_server_up{upstream=\"bad\"")).collect();
    assert!(states.len() == 2 && states.iter().all(|line| line.ends_with(" 0")), "{states:?}");
    let json = get(port, "/metrics.json").unwrap().text();
    let json = decoded(&prefix, &json);
    assert_eq!(json, format!("1,1,{},2,4,unavailable,down,14", misses + 1.0));
}

/// What Lua code prints that has the decoded JSON as `t`.
fn with_json(prefix: &Prefix, json: &str, code: &str) -> String {
    prefix.write("metrics.json", json);
    prefix.write(
        "look.lua",
        &format!("local t = require('cjson').decode(io.open('{}/metrics.json'):read('*a'))\n{code}", prefix.path.display()),
    );
    let output = Command::new(crate::rig::BINARY).arg("resty").arg(prefix.path.join("look.lua")).output().unwrap();
    assert!(output.status.success(), "{}\n{json}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What the server's own decoder finds in the JSON form.
fn decoded(prefix: &Prefix, json: &str) -> String {
    let code = "local states = {}
        for _, s in ipairs(t.upstream_servers) do if s.upstream == 'bad' then states[#states + 1] = s.state end end
        print(table.concat({t.cache_requests_total.HIT, t.lua_failures_total, t.upstream_duration_seconds.count, #t.workers, #t.upstream_servers,
            table.concat(states, ','), #t.request_duration_seconds.buckets}, ','))";
    with_json(prefix, json, code)
}

/// The format's rules: a family stands together behind its TYPE, no sample comes twice, buckets grow and end with the count.
fn strict(text: &str) {
    let mut families: HashSet<&str> = HashSet::new();
    let (mut family, mut kind) = ("", "");
    let mut samples = HashSet::new();
    let mut bucket: HashMap<&str, (f64, f64)> = HashMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(family), "{family} comes twice");
            assert!(["counter", "gauge", "histogram"].contains(&kind) && (kind != "counter" || family.ends_with("_total")), "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(sample) && value >= 0.0, "{line}");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        assert!(labels.ends_with('}') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        let own = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} does not belong to {family}"));
        match own {
            "_bucket" => {
                let bound = labels.strip_prefix("le=\"").and_then(|rest| rest.strip_suffix("\"}")).unwrap().replace("+Inf", "inf");
                let bound: f64 = bound.parse().unwrap();
                let last = bucket.insert(family, (bound, value)).unwrap_or((0.0, 0.0));
                assert!(bound > last.0 && value >= last.1, "{line}");
            }
            "_count" => assert_eq!(bucket[family], (f64::INFINITY, value), "{line}"),
            "_sum" => assert_eq!(kind, "histogram"),
            other => assert_eq!(other, "", "{line}"),
        }
    }
    assert!(families.len() > 20, "{text}");
    parsed_by_python(text);
}

/// Prometheus's client library for Python reads it (Debian's package, which `test.sh` installs).
fn parsed_by_python(text: &str) {
    let code = "import sys
from prometheus_client.parser import text_string_to_metric_families as parse
names = [family.name for family in parse(sys.stdin.read())]
assert len(names) > 20 and len(names) == len(set(names)), names";
    let mut command = Command::new("/usr/bin/python3");
    let mut child = command.args(["-c", code]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Without the package nobody reads, and the status tells.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn many_upstream_servers_are_told_in_parts() {
    const SERVERS: usize = 1500;
    let port = free_port();
    let prefix = Prefix::new();
    let mut servers = String::new();
    for number in 0..SERVERS {
        let _ = write!(servers, "server 127.{}.{}.1:9;", number / 250, number % 250);
    }
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "error_log logs/error.log; events {{ }}
            http {{
                upstream many {{ {servers} }}
                server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://many; }}
                    location = /metrics {{ metrics; }} location = /metrics.json {{ metrics json; }} }}
            }}"
        ),
    );
    let _server = Foreground::start(&prefix, port, "daemon off; master_process off;").unwrap();
    let old = |path: &str, method: &str| -> Response {
        // Version 1.0: the body has no chunks.
        parse(&exchange(port, format!("{method} {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap()).unwrap()
    };
    let text = old("/metrics", "GET").text();
    strict(&text);
    assert_eq!(text.matches("{upstream=\"many\",server=").count(), 3 * SERVERS);
    let json = old("/metrics.json", "GET").text();
    assert!(json.ends_with("}]}\n") && json.matches("{\"upstream\":\"many\"").count() == SERVERS);
    assert_eq!(with_json(&prefix, &json, "print(#t.upstream_servers)"), SERVERS.to_string());
    let head = old("/metrics", "HEAD");
    assert!(head.status == 200 && head.body.is_empty());
}

fn top(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(crate::rig::BINARY).arg("top").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn top_finds_the_metrics_of_a_configuration() {
    let port = free_port();
    let prefix = server(port);
    let _server = Foreground::start(&prefix, port, "daemon off;").unwrap();
    ask(port);
    let home = prefix.path.to_str().unwrap();
    let (code, text, error) = top(&["-p", home, "-i", "0.05"]);
    assert_eq!((code, &*error), (Some(0), ""));
    for words in ["/metrics   over", "Connections", "Requests", "Answers", "Latency", "Upstreams", "Caches", "Worker", "DOWN", "2 of 4 up"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(text.lines().filter(|line| line.contains("MiB") && !line.contains("together")).count(), 2, "{text}");
    // At a terminal it draws in place; the URL may be given.
    let command = format!("{} top -n 2 -i 0.05 http://127.0.0.1:{port}/metrics", crate::rig::BINARY);
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && screen.matches("\x1b[H").count() == 2 && screen.contains("Latency"), "{screen:?}");
}

#[test]
fn top_says_what_is_missing() {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write("conf/nginx.conf", &crate::configuration(port, "word"));
    let home = prefix.path.to_str().unwrap();
    let (code, _, error) = top(&["-p", home]);
    assert!(code == Some(1) && error.contains("no location with \"metrics\" in") && error.contains("nginx.conf"), "{error}");
    let (code, _, error) = top(&[&format!("http://127.0.0.1:{port}/metrics")]);
    assert!(code == Some(1) && error.contains("refused"), "{error}");
    let _server = Foreground::start(&prefix, port, "daemon off;").unwrap();
    let (code, _, error) = top(&[&format!("http://127.0.0.1:{port}/metrics")]);
    assert!(code == Some(1) && error.contains("these are no metrics of Lunette"), "{error}");
    assert_eq!(top(&["-z"]).0, Some(1));
    assert!(top(&["--help"]).1.starts_with("Usage: lunette top"));
}
