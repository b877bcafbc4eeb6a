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
/// Those that have ended without a status.
pub const DISCARDED: usize = 1;
/// Bytes that clients have sent.
pub const RECEIVED: usize = 2;
/// Bytes that were sent to clients.
pub const SENT: usize = 3;
/// The first of those of TLS.
pub const TLS: usize = 4;
/// The first of those of a status: that of status 100. Together they are those that have ended with one.
pub const STATUSES: usize = TLS + TlsCounter::ALL.len();
/// The statuses that are counted one by one. What lies outside of them counts as the nearest.
pub const STATUS_RANGE: std::ops::Range<u16> = STATUS_LOWEST..600;

const STATUS_LOWEST: u16 = 100;

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

/// Those of this process, where [`stripe`] has given them before.
#[inline]
#[must_use]
pub fn known_stripe(zone: &Meter) -> Option<ZoneStripe<'_>> {
    zone.known_stripe()
}

/// What an ended process had begun ends without a status.
fn complete(counted: &mut [u64]) {
    let ended = answered(counted);
    if let [begun, discarded, ..] = counted {
        *discarded = begun.wrapping_sub(ended);
    }
}

/// Those that have ended with a status.
#[must_use]
pub fn answered(counters: &[u64]) -> u64 {
    counters.get(STATUSES..).unwrap_or_default().iter().fold(0, |sum, count| sum.wrapping_add(*count))
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
        Some(status) if STATUS_RANGE.contains(&status) => stripe.add(STATUSES + usize::from(status - STATUS_RANGE.start), 1),
        Some(0..STATUS_LOWEST) => stripe.add(STATUSES, 1),
        Some(_) => stripe.add(COUNTERS - 1, 1),
        None => stripe.add(DISCARDED, 1),
    }
    stripe.add(RECEIVED, received);
    stripe.add(SENT, sent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_count_by_their_status() {
        let account = shm::Tally::new().unwrap().open(1).unwrap();
        let zone = Meter::new(&HTTP_SERVERS, "one").unwrap();
        assert!(stripe(&zone).is_none(), "the process has not entered");
        shm::meter::enter(&account);
        let own = stripe(&zone).unwrap();
        let ends = [(Some(200), 200), (Some(100), 100), (Some(599), 599), (Some(9), 100), (Some(600), 599), (Some(999), 599)];
        for (status, _) in ends {
            count_end(own, status, 2, 3);
        }
        count_end(own, None, 2, 3);
        own.add(BEGUN, 9);
        let mut counters = zone.totals();
        for status in STATUS_RANGE {
            let expected = ends.iter().filter(|(_, counted)| *counted == status).count();
            assert_eq!(counters[STATUSES + usize::from(status - STATUS_LOWEST)], expected as u64, "{status}");
        }
        let ended = ends.len() as u64;
        assert_eq!((answered(&counters), counters[DISCARDED], counters[RECEIVED], counters[SENT]), (ended, 1, 14, 21));
        complete(&mut counters);
        assert_eq!(counters[DISCARDED], 9 - ended, "what a process leaves ends without a status");
    }
}
