//! What is counted of a resolver that has a `status_zone`.

use crate::{Failure, Resolver};
use shm::meter::Kind;

/// Zones of resolvers; their counters are those of [`Counter`].
pub static ZONES: Kind = Kind::new("resolver", Counter::Unknown as usize + 1);

/// The counters of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Names whose addresses were asked for.
    Name,
    /// Services that were asked for.
    Srv,
    /// Addresses whose names were asked for.
    Addr,
    /// What was asked for was found.
    Noerror,
    /// The server could not read the question.
    Formerr,
    /// The server failed.
    Servfail,
    /// There is no such name.
    Nxdomain,
    /// The server cannot answer such questions.
    Notimp,
    /// The server did not want to answer.
    Refused,
    /// Nobody has answered in time.
    Timedout,
    /// Any other answer.
    Unknown,
}

impl Resolver {
    /// What `asking` gives; counts that something was asked for, and what came of it.
    pub(crate) async fn counted<T>(&self, what: Counter, asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.count(what);
        let answer = asking.await;
        self.count(match &answer {
            Ok(_) => Counter::Noerror,
            Err(Failure::Code(1)) => Counter::Formerr,
            Err(Failure::Code(2)) => Counter::Servfail,
            Err(Failure::Code(3)) => Counter::Nxdomain,
            Err(Failure::Code(4)) => Counter::Notimp,
            Err(Failure::Code(5)) => Counter::Refused,
            Err(Failure::TimedOut) => Counter::Timedout,
            Err(Failure::Code(_)) => Counter::Unknown,
        });
        answer
    }

    fn count(&self, counter: Counter) {
        if let Some(zone) = &self.settings.status_zone {
            zone.add(counter as usize, 1);
        }
    }
}
