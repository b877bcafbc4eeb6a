//! What variables and the log need of a session's attempts.

use base::clock;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use stream::Session;

/// One try of one server.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The server, or the group where no server was left.
    pub peer: Option<Rc<str>>,
    /// Milliseconds until the connection stood, TLS included.
    pub connect: Option<u64>,
    /// Milliseconds until the first byte from the server.
    pub first_byte: Option<u64>,
    /// Milliseconds until the end.
    pub session_ms: Option<u64>,
    /// Bytes to the server.
    pub sent: u64,
    /// Bytes from the server.
    pub received: u64,
    began_ms: u64,
}

/// The tries of a session.
#[derive(Debug, Default)]
pub struct Record {
    tries: RefCell<Vec<Attempt>>,
    /// Bytes to the current server.
    pub sent: Cell<u64>,
    /// Bytes from the current server.
    pub received: Cell<u64>,
}

impl Record {
    /// Begins a try.
    pub fn begin(&self) {
        self.end();
        self.sent.set(0);
        self.tries.borrow_mut().push(Attempt { began_ms: clock::monotonic_ms(), ..Attempt::default() });
    }

    /// Says whom the current try is about.
    pub(crate) fn set_peer(&self, name: &Rc<str>) {
        if let Some(last) = self.tries.borrow_mut().last_mut() {
            last.peer = Some(name.clone());
        }
    }

    /// The connection stands; answers after how long.
    pub fn connected(&self) -> u64 {
        self.record(|last| &mut last.connect)
    }

    /// Records the first byte from the server; returns the time that it took.
    pub fn first_byte(&self) -> Option<u64> {
        let known = self.tries.borrow().last().is_none_or(|last| last.first_byte.is_some());
        if known { None } else { Some(self.record(|last| &mut last.first_byte)) }
    }

    /// The current try is over, if there is one.
    pub fn end(&self) {
        if let Some(last) = self.tries.borrow_mut().last_mut()
            && last.session_ms.is_none()
        {
            last.session_ms = Some(clock::monotonic_ms().saturating_sub(last.began_ms));
            (last.sent, last.received) = (self.sent.get(), self.received.get());
        }
    }

    fn record(&self, field: fn(&mut Attempt) -> &mut Option<u64>) -> u64 {
        let mut tries = self.tries.borrow_mut();
        let Some(last) = tries.last_mut() else { return 0 };
        let passed = clock::monotonic_ms().saturating_sub(last.began_ms);
        *field(last) = Some(passed);
        passed
    }

    /// The last try.
    pub fn last(&self) -> Option<Attempt> {
        self.tries.borrow().last().cloned()
    }

    /// Writes something of each try, separated as in nginx; false: there was none.
    pub fn write(&self, out: &mut Vec<u8>, one: impl Fn(&Attempt, &mut Vec<u8>)) -> bool {
        let tries = self.tries.borrow();
        for (i, each) in tries.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            one(each, out);
        }
        !tries.is_empty()
    }

    /// The bytes that went from and to both ends, as the log says it.
    pub fn push_bytes(&self, session: &Session, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            ", bytes from/to client:{}/{}, bytes from/to upstream:{}/{}",
            session.received.get(),
            session.sent.get(),
            self.received.get(),
            self.sent.get()
        );
    }
}

/// What the log says behind client and server (`ngx_stream_proxy_log_error`).
pub fn push_log_tail(session: &Session, out: &mut Vec<u8>) {
    let Some(record) = session.find_context::<Record>() else { return };
    if let Some(peer) = record.tries.borrow().last().and_then(|last| last.peer.as_ref()) {
        out.extend_from_slice(b", upstream: \"");
        out.extend_from_slice(peer.as_bytes());
        out.push(b'"');
    }
    record.push_bytes(session, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `$upstream_addr` and `$upstream_bytes_sent` of these tries: the server, and the bytes to it.
    fn formatted(tries: &[(Option<&str>, u64)]) -> (String, String) {
        let record = Record::default();
        for (peer, sent) in tries {
            record.begin();
            if let Some(peer) = peer {
                record.set_peer(&Rc::from(*peer));
            }
            record.sent.set(*sent);
        }
        record.end();
        let text = |one: fn(&Attempt, &mut Vec<u8>)| {
            let mut out = Vec::new();
            assert_eq!(record.write(&mut out, one), !tries.is_empty());
            String::from_utf8(out).unwrap()
        };
        let peers = text(|one, out| out.extend_from_slice(one.peer.as_deref().unwrap_or("-").as_bytes()));
        (peers, text(|one, out| out.extend_from_slice(one.sent.to_string().as_bytes())))
    }

    #[test]
    fn tries_are_separated_by_commas() {
        let table: [(&[_], _, _); 4] = [
            (&[], "", ""),
            (&[(Some("a:1"), 3)], "a:1", "3"),
            (&[(Some("a:1"), 0), (Some("b:2"), 7)], "a:1, b:2", "0, 7"),
            (&[(None, 0), (Some("b:2"), 1), (Some("group"), 0)], "-, b:2, group", "0, 1, 0"),
        ];
        for (tries, peers, sent) in table {
            assert_eq!(formatted(tries), (peers.to_owned(), sent.to_owned()));
        }
    }

    #[test]
    fn moments_are_of_the_current_try() {
        let record = Record::default();
        assert_eq!((record.first_byte(), record.connected()), (None, 0));
        record.begin();
        record.connected();
        // Only the first byte counts.
        assert!(record.first_byte().is_some() && record.first_byte().is_none());
        let known = record.last().unwrap();
        assert!(known.connect.is_some() && known.first_byte.is_some() && known.session_ms.is_none());
        record.begin();
        let next = record.last().unwrap();
        assert!(next.connect.is_none() && next.first_byte.is_none());
        record.end();
        assert!(record.last().unwrap().session_ms.is_some());
    }
}
