//! Requests to upstreams of every protocol, with values of the lengths at which records and length fields end, and with bytes that would
//! be a request of their own: the server reads exactly the value, and nothing behind the request.

use crate::rig::{Foreground, PATIENCE, Prefix, exchange, free_port, parse};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use wire::h2::frame::{self, FrameHead, HEAD, PREFACE, flag, kind};

/// The values of a request, once all of it is here, and how long it was.
type Whole = Option<(Vec<Vec<u8>>, usize)>;

/// A protocol: how a location passes `$v` on, how its requests are read, and what answers them.
struct Protocol {
    name: &'static str,
    directives: &'static str,
    read: fn(&[u8]) -> Whole,
    greeting: fn() -> Vec<u8>,
    answer: &'static [u8],
    /// Longest value that fits into the protocol.
    most: usize,
}

/// The parameter that has the value. It is the one that would be sent in any case.
const NAME: &[u8] = b"HTTP_HOST";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const PROTOCOLS: [Protocol; 8] = [
    Protocol {
        name: "http1",
        directives: "proxy_set_body $v; proxy_pass http://127.0.0.1:UP;",
        read: http1,
        greeting: Vec::new,
        answer: OK,
        most: usize::MAX,
    },
    Protocol {
        name: "http2",
        directives: "proxy_set_body $v; proxy_http_version 2; proxy_pass http://127.0.0.1:UP;",
        read: http2,
        greeting: settings,
        // Status 200, the end of the stream.
        answer: b"\0\0\x01\x01\x05\0\0\0\x01\x88",
        most: usize::MAX,
    },
    Protocol {
        name: "fastcgi",
        directives: "fastcgi_pass_request_headers off; fastcgi_param HTTP_HOST $v; fastcgi_pass 127.0.0.1:UP;",
        read: fastcgi,
        greeting: Vec::new,
        answer: b"\x01\x06\0\x01\0\x04\0\0\n\nok\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0",
        most: usize::MAX,
    },
    Protocol {
        name: "scgi",
        directives: "scgi_pass_request_headers off; scgi_param HTTP_HOST $v; scgi_pass 127.0.0.1:UP;",
        read: scgi,
        greeting: Vec::new,
        answer: b"Status: 200 OK\r\n\r\nok",
        most: usize::MAX,
    },
    Protocol {
        name: "uwsgi",
        directives: "uwsgi_pass_request_headers off; uwsgi_param HTTP_HOST $v; uwsgi_param CONTENT_LENGTH $content_length; uwsgi_pass 127.0.0.1:UP;",
        read: uwsgi,
        greeting: Vec::new,
        answer: OK,
        most: 65_000,
    },
    Protocol {
        name: "memc_value",
        directives: "set $memc_cmd set; set $memc_key k; memc_pass 127.0.0.1:UP;",
        read: memc,
        greeting: Vec::new,
        answer: b"STORED\r\n",
        most: usize::MAX,
    },
    Protocol {
        name: "memcached_key",
        directives: "memcached_pass 127.0.0.1:UP;",
        read: memcached_key,
        greeting: Vec::new,
        answer: b"END\r\n",
        most: 250,
    },
    Protocol {
        name: "redis2",
        directives: "redis2_query set $v $v; redis2_pass 127.0.0.1:UP;",
        read: redis2,
        greeting: Vec::new,
        answer: b"+OK\r\n",
        most: usize::MAX,
    },
];

/// The text in front of `end`, and where it goes on.
fn line<'a>(bytes: &'a [u8], end: &str) -> Option<(&'a str, usize)> {
    let at = bytes.windows(end.len()).position(|window| window == end.as_bytes())?;
    Some((std::str::from_utf8(&bytes[..at]).unwrap(), at + end.len()))
}

fn http1(bytes: &[u8]) -> Whole {
    let (head, at) = line(bytes, "\r\n\r\n")?;
    let length: usize = head.split("Content-Length: ").nth(1)?.split("\r\n").next()?.parse().unwrap();
    Some((vec![bytes.get(at..at + length)?.to_vec()], at + length))
}

fn settings() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::settings(&[(4, 1 << 24)], &mut bytes);
    frame::window_update(0, 1 << 24, &mut bytes);
    bytes
}

