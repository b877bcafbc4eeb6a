//! Each log format with each byte: one line for each request, and each line can be taken apart again.

use crate::rig::{Foreground, Prefix, exchange, free_port, until};

const FORMATS: &str = r#"
    log_format plain '"$arg_v" "$v" "$http_user_agent" "$remote_user" "$request" end';
    log_format as_json escape=json '{"arg":"$arg_v","v":"$v","agent":"$http_user_agent","request":"$request"}';
    log_format by_lua '"$from_lua" end';
"#;

fn server() -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log crit;\nevents {{ worker_connections 64; }}\n\
             http {{ {FORMATS} server {{ listen {port};\n\
             access_log logs/combined.log combined; access_log logs/plain.log plain; access_log logs/json.log as_json;\n\
             access_log logs/lua.log by_lua;\n\
             location / {{ set_unescape_uri $v $arg_v; set $from_lua ''; log_by_lua_block {{ ngx.var.from_lua = ngx.var.v }} return 204; }}\n\
             }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

/// One request for each byte, as an argument, decoded, in a header field (where it may stand) and in a user's name.
fn request(byte: u8) -> Vec<u8> {
    let mut request = format!("GET /?v=a%{byte:02x}b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: a").into_bytes();
    if !matches!(byte, 0 | b'\r' | b'\n') {
        request.push(byte);
    }
    request.extend_from_slice(b"b\r\n");
    let mut user = vec![b'a', byte];
    user.extend_from_slice(b"b:secret");
    request.extend_from_slice(format!("Authorization: Basic {}\r\n\r\n", base64(&user)).as_bytes());
    request
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63];
            text.push(if i > part.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// The lines of a log, each without its end.
fn lines(prefix: &Prefix, name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read(prefix.path.join(name)).unwrap_or_default();
    text.strip_suffix(b"\n").unwrap_or(&text).split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// The quoted fields of a line in nginx's own escaping, decoded; `None` if the line is not like that.
fn fields(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let mut value = Vec::new();
        let mut at = start + 1;
        loop {
            match *rest.get(at)? {
                b'"' => break,
                b'\\' => {
                    let hex = std::str::from_utf8(rest.get(at + 2..at + 4)?).ok()?;
                    if rest.get(at + 1) != Some(&b'x') {
                        return None;
                    }
                    value.push(u8::from_str_radix(hex, 16).ok()?);
                    at += 4;
                }
                byte if !(b' '..0x7f).contains(&byte) => return None,
                byte => {
                    value.push(byte);
                    at += 1;
                }
            }
        }
        found.push(value);
        rest = &rest[at + 1..];
    }
    Some(found)
}

#[test]
fn each_line_can_be_read_back() {
    let (prefix, port, _running) = server();
    for byte in 0..=255 {
        let answer = exchange(port, &request(byte)).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "), "{byte:#04x}");
    }
    let logs = ["logs/combined.log", "logs/plain.log", "logs/json.log", "logs/lua.log"];
    for log in logs {
        until("all lines", || lines(&prefix, log).len() >= 256);
        assert_eq!(lines(&prefix, log).len(), 256, "{log}");
    }
    let plain = lines(&prefix, "logs/plain.log");
    let combined = lines(&prefix, "logs/combined.log");
    let by_lua = lines(&prefix, "logs/lua.log");
    let mut served = 0;
    for (index, line) in plain.iter().enumerate() {
        let show = || String::from_utf8_lossy(line).into_owned();
        let found = fields(line).unwrap_or_else(|| panic!("{}", show()));
        assert_eq!(found.len(), 5, "{}", show());
        assert!(line.ends_with(b" end"), "{}", show());
        assert_eq!(fields(&combined[index]).map(|found| found.len()), Some(3), "{}", String::from_utf8_lossy(&combined[index]));
        let byte = index as u8;
        if found[0] != b"-" {
            served += 1;
            assert_eq!(found[0], format!("a%{byte:02x}b").into_bytes());
            assert_eq!(found[1], [b'a', byte, b'b'], "{}", show());
            assert_eq!(fields(&by_lua[index]), Some(vec![vec![b'a', byte, b'b']]));
        }
    }
    // Others are refused before the handler: control characters in a header field.
    assert!(served > 200, "{served}");
    for line in lines(&prefix, "logs/json.log") {
        assert!(is_json(&line), "{}", String::from_utf8_lossy(&line));
    }
}

/// An object of four strings; no byte below a space, no lone quote, no unknown escape (RFC 8259, 7).
fn is_json(line: &[u8]) -> bool {
    let mut strings = 0;
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'"' {
            if !b"{}:,".contains(byte) {
                return false;
            }
            continue;
        }
        strings += 1;
        loop {
            match bytes.next() {
                Some(b'"') => break,
                Some(b'\\') => match bytes.next() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') if bytes.by_ref().take(4).all(u8::is_ascii_hexdigit) => {}
                    _ => return false,
                },
                Some(0..=0x1f) | None => return false,
                Some(_) => {}
            }
        }
    }
    strings == 8
}
