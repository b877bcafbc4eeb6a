//! Connections that a `stream` server passes to another listener of this process.

use crate::protocol::Front;
use crate::service::Listening;
use net::listener::Kind;
use session::address::Address;
use std::rc::Rc;
use stream::pass::PassedConnection;

/// Gives a connection to the first listener on its address.
///
/// # Errors
/// There is none; the connection comes back.
pub(crate) fn pass(front: &Rc<Front>, all: &[Listening], passed: Box<PassedConnection>) -> Result<(), Box<PassedConnection>> {
    let found = all.iter().find(|listening| listening.kind != Kind::Datagram && answers(&listening.address, &passed.to));
    match found {
        Some(listening) => {
            listening.service.passed(front, *passed, listening.index);
            Ok(())
        }
        None => Err(passed),
    }
}

/// Whether a listener stands for an address; one on all addresses of a family stands for each of them.
fn answers(listener: &Address, to: &Address) -> bool {
    match (listener, to) {
        (Address::Ip(own), Address::Ip(to)) if own.ip().is_unspecified() => own.port() == to.port() && own.is_ipv4() == to.is_ipv4(),
        _ => listener == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_answer() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        let table = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "127.0.0.2:80", true),
            ("0.0.0.0:80", "127.0.0.2:81", false),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
        ];
        for (listener, to, expected) in table {
            assert_eq!(answers(&ip(listener), &ip(to)), expected, "{listener} for {to}");
        }
        let path = |path: &str| Address::Unix(Some(path.into()));
        assert!(answers(&path("/a"), &path("/a")) && !answers(&path("/a"), &path("/b")) && !answers(&path("/a"), &ip("0.0.0.0:80")));
    }
}