fn http2(bytes: &[u8]) -> Whole {
    let (mut value, mut at, mut heads) = (Vec::new(), PREFACE.len(), 0);
    loop {
        let head = FrameHead::parse(bytes.get(at..)?)?;
        let payload = bytes.get(at + HEAD..at + HEAD + head.len)?;
        assert!(head.len <= 16_384 && head.stream <= 1, "a frame of {} for {}", head.len, head.stream);
        at += HEAD + head.len;
        match head.kind {
            kind::DATA => value.extend_from_slice(payload),
            kind::HEADERS => heads += 1,
            _ => continue,
        }
        if head.has(flag::END_STREAM) {
            assert_eq!(heads, 1);
            return Some((vec![value], at));
        }
    }
}

fn fastcgi(bytes: &[u8]) -> Whole {
    let (mut params, mut body, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let &[1, kind, 0, 1, high, low, padding, 0] = bytes.get(at..at + 8)? else { panic!("no record at {at}") };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = bytes.get(at + 8..at + 8 + length)?;
        at += 8 + length + usize::from(padding);
        bytes.get(..at)?;
        match kind {
            1 => {}
            4 => params.extend_from_slice(content),
            5 => body.extend_from_slice(content),
            other => panic!("a record of kind {other}"),
        }
        if kind == 5 && length == 0 {
            let wide = params[1] >> 7 == 1;
            let length = if wide { u32::from_be_bytes(params[1..5].try_into().unwrap()) & 0x7fff_ffff } else { u32::from(params[1]) };
            let value = &params[if wide { 5 } else { 2 }..];
            let value = value.strip_prefix(NAME).unwrap();
            assert!(usize::from(params[0]) == NAME.len() && value.len() == length as usize, "{length} of {}", value.len());
            return Some((vec![value.to_vec(), body], at));
        }
    }
}

fn scgi(bytes: &[u8]) -> Whole {
    let (length, at) = line(bytes.get(..20)?, ":")?;
    let end = at + length.parse::<usize>().unwrap();
    let head = bytes.get(at..=end)?.strip_suffix(b"\0,").unwrap();
    let rest = head.strip_prefix(b"CONTENT_LENGTH\0").unwrap();
    let (size, from) = line(rest, "\0").unwrap();
    let value = rest[from..].strip_prefix(NAME).and_then(|rest| rest.strip_prefix(b"\0")).unwrap();
    let size: usize = size.parse().unwrap();
    Some((vec![value.to_vec(), bytes.get(end + 1..end + 1 + size)?.to_vec()], end + 1 + size))
}

fn uwsgi(bytes: &[u8]) -> Whole {
    let &[0, low, high, 0] = bytes.get(..4)? else { panic!("no packet: {:?}", &bytes[..4]) };
    let end = 4 + usize::from(u16::from_le_bytes([low, high]));
    let (mut parts, mut rest) = (Vec::new(), bytes.get(4..end)?);
    while let [low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        parts.push(tail[..length].to_vec());
        rest = &tail[length..];
    }
    let [a, value, name, size] = &parts[..] else { panic!("{} parts", parts.len()) };
    assert!(a == NAME && name == b"CONTENT_LENGTH");
    let size: usize = std::str::from_utf8(size).unwrap().parse().unwrap();
    Some((vec![value.clone(), bytes.get(end..end + size)?.to_vec()], end + size))
}

fn memc(bytes: &[u8]) -> Whole {
    let (command, at) = line(bytes, "\r\n")?;
    let length: usize = command.strip_prefix("set k 0 0 ").unwrap().parse().unwrap();
    let value = bytes.get(at..at + length + 2)?.strip_suffix(b"\r\n").unwrap();
    Some((vec![value.to_vec()], at + length + 2))
}

/// Keys are escaped as in URIs.
fn memcached_key(bytes: &[u8]) -> Whole {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    let (mut key, mut value) = (bytes[..end].strip_prefix(b"get ").unwrap(), Vec::new());
    while let [first, rest @ ..] = key {
        assert!(*first > b' ', "a raw byte in a key");
        if let (b'%', [high, low, rest @ ..]) = (*first, rest) {
            value.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
            key = rest;
        } else {
            value.push(*first);
            key = rest;
        }
    }
    Some((vec![value], end + 2))
}

fn redis2(bytes: &[u8]) -> Whole {
    let (mut parts, mut at) = (Vec::new(), b"*3\r\n".len());
    assert!(bytes.len() < at || bytes.starts_with(b"*3\r\n"));
    for _ in 0..3 {
        let (length, from) = line(bytes.get(at..)?.get(..12).unwrap_or(&bytes[at..]), "\r\n")?;
        let length: usize = length.strip_prefix('$').unwrap().parse().unwrap();
        let part = bytes.get(at + from..at + from + length + 2)?;
        parts.push(part.strip_suffix(b"\r\n").unwrap().to_vec());
        at += from + length + 2;
    }
    assert_eq!(parts.remove(0), b"set");
    Some((parts, at))
}

