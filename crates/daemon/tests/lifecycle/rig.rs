//! Starting the server under test, asking it, and looking at its processes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A prefix directory with a server's files; whatever runs there is killed at the end.
pub(crate) struct Rig {
    pub(crate) prefix: PathBuf,
    pub(crate) port: u16,
    seen: Vec<i32>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = std::env::temp_dir().join(format!("lunette-daemon-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&prefix).unwrap();
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), prefix.join("nginx")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { prefix, port, seen: Vec::new() }
    }

    pub(crate) fn configure(&self, lines: &str) {
        std::fs::write(self.prefix.join("nginx.conf"), format!("listen 127.0.0.1:{}\n{lines}", self.port)).unwrap();
    }

    /// Runs the program to its end; a daemon's parent ends at once.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.prefix.join("nginx")).arg("-p").arg(&self.prefix).args(arguments).output().unwrap()
    }

    /// Starts a daemon and returns the master's process id.
    pub(crate) fn start(&mut self, lines: &str) -> i32 {
        self.configure(lines);
        // Not output(): the daemon keeps standard error, so its end would never come.
        let status = Command::new(self.prefix.join("nginx"))
            .arg("-p")
            .arg(&self.prefix)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let master = self.pid("nginx.pid").unwrap();
        self.seen.push(master);
        master
    }

    pub(crate) fn pid(&self, file: &str) -> Option<i32> {
        std::fs::read_to_string(self.prefix.join(file)).ok()?.trim_end().parse().ok()
    }

    pub(crate) fn signal(&self, pid: i32, number: i32) {
        sys::process::kill(pid, number).unwrap();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// One question on a new connection: the response and the worker's process id.
    pub(crate) fn ask(&self) -> (String, i32) {
        answer(&self.connect())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.prefix.join("error.log")).unwrap_or_default()
    }

    pub(crate) fn until_logged(&self, text: &str) {
        self.until(text, || self.log().contains(text));
    }

    pub(crate) fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        // Only failures wait this long.
        for _ in 0..6000 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("never happened: {what}\n{}", self.log());
    }

    pub(crate) fn until_gone(&self, pid: i32) {
        self.until(&format!("the end of {pid}"), || !alive(pid));
    }

    pub(crate) fn remember(&mut self, pid: i32) {
        self.seen.push(pid);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for &master in &self.seen {
            // A master that ends by itself takes its workers along; one that is killed replaces or orphans them.
            let _ = sys::process::kill(master, sys::signal::SIGTERM);
            for _ in 0..300 {
                if !alive(master) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            for pid in workers(master).into_iter().chain([master]) {
                if alive(pid) {
                    let _ = sys::process::kill(pid, sys::signal::SIGKILL);
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.prefix);
    }
}

/// Sends a line and reads the response.
pub(crate) fn answer(mut stream: &TcpStream) -> (String, i32) {
    stream.write_all(b"?\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let (word, pid) = line.trim_end().rsplit_once(' ').unwrap();
    (word.to_owned(), pid.parse().unwrap())
}

/// Whether a process runs; one that waits to be reaped does not.
pub(crate) fn alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !matches!(stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()), Some('Z' | 'X') | None)
}

/// The children of a process that run.
pub(crate) fn workers(master: i32) -> Vec<i32> {
    let list = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| alive(*pid)).collect()
}

/// What `ps` shows.
pub(crate) fn title(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
}
