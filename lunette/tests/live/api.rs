//! The API: what it tells, and groups that it changes in all workers, across reloads, restarts and deaths.

use crate::backend::{Backend, Mood};
use crate::rig::{Foreground, Prefix, Response, exchange, free_port, get, parse, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

pub(crate) fn ask(port: u16, method: &str, path: &str, body: &str) -> Response {
    let head = format!("{method} /api{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    parse(&exchange(port, format!("{head}{body}").as_bytes()).unwrap()).unwrap()
}

struct Setting {
    prefix: Prefix,
    port: u16,
    running: Option<Foreground>,
}

impl Setting {
    fn start(inside: &str) -> Setting {
        let (prefix, port) = (Prefix::new(), free_port());
        fs::create_dir(prefix.path.join("state")).unwrap();
        // Workers belong to nobody.
        fs::set_permissions(prefix.path.join("state"), fs::Permissions::from_mode(0o777)).unwrap();
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 2; error_log logs/error.log notice; events {{ }} http {{ upstream group {{ zone group 128k; {inside} }}\n\
                 upstream fixed {{ server 127.0.0.1:1; }}\n\
                 server {{ listen {port}; location / {{ proxy_pass http://group; proxy_next_upstream off; }}\n\
                 location /api {{ api write=on; }} location /api/slash/ {{ api write=on; }} location /look {{ api; }}\n\
                 location /guarded {{ api write=on; limit_except GET {{ deny all; }} }} location /open {{ api write=on; limit_except GET {{ allow all; }} }} }} }}\n\
                 stream {{ upstream sessions {{ zone sessions 64k; server 127.0.0.1:1; }} server {{ listen 127.0.0.1:{}; proxy_pass sessions; }} }}\n",
                free_port()
            ),
        );
        let mut setting = Setting { prefix, port, running: None };
        setting.restart();
        setting
    }

    fn restart(&mut self) {
        self.running = None;
        self.running = Some(Foreground::start(&self.prefix, self.port, "").unwrap());
    }

    fn reload(&self) {
        let log = || self.prefix.read("logs/error.log");
        let before = log().matches("reconfiguring").count();
        let gone = log().matches("exited with code 0").count();
        let master = self.running.as_ref().unwrap().child.id();
        assert!(Command::new("kill").arg("-HUP").arg(master.to_string()).status().unwrap().success());
        until("the reload", || log().matches("reconfiguring").count() > before && log().matches("exited with code 0").count() >= gone + 2);
    }

    fn servers(&self) -> String {
        ask(self.port, "GET", "/9/http/upstreams/group/servers", "").text()
    }

    /// How often each backend is asked by some requests.
    fn shares(&self, backends: &[&Backend]) -> Vec<usize> {
        let before: Vec<usize> = backends.iter().map(|backend| backend.requests()).collect();
        for _ in 0..12 {
            assert_eq!(get(self.port, "/x").unwrap().status, 200);
        }
        backends.iter().zip(before).map(|(backend, before)| backend.requests() - before).collect()
    }
}

#[test]
fn changes_hold_at_once_in_all_workers() {
    let backends = [Backend::start(Mood::good()), Backend::start(Mood::good())];
    let [one, two] = [&backends[0], &backends[1]];
    let setting = Setting::start(&format!("server 127.0.0.1:{};", one.port));
    let (port, group) = (setting.port, "/9/http/upstreams/group/servers");
    assert_eq!(setting.shares(&[one, two]), [12, 0]);
    let added = ask(port, "POST", group, &format!("{{\"server\":\"127.0.0.1:{}\",\"weight\":5}}", two.port));
    let expected = format!(
        "{{\"id\":1,\"server\":\"127.0.0.1:{}\",\"weight\":5,\"max_conns\":0,\"max_fails\":1,\"fail_timeout\":\"10s\",\"slow_start\":\"0s\",\"route\":\"\",\"backup\":false,\"down\":false}}",
        two.port
    );
    assert_eq!((added.status, added.text().as_str()), (201, expected.as_str()));
    assert_eq!(added.header("Location"), Some("/api/9/http/upstreams/group/servers/1"));
    assert_eq!(setting.shares(&[one, two]), [2, 10]);
    let changed = ask(port, "PATCH", &format!("{group}/1"), "{\"down\":true,\"max_fails\":7}");
    assert!(changed.status == 200 && changed.text().contains("\"max_fails\":7") && changed.text().contains("\"down\":true"), "{changed:?}");
    assert_eq!(setting.shares(&[one, two]), [12, 0]);
    assert_eq!(ask(port, "PATCH", &format!("{group}/1"), "{\"down\":false,\"weight\":1}").status, 200);
    assert_eq!(setting.shares(&[one, two]), [6, 6]);
    assert_eq!(ask(port, "PATCH", &format!("{group}/0"), "{\"drain\":true}").status, 200);
    assert_eq!(setting.shares(&[one, two]), [0, 12]);
    // One that is told another address has its number and what was counted still.
    assert_eq!(ask(port, "PATCH", &format!("{group}/1"), &format!("{{\"server\":\"127.0.0.1:{}\"}}", one.port)).status, 200);
    assert_eq!(setting.shares(&[one, two]), [12, 0]);
    let left = ask(port, "DELETE", &format!("{group}/0"), "");
    assert!(left.status == 200 && left.text().starts_with("[{\"id\":1,"), "{left:?}");
    // Numbers are not given twice.
    let again = ask(port, "POST", group, &format!("{{\"server\":\"127.0.0.1:{}\",\"backup\":true}}", two.port));
    assert!(again.text().starts_with("{\"id\":2,"), "{again:?}");
    assert_eq!(setting.shares(&[one, two]), [12, 0]);
    assert_eq!(ask(port, "DELETE", &format!("{group}/1"), "").status, 200);
    assert_eq!(setting.shares(&[one, two]), [0, 12]);
    assert_eq!(ask(port, "DELETE", &format!("{group}/2"), "").text(), "[]");
    assert_eq!(get(port, "/x").unwrap().status, 502);
    let stream = ask(port, "POST", "/9/stream/upstreams/sessions/servers", "{\"server\":\"127.0.0.1:2\",\"max_conns\":3}");
    assert!(
        stream.status == 201 && stream.text().contains("\"id\":1,\"server\":\"127.0.0.1:2\",\"weight\":1,\"max_conns\":3"),
        "{stream:?}"
    );
    // A location's name that ends with a slash has no two of them.
    let added = ask(port, "POST", "/slash/9/stream/upstreams/sessions/servers", "{\"server\":\"127.0.0.1:3\"}");
    let place = added.header("Location").unwrap_or_default();
    assert!(added.status == 201 && place.starts_with("/api/slash/9/stream/upstreams/sessions/servers/"), "{added:?}");
}

#[test]
fn what_is_refused_is_told_as_nginx_plus_tells_it() {
    let setting = Setting::start("hash $uri; server 127.0.0.1:1;");
    let (port, group) = (setting.port, "/9/http/upstreams/group/servers");
    for (method, path, body, status, code) in [
        ("GET", "/8", "", 404, "UnknownVersion"),
        ("GET", "/9/x", "", 404, "PathNotFound"),
        ("GET", "/9/http/upstreams/none", "", 404, "UpstreamNotFound"),
        ("GET", "/9/http/upstreams/fixed", "", 400, "UpstreamStatic"),
        ("POST", "/9/http/upstreams/fixed/servers", "{}", 400, "UpstreamStatic"),
        ("GET", "/9/http/upstreams/group/servers/7", "", 404, "UpstreamServerNotFound"),
        ("GET", "/9/http/upstreams/group/servers/x", "", 400, "UpstreamBadServerId"),
        ("PUT", group, "{}", 405, "MethodDisabled"),
        ("POST", group, "{\"weight\":1}", 400, "UpstreamConfFormatError"),
        ("POST", group, "{\"server\":", 415, "JsonError"),
        ("POST", group, "{\"server\":\"127.0.0.1:2\",\"backup\":true}", 400, "UpstreamNoBackup"),
        ("POST", group, "{\"server\":\"127.0.0.1:1\"}", 409, "EntryExists"),
        ("POST", group, "{\"server\":\"127.0.0.1:0x\"}", 400, "UpstreamBadAddress"),
        ("POST", group, "{\"server\":\"a.example.com\"}", 400, "UpstreamConfNoResolver"),
        ("POST", "/9/stream/upstreams/sessions/servers", "{\"server\":\"127.0.0.1\"}", 400, "UpstreamBadAddress"),
        ("POST", "/9/stream/upstreams/sessions/servers", "{\"server\":\"127.0.0.1:1\",\"route\":\"a\"}", 400, "UpstreamConfFormatError"),
        ("PATCH", "/9/http/upstreams/group/servers/0", "{\"weight\":0}", 400, "UpstreamBadWeight"),
        ("PATCH", "/9/http/upstreams/group/servers/9", "{\"weight\":1}", 404, "UpstreamServerNotFound"),
        ("DELETE", "/9/http/upstreams/group/servers/9", "", 404, "UpstreamServerNotFound"),
        ("DELETE", "/9/nginx", "", 405, "MethodDisabled"),
    ] {
        let answer = ask(port, method, path, body);
        let text = answer.text();
        let start = format!("{{\"error\":{{\"status\":{status},\"text\":\"");
        assert!(
            answer.status == status && text.starts_with(&start) && text.contains(&format!("\"code\":\"{code}\"")),
            "{method} {path} {body}: {answer:?} {text}"
        );
    }
    // Where nothing may be changed it is refused before it is looked at.
    let head = "DELETE /look/9/http/upstreams/group/servers/0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let refused = parse(&exchange(port, head.as_bytes()).unwrap()).unwrap();
    let guarded = |method: &str, path: &str| {
        let head = format!("{method} {path}/9/http/upstreams/group HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        parse(&exchange(port, head.as_bytes()).unwrap()).unwrap().status
    };
    assert_eq!([guarded("GET", "/guarded"), guarded("DELETE", "/guarded"), guarded("DELETE", "/open")], [200, 403, 204]);
    assert!(refused.status == 405 && get(port, "/look/9/http/upstreams/group/servers/0").unwrap().status == 200);
}

#[test]
fn what_goes_on_is_told() {
    let one = Backend::start(Mood::good());
    let setting = Setting::start(&format!("server 127.0.0.1:{};", one.port));
    let port = setting.port;
    let told = |path: &str| {
        let answer = ask(port, "GET", path, "");
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")), "{path}");
        answer.text()
    };
    setting.shares(&[&one]);
    assert_eq!(told(""), "[9]");
    assert_eq!(told("/9/"), "[\"nginx\",\"processes\",\"connections\",\"slabs\",\"http\",\"stream\",\"resolvers\",\"ssl\",\"workers\"]");
    for (path, starts) in [
        ("/9/nginx", "{\"version\":\""),
        ("/9/processes", "{\"respawned\":0}"),
        ("/9/connections", "{\"accepted\":"),
        ("/9/ssl", "{\"handshakes\":0,"),
        ("/9/http/requests", "{\"total\":"),
        ("/9/http/upstreams", "{\"group\":{\"peers\":[{\"id\":0,\"server\":\"127.0.0.1:"),
        ("/9/http/upstreams/group", "{\"peers\":[{\"id\":0,"),
        ("/9/stream/upstreams/sessions", "{\"peers\":[{\"id\":0,"),
    ] {
        assert!(told(path).starts_with(starts), "{path}: {}", told(path));
    }
    let group = told("/9/http/upstreams/group");
    assert!(group.contains("\"requests\":12") && group.contains("\"2xx\":12") && group.contains("\"state\":\"up\""), "{group}");
    assert_eq!(told("/9/http/upstreams?fields="), "[\"group\"]");
    assert_eq!(told("/9/http/upstreams?fields=zone,zombies"), "{\"group\":{\"zombies\":0,\"zone\":\"group\"}}");
    assert_eq!(told("/9/nginx?fields=generation"), "{\"generation\":1}");
    assert_eq!(ask(port, "DELETE", "/9/http/upstreams/group", "").status, 204);
    assert!(told("/9/http/upstreams/group").contains("\"requests\":0"));
    setting.reload();
    until("the new generation", || told("/9/nginx?fields=generation") == "{\"generation\":2}");
    let children = format!("/proc/{0}/task/{0}/children", setting.running.as_ref().unwrap().child.id());
    let worker = fs::read_to_string(children).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-KILL", &worker]).status().unwrap().success());
    until("the successor", || told("/9/processes") == "{\"respawned\":1}");
}

#[test]
fn a_state_file_keeps_what_was_changed() {
    let backends = [Backend::start(Mood::good()), Backend::start(Mood::good())];
    let [one, two] = [&backends[0], &backends[1]];
    let mut setting = Setting::start("state state/group.conf;");
    let (port, group) = (setting.port, "/9/http/upstreams/group/servers");
    assert_eq!((setting.servers().as_str(), get(port, "/x").unwrap().status), ("[]", 502));
    for (backend, more) in [(one, ",\"route\":\"a b\""), (two, ",\"weight\":3,\"slow_start\":\"1s\"")] {
        let answer = ask(port, "POST", group, &format!("{{\"server\":\"127.0.0.1:{}\"{more}}}", backend.port));
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let file = format!("server 127.0.0.1:{} \"route=a b\";\nserver 127.0.0.1:{} weight=3 slow_start=1000ms;\n", one.port, two.port);
    assert_eq!(setting.prefix.read("state/group.conf"), file);
    let before = setting.servers();
    setting.reload();
    assert_eq!(setting.servers(), before);
    assert_eq!(ask(port, "PATCH", &format!("{group}/0"), "{\"down\":true}").status, 200);
    setting.restart();
    assert!(setting.servers().contains("\"down\":true"));
    assert_eq!(setting.shares(&[one, two]), [0, 12]);
    // Many at once, of all workers: none is lost, and the file is whole at any time.
    let clients: Vec<_> = (1..=20)
        .map(|last| {
            thread::spawn(move || {
                assert_eq!(ask(port, "POST", group, &format!("{{\"server\":\"127.0.1.{last}:1\",\"down\":true}}")).status, 201)
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let text = setting.prefix.read("state/group.conf");
    assert!((1..=20).all(|last| text.contains(&format!("server 127.0.1.{last}:1 down;\n"))) && text.lines().count() == 22, "{text}");
    assert_eq!(fs::read_dir(setting.prefix.path.join("state")).unwrap().count(), 1);
    // Another file is an error of the configuration.
    setting.prefix.write("state/group.conf", "server 127.0.0.1:1;\nkeepalive 3;\n");
    let output = setting.prefix.run(&["-t"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown directive \"keepalive\" in "), "{output:?}");
}

#[test]
fn a_directory_that_may_not_be_written_is_told_in_the_log() {
    let setting = Setting::start("state state/group.conf;");
    fs::set_permissions(setting.prefix.path.join("state"), fs::Permissions::from_mode(0o755)).unwrap();
    if !sys::identity::is_root() {
        return;
    }
    assert_eq!(ask(setting.port, "POST", "/9/http/upstreams/group/servers", "{\"server\":\"127.0.0.1:1\"}").status, 201);
    assert!(setting.prefix.read("logs/error.log").contains("state/group.conf\" could not be written (13: Permission denied)"));
}
