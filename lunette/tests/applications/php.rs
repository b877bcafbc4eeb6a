//! PHP as FastCGI: php-fpm, or php-cgi where that is not installed.

use crate::client::{form, in_parts, pattern, read_until, request, send};
use crate::rig::{Foreground, Prefix, exchange, free_port, get};
use crate::server::{At, Server, program};
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

const SCRIPTS: [(&str, &str); 8] = [
    ("html/index.php", include_str!("php/index.php")),
    ("html/login.php", include_str!("php/login.php")),
    ("html/upload.php", include_str!("php/upload.php")),
    ("html/large.php", include_str!("php/large.php")),
    ("html/flush.php", include_str!("php/flush.php")),
    ("html/errors.php", include_str!("php/errors.php")),
    ("html/crash.php", include_str!("php/crash.php")),
    ("html/status.php", include_str!("php/status.php")),
];

const SETTINGS: [(&str, &str); 5] =
    [("upload_max_filesize", "64M"), ("post_max_size", "64M"), ("log_errors", "On"), ("error_log", ""), ("display_errors", "Off")];

fn php(prefix: &Prefix) -> Server {
    let socket = prefix.path.join("php.sock");
    let sessions = prefix.path.join("sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let settings = SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let settings = settings.chain([("session.save_path", sessions.display().to_string())]);
    let mut command;
    if let Some(fpm) = program("php-fpm") {
        let mut pool = format!(
            "[global]\nerror_log = {}\n[www]\nlisten = {}\nlisten.mode = 0666\npm = static\npm.max_children = 3\n",
            prefix.path.join("logs/php.log").display(),
            socket.display()
        );
        // Without the rights of root both are ignored with a notice.
        pool += "user = root\ngroup = root\n";
        settings.for_each(|(name, value)| pool += &format!("php_admin_value[{name}] = {value}\n"));
        prefix.write("conf/php.conf", &pool);
        command = Command::new(fpm);
        command.args(["-F", "-R", "-y"]).arg(prefix.path.join("conf/php.conf"));
    } else {
        command = Command::new(program("php-cgi").expect("neither php-fpm nor php-cgi; ./test.sh installs them"));
        command.arg("-b").arg(&socket).env("PHP_FCGI_CHILDREN", "3");
        command.args(settings.flat_map(|(name, value)| ["-d".to_owned(), format!("{name}={value}")]));
    }
    Server::start(command, &At::Socket(&socket))
}

fn configuration(prefix: &Prefix, port: u16) -> String {
    let socket = prefix.path.join("php.sock");
    include_str!("php/nginx.conf").replace("$PORT", &port.to_string()).replace("$SOCKET", &socket.display().to_string())
}

fn start() -> (Prefix, u16, Server, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    SCRIPTS.iter().for_each(|(name, text)| prefix.write(name, text));
    prefix.write("html/page.html", "a page\n");
    prefix.write("conf/nginx.conf", &configuration(&prefix, port));
    let php = php(&prefix);
    let server = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, php, server)
}

#[test]
fn a_form_a_session_and_a_redirect() {
    let (_prefix, port, _php, _server) = start();
    let typed = [("Content-Type", "application/x-www-form-urlencoded")];
    let wrong = send(port, "POST", "/login.php", &typed, b"name=a&password=no");
    assert_eq!((wrong.status, wrong.text().as_str()), (403, "no\n"));
    let right = send(port, "POST", "/login.php", &typed, b"name=anna+maria&password=secret");
    assert_eq!((right.status, right.header("Location")), (302, Some("/login.php")));
    let cookie = right.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let again = send(port, "GET", "/login.php", &[("Cookie", &cookie)], b"");
    assert_eq!((again.status, again.text().as_str()), (200, "hello anna maria\n"));
    assert_eq!(send(port, "GET", "/login.php", &[], b"").text(), "who are you\n");
}

