//! `keyval`: what the API says of keys is what variables have, in all workers, in `http` and `stream`, after a reload and after a restart.

use crate::api::ask;
use crate::rig::{Foreground, Prefix, exchange, free_port, get, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn pairs_are_set_found_kept_and_expire() {
    let (prefix, port, stream) = (Prefix::new(), free_port(), free_port());
    fs::create_dir(prefix.path.join("state")).unwrap();
    fs::set_permissions(prefix.path.join("state"), fs::Permissions::from_mode(0o777)).unwrap();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log notice; events {{ }} http {{\n\
             keyval $arg_k $text zone=one; keyval_zone zone=one:64k state=state/one.conf timeout=1h;\n\
             keyval_zone zone=nets:64k type=ip; keyval $arg_ip $net zone=nets;\n\
             server {{ listen {port}; location / {{ return 200 \"$text|$net\"; }} location /api {{ api write=on; }} }} }}\n\
             stream {{ keyval_zone zone=names:64k type=prefix; keyval $remote_addr $name zone=names;\n\
             server {{ listen 127.0.0.1:{stream}; return $name; }} }}\n"
        ),
    );
    let start = || Foreground::start(&prefix, port, "").unwrap();
    let mut running = Some(start());
    let found = |query: &str| get(port, &format!("/?{query}")).unwrap().text();
    let one = "/9/http/keyvals/one";
    for (method, body, status) in [
        ("POST", "{}", 400),
        ("POST", "{\"a\":\"1\",\"b\":{\"value\":\"2\",\"expire\":3600000}}", 201),
        ("POST", "{\"a\":\"1\"}", 409),
        ("POST", "{\"c\":\"1\",\"d\":\"1\"}", 400),
        ("POST", "{\"c\":1}", 400),
        ("PATCH", "{\"c\":\"1\"}", 404),
        ("PATCH", "{\"a\":\"one and only\"}", 204),
        ("POST", "{\"gone\":{\"value\":\"x\",\"expire\":200}}", 201),
        ("POST", "{\"dead\":\"x\"}", 201),
        ("PATCH", "{\"dead\":null}", 204),
        ("PATCH", "{\"dead\":null}", 404),
    ] {
        let answer = ask(port, method, one, body);
        assert_eq!(answer.status, status, "{method} {body}: {}", answer.text());
    }
    until("the pair to expire", || ask(port, "GET", one, "").text() == "{\"a\":\"one and only\",\"b\":\"2\"}");
    assert_eq!(ask(port, "GET", "/9/http/keyvals/one?key=a", "").text(), "{\"a\":\"one and only\"}");
    assert_eq!(ask(port, "GET", "/9/http/keyvals?fields=", "").text(), "[\"one\",\"nets\"]");
    assert_eq!(ask(port, "GET", "/9/http/keyvals/none", "").status, 404);
    assert_eq!(ask(port, "POST", "/9/http/keyvals/nets", "{\"10.0.0.0/8\":{\"value\":\"x\",\"expire\":1}}").status, 400);
    assert_eq!(ask(port, "POST", "/9/http/keyvals/nets", "{\"10.0.0.0/8\":\"ours\"}").status, 201);
    assert_eq!(ask(port, "POST", "/9/http/keyvals/nets", "{\"here\":\"ours\"}").status, 400);
    for _ in 0..6 {
        assert_eq!((found("k=a&ip=10.1.2.3").as_str(), found("k=c&ip=11.1.1.1").as_str()), ("one and only|ours", "|"));
    }
    assert_eq!(ask(port, "POST", "/9/stream/keyvals/names", "{\"127.\":\"local\"}").status, 201);
    assert_eq!(exchange(stream, b"").unwrap(), b"local");
    running = None.or_else(|| {
        drop(running.take());
        Some(start())
    });
    // What has no file is gone, and of what has one the rest of its time is kept.
    assert_eq!(found("k=a&ip=10.1.2.3"), "one and only|");
    assert!(prefix.read("state/one.conf").starts_with("pair a \"one and only\" "));
    assert_eq!(ask(port, "DELETE", one, "").status, 204);
    assert_eq!((ask(port, "GET", one, "").text().as_str(), prefix.read("state/one.conf").as_str()), ("{}", ""));
    drop(running);
}
