//! Servers selected by an external balancer (`::upstream::balancer`): asking it, and how its choice changes the attempt.

use crate::connection::{Keepalive, UpstreamConnection};
use crate::exchange::Exchange;
use crate::outgoing::choose_body;
use crate::retry::Failure;
use crate::settings::next;
use ::upstream::balancer::{Balancer, BalancerAnswer, BalancerContext, Decision, Pooling};
use balance::{Choice, Peer};
use base::clock;
use base::log::Level;
use http::{Outcome, Request};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The time limits of a try, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: u64,
    /// Between two writes.
    pub send: u64,
    /// Between two reads.
    pub read: u64,
}

/// Why the group's balancer gave no server.
#[derive(Debug)]
pub enum BalanceError {
    /// This is the response.
    Answer(Outcome),
    /// The try has failed.
    Failed(Failure),
}

impl fmt::Display for BalanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BalanceError::Answer(outcome) => write!(f, "the balancer ended the request: {outcome:?}"),
            BalanceError::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for BalanceError {}

impl Exchange {
    /// Asks the group's balancer for the server of the next try. `None`: the group chooses.
    ///
    /// # Errors
    /// There is none for this try.
    pub async fn query_balancer(&mut self, balancer: &Rc<dyn Balancer<Request>>, first: bool) -> Result<Option<Choice>, BalanceError> {
        self.target = None;
        let (left, limit) = (self.scratch.selection.tries, usize::try_from(self.route.plan.tries).unwrap_or(usize::MAX));
        let can_secure = self.route.secure.is_some();
        let begin = || {
            let turn = BalancerContext::new(left, limit);
            turn.allow_tls(can_secure);
            Rc::new(turn)
        };
        let turn = self.balancer.get_or_insert_with(begin).clone();
        turn.begin();
        self.request.action.set("connecting to upstream");
        let decision = match balancer.choose(&self.request, &turn) {
            BalancerAnswer::Now(decision) => decision,
            BalancerAnswer::Wait(future) => future.await,
        };
        self.target = turn.take();
        // The current one counts too.
        self.scratch.selection.tries = turn.tries_left() + 1;
        match decision {
            Decision::Go => {}
            Decision::NoLiveUpstreams => return Err(BalanceError::Answer(self.no_live_upstreams(first))),
            Decision::Failed => {
                self.scratch.selection.tries -= 1;
                self.record_no_server(first);
                return Err(BalanceError::Failed(Failure { condition: next::ERROR, status: 502, sent: false, consumed: false }));
            }
            Decision::Answer(outcome) => {
                // A try of no server, which logs tell of as nginx's do.
                self.record.begin(&Rc::from(""), first, clock::monotonic_ms());
                return Err(BalanceError::Answer(outcome));
            }
        }
        if self.route.secure.is_some() {
            self.choose_secure();
        }
        if turn.take_rewrite() {
            // Its body may be another one.
            (self.source, self.framing) = choose_body(&self.request, &self.route).map_err(BalanceError::Answer)?;
            if !self.encode() {
                return Err(BalanceError::Answer(Outcome::Status(500)));
            }
        }
        match &self.target {
            Some(target) => Ok(Some(Choice::of(self.upstream.own.outside.peer(&target.address), clock::monotonic_ms()))),
            None if self.upstream.is_empty => {
                self.request.log(Level::Error, b"lua balancer: no peer set");
                Err(BalanceError::Answer(Outcome::Status(500)))
            }
            None => Ok(None),
        }
    }

    /// The time limits of this try.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let (plan, own) = (&self.route.plan, self.balancer.as_ref().map(|turn| turn.timeouts()).unwrap_or_default());
        Limits {
            connect: own.connect.unwrap_or(plan.connect_timeout),
            send: own.send.unwrap_or(plan.send_timeout),
            read: own.read.unwrap_or(plan.read_timeout),
        }
    }

    /// An idle connection to `peer`.
    #[must_use]
    pub fn take_idle(&self, peer: &Rc<Peer>) -> Option<Box<UpstreamConnection>> {
        let found = match self.own_pool() {
            Some((pool, _)) => pool.take(&self.pool_key(peer)),
            None => self.upstream.own.keepalive.as_ref()?.take(&self.pool_key(peer)),
        }?;
        self.request.log(Level::Debug, b"get keepalive peer: using connection");
        Some(found)
    }

    /// Keeps a clean connection to `peer` for the next request, where the group or its balancer does that.
    pub fn release(&self, peer: &Rc<Peer>, connection: Box<UpstreamConnection>) {
        if self.request.worker.exiting.get() {
            return;
        }
        self.request.log(Level::Debug, b"free keepalive peer: saving connection");
        let now = clock::monotonic_ms();
        let limit = |given: u64| if given == 0 { u64::MAX } else { given };
        match (self.own_pool(), &self.upstream.own.keepalive) {
            (Some((pool, kind)), _) => {
                pool.put_for(self.pool_key(peer), connection, now, limit(kind.requests), Duration::from_millis(limit(kind.idle_ms)));
            }
            (None, Some(keepalive)) => keepalive.put(self.pool_key(peer), connection, now),
            (None, None) => {}
        }
    }

    fn own_pool(&self) -> Option<(Rc<Keepalive>, Pooling)> {
        let target = self.target.as_ref()?;
        let (kind, outside) = (target.keepalive?, &self.upstream.own.outside);
        let pool = match &target.pool {
            Some(named) => outside.named(&named.name, named.size.unwrap_or(kind.size)),
            None => outside.pool(kind.size),
        };
        Some((pool, kind))
    }
}
