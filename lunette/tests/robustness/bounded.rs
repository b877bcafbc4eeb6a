//! What a client does not take costs a bounded amount of memory, however much filters make of a little.

use crate::rig::{Foreground, PATIENCE, Prefix, free_port, get, memory, until, until_idle};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn server(locations: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log warn;\nevents {{ }}\n\
             http {{ default_type text/html; charset_map koi8-r utf-8 {{ 78 D0B0; }} server {{ listen 127.0.0.1:{port}; location /ready {{ return 200 \"x\"; }} {locations} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    until("a worker", || get(port, "/ready").is_ok());
    (prefix, port, running)
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, text) = (gzip.stdin.take().unwrap(), text.to_vec());
    let writing = std::thread::spawn(move || stdin.write_all(&text).unwrap());
    let out = gzip.wait_with_output().unwrap().stdout;
    writing.join().unwrap();
    out
}

const LENGTH: usize = 12 << 20;

#[test]
fn a_client_that_takes_nothing_costs_little() {
    let (prefix, port, running) = server(
        "location /gunzip { gunzip on; gzip_static always; }\n\
         location /sub { sub_filter_once off; sub_filter x \"$arg_long\"; }\n\
         location /charset { charset utf-8; source_charset koi8-r; }\n\
         location /lua { body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1] } }\n\
         location /brotli { brotli on; brotli_comp_level 1; }\n\
         location /ssi { ssi on; }\n\
         location /addition { add_before_body /lua/large; add_after_body /lua/large; }\n\
         location /large { gunzip on; gzip_static always; }",
    );
    let text = vec![b'x'; LENGTH];
    prefix.write("html/sub/page", &"x".repeat(LENGTH / 1000));
    for name in ["lua/large", "charset/page"] {
        std::fs::create_dir_all(prefix.path.join("html").join(name).parent().unwrap()).unwrap();
        std::fs::write(prefix.path.join("html").join(name), &text).unwrap();
    }
    let mut seed = 1_u32;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as u8
    };
    let noise: Vec<u8> = (0..LENGTH).map(|_| random()).collect();
    std::fs::create_dir_all(prefix.path.join("html/brotli")).unwrap();
    std::fs::write(prefix.path.join("html/brotli/page"), &noise).unwrap();
    let gz = packed(&text);
    std::fs::create_dir_all(prefix.path.join("html/gunzip")).unwrap();
    std::fs::write(prefix.path.join("html/gunzip/page.gz"), &gz).unwrap();
    std::fs::write(prefix.path.join("html/large.gz"), &gz).unwrap();
    prefix.write("html/ssi/page", "a<!--#include virtual=\"/large\" -->b<!--#include virtual=\"/lua/large\" -->c");
    prefix.write("html/addition/page", "page");
    let long = format!("/sub/page?long={}", "y".repeat(1000));
    for path in ["/gunzip/page", &long, "/charset/page", "/lua/large", "/brotli/page", "/ssi/page", "/addition/page"] {
        let before = memory(&running);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        // The kernel's buffers are full at some time, and then nothing more may be made.
        until_idle(&running);
        let grown = memory(&running).saturating_sub(before);
        assert!(grown < 6 << 20, "{path}: {grown} bytes");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.len() > LENGTH / 2, "{path}: {} bytes, {}", rest.len(), prefix.read("logs/error.log"));
    }
    assert_eq!(prefix.read("logs/error.log"), "");
}

#[test]
fn a_file_comes_to_a_lua_filter_in_pieces() {
    let (prefix, port, _running) =
        server("location / { body_filter_by_lua_block { ngx.log(ngx.WARN, \"piece of \", #ngx.arg[1], \" \", ngx.arg[2]) } }");
    prefix.write("html/page", &"x".repeat(70_000));
    assert_eq!(get(port, "/page").unwrap().body.len(), 70_000);
    let log = prefix.read("logs/error.log");
    let pieces: Vec<_> = log.lines().filter_map(|line| line.split("piece of ").nth(1)?.split(" while").next()).collect();
    assert_eq!(pieces, ["32768 false", "32768 false", "4464 true"]);
}

#[test]
fn pages_that_include_themselves_end() {
    let (prefix, port, _running) = server("location / { ssi on; }");
    prefix.write("html/page", &"x<!--#include virtual=\"/page\" -->".repeat(20));
    prefix.write("html/flat", &"<!--#include virtual=\"/ready\" -->".repeat(300));
    assert!(get(port, "/page").unwrap().body.len() > 20);
    assert!(prefix.read("logs/error.log").contains("subrequests cycle while processing \"/page\""));
    assert_eq!(get(port, "/flat").unwrap().text(), "x".repeat(300));
}