/// What one connection brought: the values of its request, and bytes behind it.
fn serve(mut stream: TcpStream, protocol: &Protocol, to: &Sender<(Vec<Vec<u8>>, Vec<u8>)>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&(protocol.greeting)()).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 65_536]);
    let (values, end) = loop {
        if let Some(whole) = (protocol.read)(&bytes) {
            break whole;
        }
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            assert!(bytes.is_empty(), "{}: half a request", protocol.name);
            return;
        }
        bytes.extend_from_slice(&buffer[..count]);
    };
    let mut behind = bytes[end..].to_vec();
    stream.write_all(protocol.answer).unwrap();
    if protocol.name == "http2" {
        // Frames of the connection itself may follow.
        behind.clear();
    } else {
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(stream.read_to_end(&mut behind));
    }
    to.send((values, behind)).unwrap();
}

fn upstream(protocol: &'static Protocol) -> (u16, Receiver<(Vec<Vec<u8>>, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, from) = channel();
    // Ends with the test's process.
    thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap(), protocol, &to)));
    (port, from)
}

fn values() -> Vec<Vec<u8>> {
    let lengths = [1, 127, 128, 129, 255, 256, 16_383, 16_384, 16_385, 32_768, 64_000, 65_535, 65_536, 65_537, 131_072, 200_000];
    let mut values: Vec<Vec<u8>> =
        lengths.iter().map(|length| b"0123456789abcdef".iter().copied().cycle().take(*length).collect()).collect();
    values.push((0..=255).collect());
    values.push(b"\r\n\r\nGET /forged HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    values.push(b"x\r\nset forged 0 0 1\r\nx\r\n".to_vec());
    values.push(b"\0\0\x01\x01\x05\0\0\0\x03\x82".to_vec());
    values.push(b"\x01\x05\0\x01\0\0\0\0".to_vec());
    values
}

#[test]
fn values_of_every_length_and_with_every_byte() {
    static ALL: [Protocol; 8] = PROTOCOLS;
    let prefix = Prefix::new();
    let port = free_port();
    let upstreams: Vec<_> = ALL.iter().map(upstream).collect();
    let location = |(protocol, (up, _)): (&Protocol, &(u16, _))| {
        let (name, directives) = (protocol.name, protocol.directives.replace("UP", &up.to_string()));
        // Two modules have variables of their own.
        let variable = if name.starts_with("memc") { name } else { "v" };
        let lua = format!("ngx.req.read_body() ngx.var.{variable} = ngx.req.get_body_data()");
        format!("location /{name} {{ set ${variable} ''; rewrite_by_lua_block {{ {lua} }} {directives} }}\n")
    };
    let locations: String = ALL.iter().zip(&upstreams).map(location).collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ worker_connections 256; }}\n\
             http {{ client_body_buffer_size 1m; server {{ listen 127.0.0.1:{port};\n{locations} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    for (protocol, (_, received)) in ALL.iter().zip(&upstreams) {
        for value in values() {
            let name = protocol.name;
            let length = value.len();
            let method = if name == "memcached_key" { "GET" } else { "POST" };
            let head = format!("{method} /{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let answer = parse(&exchange(port, &[head.as_bytes(), &value].concat()).unwrap()).unwrap();
            if length > protocol.most || name == "memcached_key" && answer.status == 502 {
                assert!(answer.status >= 500 && received.try_recv().is_err(), "{name} {length}: {}", answer.status);
                continue;
            }
            let log = || prefix.read("logs/error.log");
            assert!(answer.status < 500, "{name} {length}: {} {}", answer.status, log());
            let (values, behind) =
                received.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} {length}: nothing came; {}", answer.status));
            // What would end a value leaves as something else.
            let written: Vec<u8> =
                value.iter().flat_map(|byte| if *byte == 0 { &b"%00"[..] } else { std::slice::from_ref(byte) }).copied().collect();
            assert!(values.iter().all(|one| *one == value || name == "scgi" && *one == written), "{name} {length}");
            assert!(behind.is_empty(), "{name} {length}: {behind:?}");
        }
    }
}
