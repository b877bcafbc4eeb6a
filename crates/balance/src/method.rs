//! Load-balancing methods, one file each. All follow nginx's modules step by step, so that the same requests go to the same servers.

pub(crate) mod consistent;
pub(crate) mod hash;
pub(crate) mod ip_hash;
pub(crate) mod least_conn;
pub(crate) mod least_time;
pub(crate) mod random;
pub(crate) mod round_robin;

use crate::peer::Choice;
use crate::selection::Selection;
use crate::tier::Tier;

/// A load-balancing method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancing {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// Fewest requests in relation to the weight; round robin among equals.
    LeastConnections,
    /// By the first three octets of an IPv4 address or a whole IPv6 one (the selection's key).
    IpHash,
    /// By a hash of the selection's key.
    Hash,
    /// By the place of the key's hash on a ring of servers, so that few keys move when servers come and go.
    ConsistentHash,
    /// By chance.
    Random,
    /// By chance, two of them; then the better one: by answer times, or by connections.
    RandomTwo(Option<Measure>),
    /// Shortest answer times and fewest requests; round robin among equals.
    LeastTime {
        /// Which time.
        measure: Measure,
        /// Requests that still wait for their responses count too.
        waiting: bool,
    },
}

/// Which time of a response counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Until the connection stands.
    Connect,
    /// Until its head; of a session, until its first byte.
    Header,
    /// Until its end.
    LastByte,
}

/// Takes the peer at `index`, which is not asked again; `None` if it has just become full.
pub(crate) fn take(tier: &Tier, index: usize, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    selection.tried.mark(index);
    tier.peers.get(index)?.take(now_ms)
}

/// What the hashes and chance share: looks at one place after the other until one may be asked; round robin decides after enough
/// misses. `place` gives the next one.
pub(crate) fn search(
    tier: &Tier,
    selection: &mut Selection,
    now_ms: u64,
    mut place: impl FnMut(&mut Selection) -> Option<usize>,
) -> Option<Choice> {
    if selection.has_missed_enough() || tier.peers.len() < 2 {
        return round_robin::pick(tier, selection, now_ms);
    }
    if let Some(bound) = tier.bound(&selection.bound, &selection.tried, now_ms)
        && let Some(choice) = take(tier, bound, selection, now_ms)
    {
        return Some(choice);
    }
    loop {
        let index = place(selection)?;
        let available = !selection.tried.has(index) && tier.peers.get(index)?.is_available(now_ms);
        if available && let Some(choice) = take(tier, index, selection, now_ms) {
            return Some(choice);
        }
        selection.miss();
        if selection.has_missed_enough() {
            return round_robin::pick(tier, selection, now_ms);
        }
    }
}
