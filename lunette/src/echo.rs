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
    use crate::tests::running::Running;
    use std::io::{BufRead, BufReader, Write};

    #[test]
    fn a_protocol_joins_with_one_file_and_one_line() {
        let server = Running::start("server { listen 127.0.0.1:$PORT echo proxy_protocol; }");
        let mut stream = server.connect();
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
