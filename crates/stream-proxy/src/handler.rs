//! Selects a session's upstream server, and the next one when it cannot be reached.

use crate::balancer::{BalanceError, BalancerState};
use crate::connect::{ConnectError, Job, Route};
use crate::lease::{End, Lease};
use crate::pass::NoTarget;
use crate::record::{Record, push_log_tail};
use crate::settings::Plan;
use crate::{datagrams, relay};
use balance::{Choice, Measure, Selection, Timing, Verdict};
use base::clock;
use base::log::Level;
use std::rc::Rc;
use stream::{Outcome, Session, status};

const FAULT: Outcome = Outcome::Status(status::INTERNAL_SERVER_ERROR);
const BAD_GATEWAY: Outcome = Outcome::Status(status::BAD_GATEWAY);

/// Ends the last try, also when the session is dropped.
struct Closing(Rc<Record>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Proxies a session: chooses a server, connects, and relays data until one side ends.
pub async fn run(session: &Rc<Session>, plan: &Rc<Plan>) -> Outcome {
    let record = session.context::<Record>();
    session.log_tail.replace(Some(Rc::new(push_log_tail)));
    let _closing = Closing(record.clone());
    let local = plan.bind.as_ref().and_then(|bind| bind.local(session));
    let target = match plan.pass.find(session).await {
        Ok(target) => target,
        Err(NoTarget) => return FAULT,
    };
    let mut job =
        Job { session, plan, record: &record, target: &target, local, connect_timeout: plan.connect_timeout, timeout: plan.timeout };
    let mut selection = Selection::default();
    if let Some(key) = &target.upstream.key {
        key.eval(session, &mut selection.key);
    }
    let tries = target.upstream.group.tries();
    selection.tries = if plan.next_tries == 0 { tries } else { tries.min(plan.next_tries) };
    let asking = BalancerState::new(&target.upstream, plan, &selection);
    let began_ms = clock::monotonic_ms();
    loop {
        session.action.set("connecting to upstream");
        record.begin();
        match choose(&mut job, asking.as_ref(), &mut selection).await {
            Ok(choice) => {
                let lease = Lease::new(target.upstream.clone(), choice);
                record.set_peer(&lease.peer().server.name);
                match job.connect(&lease).await {
                    Ok(way) => return pass_on(&job, lease, way).await,
                    Err(ConnectError::Internal) => return FAULT,
                    Err(ConnectError::Failed) => lease.end(session, Verdict::Failed, Timing::default()),
                }
            }
            Err(BalanceError::Failed) => record.set_peer(&target.upstream.name),
            Err(BalanceError::NoLiveUpstreams) => {
                record.set_peer(&target.upstream.name);
                session.log(Level::Error, b"no live upstreams");
                return BAD_GATEWAY;
            }
            Err(BalanceError::Answer(outcome)) => return outcome,
        }
        if let Some(asking) = &asking {
            asking.failed();
        }
        selection.tries = selection.tries.saturating_sub(1);
        let elapsed = clock::monotonic_ms().saturating_sub(began_ms);
        if selection.tries == 0 || !plan.next || (plan.next_timeout > 0 && elapsed >= plan.next_timeout) {
            return BAD_GATEWAY;
        }
    }
}

/// The server of the next try, by the group's balancer or by the group.
async fn choose(job: &mut Job<'_>, asking: Option<&BalancerState>, selection: &mut Selection) -> Result<Choice, BalanceError> {
    let upstream = &job.target.upstream;
    if let Some(asking) = asking {
        let chosen = asking.choose(job.session, upstream, selection).await?;
        (job.connect_timeout, job.timeout) = asking.timeouts(job.plan);
        job.local = asking.local().or(job.local);
        if let Some(choice) = chosen {
            return Ok(choice);
        }
    }
    upstream.group.next(selection, clock::monotonic_ms()).ok_or(BalanceError::NoLiveUpstreams)
}

async fn pass_on(job: &Job<'_>, lease: Lease, way: Route) -> Outcome {
    let heard = || {
        if let Some(after_ms) = job.record.first_byte() {
            lease.measure(Measure::Header, after_ms);
        }
    };
    let end = match way {
        Route::Stream(stream) => relay::run(job, stream, &heard).await,
        Route::Datagrams(datagram) => datagrams::run(job, &datagram, &heard).await,
    };
    job.record.end();
    let last = job.record.last().unwrap_or_default();
    lease.peer().answered(0, last.sent, last.received);
    match end {
        End::Done => {
            let times = Timing { connect: last.connect, header: last.first_byte, response: last.session_ms };
            lease.end(job.session, Verdict::Good, times);
            Outcome::Ok
        }
        End::Silent => {
            lease.end(job.session, Verdict::Failed, Timing::default());
            BAD_GATEWAY
        }
        End::Blamed => {
            lease.end(job.session, Verdict::Failed, Timing::default());
            Outcome::Ok
        }
    }
}