#[test]
fn pretty_addresses_path_info_and_parameters() {
    let (_prefix, port, _php, _server) = start();
    assert_eq!(get(port, "/page.html").unwrap().text(), "a page\n");
    let words = |path: &str| get(port, path).unwrap().text().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("/"), ["SCRIPT_NAME=/index.php", "PATH_INFO=", "QUERY_STRING=", "REQUEST_URI=/", "HTTPS="]);
    assert_eq!(
        words("/2026/a-post/?x=1&y=%20"),
        ["SCRIPT_NAME=/index.php", "PATH_INFO=", "QUERY_STRING=x=1&y=%20", "REQUEST_URI=/2026/a-post/?x=1&y=%20", "HTTPS="]
    );
    assert_eq!(
        words("/index.php/a/b?c"),
        ["SCRIPT_NAME=/index.php", "PATH_INFO=/a/b", "QUERY_STRING=c", "REQUEST_URI=/index.php/a/b?c", "HTTPS="]
    );
    assert_eq!(get(port, "/nothing.php").unwrap().status, 404);
    let status = get(port, "/status.php").unwrap();
    assert_eq!((status.status, status.header("X-Made"), status.header("X-Powered-By")), (418, Some("here"), None));
    let head = send(port, "HEAD", "/status.php", &[], b"");
    assert_eq!((head.status, head.body.len()), (418, 0));
}

#[test]
fn an_upload_of_20_megabytes_and_an_answer_of_10() {
    let (prefix, port, _php, _server) = start();
    let data = pattern(20 << 20);
    let typed = [("Content-Type", "multipart/form-data; boundary=xyz")];
    for path in ["/upload.php", "/streamed/upload.php"] {
        let answer = send(port, "POST", path, &typed, &form("xyz", &data));
        assert_eq!((answer.status, answer.text()), (200, format!("{}\n", data.len())), "{path}");
        assert!(std::fs::read(prefix.path.join("sessions/uploaded")).unwrap() == data, "{path}");
    }
    for path in ["/large.php", "/unbuffered/large.php"] {
        let answer = get(port, path).unwrap();
        assert!(answer.status == 200 && answer.body == pattern(10 << 20), "{path}");
    }
}

#[test]
fn an_answer_that_is_flushed_arrives_before_its_end() {
    let (prefix, port, _php, _server) = start();
    let gate = prefix.path.join("sessions/gate");
    in_parts(port, "/unbuffered/flush.php", b"first", || std::fs::write(&gate, "").unwrap(), b"second");
}

#[test]
fn errors_are_in_the_log_and_a_crash_is_a_502() {
    let (prefix, port, _php, _server) = start();
    assert_eq!(get(port, "/errors.php").unwrap().text(), "went on\n");
    let log = prefix.read("logs/error.log");
    // php-fpm puts `PHP message: ` in front.
    assert!(log.contains("FastCGI sent in stderr: \"") && log.contains("something is odd"), "{log}");
    assert!(log.contains("upstream: \"fastcgi://unix:"), "{log}");
    let crash = get(port, "/crash.php").unwrap();
    assert_eq!(crash.status, 502);
    assert!(prefix.read("logs/error.log").contains("while reading response header from upstream"));
    // What came before the crash is passed on, but the answer has no end.
    let broken = exchange(port, &request("GET", "/unbuffered/crash.php?late", &[], b"")).unwrap();
    let text = String::from_utf8_lossy(&broken);
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("so far") && !text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(get(port, "/status.php").unwrap().status, 418);
}

#[test]
fn a_client_that_goes_away_costs_nobody_else_his_answer() {
    let (prefix, port, _php, _server) = start();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&request("GET", "/unbuffered/flush.php", &[], b"")).unwrap();
    read_until(&mut stream, b"first");
    drop(stream);
    std::fs::write(prefix.path.join("sessions/gate"), "").unwrap();
    for _ in 0..10 {
        assert_eq!(get(port, "/status.php").unwrap().status, 418);
    }
}
