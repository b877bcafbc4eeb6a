//! A protocol for the tests: each line comes back. It shows what joining takes, a file and a line in `protocols`; accepting, TLS, limits,
//! draining and counting are the front's.

use front::active::Activity;
use front::door::{Beginning, Front, Opened, Protocol};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// `listen … echo`.
pub(crate) const PROTOCOL: Protocol = Protocol {
    name: "echo",
    parameter: Some("echo"),
    alone: true,
    instead: None,
    alpn: &[b"echo"],
    begins: |_| Beginning::Mine,
    start,
    farewell: |_, _| {},
};

fn start(front: &Rc<Front>, opened: Opened) {
    tokio::task::spawn_local(serve(front.clone(), opened));
}

async fn serve(front: Rc<Front>, mut opened: Opened) {
    opened.watch.set_activity(Activity::Idle);
    loop {
        let Some(end) = opened.input.rest().iter().position(|byte| *byte == b'\n') else {
            // A worker that leaves wakes those that wait.
            let read = poll_fn(|cx| if front.worker.exiting.get() { Poll::Ready(Ok(0)) } else { opened.poll_fill(cx) });
            if !matches!(read.await, Ok(1..)) {
                return;
            }
            continue;
        };
        let line = opened.input.rest().get(..=end).unwrap_or_default().to_vec();
        opened.input.advance(line.len());
        if opened.stream.write_all(&line).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    const SERVE: &str = "LUNETTE_TEST_SERVES";

    /// Not a test by itself: the server that the test below starts.
    #[test]
    fn server() {
        let Some(prefix) = std::env::var_os(SERVE) else { return };
        let arguments = ["lunette".into(), "-p".into(), prefix, "-c".into(), "conf".into()];
        let program = crate::identity::program("lunette".as_ref());
        std::process::exit(daemon::run(&mut crate::application::Server::default(), &program, arguments.to_vec()));
    }

    struct Running(Child, PathBuf);

    impl Drop for Running {
        fn drop(&mut self) {
            // The worker too, which outlives a master that is killed.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
            let _ = self.0.wait();
            let _ = std::fs::remove_dir_all(&self.1);
        }
    }

    fn connect(port: u16) -> TcpStream {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => return stream,
                Err(error) if Instant::now() > end => panic!("nobody listens: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    #[test]
    fn a_protocol_joins_with_one_file_and_one_line() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let prefix = std::env::temp_dir().join(format!("lunette-echo-{}-{port}", std::process::id()));
        std::fs::create_dir_all(prefix.join("logs")).unwrap();
        let conf = format!(
            "daemon off; events {{ }}\n\
             http {{ server {{ listen 127.0.0.1:{port} echo proxy_protocol; }} }}\n"
        );
        std::fs::write(prefix.join("conf"), conf).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "echo::tests::server", "--nocapture"]).env(SERVE, &prefix).stdout(Stdio::null()).process_group(0);
        let _running = Running(command.spawn().unwrap(), prefix);

        let mut stream = connect(port);
        stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\none\ntw").unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        stream.write_all(b"o\nthree\n").unwrap();
        answers.read_line(&mut line).unwrap();
        answers.read_line(&mut line).unwrap();
        assert_eq!(line, "one\ntwo\nthree\n");
    }
}
