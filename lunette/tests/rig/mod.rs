//! A server for a test: a prefix of its own, free ports, bounded waits, and nothing left behind.
// Each test program uses a part of this.
#![allow(dead_code)]

pub(crate) mod chromium;
pub(crate) mod dns;
pub(crate) mod frames;
pub(crate) mod h2;
pub(crate) mod h3;
pub(crate) mod quic;
pub(crate) mod relay;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; only failures wait this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_lunette");

/// A directory that is a prefix, removed with the value.
pub(crate) struct Prefix {
    pub(crate) path: PathBuf,
}

impl Prefix {
    pub(crate) fn new() -> Prefix {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("lunette-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        for directory in ["conf", "logs", "html", "lua"] {
            fs::create_dir_all(path.join(directory)).unwrap();
        }
        Prefix { path }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path.join(name)).unwrap_or_default()).into_owned()
    }

    /// Runs the binary with `-p` and these arguments to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        command(&self.path).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// The process that the pid file names, once there is one.
    pub(crate) fn master(&self) -> i32 {
        let mut pid = None;
        until("a pid file", || {
            pid = self.read("logs/nginx.pid").trim().parse().ok();
            pid.is_some()
        });
        pid.unwrap()
    }

    /// Whether the master is gone; `-t` leaves an empty pid file.
    pub(crate) fn is_down(&self) -> bool {
        self.read("logs/nginx.pid").is_empty()
    }

    /// Whether the process with this number is a master with this prefix: the number may be another's by now.
    fn is_master(&self, pid: &str) -> bool {
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&title).contains(&*self.path.to_string_lossy())
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        if !self.is_down() {
            // A test that failed leaves its server; it must not outlive the test. The configuration may be one that `-s stop` refuses.
            let pid = self.read("logs/nginx.pid").trim().to_owned();
            let end = Instant::now() + PATIENCE;
            while self.is_master(&pid) && Instant::now() < end {
                drop(Command::new("kill").args(["-TERM", pid.as_str()]).output());
                sleep(Duration::from_millis(10));
            }
        }
        drop(fs::remove_dir_all(&self.path));
    }
}

/// The binary with a prefix.
pub(crate) fn command(prefix: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("-p").arg(prefix);
    command
}

/// A server in the foreground, killed with the value.
pub(crate) struct Foreground {
    pub(crate) child: Child,
}

impl Foreground {
    /// Starts the configuration that is in the prefix and waits until `port` answers.
    ///
    /// # Errors
    /// What the server printed when it ended instead.
    pub(crate) fn start(prefix: &Prefix, port: u16, global: &str) -> Result<Foreground, String> {
        let mut command = command(&prefix.path);
        if !global.is_empty() {
            command.arg("-g").arg(global);
        }
        // A pipe that nobody reads would hold up a server with many warnings.
        let said = fs::File::create(prefix.path.join("logs/stderr.log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(said).spawn().unwrap();
        let mut server = Foreground { child };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.child.try_wait().unwrap().is_some() || Instant::now() > end {
                drop(server.child.kill());
                let text = prefix.read("logs/stderr.log");
                return Err(format!("the server did not start: {text}{}", prefix.read("logs/error.log")));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(server)
    }
}

impl Foreground {
    /// Sends a signal to the master, such as `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }
}

/// A request as examples write it: like HTTP/1, but without its framing.
pub(crate) struct Written<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Names are in lower case.
    pub(crate) headers: Vec<(String, &'a str)>,
    pub(crate) body: Option<&'a [u8]>,
}

impl Written<'_> {
    pub(crate) fn read(block: &str) -> Written<'_> {
        let (head, body) = match block.split_once("\n\n") {
            Some((head, body)) => (head, Some(body.strip_suffix('\n').unwrap_or(body).as_bytes())),
            None => (block.trim_end_matches('\n'), None),
        };
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Written { method, path, headers, body }
    }

    /// The headers as clients take them.
    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: impl std::fmt::Display) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // The master takes its workers with it, which a killed one cannot.
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while asked.is_ok() && Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(5));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The process ID of the first worker.
fn first_worker(server: &Foreground) -> String {
    let master = server.child.id();
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}

/// Waits until the first worker uses no processor time any more: all that it can do now is done.
pub(crate) fn until_idle(server: &Foreground) {
    const LOOKS: usize = 10;
    let worker = first_worker(server);
    let (mut last, mut unchanged) = (Vec::new(), 0);
    until("the worker to be idle", || {
        // Behind the name in brackets: the state, and in the 12th and 13th field after it the ticks of processor time.
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').map(str::to_owned).collect();
        let now = [&fields[0], &fields[11], &fields[12]].map(String::clone).to_vec();
        unchanged = if now == last && now[0] == "S" { unchanged + 1 } else { 0 };
        last = now;
        unchanged >= LOOKS
    });
}

/// Resident memory of the first worker, bytes.
pub(crate) fn memory(server: &Foreground) -> u64 {
    let worker = first_worker(server);
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// How many connections the workers have parked: what the epoll sets that stand in another one wait for.
pub(crate) fn parked(master: u32) -> usize {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    children.split_whitespace().map(parked_in).sum()
}

fn parked_in(worker: &str) -> usize {
    let mut sets = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{worker}/fd")).into_iter().flatten().flatten() {
        let number = entry.file_name().to_string_lossy().into_owned();
        if fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]") {
            let facts = fs::read_to_string(format!("/proc/{worker}/fdinfo/{number}")).unwrap_or_default();
            let members = facts.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next().map(str::to_owned));
            sets.insert(number, members.collect::<Vec<_>>());
        }
    }
    let inner = |number: &String| sets.values().any(|members| members.contains(number));
    sets.iter().filter(|(number, _)| inner(number)).map(|(_, members)| members.len()).sum()
}

/// A port that is free on all addresses: `listen PORT` takes them all. It lies below those that the system gives to clients
/// (`ip_local_port_range`), one of which could take it before the server does, and no other test of this program gets it.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Programs that run side by side begin at different places.
    let begin = std::process::id().wrapping_mul(397);
    (0..COUNT)
        .map(|_| FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .expect("a port is free")
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A response, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to a port of this machine; reads from it time out.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The same, after `text` was sent.
pub(crate) fn connect_and_send(port: u16, text: &str) -> TcpStream {
    let mut stream = connect(port);
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Accepts a connection and reads the head of its first request.
pub(crate) fn accept_request(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(char::from(byte[0]));
    }
    (stream, head)
}

/// Sends raw bytes and reads until the server closes.
///
/// # Errors
/// Those of the connection.
pub(crate) fn exchange(port: u16, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that refuses may reset the connection behind its answer.
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(answer),
    }
}

/// Fetches a path with a connection of its own.
///
/// # Errors
/// Those of the connection, or an answer that is none.
pub(crate) fn get(port: u16, path: &str) -> Result<Response, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    parse(&exchange(port, request.as_bytes()).map_err(|error| error.to_string())?)
}

/// Takes a response apart; chunked bodies are put together.
///
/// # Errors
/// What is not like a response.
pub(crate) fn parse(bytes: &[u8]) -> Result<Response, String> {
    let wrong = || format!("not a response: {:?}", String::from_utf8_lossy(bytes));
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(wrong)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut answer = Response { status, headers, body: bytes[end + 4..].to_vec() };
    if (100..200).contains(&answer.status) && answer.status != 101 {
        return parse(&answer.body);
    }
    if answer.header("Transfer-Encoding") == Some("chunked") {
        answer.body = dechunk(&answer.body).ok_or_else(wrong)?;
    }
    Ok(answer)
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
