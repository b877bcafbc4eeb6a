//! Servers selected by an external balancer (`upstream::balancer`): asking it, and how its choice changes the attempt.

use crate::groups::Upstream;
use crate::settings::Plan;
use balance::{Choice, Selection};
use base::clock;
use base::log::Level;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use stream::{Outcome, Session, status};
use upstream::balancer::{Balancer, BalancerAnswer, BalancerContext, Decision, Failure};

/// Why the group's balancer gave no server.
#[derive(Debug)]
pub(crate) enum BalanceError {
    /// There is no server left.
    NoLiveUpstreams,
    /// The try has failed.
    Failed,
    /// That is the session's end.
    Answer(Outcome),
}

impl fmt::Display for BalanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BalanceError::NoLiveUpstreams => f.write_str("no server is left"),
            BalanceError::Failed => f.write_str("the balancer failed this try"),
            BalanceError::Answer(outcome) => write!(f, "the balancer ended the session: {outcome:?}"),
        }
    }
}

impl std::error::Error for BalanceError {}

/// What the group's balancer and the tries of a session tell each other.
pub(crate) struct BalancerState {
    balancer: Rc<dyn Balancer<Session>>,
    context: Rc<BalancerContext>,
}

impl BalancerState {
    /// Of a session's way to `upstream`, if that has a balancer.
    pub(crate) fn new(upstream: &Upstream, plan: &Plan, selection: &Selection) -> Option<BalancerState> {
        let balancer = upstream.balancer.clone()?;
        Some(BalancerState { balancer, context: Rc::new(BalancerContext::new(selection.tries, plan.next_tries)) })
    }

    /// Asks for the server of the next try. `None`: the group chooses.
    ///
    /// # Errors
    /// There is none for this try.
    pub(crate) async fn choose(
        &self,
        session: &Rc<Session>,
        upstream: &Upstream,
        selection: &mut Selection,
    ) -> Result<Option<Choice>, BalanceError> {
        self.context.begin();
        let decision = match self.balancer.choose(session, &self.context) {
            BalancerAnswer::Now(decision) => decision,
            BalancerAnswer::Wait(future) => future.await,
        };
        let target = self.context.take();
        // The current one counts too.
        selection.tries = self.context.tries_left() + 1;
        match decision {
            Decision::Go => {}
            Decision::NoLiveUpstreams => return Err(BalanceError::NoLiveUpstreams),
            Decision::Failed => return Err(BalanceError::Failed),
            Decision::Answer(outcome) => return Err(BalanceError::Answer(outcome)),
        }
        match target {
            Some(target) => Ok(Some(Choice::of(upstream.own.peer(&target.address), clock::monotonic_ms()))),
            None if upstream.is_empty => {
                session.log(Level::Error, b"lua balancer: no peer set");
                Err(BalanceError::Answer(Outcome::Status(status::INTERNAL_SERVER_ERROR)))
            }
            None => Ok(None),
        }
    }

    /// A try has failed.
    pub(crate) fn failed(&self) {
        self.context.end(Failure { failed: true, status: 0 });
    }

    /// How long connecting may take, and how long nothing may be sent or received, milliseconds.
    pub(crate) fn timeouts(&self, plan: &Plan) -> (u64, u64) {
        let own = self.context.timeouts();
        (own.connect.unwrap_or(plan.connect_timeout), own.read.or(own.send).unwrap_or(plan.timeout))
    }

    /// The local address that was asked for.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.context.local()
    }
}
