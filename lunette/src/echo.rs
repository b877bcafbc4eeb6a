//! A protocol for the tests: each line comes back. It shows what joining takes, a file and a line in `protocols`; accepting, TLS, limits,
//! draining and counting are the front's.

use front::active::Activity;
use front::protocol::{Accepted, Detection, Front, Protocol};
use front::quic;
use net::quic::{Event, Read, Reason, StreamId};
use std::collections::BTreeMap;
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
    begins: |_| Detection::Mine,
    start,
    close_parked: |_, _| {},
};

fn start(front: &Rc<Front>, opened: Accepted) {
    tokio::task::spawn_local(serve(front.clone(), opened));
}

async fn serve(front: Rc<Front>, mut opened: Accepted) {
    opened.watch.set_activity(Activity::Idle);
    loop {
        let Some(end) = opened.input.unread().iter().position(|byte| *byte == b'\n') else {
            // A worker that leaves wakes those that wait.
            let read = poll_fn(|cx| if front.worker.exiting.get() { Poll::Ready(Ok(0)) } else { opened.poll_fill(cx) });
            if !matches!(read.await, Ok(1..)) {
                return;
            }
            continue;
        };
        let line = opened.input.unread().get(..=end).unwrap_or_default().to_vec();
        opened.input.advance(line.len());
        if opened.stream.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// The same over QUIC: what comes on a stream goes back on it.
pub(crate) const OVER_QUIC: quic::Protocol = quic::Protocol {
    name: "echo",
    alpn: &[b"echo"],
    speaks: |_| true,
    start: |front, opened| drop(tokio::task::spawn_local(serve_streams(front.clone(), opened))),
};

async fn serve_streams(front: Rc<Front>, opened: quic::Opened) {
    opened.watch.set_activity(Activity::Idle);
    let (connection, mut waiting) = (opened.connection, BTreeMap::<StreamId, (Vec<u8>, bool)>::new());
    loop {
        let event = poll_fn(|cx| {
            opened.watch.wake_on_expiry(cx.waker());
            let over = opened.watch.evicted() || front.worker.exiting.get();
            if over && waiting.is_empty() { Poll::Ready(Event::Closed(Reason::Local)) } else { connection.poll_event(cx) }
        });
        match event.await {
            Event::Opened(dir) => waiting.extend(std::iter::from_fn(|| connection.accept(dir)).map(|id| (id, Default::default()))),
            Event::Closed(_) => return,
            _ => {}
        }
        waiting.retain(|id, (bytes, ended)| {
            let mut last = connection.read(*id, 65_536, bytes);
            while let Ok(Read::Data(_)) = last {
                last = connection.read(*id, 65_536, bytes);
            }
            *ended |= matches!(last, Ok(Read::End(_)) | Err(_));
            let taken = connection.write(*id, bytes).unwrap_or(bytes.len());
            bytes.drain(..taken);
            let over = *ended && bytes.is_empty();
            if over {
                connection.finish(*id);
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::quic::peer::code;
    use crate::tests::quic::{Client, Wishes};
    use crate::tests::running::Running;
    use std::io::{BufRead, BufReader, Write};

    /// A server with a certificate for `name`, on `$PORT` with QUIC.
    fn secured(name: &str, more: &str) -> String {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let pem = |text: String| text.replace('\n', "\\n");
        let (chain, key) = (pem(made.cert.pem()), pem(made.signing_key.serialize_pem()));
        format!(
            "server {{ listen 127.0.0.1:$PORT quic; listen 127.0.0.1:$PORT; server_name {name};\n\
             ssl_certificate \"data:{chain}\"; ssl_certificate_key \"data:{key}\"; {more} }}\n"
        )
    }

    #[test]
    fn a_protocol_over_quic_joins_in_the_same_way() {
        let http = secured("localhost", "") + &secured("refused", "ssl_reject_handshake on;");
        let server = Running::start(&http);
        drop(server.connect());
        let mut client = Client::connect(server.port(), &Wishes::new(b"echo")).unwrap();
        let long = vec![7; 300_000];
        let got = client.exchange(&long);
        assert!(got.ended && got.bytes == long);
        assert_eq!(client.exchange(b"short").bytes, b"short");
        // no_application_protocol, unrecognized_name
        let other = Client::connect(server.port(), &Wishes::new(b"other")).err().unwrap();
        assert_eq!(code(&other), Some(0x100 + 120));
        let refused = Client::connect(server.port(), &Wishes { name: "refused".to_owned(), ..Wishes::new(b"echo") }).err().unwrap();
        assert_eq!(code(&refused), Some(0x100 + 112));
    }

    #[test]
    fn clients_over_quic_prove_their_addresses_if_they_must() {
        let server = Running::start(&secured("localhost", "quic_retry on;"));
        drop(server.connect());
        let mut client = Client::connect(server.port(), &Wishes::new(b"echo")).unwrap();
        assert_eq!(client.exchange(b"proved").bytes, b"proved");
        client.move_away();
        assert_eq!(client.exchange(b"moved").bytes, b"moved");
    }

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
