//! Variables from a database about addresses, in both protocols, while its file changes.

use crate::rig::{Foreground, Prefix, exchange, free_port, get, parse, until};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

/// A database that says `text` of 127.0.0.0/8 and nothing of others: a tree of eight nodes, by the specification of the format.
fn database(text: &str) -> Vec<u8> {
    let string = |text: &str| [&[2 << 5 | text.len() as u8], text.as_bytes()].concat();
    let short = |value: u16| [&[5 << 5 | 2][..], &value.to_be_bytes()].concat();
    let mut out = Vec::new();
    for depth in 0..8_u32 {
        let onward = if depth == 7 { 8 + 16 } else { depth + 1 };
        let sides = if depth == 0 { [onward, 8] } else { [8, onward] };
        sides.iter().for_each(|side| out.extend_from_slice(&side.to_be_bytes()[1..]));
    }
    out.extend_from_slice(&[0; 16]);
    out.push(7 << 5 | 1);
    out.extend([string("name"), string(text)].concat());
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    out.push(7 << 5 | 9);
    for (key, value) in [
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", vec![1, 2, 7]),
        ("database_type", string("Test")),
        ("description", vec![7 << 5]),
        ("ip_version", short(4)),
        ("languages", vec![0, 4]),
        ("node_count", vec![6 << 5 | 1, 8]),
        ("record_size", short(24)),
    ] {
        out.extend([string(key), value].concat());
    }
    out
}

fn place(prefix: &Prefix, bytes: &[u8], age: u64) {
    let path = prefix.path.join("conf/new");
    fs::write(&path, bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() + Duration::from_secs(age)).unwrap();
    fs::rename(path, prefix.path.join("conf/db.mmdb")).unwrap();
}

#[test]
fn a_database_says_who_comes_and_changes_under_way() {
    let prefix = Prefix::new();
    let (port, stream) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\n\
             http {{ geoip2 conf/db.mmdb {{ auto_reload 1s; $name default=none name; $of source=$arg_ip default=none name; $made metadata build_epoch; }}\n\
             geoip2_proxy 127.0.0.1; geoip2_proxy_recursive on;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"$name $of $made\"; }} }} }}\n\
             stream {{ geoip2 conf/db.mmdb {{ $name name; }} server {{ listen 127.0.0.1:{stream}; return $name; }} }}"
        ),
    );
    fs::write(prefix.path.join("conf/db.mmdb"), database("first")).unwrap();
    let _running = Foreground::start(&prefix, port, "").unwrap();
    until("a worker", || get(port, "/").is_ok());
    assert_eq!(get(port, "/?ip=127.9.9.9").unwrap().text(), "first first 7");
    assert_eq!(get(port, "/?ip=192.0.2.1").unwrap().text(), "first none 7");
    let behind = |list: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {list}\r\n\r\n");
        parse(&exchange(port, request.as_bytes()).unwrap()).unwrap().text()
    };
    assert_eq!(behind("127.0.0.2, 192.0.2.1, 127.0.0.1"), "none none 7");
    assert_eq!(behind("192.0.2.1, 127.0.0.2"), "first none 7");
    assert_eq!(exchange(stream, b"").unwrap(), b"first");
    place(&prefix, b"no database", 60);
    until("a refusal", || {
        get(port, "/").unwrap();
        prefix.read("logs/error.log").contains("failed to reload - The MaxMind DB file contains invalid metadata")
    });
    place(&prefix, &database("second"), 120);
    until("the new database", || get(port, "/?ip=127.0.0.1").unwrap().text() == "second second 7");
    assert!(prefix.read("logs/error.log").contains("Reload MMDB \""));
}
