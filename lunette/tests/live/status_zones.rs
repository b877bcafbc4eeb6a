//! What the API tells of zones, limits, caches, resolvers, shared memory and workers, and its resets.

use crate::api::ask;
use crate::rig::dns::NameServer;
use crate::rig::{Foreground, Prefix, exchange, free_port, get, until};
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;

struct Setting {
    prefix: Prefix,
    port: u16,
    running: Foreground,
}

impl Setting {
    fn start(http: &str, inside: &str, stream: &str) -> Setting {
        let (prefix, port) = (Prefix::new(), free_port());
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 2; error_log logs/error.log notice; events {{ }} http {{ {http}\n\
                 server {{ listen {port}; {inside} location /api {{ api write=on; status_zone off; }} location /metrics {{ metrics; }}\n\
                 location /metrics.json {{ metrics json; }} }} }}\n{stream}"
            ),
        );
        let running = Foreground::start(&prefix, port, "").unwrap();
        Setting { prefix, port, running }
    }

    fn told(&self, path: &str) -> String {
        let answer = ask(self.port, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.text()
    }

    fn reset(&self, path: &str) {
        assert_eq!(ask(self.port, "DELETE", path, "").status, 204, "{path}");
    }

    fn status(&self, path: &str) -> u16 {
        get(self.port, path).unwrap().status
    }

    fn metrics(&self) -> String {
        get(self.port, "/metrics").unwrap().text()
    }
}

