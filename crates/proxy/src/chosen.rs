//! Servers that somebody else chooses (`http::balancer`): asking, and what the choice changes for its try.

use crate::connection::{Connection, Keepalive};
use crate::exchange::Exchange;
use balance::{Choice, Peer, Server};
use base::clock;
use http::Outcome;
use http::balancer::{Target, Turn};
use std::rc::Rc;

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

impl Exchange {
    /// Asks the group's balancer, if it has one, for the server of the next try. `None`: the group chooses.
    ///
    /// # Errors
    /// What the balancer answers in place of an upstream.
    pub async fn ask(&mut self) -> Result<Option<Choice>, Outcome> {
        self.target = None;
        let Some(balancer) = self.upstream.balancer.clone() else { return Ok(None) };
        let (left, limit) = (self.scratch.selection.tries, usize::try_from(self.route.plan.tries).unwrap_or(usize::MAX));
        let turn = self.turn.get_or_insert_with(|| Rc::new(Turn::new(left, limit))).clone();
        turn.begin();
        let outcome = balancer.choose(&self.request, &turn).await;
        if outcome != Outcome::Ok {
            return Err(outcome);
        }
        // The current one counts too.
        self.scratch.selection.tries = turn.left() + 1;
        if turn.take_rewrite() && !self.encode() {
            return Err(Outcome::Status(500));
        }
        self.target = turn.take();
        let Some(target) = &self.target else { return Ok(None) };
        // Its failures are the balancer's to count.
        let server = Server { max_fails: 0, ..Server::new(target.address.clone()) };
        Ok(Some(Choice::of(Rc::new(Peer::new(server)), clock::monotonic_ms())))
    }

    /// The time limits of this try.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let (plan, own) = (&self.route.plan, self.target.as_ref().map(|target| target.timeouts).unwrap_or_default());
        Limits {
            connect: own.connect.unwrap_or(plan.connect_timeout),
            send: own.send.unwrap_or(plan.send_timeout),
            read: own.read.unwrap_or(plan.read_timeout),
        }
    }

    /// An idle connection to `peer`.
    #[must_use]
    pub fn take_idle(&self, peer: &Rc<Peer>) -> Option<Connection> {
        match self.own_pool() {
            Some(pool) => pool.take(self.key(peer)),
            None => self.upstream.keepalive.as_ref()?.take(self.key(peer)),
        }
    }

    /// Keeps a clean connection to `peer` for the next request, where the group or its balancer does that.
    pub fn keep(&self, peer: &Rc<Peer>, connection: Connection) {
        if self.request.worker.exiting.get() {
            return;
        }
        let now = clock::monotonic_ms();
        match (self.own_pool(), &self.upstream.keepalive) {
            (Some(pool), _) => pool.put(self.key(peer), connection, now),
            (None, Some(keepalive)) => keepalive.put(self.key(peer), connection, now),
            (None, None) => {}
        }
    }

    fn own_pool(&self) -> Option<Rc<Keepalive>> {
        let kind = self.target.as_ref().and_then(|target: &Target| target.keepalive)?;
        Some(self.upstream.pools.pool(kind))
    }
}
