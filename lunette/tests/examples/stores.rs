//! The two architectures: everything on one machine, and data on many; and what they keep when servers die.

use crate::copy::Copy;
use crate::rig::{Foreground, Response, exchange, free_port, parse, until};
use crate::server::{At, Server, program};
use std::path::{Path, PathBuf};
use std::process::Command;

fn ask(copy: &Copy, method: &str, path: &str, body: &str) -> Response {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    parse(&exchange(copy.port(), request.as_bytes()).unwrap()).unwrap()
}

fn redis(directory: &Path, arguments: &[&str], at: &At<'_>) -> Server {
    let mut command = Command::new(program("redis-server").expect("no redis-server; ./test.sh installs it"));
    command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(directory).args(arguments);
    Server::start(command, at)
}

#[test]
fn one_machine_keeps_what_it_acknowledged() {
    let copy = Copy::of("closed-loop");
    let socket = copy.prefix.path.join("redis.sock");
    copy.replace("/run/redis/redis.sock", socket.to_str().unwrap());
    let path = socket.to_str().unwrap().to_owned();
    let start = || {
        redis(
            &copy.prefix.path,
            &["--port", "0", "--unixsocket", &path, "--unixsocketperm", "777", "--appendonly", "yes", "--appendfsync", "always"],
            &At::Socket(&socket),
        )
    };
    let store = start();
    let server = copy.start();
    until("the data", || ask(&copy, "GET", "/ready", "").status == 200);
    copy.ask();
    for number in 0..20 {
        assert_eq!(ask(&copy, "PUT", &format!("/items/i{number}"), &format!("value {number}")).status, 204);
    }
    assert_eq!(ask(&copy, "GET", "/items/i3", "").header("X-From"), Some("far"));
    let near = ask(&copy, "GET", "/items/i3", "");
    assert_eq!((near.header("X-From"), near.text().as_str()), (Some("near"), "value 3"));
    // A change is seen by the copies at once.
    assert_eq!(ask(&copy, "PUT", "/items/i3", "changed").status, 204);
    assert_eq!(ask(&copy, "GET", "/items/i3", "").text(), "changed");
    // Without Redis nothing is acknowledged, and everything can be read.
    store.kill();
    assert_eq!(ask(&copy, "PUT", "/items/i4", "lost").status, 503);
    assert_eq!(ask(&copy, "GET", "/items/i4", "").text(), "value 4");
    drop(server);
    until("the end", || copy.prefix.is_down());
    let _server = Foreground::start(&copy.prefix, copy.port(), "daemon off;").unwrap();
    assert_eq!((ask(&copy, "GET", "/ready", "").status, ask(&copy, "GET", "/items/i4", "").status), (503, 503));
    let _store = start();
    until("the data", || ask(&copy, "GET", "/ready", "").status == 200);
    assert_eq!(ask(&copy, "GET", "/items/i3", "").text(), "changed");
    for number in 4..20 {
        assert_eq!(ask(&copy, "GET", &format!("/items/i{number}"), "").text(), format!("value {number}"));
    }
}

/// A PostgreSQL server in a directory of its own. It does not run as root.
struct Postgres {
    _server: Server,
    directory: PathBuf,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Postgres {
    fn start(copy: &Copy, port: u16) -> Postgres {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("no postgresql; ./test.sh installs it");
        let bin = versions.map(|entry| entry.unwrap().path().join("bin")).find(|bin| bin.join("initdb").exists()).unwrap();
        let directory = std::env::temp_dir().join(format!("lunette-postgres-{}-{port}", std::process::id()));
        let run = |command: &mut Command| {
            let output = command.current_dir("/tmp").env("LC_ALL", "C.UTF-8").output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(as_postgres(&bin.join("initdb")).args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(&directory));
        let mut command = as_postgres(&bin.join("postgres"));
        command.arg("-D").arg(&directory).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.arg("-k").arg(&directory).current_dir("/tmp");
        let server = Postgres { _server: Server::start(command, &At::Port(port)), directory };
        let mut psql = Command::new(bin.join("psql"));
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", "127.0.0.1", "-p", &port.to_string(), "-f"]);
        psql.arg(copy.prefix.path.join("schema.sql"));
        // It takes connections a little before it takes statements.
        until("the schema", || psql.output().unwrap().status.success());
        server
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_a_primary_dies() {
    let copy = Copy::of("sharded");
    let postgres_at = free_port();
    copy.replace("port = 5432", &format!("port = {postgres_at}"));
    let ports = ["6381", "6382", "6391", "6392"].map(|name| (name, free_port()));
    for (name, port) in ports {
        copy.replace(name, &port.to_string());
    }
    let directory = |port: u16| {
        let directory = copy.prefix.path.join(port.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        directory
    };
    let start = |port: u16| redis(&directory(port), &["--port", &port.to_string()], &At::Port(port));
    let _postgres = Postgres::start(&copy, postgres_at);
    let [first, _second] = [start(ports[0].1), start(ports[1].1)];
    // Nothing says who they follow: the nodes bring them to what the map says.
    let _replicas = [start(ports[2].1), start(ports[3].1)];
    let _server = copy.start();
    let shards = || ask(&copy, "GET", "/shards", "").text();
    until("the map", || shards().matches("\"epoch\":\"1\"").count() == 2);
    copy.ask();
    let mut acknowledged = Vec::new();
    let mut write = |from: usize, to: usize, round: &str| {
        for number in from..to {
            let path = format!("/customers/c{number}/orders/o");
            let body = format!("{round} {number}");
            // An order that was refused is sent again, as its client would.
            until("an order", || ask(&copy, "PUT", &path, &body).status == 204);
            acknowledged.push((path, body));
        }
    };
    write(0, 40, "first");
    // The primary dies while orders come in, changes of old ones among them.
    first.kill();
    write(20, 60, "second");
    until("another primary", || shards().contains("\"epoch\":\"2\""));
    write(50, 70, "third");
    let mut last = std::collections::BTreeMap::new();
    last.extend(acknowledged);
    for (path, body) in &last {
        until("what was acknowledged", || {
            let answer = ask(&copy, "GET", path, "");
            answer.status == 200 && answer.text() == *body
        });
    }
    // In the end the shards have all of it.
    for (path, body) in &last {
        until("the shard", || {
            let answer = ask(&copy, "GET", path, "");
            answer.header("X-From") == Some("primary") && answer.text() == *body
        });
    }
    // The dead one comes back as the replica.
    let _back = start(ports[0].1);
    until("the replica", || copy.prefix.read("logs/error.log").contains(&format!("127.0.0.1:{} replicaof 127.0.0.1: OK", ports[0].1)));
}
