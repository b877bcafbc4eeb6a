//! Servers that variables name: what is no address, who is looked up, which group is meant. And local addresses that do not fit.

use crate::rig::{Prefix, free_port, get};
use crate::serve;
use std::io::{Read, Write};
use std::net::TcpListener;

#[test]
fn what_is_no_server_is_said_in_nginxs_words() {
    let rows = [
        ("proxy", "http://bad host/", 502, "no resolver defined to resolve bad host"),
        ("proxy", "http://ex ample:80", 502, "no resolver defined to resolve ex ample"),
        ("proxy", "http://127.0.0.1 :80/", 502, "no resolver defined to resolve 127.0.0.1 "),
        ("proxy", "http://a\tb/", 502, "no resolver defined to resolve a\tb"),
        ("proxy", "http://-/", 502, "no resolver defined to resolve -"),
        ("proxy", "http://[]/", 500, "no host in upstream \"[]/\""),
        ("proxy", "http://[zz]/", 500, "invalid IPv6 address in upstream \"[zz]/\""),
        ("proxy", "http://", 500, "invalid URL prefix in \"http://\""),
        ("proxy", "ftp://a/", 500, "invalid URL prefix in \"ftp://a/\""),
        ("proxy", "http://a:99999/", 500, "invalid port in upstream \"a:99999/\""),
        ("fastcgi", "a b", 500, "no port in upstream \"a b\""),
        ("fastcgi", "a b:9000", 502, "no resolver defined to resolve a b"),
        ("grpc", "grpc://a b", 500, "no port in upstream \"a b\""),
        ("uwsgi", "a/b", 500, "invalid host in upstream \"a/b\""),
        ("scgi", "", 500, "no host in upstream \"\""),
    ];
    let prefix = Prefix::new();
    let location = |(at, (protocol, url, ..)): (usize, &(&str, &str, u16, &str))| {
        format!("location = /{at} {{ set $to \"{url}\"; {protocol}_pass $to; }}\n")
    };
    let port = serve(&prefix, "", &rows.iter().enumerate().map(location).collect::<String>());
    for (at, (protocol, url, status, line)) in rows.iter().enumerate() {
        assert_eq!(get(port, &format!("/{at}")).unwrap().status, *status, "{protocol} {url}");
        let log = prefix.read("logs/error.log");
        let said = log.lines().rfind(|said| said.contains(&format!("\"GET /{at} "))).unwrap_or_default();
        assert!(said.contains("[error]") && said.contains(&format!("{line}, client")), "{protocol} {url}: {log}");
    }
}

#[test]
fn a_name_with_a_port_is_no_group() {
    let prefix = Prefix::new();
    let back = free_port();
    let main = format!("upstream group {{ server 127.0.0.1:{back}; }} server {{ listen 127.0.0.1:{back}; return 200 member; }}");
    let inside = "location = /1 { set $to http://group; proxy_pass $to; }\n\
                  location = /2 { set $to http://GROUP/x; proxy_pass $to; }\n\
                  location = /3 { set $to http://group:80; proxy_pass $to; }\n\
                  location = /4 { set $to https://group:443; proxy_pass $to; }";
    let port = serve(&prefix, &main, inside);
    assert_eq!(["/1", "/2", "/3", "/4"].map(|path| get(port, path).unwrap().status), [200, 200, 502, 502]);
    assert_eq!(prefix.read("logs/error.log").matches("no resolver defined to resolve group, client").count(), 2);
}

#[test]
fn a_local_address_of_another_family_is_not_passed_over() {
    let prefix = Prefix::new();
    let back = free_port();
    let socket = prefix.path.join("back.sock");
    let main =
        format!("server {{ listen 127.0.0.1:{back}; listen [::1]:{back}; listen unix:{}; return 200 $remote_addr; }}", socket.display());
    let rows = [
        ("proxy_bind 127.0.0.7;", format!("http://127.0.0.1:{back}"), 200, "".to_owned()),
        ("proxy_bind ::1;", format!("http://127.0.0.1:{back}"), 500, "bind(::1) failed (97:".to_owned()),
        ("proxy_bind 127.0.0.3;", format!("http://[::1]:{back}"), 500, "bind(127.0.0.3) failed (22:".to_owned()),
        ("proxy_bind $arg_local;", format!("http://127.0.0.1:{back}"), 200, String::new()),
        ("proxy_bind 127.0.0.4;", format!("http://unix:{}:", socket.display()), 500, "bind(127.0.0.4) failed (22:".to_owned()),
    ];
    let location =
        |(at, (bind, url, ..)): (usize, &(&str, String, u16, String))| format!("location = /{at} {{ {bind} proxy_pass {url}; }}\n");
    let port = serve(&prefix, &main, &rows.iter().enumerate().map(location).collect::<String>());
    for (at, (bind, url, status, line)) in rows.iter().enumerate() {
        assert_eq!(get(port, &format!("/{at}")).unwrap().status, *status, "{bind} {url}: {}", prefix.read("logs/error.log"));
        let log = prefix.read("logs/error.log");
        assert!(
            line.is_empty() || log.lines().any(|said| said.contains(line.as_str()) && said.contains(&format!("GET /{at} "))),
            "{bind} {url}: {log}"
        );
    }
}

#[test]
fn an_upstream_that_only_has_informational_answers_is_left() {
    for (count, status) in [(16, 200), (17, 502)] {
        let prefix = Prefix::new();
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let inside = format!("location / {{ proxy_pass http://{}; }}", upstream.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = upstream.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let interim = "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n".repeat(count);
            // It may be gone by then.
            let _ = stream.write_all(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
            let _ = stream.read(&mut [0; 1]);
        });
        let port = serve(&prefix, "", &inside);
        assert_eq!(get(port, "/").unwrap().status, status, "{count}");
        let said = prefix.read("logs/error.log").contains("upstream sent too many informational responses while reading response header");
        assert_eq!(said, status == 502, "{count}");
    }
}
