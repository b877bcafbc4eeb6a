//! Where the requests of a server and a location are counted: the zones that `status_zone` names.
//!
//! They are fields of a location and no handlers of phases, because nearly all that such a handler costs is the way to it.

use crate::request::Request;
use session::status_zone::{BEGUN, ZoneStripe, count_end, known_stripe, stripe};
use shm::Meter;
use std::rc::Rc;

/// The zones of a location; none: nothing is counted.
#[derive(Clone, Debug, Default)]
pub struct RequestZones {
    /// That of its server.
    pub server: Option<Rc<Meter>>,
    /// Its own.
    pub location: Option<Rc<Meter>>,
}

impl RequestZones {
    /// A client's request begins at the server whose values these are.
    #[inline]
    pub fn begun(&self, request: &Request) {
        if let Some(own) = self.server.as_deref().and_then(stripe) {
            own.add(BEGUN, 1);
            request.flags.counted.set(true);
        }
    }

    /// A client's request has ended in the location whose values these are.
    #[inline]
    pub fn ended(&self, request: &Request) {
        if self.server.is_some() || self.location.is_some() {
            self.count(request);
        }
    }

    #[inline(never)]
    fn count(&self, request: &Request) {
        let mut zones = [&self.server, &self.location].into_iter().flatten();
        if zones.all(|zone| known_stripe(zone).is_some()) {
            self.count_by(request, known_stripe);
        } else {
            self.count_first(request);
        }
    }

    #[cold]
    #[inline(never)]
    fn count_first(&self, request: &Request) {
        self.count_by(request, stripe);
    }

    #[inline]
    fn count_by<'a>(&'a self, request: &Request, own: impl Fn(&'a Meter) -> Option<ZoneStripe<'a>>) {
        let status = request.flags.header_sent.get().then(|| request.response.borrow().status);
        let (received, sent) = (request.request_length.get(), request.bytes_sent.get());
        if let Some(own) = self.server.as_deref().and_then(&own) {
            // One that was refused before its first phase has not begun anywhere else.
            if !request.flags.counted.get() {
                own.add(BEGUN, 1);
            }
            count_end(own, status, received, sent);
        }
        if let Some(own) = self.location.as_deref().and_then(own) {
            own.add(BEGUN, 1);
            count_end(own, status, received, sent);
        }
    }
}
