//! Real servers behind `stream`: Redis with HAProxy in front, memcached, HTTPS that is not looked into, names over UDP.

use crate::rig::dns::NameServer;
use crate::rig::{Foreground, Prefix, connect, free_port, until};
use crate::server::{At, Server, program};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

fn start(prefix: &Prefix, port: u16, blocks: &str) -> Foreground {
    let text = format!(
        "daemon off; worker_processes 1; error_log logs/error.log info; events {{ worker_connections 256; }}\n\
         stream {{ log_format way '$remote_addr $proxy_protocol_port $status $upstream_addr $upstream_bytes_sent/$upstream_bytes_received';\n\
         access_log logs/access.log way; {blocks} }}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    Foreground::start(prefix, port, "").unwrap()
}

/// Says something and reads until the answer is whole.
fn say(stream: &mut TcpStream, words: &str, answer: &str) {
    stream.write_all(words.as_bytes()).unwrap();
    let mut read = vec![0; answer.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), answer, "{words}");
}

#[test]
fn haproxy_in_front_and_redis_behind() {
    let prefix = Prefix::new();
    let (front, middle, redis, dead) = (free_port(), free_port(), free_port(), free_port());
    let _redis = Server::redis(&prefix, redis);
    let _server = start(
        &prefix,
        middle,
        &format!(
            "upstream redis {{ server 127.0.0.1:{dead}; server 127.0.0.1:{redis}; }}\n\
             server {{ listen 127.0.0.1:{middle} proxy_protocol; set_real_ip_from 127.0.0.7; proxy_pass redis; }}"
        ),
    );
    prefix.write(
        "conf/haproxy.cfg",
        &format!(
            "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n\
             listen redis\n bind 127.0.0.1:{front}\n server s 127.0.0.1:{middle} send-proxy-v2 source 127.0.0.7\n"
        ),
    );
    let mut command = Command::new(program("haproxy").expect("no haproxy; ./test.sh installs it"));
    command.arg("-db").arg("-f").arg(prefix.path.join("conf/haproxy.cfg"));
    let _haproxy = Server::start(command, &At::Port(front));
    let mut client = connect(front);
    let own = client.local_addr().unwrap().port();
    say(&mut client, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nv1\r\n", "+OK\r\n");
    for _ in 0..50 {
        say(&mut client, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$2\r\nv1\r\n");
    }
    // Large values, and many commands at once.
    let large = "x".repeat(300_000);
    say(&mut client, &format!("*3\r\n$3\r\nSET\r\n$1\r\nl\r\n${}\r\n{large}\r\n", large.len()), "+OK\r\n");
    say(&mut client, &"*2\r\n$3\r\nGET\r\n$1\r\nl\r\n".repeat(3), &format!("${}\r\n{large}\r\n", large.len()).repeat(3));
    // Another session hears what this one publishes.
    let mut listener = connect(front);
    say(&mut listener, "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    say(&mut client, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$2\r\nhi\r\n", ":1\r\n");
    say(&mut listener, "", "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n");
    drop((client, listener));
    until("the access log", || prefix.read("logs/access.log").lines().any(|line| line.starts_with(&format!("127.0.0.1 {own} 200 "))));
    let log = prefix.read("logs/error.log");
    assert!(
        log.contains("connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: 127.0.0.1:"),
        "{log}"
    );
}

#[test]
fn memcached_with_a_wait_between_commands() {
    let prefix = Prefix::new();
    let (front, memcached) = (free_port(), free_port());
    let mut command = Command::new(program("memcached").expect("no memcached; ./test.sh installs it"));
    command.args(["-l", "127.0.0.1", "-p", &memcached.to_string(), "-U", "0", "-u", "root"]);
    let _memcached = Server::start(command, &At::Port(memcached));
    let _server = start(&prefix, front, &format!("server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{memcached}; }}"));
    let mut client = connect(front);
    say(&mut client, "set k 0 0 5\r\nhello\r\n", "STORED\r\n");
    // A session that was silent has given its buffers back, and goes on.
    say(&mut client, "get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n");
    client.write_all(b"quit\r\n").unwrap();
    assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
    until("the end", || {
        prefix.read("logs/error.log").contains("upstream disconnected, bytes from/to client:33/33, bytes from/to upstream:33/33")
    });
}

#[test]
fn https_goes_through_unseen_to_the_server_that_its_name_means() {
    let prefix = Prefix::new();
    let made = rcgen::generate_simple_self_signed(["one.test".to_owned(), "two.test".to_owned()]).unwrap();
    prefix.write("conf/server.crt", &made.cert.pem());
    prefix.write("conf/server.key", &made.signing_key.serialize_pem());
    let (front, one, two) = (free_port(), free_port(), free_port());
    let text = format!(
        "daemon off; error_log logs/error.log info; events {{ worker_connections 256; }}\n\
         stream {{ map $ssl_preread_server_name $to {{ one.test 127.0.0.1:{one}; default 127.0.0.1:{two}; }}\n\
         server {{ listen 127.0.0.1:{front}; ssl_preread on; proxy_pass $to; }} }}\n\
         http {{ ssl_certificate server.crt; ssl_certificate_key server.key;\n\
         server {{ listen 127.0.0.1:{one} ssl; return 200 'one $ssl_server_name'; }}\n\
         server {{ listen 127.0.0.1:{two} ssl; return 200 'two $ssl_server_name'; }} }}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    let _server = Foreground::start(&prefix, front, "").unwrap();
    for (name, answer) in [("one.test", "one one.test"), ("two.test", "two two.test"), ("other.test", "two other.test")] {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{front}"), "-servername", name]);
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        client.stdin.as_mut().unwrap().write_all(&crate::client::request("GET", "/", &[], b"")).unwrap();
        let said = String::from_utf8_lossy(&client.wait_with_output().unwrap().stdout).into_owned();
        assert!(said.ends_with(&format!("\r\n\r\n{answer}")), "{name}: {said}\n{}", prefix.read("logs/error.log"));
    }
}

/// A question for the address of `a.test`.
fn question(id: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend_from_slice(b"\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01");
    packet
}

#[test]
fn names_are_asked_for_over_udp() {
    let prefix = Prefix::new();
    let names = NameServer::start();
    names.say(&[9]);
    let (front, dead) = (free_port(), free_port());
    let _server = start(
        &prefix,
        front,
        &format!(
            "upstream names {{ server 127.0.0.1:{dead} max_fails=1 fail_timeout=1h; server 127.0.0.1:{}; }}\n\
             server {{ listen 127.0.0.1:{front}; return here; }}\n\
             server {{ listen 127.0.0.1:{front} udp; proxy_requests 1; proxy_responses 1; proxy_timeout 20s; proxy_pass names; }}",
            names.port
        ),
    );
    let clients: Vec<UdpSocket> = (0..20).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut answered = 0_usize;
    for round in 0..20_u16 {
        for (i, client) in (0..).zip(&clients) {
            client.set_read_timeout(Some(Duration::from_millis(if answered == 0 { 500 } else { 10_000 }))).unwrap();
            client.send_to(&question(round * 100 + i), ("127.0.0.1", front)).unwrap();
            let mut packet = [0; 512];
            // The one that nobody answers at first is the dead server's, and it is the only one.
            if let Ok((length, _)) = client.recv_from(&mut packet) {
                assert_eq!(packet[..2], (round * 100 + i).to_be_bytes());
                assert!(packet[..length].ends_with(&[127, 0, 0, 9]), "{:?}", &packet[..length]);
                answered += 1;
            }
        }
    }
    assert!(answered >= 399, "{answered}\n{}", prefix.read("logs/error.log"));
    until("the access log", || {
        prefix.read("logs/access.log").lines().filter(|line| line.contains(&format!(":{} 24/", names.port))).count() >= answered
    });
    let log = prefix.read("logs/error.log");
    assert!(
        log.contains("recv() failed (111: Connection refused) while proxying and reading from upstream, udp client: 127.0.0.1, server: "),
        "{log}"
    );
    assert!(
        log.contains("upstream server temporarily disabled")
            && log.contains("udp done, packets from/to client:1/1, bytes from/to client:24/"),
        "{log}"
    );
}
