//! What is counted: one function for each thing that begins or ends, so that metrics and logs need not touch the ways of requests.
//!
//! Each worker counts in its own account in memory that all share (`shm::tally`); who asks gets the sum of all workers, those that
//! have ended with it.

use crate::request::Request;
use shm::tally::{Account, Tally};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $kind:ident $text:literal,)+) => {
        /// A number that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter {
            $($(#[$doc])* $name,)+
        }

        impl Counter {
            /// All of them.
            pub const ALL: &'static [Counter] = &[$(Counter::$name),+];

            /// Its name in metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Counter::$name => $text,)+
                }
            }

            /// Whether it says what is the case now, instead of growing.
            pub fn is_gauge(self) -> bool {
                match self {
                    $(Counter::$name => counters!(@$kind),)+
                }
            }
        }
    };
    (@gauge) => { true };
    (@count) => { false };
}

counters! {
    /// Connections accepted.
    Accepted: count "connections_accepted_total",
    /// Of these, those that were served.
    Handled: count "connections_handled_total",
    /// Connections open now.
    Active: gauge "connections_active",
    /// Of these, reading a head.
    Reading: gauge "connections_reading",
    /// Of these, answering.
    Writing: gauge "connections_writing",
    /// Requests that have begun.
    Requests: count "requests_total",
    /// Requests of clients that have ended with a status of each class.
    Informational: count "responses_1xx_total",
    /// 2xx
    Success: count "responses_2xx_total",
    /// 3xx
    Redirection: count "responses_3xx_total",
    /// 4xx
    ClientError: count "responses_4xx_total",
    /// 5xx
    ServerError: count "responses_5xx_total",
    /// Bytes of requests, heads with them.
    Received: count "received_bytes_total",
    /// Bytes of answers, heads with them.
    Sent: count "sent_bytes_total",
    /// Tries of upstream servers.
    Attempts: count "upstream_attempts_total",
    /// Of these, those that failed.
    AttemptsFailed: count "upstream_failures_total",
    /// Handshakes of TLS that stand.
    Handshakes: count "tls_handshakes_total",
    /// Handshakes that failed.
    HandshakesFailed: count "tls_handshake_failures_total",
    /// Sessions of TLS that were come back to.
    Resumed: count "tls_sessions_resumed_total",
}

impl Counter {
    /// The gauges, as bits.
    pub fn gauges() -> u32 {
        Counter::ALL.iter().filter(|counter| counter.is_gauge()).fold(0, |set, counter| set | 1 << *counter as usize)
    }
}

/// A worker's account.
pub struct Observers {
    account: Option<Account>,
}

impl Observers {
    /// Counts in an account of `tally` that the process opens.
    pub fn new(tally: &Tally) -> Observers {
        Observers { account: tally.open(std::process::id()) }
    }

    /// Counts for one process alone.
    pub fn alone() -> Observers {
        Observers { account: Tally::new().ok().and_then(|tally| tally.open(std::process::id())) }
    }

    #[inline]
    fn add(&self, counter: Counter, amount: u64) {
        if let Some(account) = &self.account {
            account.add(counter as usize, amount);
        }
    }

    /// Says how much there is now.
    pub fn set(&self, counter: Counter, value: u64) {
        if let Some(account) = &self.account {
            account.set(counter as usize, value);
        }
    }

    /// The sum over all workers.
    pub fn sum(&self, counter: Counter) -> u64 {
        self.account.as_ref().map_or(0, |account| account.all().sum(counter as usize))
    }

    /// A connection has come.
    pub fn connection_came(&self) {
        self.add(Counter::Accepted, 1);
    }

    /// A connection is served.
    pub fn connection_began(&self) {
        self.add(Counter::Handled, 1);
    }

    /// A handshake of TLS is over; `None`: it failed.
    pub fn handshake_ended(&self, resumed: Option<bool>) {
        self.add(if resumed.is_some() { Counter::Handshakes } else { Counter::HandshakesFailed }, 1);
        if resumed == Some(true) {
            self.add(Counter::Resumed, 1);
        }
    }

    /// A client's request has begun.
    #[inline]
    pub fn request_began(&self) {
        self.add(Counter::Requests, 1);
    }

    /// A client's request has ended: it is about to be logged.
    #[inline]
    pub fn request_ended(&self, request: &Request) {
        let class = match request.response.borrow().status {
            100..200 => Counter::Informational,
            200..300 => Counter::Success,
            300..400 => Counter::Redirection,
            400..500 => Counter::ClientError,
            _ => Counter::ServerError,
        };
        self.add(class, 1);
        self.add(Counter::Received, request.request_length.get());
        self.add(Counter::Sent, request.bytes_sent.get());
    }

    /// A try of an upstream server has ended.
    pub fn attempt_ended(&self, failed: bool) {
        self.add(Counter::Attempts, 1);
        if failed {
            self.add(Counter::AttemptsFailed, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_all_fit() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
        assert!(Counter::ALL.len() <= shm::tally::COUNTERS);
        assert_eq!(Counter::gauges().count_ones(), 3);
    }

    #[test]
    fn what_is_counted_is_summed() {
        let observers = Observers::alone();
        observers.connection_came();
        observers.attempt_ended(true);
        observers.attempt_ended(false);
        observers.set(Counter::Active, 4);
        let sums = [Counter::Accepted, Counter::Attempts, Counter::AttemptsFailed, Counter::Active].map(|counter| observers.sum(counter));
        assert_eq!(sums, [1, 2, 1, 4]);
    }
}
