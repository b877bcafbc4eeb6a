//! The server that is expected to be done first: by the average time of its responses and the number of its requests.
//!
//! The constants are nginx's: times are told apart in steps of 20 ms, and beyond 5 s not at all; a server that nobody has asked
//! for `fail_timeout` gets half its time, so that a slow one has its chance again.

use crate::counters::Counter;
use crate::method::least_conn::least;
use crate::method::{Measure, take};
use crate::peer::{Choice, Peer, Timing, seconds, signed};
use crate::selection::Selection;
use crate::tier::Tier;

/// Longer times count as equally bad.
const WORST_MS: i64 = 5000;
/// Times within one step count as equal.
const STEP_MS: i64 = 20;

pub(crate) fn pick(tier: &Tier, selection: &mut Selection, measure: Measure, waiting: bool, now_ms: u64) -> Option<Choice> {
    loop {
        let index = match tier.bound(&selection.bound, &selection.tried, now_ms) {
            Some(index) => index,
            None => {
                for (_, peer) in tier.candidates(&selection.tried, now_ms) {
                    age(peer, now_ms);
                }
                let load = |peer: &Peer| (expected(peer, measure, now_ms), i128::from(peer.server.weight));
                least(tier, selection, now_ms, load)?
            }
        };
        if let Some(choice) = take(tier, index, selection, now_ms) {
            if waiting {
                begin(&choice, now_ms);
            }
            return Some(choice);
        }
    }
}

/// How long it will take until the peer has done what it is doing and one request more.
pub(crate) fn expected(peer: &Peer, measure: Measure, now_ms: u64) -> i128 {
    let mut time = peer.get(match measure {
        Measure::Connect | Measure::Header => Counter::HeaderTime,
        Measure::LastByte => Counter::ResponseTime,
    });
    let idle = seconds(now_ms) - peer.get(Counter::Checked);
    if idle > peer.server.fail_timeout {
        let halves = idle / (peer.server.fail_timeout + 1).max(1);
        time = time.checked_shr(u32::try_from(halves).unwrap_or(u32::MAX)).unwrap_or(0);
    }
    if peer.get(Counter::Waiting) > 0 {
        time = time.max(peer.get(Counter::WaitingTime));
    }
    time = if time > WORST_MS { WORST_MS } else { time + STEP_MS - time % STEP_MS };
    i128::from(time) * (1 + i128::from(peer.connections()))
}

/// Moves an average towards a value, by a twentieth of the way.
fn average(peer: &Peer, counter: Counter, value: i64) {
    let old = peer.get(counter);
    let new = if old == 0 { value } else { old.saturating_mul(19).saturating_add(value).saturating_add(10) / 20 };
    peer.set(counter, new);
}

fn age(peer: &Peer, now_ms: u64) {
    let waiting = peer.get(Counter::Waiting);
    if waiting > 0 {
        let passed = signed(now_ms) - peer.get(Counter::WaitingSince);
        average(peer, Counter::WaitingTime, peer.get(Counter::WaitingSum) / waiting + passed);
    }
}

fn begin(choice: &Choice, now_ms: u64) {
    let peer = &choice.peer;
    let waiting = peer.get(Counter::Waiting);
    if waiting > 0 {
        let passed = signed(now_ms) - peer.get(Counter::WaitingSince);
        peer.counters().add(Counter::WaitingSum, passed * waiting);
    }
    peer.set(Counter::WaitingSince, signed(now_ms));
    peer.counters().add(Counter::Waiting, 1);
    choice.waits.set(true);
}

fn finish(choice: &Choice, now_ms: u64) {
    if !choice.waits.replace(false) {
        return;
    }
    let peer = &choice.peer;
    let waiting = peer.get(Counter::Waiting);
    if waiting <= 1 {
        peer.set(Counter::WaitingSum, 0);
    } else {
        let own = signed(now_ms.saturating_sub(choice.began_ms));
        let passed = signed(now_ms) - peer.get(Counter::WaitingSince);
        peer.counters().add(Counter::WaitingSum, passed * waiting - own);
        peer.set(Counter::WaitingSince, signed(now_ms));
    }
    if waiting > 0 {
        peer.counters().add(Counter::Waiting, -1);
    }
}

/// What is measured is here. Averages are made now only where the choice depends on them.
pub(crate) fn measure(choice: &Choice, after_ms: u64, now_ms: u64) {
    average(&choice.peer, Counter::HeaderTime, signed(after_ms));
    finish(choice, now_ms);
}

/// A try has ended; only a good one has times.
pub(crate) fn ended(choice: &Choice, measure: Measure, waiting: bool, times: Timing, now_ms: u64) {
    finish(choice, now_ms);
    let first = if measure == Measure::Connect { times.connect } else { times.header };
    let Some(response) = times.response else { return };
    average(&choice.peer, Counter::ResponseTime, signed(response));
    if let Some(first) = first.filter(|_| !waiting || measure == Measure::LastByte) {
        average(&choice.peer, Counter::HeaderTime, signed(first));
    }
}
