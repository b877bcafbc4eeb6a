//! A server of the test binary, with the sample modules and the protocols of tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SERVE: &str = "LUNETTE_TEST_SERVES";

/// Not a test by itself: the server that others start.
#[test]
fn server() {
    let Some(prefix) = std::env::var_os(SERVE) else { return };
    let arguments = ["lunette".into(), "-p".into(), prefix, "-c".into(), "conf".into()];
    let program = crate::program::program("lunette".as_ref());
    std::process::exit(daemon::run(&mut crate::application::Server::default(), &program, arguments.to_vec()));
}

/// Such a server, which ends with the value.
pub(crate) struct Running {
    child: Child,
    prefix: PathBuf,
    port: u16,
}

impl Running {
    /// Starts one with this text in `http`, where `$PORT` stands for a free port.
    pub(crate) fn start(http: &str) -> Running {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let prefix = std::env::temp_dir().join(format!("lunette-running-{}-{port}", std::process::id()));
        std::fs::create_dir_all(prefix.join("logs")).unwrap();
        let http = http.replace("$PORT", &port.to_string());
        std::fs::write(prefix.join("conf"), format!("daemon off; events {{ }}\nhttp {{ {http} }}\n")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tests::running::server", "--nocapture"]).env(SERVE, &prefix).stdout(Stdio::null()).process_group(0);
        Running { child: command.spawn().unwrap(), prefix, port }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection to it, once it listens.
    pub(crate) fn connect(&self) -> TcpStream {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return stream,
                Err(error) if Instant::now() > end => panic!("nobody listens: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Its whole response to a request for `path`.
    pub(crate) fn get(&self, path: &str) -> String {
        self.get_from("localhost", path)
    }

    /// Its whole response to a request for `path` of this host.
    pub(crate) fn get_from(&self, host: &str, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits until this is the last line of a file below its prefix.
    pub(crate) fn await_last_line(&self, file: &str, line: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let text = std::fs::read_to_string(self.prefix.join(file)).unwrap_or_default();
            if text.lines().last() == Some(line) {
                return;
            }
            assert!(Instant::now() < end, "{line}\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The worker too, which outlives a master that is killed.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.prefix);
    }
}
