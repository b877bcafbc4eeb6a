//! A worker's QUIC endpoints.

use net::quic::Endpoint;
use std::cell::RefCell;
use std::rc::Rc;

/// With so many handshakes at once new clients prove their addresses, whether or not they must.
const CROWD: usize = 256;

/// The endpoints of a worker.
#[derive(Default)]
pub(crate) struct Endpoints {
    all: RefCell<Vec<Endpoint>>,
    handshakes: Rc<()>,
}

/// A client in its handshake counts as such until this is dropped, however its task ends.
pub(crate) struct HandshakeGuard(#[expect(dead_code, reason = "it is counted")] Rc<()>);

impl Endpoints {
    /// One more.
    pub(crate) fn add(&self, endpoint: Endpoint) {
        self.all.borrow_mut().push(endpoint);
    }

    /// A client begins its handshake.
    pub(crate) fn begin_handshake(&self) -> HandshakeGuard {
        HandshakeGuard(self.handshakes.clone())
    }

    /// So many handshakes are under way that some clients may have written an address that is not theirs.
    pub(crate) fn is_crowded(&self) -> bool {
        Rc::strong_count(&self.handshakes) > CROWD
    }

    /// How many connections they have.
    pub(crate) fn open(&self) -> usize {
        self.all.borrow().iter().map(Endpoint::open).sum()
    }

    /// Lets what was said last leave.
    pub(crate) async fn flush(&self) {
        let all = self.all.borrow().clone();
        for endpoint in all {
            endpoint.flush().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_no_crowd() {
        let endpoints = Endpoints::default();
        let mut handshakes: Vec<_> = (1..CROWD).map(|_| endpoints.begin_handshake()).collect();
        assert!(!endpoints.is_crowded());
        handshakes.push(endpoints.begin_handshake());
        assert!(endpoints.is_crowded());
        handshakes.pop();
        assert!(!endpoints.is_crowded());
    }
}
