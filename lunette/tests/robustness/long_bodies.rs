//! Long bodies, which are received past the connection's own buffer: every byte of them arrives, and none of what follows is taken.

use crate::rig::{Foreground, PATIENCE, Prefix, exchange, free_port};
use std::io::{Read, Write};
use std::net::TcpStream;

const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn server() -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    let sum = "content_by_lua_block { ngx.req.read_body() local file = ngx.req.get_body_file()
        local data = file and io.open(file):read('*a') or ngx.req.get_body_data()
        ngx.print(#data, ' ', ngx.crc32_long(data), '\\n') }";
    let piecewise = "content_by_lua_block { local socket, all = ngx.req.socket(), {}
        while true do local data, err, part = socket:receive(7777) all[#all + 1] = data or part if not data then break end end
        local data = table.concat(all) ngx.print(#data, ' ', ngx.crc32_long(data), '\\n') }";
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ worker_connections 64; }}\n\
             http {{ server {{ listen {port};\n\
             location /file {{ {sum} }}\n\
             location /memory {{ client_body_buffer_size 1m; {sum} }}\n\
             location /pieces {{ {piecewise} }}\n\
             location /proxied {{ proxy_pass http://127.0.0.1:{port}/memory; }}\n\
             location /streamed {{ proxy_pass http://127.0.0.1:{port}/memory; proxy_request_buffering off; }}\n\
             location /unread {{ return 200 'unread\\n'; }}\n\
             location /canary {{ return 200 \"CANARY\\n\"; }}\n\
             }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

/// The bits of CRC-32, one by one.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

fn slowly(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(3001) {
        stream.write_all(piece).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn every_byte_arrives_and_the_next_request_is_another() {
    let (_prefix, port, _running) = server();
    for length in [4_000_u32, 4_096, 8_200, 16_384, 20_500, 100_000, 300_000] {
        let body: Vec<u8> = (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 17) as u8).collect();
        for path in ["/file", "/memory", "/pieces", "/proxied", "/streamed", "/unread"] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
            let bytes = [head.as_bytes(), &body, CANARY.as_bytes()].concat();
            let expected = if path == "/unread" { "unread\n".into() } else { format!("{length} {}\n", checksum(&body)) };
            for answer in [exchange(port, &bytes).unwrap(), slowly(port, &bytes)] {
                let text = String::from_utf8_lossy(&answer);
                assert!(text.contains(&expected), "{path} {length}: {text}");
                assert!(text.ends_with("CANARY\n") && text.matches("HTTP/1.1 200").count() == 2, "{path} {length}: {text}");
            }
        }
    }
}
