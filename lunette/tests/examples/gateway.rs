//! A gateway for TCP: the first byte of a session chooses who serves it.

use crate::copy::Copy;
use crate::rig::{PATIENCE, exchange, until};
use std::io::{Read, Write};
use std::net::TcpStream;

fn hear(stream: &mut TcpStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

#[test]
fn one_port_serves_several_protocols() {
    let copy = Copy::of("tcp-gateway");
    let _server = copy.start();
    copy.ask();
    // Each session meets the next of the store's servers, and all of them the same values.
    for (count, step) in [("1", "+OK\r\n"), ("2", "+OK\r\n"), ("3", "+OK\r\n")] {
        let mut stream = TcpStream::connect(("127.0.0.1", copy.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"*3\r\n$3\r\nset\r\n$5\r\ncolor\r\n$4\r\nblue\r\n").unwrap();
        hear(&mut stream, step);
        stream.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\ncolor\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nnone\r\n").unwrap();
        hear(&mut stream, &format!("$4\r\nblue\r\n:{count}\r\n-ERR unknown command\r\n"));
    }
    assert_eq!(exchange(copy.port(), b"what is this").unwrap(), b"");
    until("the lines of the log", || {
        let text = copy.prefix.read("logs/sessions.log");
        ["8081", "8082"].iter().all(|port| text.contains(&copy.filled(&format!(" store 127.0.0.1:{port} "))))
            && text.contains(&copy.filled(" web 127.0.0.1:8443 "))
            && text.contains(" 403\n")
    });
    let log = copy.prefix.read("logs/error.log");
    assert!(!log.contains("[error]") && log.contains("nobody speaks what begins with byte 119"), "{log}");
}
