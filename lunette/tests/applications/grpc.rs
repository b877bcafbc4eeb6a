//! A gRPC client and a gRPC server of Python, with Lunette between them.

use crate::rig::{Foreground, Prefix, free_port};
use crate::server::{At, Server};
use std::process::Command;

/// The system's Python has the system's modules.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn calls_of_every_kind() {
    let prefix = Prefix::new();
    let (port, upstream) = (free_port(), free_port());
    prefix.write("server.py", include_str!("grpc/server.py"));
    prefix.write("client.py", include_str!("grpc/client.py"));
    let configuration = include_str!("grpc/nginx.conf").replace("$PORT", &port.to_string());
    prefix.write("conf/nginx.conf", &configuration.replace("$UPSTREAM", &upstream.to_string()));
    let mut command = Command::new(PYTHON);
    command.arg(prefix.path.join("server.py")).arg(upstream.to_string());
    let _application = Server::start(command, &At::Port(upstream));
    let _server = Foreground::start(&prefix, port, "").unwrap();
    let client = Command::new(PYTHON).arg(prefix.path.join("client.py")).arg(port.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&client.stdout);
    assert!(said.trim() == "good", "{said}{}\n{}", String::from_utf8_lossy(&client.stderr), prefix.read("logs/error.log"));
}
