//! Names of groups are followed: their addresses come and go with what name servers say, while requests run.
//!
//! One worker asks, the first, and writes what it learns into the group's zone, where all of them see it.

use crate::group::{Upstream, Upstreams};
use crate::protocol::Protocol;
use balance::{Resolved, Template};
use base::clock;
use base::log::Level;
use resolver::{Failure, Resolver};
use session::Worker;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// A name that does not exist is asked for again after this time, unless the resolver's `valid` says otherwise.
const ABSENT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
/// How often is looked for names that were added.
const LOOK: Duration = SECOND;

/// Follows the names of all groups as long as the first worker lives.
pub fn start<P: Protocol>(worker: &Rc<Worker>, all: &Upstreams<P>) {
    if worker.number != 0 || worker.process().is_some_and(|place| place.agent) {
        return;
    }
    for upstream in all.all().filter(|upstream| upstream.group.zone().is_some() && upstream.resolving.usable().is_some()) {
        worker.spawn(Box::pin(follow_all(worker.clone(), upstream.clone())));
    }
}

/// Follows each name that a group has or gets.
async fn follow_all<P: Protocol>(worker: Rc<Worker>, upstream: Rc<Upstream<P>>) {
    let mut known: Vec<u64> = Vec::new();
    while !worker.exiting.get() {
        let names: Vec<u64> = upstream.group.snapshot().names().iter().map(|template| template.id).collect();
        for number in names.iter().filter(|number| !known.contains(number)) {
            worker.spawn(Box::pin(watch_names(worker.clone(), upstream.clone(), *number)));
        }
        known = names;
        net::time::sleep(LOOK).await;
    }
}

async fn watch_names<P: Protocol>(worker: Rc<Worker>, upstream: Rc<Upstream<P>>, number: u64) {
    let Some(resolver) = upstream.resolving.usable().cloned() else { return };
    let limit = upstream.resolving.limit();
    // What the configuration before knew may still hold.
    let known = upstream.group.valid_ms(number).saturating_sub(clock::monotonic_ms());
    net::time::sleep(Duration::from_millis(known)).await;
    while !worker.exiting.get() {
        let Some(template) = upstream.group.template(number) else { return };
        let wait = match resolve(&worker, &resolver, &template, limit).await {
            Ok((found, holds)) => {
                update(&worker, &upstream, number, &found, holds);
                holds.saturating_add(SECOND)
            }
            Err(failure) => {
                log_failure(&worker, &template, failure);
                if failure == Failure::NOT_FOUND {
                    let holds = resolver.valid().unwrap_or(ABSENT);
                    update(&worker, &upstream, number, &[], holds);
                    holds.saturating_add(SECOND)
                } else {
                    limit.max(SECOND)
                }
            }
        };
        net::time::sleep(wait).await;
    }
}

fn update<P: Protocol>(worker: &Worker, upstream: &Upstream<P>, number: u64, found: &[Resolved], holds: Duration) {
    let until = clock::monotonic_ms().saturating_add(u64::try_from(holds.as_millis()).unwrap_or(u64::MAX));
    if upstream.group.update(number, found, until).full {
        base::log!(worker.log, Level::Error, 0, "cannot add new server to upstream \"{}\", memory exhausted", upstream.name);
    }
}

fn log_failure(worker: &Worker, template: &Template, failure: Failure) {
    let host = &template.host;
    match &template.service {
        None => base::log!(worker.log, Level::Error, 0, "{host} could not be resolved ({failure})"),
        Some(service) => base::log!(worker.log, Level::Error, 0, "service {service} of {host} could not be resolved ({failure})"),
    }
}

/// The addresses of a name, and for how long they hold.
async fn resolve(
    worker: &Worker,
    resolver: &Rc<Resolver>,
    template: &Template,
    limit: Duration,
) -> Result<(Vec<Resolved>, Duration), Failure> {
    let host = &template.host;
    let Some(service) = &template.service else {
        let addresses = resolver.resolve(host.as_bytes(), limit).await?;
        let found = |ip| Resolved { address: SocketAddr::new(ip, template.port), target: None, weight: 1, backup: false };
        return Ok((addresses.iter().map(found).collect(), addresses.ttl()));
    };
    let (services, holds) = resolver.services(host.as_bytes(), service.as_bytes(), limit).await?;
    let mut all = Vec::new();
    let mut until = holds;
    let mut failed = None;
    for one in &services {
        match resolver.resolve(one.target.as_bytes(), limit).await {
            Ok(addresses) => {
                until = until.min(addresses.ttl());
                let target: Rc<str> = one.target.as_str().into();
                let found = |ip| Resolved {
                    address: SocketAddr::new(ip, one.port),
                    target: Some(target.clone()),
                    weight: one.weight,
                    backup: false,
                };
                all.extend(addresses.iter().map(|ip| (one.priority, found(ip))));
            }
            Err(failure) => {
                let target = &one.target;
                base::log!(
                    worker.log,
                    Level::Error,
                    0,
                    "{target} could not be resolved ({failure}) while resolving service {service} of {host}"
                );
                failed = failed.filter(|failed| *failed != Failure::NOT_FOUND).or(Some(failure));
            }
        }
    }
    match failed {
        Some(failure) if all.is_empty() => Err(failure),
        _ => {
            let first = all.iter().map(|(priority, _)| *priority).min();
            let found = all.into_iter().map(|(priority, found)| Resolved { backup: Some(priority) != first, ..found });
            Ok((found.collect(), until))
        }
    }
}
