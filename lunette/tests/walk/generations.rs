//! A reload as Lua code of a new worker sees it: it talks to its own generation, never to the one that leaves.

use crate::rig::{PATIENCE, Prefix, connect_and_send, free_port, parse, signal, until};
use std::io::Read;
use std::net::UdpSocket;

/// Asks each listener from a timer and logs who answered.
const ASK: &str = r#"
    local function ask(name, socket)
        local body = 'nobody'
        if socket then
            socket:settimeout(60000)
            if name ~= 'stream' then socket:send('GET / HTTP/1.0\r\n\r\n') end
            body = socket:receive(name == 'udp' and 8192 or '*a') or 'nobody'
        end
        ngx.log(ngx.WARN, GENERATION, ' asked ', name, ', answered by ', body:match('generation (%d+)') or body, ';')
    end
    local function open(_, name, ...)
        local socket = name == 'udp' and ngx.socket.udp() or ngx.socket.tcp()
        ask(name, (name == 'udp' and socket:setpeername(...) or socket:connect(...)) and socket)
    end
    ngx.timer.at(0, open, 'unix', 'unix:PREFIX/web.sock')
    ngx.timer.at(0, open, 'tcp', '127.0.0.1', PORT1)
    ngx.timer.at(0.001, open, 'late', 'unix:PREFIX/web.sock')
    ngx.timer.at(0, open, 'reuseport', '127.0.0.1', PORT2)
    ngx.timer.at(0, open, 'stream', 'unix:PREFIX/stream.sock')
    ngx.timer.at(0, open, 'udp', '127.0.0.1', PORT3)
"#;

const NAMES: [&str; 6] = ["unix", "tcp", "late", "reuseport", "stream", "udp"];

fn configuration(prefix: &Prefix, ports: [u16; 3], workers: usize, generation: usize) -> String {
    let text = format!(
        "worker_processes {workers};\nerror_log logs/error.log notice;\nevents {{ worker_connections 10224; }}\nhttp {{\n\
         init_worker_by_lua_block {{{ASK}}}\n\
         server {{ listen unix:PREFIX/web.sock; listen 127.0.0.1:PORT1; listen 127.0.0.1:PORT2 reuseport; return 200 'generation {generation}'; }}\n}}\n\
         stream {{\n\
         server {{ listen unix:PREFIX/stream.sock; return 'generation {generation}'; }}\n\
         server {{ listen 127.0.0.1:PORT3 udp; return 'generation {generation}'; }}\n}}\n"
    );
    let text = text.replace("GENERATION", &generation.to_string()).replace("PREFIX", &prefix.path.to_string_lossy());
    (1..).zip(ports).fold(text, |text, (number, port)| text.replace(&format!("PORT{number}"), &port.to_string()))
}

#[test]
fn timers_of_a_new_worker_reach_only_new_workers() {
    let prefix = Prefix::new();
    let ports = [free_port(), free_port(), free_port()];
    for (generation, workers) in [2, 2, 3, 1, 4, 2].into_iter().enumerate() {
        prefix.write("conf/nginx.conf", &configuration(&prefix, ports, workers, generation));
        let how: &[&str] = if generation == 0 { &[] } else { &["-s", "reload"] };
        let output = prefix.run(how);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for name in NAMES {
            let asked = format!(" {generation} asked {name}, answered by ");
            until("all answers", || prefix.read("logs/error.log").matches(&asked).count() == workers);
            let log = prefix.read("logs/error.log");
            assert_eq!(log.matches(&format!("{asked}{generation};")).count(), workers, "{log}");
        }
    }
}

/// Fewer workers have fewer sockets of a `reuseport` listener: who waits on one that goes has nobody else.
#[test]
fn connections_that_wait_on_a_socket_that_goes_are_taken() {
    let (prefix, port) = (Prefix::new(), free_port());
    let configure = |workers| {
        let text = format!(
            "worker_processes {workers};\nerror_log logs/error.log notice;\nevents {{ worker_connections 10224; }}\n\
             http {{ server {{ listen 127.0.0.1:{port} reuseport; return 200 'here'; }} }}\n"
        );
        prefix.write("conf/nginx.conf", &text);
    };
    configure(2);
    assert!(prefix.run(&[]).status.success());
    let started = || {
        let log = prefix.read("logs/error.log");
        let of = |line: &str| line.split_once(": start worker process ").and_then(|(_, pid)| pid.trim().parse::<i32>().ok());
        log.lines().filter_map(of).collect::<Vec<_>>()
    };
    until("two workers", || started().len() == 2);
    let old = started();
    connect_and_send(port, "GET / HTTP/1.0\r\n\r\n").read_to_end(&mut Vec::new()).unwrap();
    old.iter().for_each(|pid| signal("-STOP", pid));
    let waiting: Vec<_> = (0..200).map(|_| connect_and_send(port, "GET / HTTP/1.0\r\n\r\n")).collect();
    configure(1);
    signal("-HUP", prefix.master());
    until("the new worker", || started().len() == 3);
    old.iter().for_each(|pid| signal("-CONT", pid));
    for mut client in waiting {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        assert_eq!(parse(&bytes).unwrap().text(), "here");
    }
}

/// Sessions keep the socket of a worker that leaves, and where nobody inherits it, it must not get what is for the others.
#[test]
fn datagrams_find_those_who_stay_when_workers_become_fewer() {
    let (prefix, port) = (Prefix::new(), free_port());
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let upstream = echo.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((length, from)) = echo.recv_from(&mut bytes) {
            let _ = echo.send_to(&bytes[..length], from);
        }
    });
    let configure = |workers| {
        let text = format!(
            "worker_processes {workers};\nerror_log logs/error.log notice;\nevents {{ worker_connections 10224; }}\n\
             stream {{ server {{ listen 127.0.0.1:{port} udp reuseport; proxy_pass {upstream}; }} }}\n"
        );
        prefix.write("conf/nginx.conf", &text);
    };
    configure(4);
    assert!(prefix.run(&[]).status.success());
    let answered = |client: &UdpSocket, word: &[u8]| {
        client.send_to(word, ("127.0.0.1", port)).unwrap();
        let mut bytes = [0; 64];
        let length = client.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], word);
    };
    let clients: Vec<_> = (0..32).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    clients.iter().for_each(|client| client.set_read_timeout(Some(PATIENCE)).unwrap());
    clients.iter().for_each(|client| answered(client, b"before"));
    configure(1);
    signal("-HUP", prefix.master());
    until("all have been told", || prefix.read("logs/error.log").matches("gracefully shutting down").count() == 4);
    clients.iter().for_each(|client| answered(client, b"after"));
    let late: Vec<_> = (0..32).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for client in late {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        answered(&client, b"late");
    }
}
