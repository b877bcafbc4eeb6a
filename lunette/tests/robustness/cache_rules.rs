//! What a cache's key must tell apart, and answers that are not for everybody.

use crate::rig::{Foreground, Prefix, Response, exchange, free_port, parse};

fn start(directives: &str) -> (Prefix, u16, Foreground) {
    let (prefix, port, upstream) = (Prefix::new(), free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log crit; events {{ }} http {{
            proxy_cache_path cache keys_zone=one:1m use_temp_path=off;
            server {{ listen {port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache one; proxy_cache_valid 1h;
              proxy_set_header Host $http_host; add_header X-Cache $upstream_cache_status; {directives} }} }}
            server {{ listen {upstream};
              location / {{ return 200 \"$host $request_uri $http_x_kind $http_authorization $http_range $request_method\"; }}
              location /vary {{ add_header Vary X-Kind; return 200 $http_x_kind; }}
              location /star {{ add_header Vary *; return 200 $http_x_kind; }}
              location /ranges {{ add_header Accept-Ranges $arg_a; return 200 0123456789; }}
              location /max {{ add_header Cache-Control max-age=60; return 200 \"$http_authorization\"; }}
              location /public {{ add_header Cache-Control \"public, max-age=60\"; return 200 \"$http_authorization\"; }} }} }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

fn ask(port: u16, line: &str, fields: &str) -> Response {
    let request = format!("{line} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    parse(&exchange(port, request.as_bytes()).unwrap()).unwrap()
}

/// The default key is what the upstream is asked for, with its host as the configuration has it; what differs beyond that is the key's to say.
#[test]
fn requests_that_get_different_answers_do_not_share_one() {
    let (_prefix, port, _running) = start("proxy_cache_key $http_host$request_uri;");
    let targets = ["/a", "/a?", "/a?b", "/a?b=", "/a%2Fb", "/a/b", "/A", "//a", "/a;b"];
    for host in ["one", "two"] {
        for target in targets {
            let first = ask(port, &format!("GET {target}"), &format!("Host: {host}\r\n"));
            assert_eq!(first.header("X-Cache"), Some("MISS"), "{host} {target}");
            assert!(first.text().starts_with(&format!("{host} {target} ")), "{}", first.text());
        }
    }
    for target in targets {
        let again = ask(port, &format!("GET {target}"), "Host: one\r\n");
        assert!(
            again.header("X-Cache") == Some("HIT") && again.text().starts_with(&format!("one {target} ")),
            "{target}: {}",
            again.text()
        );
    }
    // A line's end cannot be brought into a key.
    assert_eq!(ask(port, "GET /a%0Ab", "Host: one\r\n").status, 200);
}

#[test]
fn ranges_heads_and_variants_come_from_whole_answers() {
    let (_prefix, port, _running) = start("proxy_force_ranges on;");
    let part = ask(port, "GET /r", "Host: x\r\nRange: bytes=0-0\r\n");
    assert_eq!((part.status, part.header("X-Cache"), part.text().as_ref()), (206, Some("MISS"), "x"));
    let head = ask(port, "HEAD /r", "Host: x\r\n");
    assert_eq!((head.status, head.header("X-Cache")), (200, Some("HIT")));
    let whole = ask(port, "GET /r", "Host: x\r\n");
    assert_eq!((whole.header("X-Cache"), whole.text().as_ref()), (Some("HIT"), "x /r    GET"));
    let first = ask(port, "HEAD /h", "Host: x\r\n");
    assert_eq!((first.header("X-Cache"), first.body.len()), (Some("MISS"), 0));
    assert_eq!(ask(port, "GET /h", "Host: x\r\n").text(), "x /h    GET");
    for _ in 0..2 {
        for kind in ["1", "2", "1, 2"] {
            assert_eq!(ask(port, "GET /vary", &format!("Host: x\r\nX-Kind: {kind}\r\n")).text(), kind);
            assert_eq!(ask(port, "GET /star", &format!("Host: x\r\nX-Kind: {kind}\r\n")).header("X-Cache"), Some("MISS"));
        }
    }
}

/// Whether the upstream cuts ranges does not matter to who asks for a part of what is kept, as long as it speaks of them.
#[test]
fn the_upstreams_word_about_ranges_stays_behind() {
    let (_prefix, port, _running) = start("");
    for (says, cut) in [("bytes", true), ("none", true), ("Bytes", true), ("", false)] {
        for kept in ["MISS", "HIT"] {
            let part = ask(port, &format!("GET /ranges?a={says}"), "Host: x\r\nRange: bytes=2-3\r\n");
            let found = (part.header("X-Cache"), part.status, part.text(), part.header("Accept-Ranges"));
            let (status, body) = if cut { (206, "23") } else { (200, "0123456789") };
            assert_eq!(found, (Some(kept), status, body.to_owned(), None), "{says}");
        }
        let whole = ask(port, &format!("GET /ranges?a={says}"), "Host: x\r\n");
        assert_eq!(whole.header("Accept-Ranges"), cut.then_some("bytes"), "{says}");
    }
}

/// nginx's rules do not look at `Authorization`, so that the key must hold it or `proxy_no_cache` name it; those of RFC 9111 do.
#[test]
fn what_somebody_gets_for_his_password_is_his_alone() {
    let guarded = "proxy_no_cache $http_authorization; proxy_cache_bypass $http_authorization;";
    for (directives, path) in [(guarded, "/max"), ("proxy_cache_rfc9111 on;", "/max")] {
        let (_prefix, port, _running) = start(directives);
        for name in ["a", "b"] {
            assert_eq!(ask(port, &format!("GET {path}"), &format!("Host: x\r\nAuthorization: {name}\r\n")).text(), name, "{directives}");
        }
        assert_eq!(ask(port, &format!("GET {path}"), "Host: x\r\n").text(), "", "{directives}");
    }
    let (_prefix, port, _running) = start("proxy_cache_rfc9111 on;");
    assert_eq!(ask(port, "GET /public", "Host: x\r\nAuthorization: a\r\n").text(), "a");
    assert_eq!(ask(port, "GET /public", "Host: x\r\n").text(), "a");
}

/// What a 304 says takes the place of what was kept, and may say that nothing is to be kept any more (RFC 9111, 3.2 and 4.3.4).
#[test]
fn confirmations_change_what_is_kept() {
    let (prefix, port, upstream) = (Prefix::new(), free_port(), free_port());
    // The path, what the confirmation adds, the second answer's X-New, and what the third asker finds.
    let long = "y".repeat(2000);
    let rows: [(&str, &str, &str, &str); 5] = [
        ("/plain", "add_header Cache-Control max-age=60; add_header X-New 2;", "2", "HIT"),
        ("/aged", "add_header Cache-Control max-age=60; add_header Age 100; add_header X-New 2;", "2", "REVALIDATED"),
        ("/private", "add_header Cache-Control no-store; add_header X-New 2;", "2", "MISS"),
        ("/vary", "add_header Cache-Control max-age=60; add_header Vary X-Kind; add_header X-New 2;", "2", "MISS"),
        ("/long", &format!("add_header Cache-Control max-age=60; add_header X-New {long};"), &long, "MISS"),
    ];
    let places: String = rows
        .iter()
        .map(|(path, confirmed, ..)| {
            format!(
                "location = {path} {{ if ($http_if_none_match) {{ {confirmed} return 304; }}
                   add_header ETag '\"{path}\"'; add_header Cache-Control max-age=0; add_header X-New 1; add_header X-Old 1; return 200 whole; }}"
            )
        })
        .collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log crit; events {{ }} http {{
            proxy_cache_path cache keys_zone=one:1m use_temp_path=off;
            server {{ listen {port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache one; proxy_cache_rfc9111 on;
              add_header X-Cache $upstream_cache_status; }} }}
            server {{ listen {upstream}; {places}
              location = /failing {{ if ($http_if_none_match) {{ return 502; }}
                add_header ETag '\"a\"'; add_header Cache-Control max-age=0; return 200 whole; }} }} }}"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    // Nothing allows the old answer in the place of a failure, not even in the second in which it was kept.
    assert_eq!([(), ()].map(|()| ask(port, "GET /failing", "Host: x\r\n").status), [200, 502]);
    for (path, _, new, third) in rows {
        let get = || ask(port, &format!("GET {path}"), "Host: x\r\n");
        assert_eq!(get().header("X-Cache"), Some("MISS"), "{path}");
        let confirmed = get();
        assert_eq!(
            (confirmed.status, confirmed.header("X-Cache"), confirmed.text().as_ref()),
            (200, Some("REVALIDATED"), "whole"),
            "{path}"
        );
        assert_eq!((confirmed.header("X-New"), confirmed.header("X-Old")), (Some(new), Some("1")), "{path}");
        let after = get();
        assert_eq!((after.status, after.header("X-Cache"), after.text().as_ref()), (200, Some(third), "whole"), "{path}");
        if third == "HIT" {
            assert_eq!(after.header("X-New"), Some(new), "{path}");
        }
    }
}
