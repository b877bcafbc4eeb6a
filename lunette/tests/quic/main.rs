//! QUIC as a transport, on the real binary: several workers, clients that move, reloads, new binaries, processes that die. What is
//! spoken is HTTP/0.9 (`http3_hq`), a line for a body.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod floods;
mod handshakes;
mod processes;
#[path = "../rig/mod.rs"]
mod rig;

use quinn_proto::Dir;
use rig::quic::{Client, Received, Wishes};
use rig::{Foreground, Prefix, free_port, get, until};

/// A server with so many workers.
pub(crate) struct Server {
    pub(crate) prefix: Prefix,
    pub(crate) port: u16,
    /// Unless it is a daemon.
    running: Option<Foreground>,
}

impl Server {
    /// Starts one; `http` stands at the level of `http`, `server` in the server.
    pub(crate) fn start(workers: usize, http: &str, server: &str) -> Server {
        Server::with_room(64, workers, http, server)
    }

    /// The same with another number of connections.
    pub(crate) fn with_room(connections: usize, workers: usize, http: &str, server: &str) -> Server {
        let mut made = Server::prepare("daemon off;", connections, workers, http, server);
        made.running = Some(Foreground::start(&made.prefix, made.port, "").unwrap());
        until("a worker", || get(made.port, "/pid").is_ok());
        made
    }

    /// The same as a daemon, which ends with its prefix.
    pub(crate) fn daemon(workers: usize, server: &str) -> Server {
        let made = Server::prepare("", 64, workers, "", server);
        assert!(made.prefix.run(&[]).status.success());
        until("a worker", || get(made.port, "/pid").is_ok());
        made
    }

    fn prepare(global: &str, connections: usize, workers: usize, http: &str, server: &str) -> Server {
        let (prefix, port) = (Prefix::new(), free_port());
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        prefix.write("conf/c.pem", &made.cert.pem());
        prefix.write("conf/k.pem", &made.signing_key.serialize_pem());
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "{global} worker_processes {workers}; error_log logs/error.log info;\nevents {{ worker_connections {connections}; }}\n\
                 http {{ ssl_certificate c.pem; ssl_certificate_key k.pem; http3_hq on; {http}\n\
                 server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{port} quic; server_name localhost;\n\
                 location = /pid {{ content_by_lua_block {{ ngx.print(ngx.worker.pid()) }} }}\n{server} }} }}\n"
            ),
        );
        Server { prefix, port, running: None }
    }

    /// A connection that stands.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.port, &Wishes::new(b"hq-interop")).unwrap()
    }

    /// Sends a signal to a process.
    pub(crate) fn signal(&self, name: &str, pid: i32) {
        rig::signal(&format!("-{name}"), pid);
    }

    /// The master.
    pub(crate) fn master(&self) -> i32 {
        self.prefix.master()
    }
}

/// The answer to a request on a stream of its own.
pub(crate) fn fetch(client: &mut Client, path: &str) -> Received {
    client.exchange(format!("GET {path}\r\n").as_bytes())
}

/// Which worker a connection is with.
pub(crate) fn pid(client: &mut Client) -> i32 {
    let got = fetch(client, "/pid");
    assert!(got.ended, "{:?}, reset {:?}", client.lost, got.reset);
    String::from_utf8(got.bytes).unwrap().parse().unwrap()
}

/// Begins a request whose answer is read later.
pub(crate) fn begin(client: &mut Client, path: &str) -> quinn_proto::StreamId {
    let id = client.open(Dir::Bi);
    client.send(id, format!("GET {path}\r\n").as_bytes(), true);
    id
}
