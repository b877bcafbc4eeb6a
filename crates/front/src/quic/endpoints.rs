//! What a worker has of QUIC.

use net::quic::Endpoint;
use std::cell::{Cell, RefCell};

/// With so many handshakes at once new clients prove their addresses, whether or not they must.
const CROWD: usize = 256;

/// The endpoints of a worker.
#[derive(Default)]
pub(crate) struct Endpoints {
    all: RefCell<Vec<Endpoint>>,
    /// How many clients are shaking hands.
    pub(crate) shaking: Cell<usize>,
}

impl Endpoints {
    /// One more.
    pub(crate) fn add(&self, endpoint: Endpoint) {
        self.all.borrow_mut().push(endpoint);
    }

    /// So many shake hands that some may have written an address that is not theirs.
    pub(crate) fn is_crowded(&self) -> bool {
        self.shaking.get() >= CROWD
    }

    /// Lets what was said last leave.
    pub(crate) async fn flush(&self) {
        let all = self.all.borrow().clone();
        for endpoint in all {
            endpoint.flush().await;
        }
    }
}
