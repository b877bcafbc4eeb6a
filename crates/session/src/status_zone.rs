//! What is counted for the servers and locations that `status_zone` names.
//!
//! Zones of both protocols have the same counters in front; behind them stand statuses.

use crate::handshake_end::{HandshakeEnd, TlsCounter};
use conf::scope::Config;
use shm::Meter;
use shm::meter::{Kind, Stripe};
use std::rc::Rc;

/// Requests or sessions that have begun.
pub const BEGUN: usize = 0;
/// Those that have ended with a status.
pub const ENDED: usize = 1;
/// Those that have ended without one.
pub const DISCARDED: usize = 2;
/// Bytes that clients have sent.
pub const RECEIVED: usize = 3;
/// Bytes that were sent to clients.
pub const SENT: usize = 4;
/// The first of those of TLS.
pub const TLS: usize = 5;
/// The first of those of a status: that of status 100.
pub const STATUSES: usize = TLS + TlsCounter::ALL.len();
/// The statuses that are counted one by one.
pub const STATUS_RANGE: std::ops::Range<u16> = 100..600;

const COUNTERS: usize = STATUSES + (STATUS_RANGE.end - STATUS_RANGE.start) as usize;

/// Zones of servers of `http`.
pub static HTTP_SERVERS: Kind = Kind { complete, ..Kind::new("server zone", COUNTERS) };
/// Zones of locations.
pub static LOCATIONS: Kind = Kind::new("location zone", COUNTERS);
/// Zones of servers of `stream`.
pub static STREAM_SERVERS: Kind = Kind { complete, ..Kind::new("stream server zone", COUNTERS) };

/// The counters of this process in a zone.
pub type ZoneStripe<'a> = Stripe<'a, COUNTERS>;

/// Those of this process.
#[inline]
#[must_use]
pub fn stripe(zone: &Meter) -> Option<ZoneStripe<'_>> {
    zone.stripe()
}

/// What an ended process had begun ends without a status.
fn complete(counted: &mut [u64]) {
    let [begun, ended, discarded, ..] = counted else { return };
    *discarded = begun.wrapping_sub(*ended);
}

/// The zone of a server, of either protocol.
#[derive(Clone, Debug, Default)]
pub struct ServerZone(pub Option<Rc<Meter>>);

impl Config for ServerZone {
    // `status_zone` stands in servers alone.
    fn inherit(&mut self, _: &Self) {}
}

impl ServerZone {
    /// A handshake of TLS with this server has ended.
    pub fn count_handshake(&self, end: &HandshakeEnd) {
        let Some(stripe) = self.0.as_ref().and_then(|zone| stripe(zone)) else { return };
        end.counters(|counter| stripe.add(TLS + counter as usize, 1));
    }
}

/// Counts what has ended: with a status that the client got, or without one.
#[inline]
pub fn count_end(stripe: ZoneStripe<'_>, status: Option<u16>, received: u64, sent: u64) {
    match status {
        Some(status) => {
            stripe.add(ENDED, 1);
            stripe.add(STATUSES + usize::from(status.clamp(STATUS_RANGE.start, STATUS_RANGE.end - 1) - STATUS_RANGE.start), 1);
        }
        None => stripe.add(DISCARDED, 1),
    }
    stripe.add(RECEIVED, received);
    stripe.add(SENT, sent);
}
