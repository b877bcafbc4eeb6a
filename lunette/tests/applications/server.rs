//! An application server for a test, ended with the value.

use crate::rig::{PATIENCE, Prefix, until};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a server is started that ends at once.
const STARTS: u32 = 50;

/// A running server.
pub(crate) struct Server {
    child: Child,
}

/// Where it listens.
pub(crate) enum At<'a> {
    Port(u16),
    Socket(&'a Path),
}

impl Server {
    /// Starts it and waits until it takes connections. One that ends at once is started again: a port that was free may be that of another
    /// test's outgoing connection for a moment.
    pub(crate) fn start(mut command: Command, at: &At<'_>) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut spawn = || command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; ./test.sh installs what tests need"));
        let mut server = Server { child: spawn() };
        let mut left = STARTS;
        until("an application server", || {
            if let Some(ended) = server.child.try_wait().unwrap() {
                left -= 1;
                assert!(left > 0, "an application server ended: {ended}");
                server.child = spawn();
            }
            match at {
                At::Port(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
                At::Socket(path) => UnixStream::connect(path).is_ok(),
            }
        });
        server
    }

    /// Starts Redis without persistence.
    #[allow(dead_code, reason = "the programs that share this file use parts of it")]
    pub(crate) fn redis(prefix: &Prefix, port: u16) -> Server {
        let mut command = Command::new(program("redis-server").expect("no redis-server; ./test.sh installs it"));
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"]).arg(&prefix.path);
        Server::start(command, &At::Port(port))
    }

    /// Kills it, so that it has no time to put anything in order.
    #[allow(dead_code, reason = "of the programs that share this file, one kills")]
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            // Its number may be another process's by now.
            return;
        }
        // A master takes its workers with it, which a killed one cannot.
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let end = Instant::now() + PATIENCE / 4;
        while asked.is_ok() && Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program whose name begins so, in the usual places: `php-fpm8.2`.
pub(crate) fn program(start: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
}