fn session(port: u16) -> String {
    let mut text = String::new();
    TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn requests_are_counted_where_they_end() {
    let setting = Setting::start(
        "",
        "status_zone site; location / { status_zone all; return 200; location /none { return 404; } location /off { status_zone off; return 204; }\n\
         location /if { if ($arg_a) { status_zone some; return 201; } return 200; } location /moved { rewrite ^ /other/ last; } }\n\
         location /other { status_zone other; return 301 /; } location /gone { return 444; }",
        "",
    );
    for (path, status) in [("/", 200), ("/none", 404), ("/off", 204), ("/if", 200), ("/if?a=1", 201), ("/moved", 301)] {
        assert_eq!(setting.status(path), status, "{path}");
    }
    assert!(get(setting.port, "/gone").is_err());
    exchange(setting.port, b"GET\r\n\r\n").unwrap();
    let site = setting.told("/9/http/server_zones/site");
    let counted = r#"{"processing":1,"requests":9,"responses":{"1xx":0,"2xx":4,"3xx":1,"4xx":2,"5xx":0,"codes":{"200":2,"201":1,"204":1,"301":1,"400":1,"404":1},"total":7},"discarded":1,"#;
    assert!(site.starts_with(counted), "{site}");
    assert!(site.contains(r#""ssl":{"handshakes":0,"#) && !site.contains("hostname_mismatch"), "{site}");
    let places = setting.told("/9/http/location_zones?fields=requests,discarded");
    let expected = r#"{"all":{"requests":3,"discarded":0},"other":{"requests":1,"discarded":0},"some":{"requests":1,"discarded":0}}"#;
    assert_eq!(places, expected);
    let metrics = setting.metrics();
    for line in [
        "lunette_server_zone_processing{zone=\"site\"} 1\n",
        "lunette_server_zone_responses_total{zone=\"site\",code=\"404\"} 1\n",
        "lunette_location_zone_requests_total{zone=\"other\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    assert!(get(setting.port, "/metrics.json").unwrap().text().contains("\"location_zones\":{\"all\":{\"requests\":3,"));
    setting.reset("/9/http/location_zones/all");
    setting.reset("/9/http/server_zones/site");
    assert_eq!(setting.told("/9/http/location_zones/all?fields=requests"), "{\"requests\":0}");
    // What goes on still goes on, and metrics do not begin anew.
    assert!(setting.told("/9/http/server_zones/site").starts_with("{\"processing\":1,\"requests\":2,"));
    assert!(setting.metrics().contains("lunette_location_zone_requests_total{zone=\"all\"} 3\n"));
}

#[test]
fn zones_outlive_workers_and_reloads() {
    let setting = Setting::start("", "status_zone site; location / { return 200; } location /slow { limit_rate 1; root .; }", "");
    fs::create_dir_all(setting.prefix.path.join("slow")).unwrap();
    setting.prefix.write("slow/file", &"x".repeat(100_000));
    let mut hanging = TcpStream::connect(("127.0.0.1", setting.port)).unwrap();
    std::io::Write::write_all(&mut hanging, b"GET /slow/file HTTP/1.0\r\n\r\n").unwrap();
    until("the request", || setting.told("/9/http/server_zones/site?fields=processing") == "{\"processing\":2}");
    let master = setting.running.child.id();
    let children = || fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    for worker in children().split_whitespace() {
        assert!(Command::new("kill").args(["-KILL", worker]).status().unwrap().success());
    }
    until("successors", || get(setting.port, "/").is_ok() && setting.told("/9/processes") == "{\"respawned\":2}");
    let site = setting.told("/9/http/server_zones/site?fields=processing,discarded");
    assert!(site.starts_with("{\"processing\":1,\"discarded\":") && !site.ends_with(":0}"), "{site}");
    setting.reset("/9/processes");
    assert_eq!(setting.told("/9/processes"), "{\"respawned\":0}");
    setting.reset("/9/http/server_zones/site");
    assert!(Command::new("kill").args(["-HUP", &master.to_string()]).status().unwrap().success());
    until("the new generation", || setting.told("/9/nginx?fields=generation") == "{\"generation\":2}");
    let requests = setting.told("/9/http/server_zones/site?fields=requests,discarded");
    assert!(!requests.starts_with("{\"requests\":1,") && requests.ends_with("\"discarded\":0}"), "{requests}");
}

#[test]
fn limits_count_what_they_do() {
    let port = free_port();
    let setting = Setting::start(
        "limit_req_zone $arg_k zone=rate:64k rate=1r/m; limit_conn_zone $arg_k zone=most:64k;",
        "location /rate { limit_req zone=rate burst=1; root .; } location /now { limit_req zone=rate; root .; }\n\
         location /dry { limit_req zone=rate; limit_req_dry_run on; root .; } location /most { limit_conn most 1; root .; }",
        &format!(
            "stream {{ limit_conn_zone $remote_addr zone=clients:64k; server {{ listen 127.0.0.1:{port}; status_zone s; limit_conn clients 1; return hello; }}\n\
             server {{ listen 127.0.0.1:{}; status_zone s; deny all; return x; }} }}",
            free_port()
        ),
    );
    for (path, status) in [("/rate?k=1", 404), ("/now?k=1", 503), ("/dry?k=1", 404), ("/now", 404), ("/most?k=1", 404)] {
        assert_eq!(setting.status(path), status, "{path}");
    }
    let rate = r#"{"rate":{"passed":1,"delayed":0,"rejected":1,"delayed_dry_run":0,"rejected_dry_run":1}}"#;
    assert_eq!(setting.told("/9/http/limit_reqs/"), rate);
    assert_eq!(setting.told("/9/http/limit_conns/most"), r#"{"passed":1,"rejected":0,"rejected_dry_run":0}"#);
    assert_eq!(session(port), "hello");
    assert_eq!(setting.told("/9/stream/limit_conns"), r#"{"clients":{"passed":1,"rejected":0,"rejected_dry_run":0}}"#);
    let sessions = setting.told("/9/stream/server_zones/s");
    let counted = r#"{"processing":0,"connections":1,"sessions":{"2xx":1,"4xx":0,"5xx":0,"total":1},"discarded":0,"received":0,"sent":5,"#;
    assert!(sessions.starts_with(counted), "{sessions}");
    let metrics = setting.metrics();
    assert!(metrics.contains("lunette_limit_req_requests_total{zone=\"rate\",result=\"rejected\"} 1\n"), "{metrics}");
    for path in ["/9/http/limit_reqs/rate", "/9/http/limit_conns/most", "/9/stream/limit_conns/clients", "/9/stream/server_zones/s"] {
        setting.reset(path);
        assert!(!setting.told(path).contains(":1"), "{path}");
    }
}

#[test]
fn caches_resolvers_and_shared_memory_are_told_of() {
    let (origin, names) = (free_port(), NameServer::start());
    names.say(&[1]);
    let setting = Setting::start(
        &format!(
            "proxy_cache_path cache keys_zone=pages:64k max_size=8m; resolver 127.0.0.1:{} ipv6=off status_zone=names;\n\
             limit_req_zone $arg_k zone=rate:64k rate=1r/s; server {{ listen 127.0.0.1:{origin}; return 200 text; }}",
            names.port
        ),
        &format!(
            "location /page {{ proxy_cache pages; proxy_cache_valid 1m; proxy_cache_bypass $arg_b; proxy_pass http://127.0.0.1:{origin}; }}\n\
             location /name {{ set $name a.test; proxy_pass http://$name:{origin}; }} location /rate {{ limit_req zone=rate; root .; }}"
        ),
        "",
    );
    for path in ["/page", "/page", "/page?b=1", "/name", "/rate?k=1"] {
        assert!(setting.status(path) < 500, "{path}");
    }
    let cache = setting.told("/9/http/caches/pages");
    let is_there = |text: &str| assert!(cache.contains(text), "{text} {cache}");
    is_there("\"max_size\":8388608,\"cold\":");
    is_there("\"hit\":{\"responses\":1,\"bytes\":");
    is_there("\"miss\":{\"responses\":1,\"bytes\":");
    is_there("\"responses_written\":1,\"bytes_written\":");
    is_there("\"bypass\":{\"responses\":1,\"bytes\":");
    let told = r#"{"requests":{"name":1,"srv":0,"addr":0},"responses":{"noerror":1,"formerr":0,"servfail":0,"nxdomain":0,"notimp":0,"refused":0,"timedout":0,"unknown":0}}"#;
    assert_eq!(setting.told("/9/resolvers/names"), told);
    let slab = setting.told("/9/slabs/rate");
    assert!(
        slab.starts_with("{\"pages\":{\"used\":2,\"free\":") && slab.contains("\"64\":{\"used\":1,\"free\":63,\"reqs\":1,\"fails\":0}"),
        "{slab}"
    );
    let metrics = setting.metrics();
    assert!(metrics.contains("lunette_cache_responses_total{cache=\"pages\",status=\"HIT\"} 1\n"), "{metrics}");
    assert!(metrics.contains("lunette_resolver_responses_total{zone=\"names\",result=\"noerror\"} 1\n"), "{metrics}");
    for path in ["/9/http/caches/pages", "/9/resolvers/names", "/9/slabs/rate"] {
        setting.reset(path);
        let told = setting.told(path);
        assert!(!["\"responses\":1,", "\"name\":1,", "\"reqs\":1,"].iter().any(|left| told.contains(left)), "{path}: {told}");
    }
}

#[test]
fn all_that_clients_of_the_api_ask_for_is_answered() {
    let setting =
        Setting::start("", "", "stream { server { listen 127.0.0.1:0; return x; } }".replace(":0", &format!(":{}", free_port())).as_str());
    let maps = "slabs http/caches http/server_zones http/location_zones http/upstreams http/limit_reqs http/limit_conns resolvers \
                stream/server_zones stream/upstreams stream/limit_conns http/keyvals stream/keyvals";
    for path in maps.split_whitespace() {
        assert_eq!(setting.told(&format!("/9/{path}")), "{}", "{path}");
    }
    for path in ["nginx", "connections", "http/requests", "ssl", "processes", "workers", "http", "stream", ""] {
        assert!(setting.told(&format!("/9/{path}")).len() > 2, "{path}");
    }
    for (path, status, code, text) in [
        ("stream/zone_sync", 404, "PathNotFound", "path not found"),
        ("license", 404, "PathNotFound", "path not found"),
        ("http/server_zones/x", 404, "ServerZoneNotFound", "server zone not found"),
        ("http/location_zones/x", 404, "LocationZoneNotFound", "location zone not found"),
        ("http/limit_conns/x", 404, "LimitConnNotFound", "limit_conn not found"),
        ("http/limit_reqs/x", 404, "LimitReqNotFound", "limit_req not found"),
        ("http/caches/x", 404, "CacheNotFound", "cache not found"),
        ("resolvers/x", 404, "ResolverZoneNotFound", "resolver zone not found"),
        ("slabs/x", 404, "SlabNotFound", "slab not found"),
        ("workers/7", 404, "WorkerNotFound", "worker not found"),
        ("workers/x", 404, "WorkerNotFound", "worker not found"),
    ] {
        let answer = ask(setting.port, "GET", &format!("/9/{path}"), "");
        let start = format!("{{\"error\":{{\"status\":{status},\"text\":\"{text}\",\"code\":\"{code}\"}},");
        assert!(answer.status == status && answer.text().starts_with(&start), "{path}: {answer:?}");
    }
    let workers = setting.told("/9/workers?fields=id");
    assert_eq!(workers, "[{\"id\":0},{\"id\":1}]");
    assert!(setting.told("/9/workers/1").contains("\"http\":{\"requests\":{\"total\":"));
    for path in ["/9/workers", "/9/workers/0", "/9/connections", "/9/ssl", "/9/http/requests"] {
        setting.reset(path);
    }
    assert_eq!(setting.told("/9/http/requests?fields=total"), "{\"total\":1}");
    // Without `stream` there is no such part.
    let plain = Setting::start("", "", "");
    assert!(!plain.told("/9/").contains("stream"));
    assert_eq!(ask(plain.port, "GET", "/9/stream/upstreams", "").status, 404);
}
