//! HAProxy in front: who the client is stands in the PROXY protocol, in clear text and before TLS.

use crate::client::send;
use crate::rig::{Foreground, Prefix, free_port, until};
use crate::server::{At, Server, program};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

const SAYS: &str = "'$remote_addr $remote_port $realip_remote_addr $proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr \
                    $proxy_protocol_server_port $server_protocol $https'";

struct Ports {
    front: u16,
    bytes: u16,
    through: u16,
}

fn start() -> (Prefix, Ports, Foreground, Server) {
    let prefix = Prefix::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    prefix.write("conf/server.crt", &certificate);
    prefix.write("conf/server.key", &key);
    prefix.write("conf/both.pem", &format!("{certificate}{key}"));
    let (plain, secure) = (free_port(), free_port());
    let ports = Ports { front: free_port(), bytes: free_port(), through: free_port() };
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ worker_connections 256; }}\n\
             http {{ client_body_buffer_size 1m; log_format says {SAYS}; access_log logs/access.log says;\n\
             server {{ listen 127.0.0.1:{plain} proxy_protocol; listen 127.0.0.1:{secure} ssl proxy_protocol; http2 on;\n\
             ssl_certificate server.crt; ssl_certificate_key server.key;\n\
             set_real_ip_from 127.0.0.7; real_ip_header proxy_protocol;\n\
             add_header X-Id $proxy_protocol_tlv_unique_id; add_header X-Version $proxy_protocol_tlv_ssl_version;\n\
             add_header X-Cipher $proxy_protocol_tlv_ssl_cipher;\n\
             location / {{ return 200 {SAYS}; }}\n\
             location /body {{ content_by_lua_block {{ ngx.req.read_body() ngx.print(ngx.req.get_body_data()) }} }}\n\
             location ~ /denied$ {{ allow 127.0.0.7; deny all; content_by_lua_block {{ ngx.exit(204) }} }} }} }}\n"
        ),
    );
    let names = [("$FRONT", ports.front), ("$BYTES", ports.bytes), ("$THROUGH", ports.through), ("$PLAIN", plain), ("$SECURE", secure)];
    let text = include_str!("haproxy/haproxy.cfg").replace("$PEM", &prefix.path.join("conf/both.pem").display().to_string());
    let text = names.iter().fold(text, |text, (name, port)| text.replace(name, &port.to_string()));
    prefix.write("conf/haproxy.cfg", &text);
    let server = Foreground::start(&prefix, plain, "").unwrap();
    let mut command = Command::new(program("haproxy").expect("no haproxy; ./test.sh installs it"));
    command.arg("-db").arg("-f").arg(prefix.path.join("conf/haproxy.cfg"));
    let haproxy = Server::start(command, &At::Port(ports.front));
    (prefix, ports, server, haproxy)
}

/// Asks from a socket whose port is known; the answer's text, with that port in front.
fn asked(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let own = stream.local_addr().unwrap().port();
    stream.write_all(&crate::client::request("GET", path, &[], b"")).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    (own, String::from_utf8_lossy(&answer).into_owned())
}

/// The same through TLS, by the client of OpenSSL; it does not say its port.
fn asked_over_tls(port: u16, path: &str) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost"]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(&crate::client::request("GET", path, &[], b"")).unwrap();
    String::from_utf8_lossy(&client.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn the_client_is_who_haproxy_says() {
    let (prefix, ports, _server, _haproxy) = start();
    let front = ports.front;
    for (path, protocol, https) in
        [("/plain", "HTTP/1.1", ""), ("/version1", "HTTP/1.1", ""), ("/secure", "HTTP/1.1", "on"), ("/h2", "HTTP/2.0", "on")]
    {
        let (own, answer) = asked(front, path);
        let wanted = format!("127.0.0.1 {own} 127.0.0.7 127.0.0.1 {own} 127.0.0.1 {front} {protocol} {https}");
        assert!(answer.ends_with(&format!("\r\n\r\n{wanted}")), "{path}: {answer}\n{}", prefix.read("logs/error.log"));
        until("the access log", || prefix.read("logs/access.log").lines().any(|line| line == wanted));
        assert_eq!(answer.to_lowercase().contains("x-id: id-"), path == "/plain", "{answer}");
        // Access rules go by the client, who is not HAProxy.
        assert_eq!(send(front, "GET", &format!("{path}/denied"), &[], b"").status, 403);
    }
    for _ in 0..20 {
        let body = crate::client::pattern(200_000);
        assert!(send(front, "POST", "/body", &[], &body).body == body, "{}", prefix.read("logs/error.log"));
    }
    // Checks of HAProxy's own come as LOCAL, without a client: nothing is wrong with them.
    let log = prefix.read("logs/error.log");
    assert!(log.matches("[error]").count() == log.matches("access forbidden by rule").count() && !log.contains("broken header"), "{log}");
}

#[test]
fn tls_behind_the_protocol_and_records_about_tls_in_front() {
    let (prefix, ports, _server, _haproxy) = start();
    let answer = asked_over_tls(ports.through, "/");
    assert!(answer.contains("\r\n\r\n127.0.0.1 ") && answer.ends_with(&format!(" {} HTTP/1.1 on", ports.through)), "{answer}");
    let answer = asked_over_tls(ports.bytes, "/");
    assert!(answer.ends_with(&format!(" {} HTTP/1.1 ", ports.bytes)), "{answer}\n{}", prefix.read("logs/error.log"));
    assert!(answer.contains("X-Version: TLSv1.3\r\n") && answer.contains("X-Cipher: TLS_"), "{answer}");
}
