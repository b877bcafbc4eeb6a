//! The lookup of one name: its queries, one server after the other, following CNAMEs.

use crate::query::{self, Query};
use crate::{Failure, Resolver};
use std::net::IpAddr;
use std::time::Duration;
use wire::dns::{Kind, LONGEST_TTL, MOST_ALIASES, Name};

/// How long a server may be silent before the next one is asked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Finds the addresses of `name` and how long they hold. Goes on until a server has answered.
pub(crate) async fn run(resolver: &Resolver, name: &Name) -> Result<(Vec<IpAddr>, Duration), Failure> {
    let mut wanted = name.clone();
    let mut ttl = LONGEST_TTL;
    for _ in 0..MOST_ALIASES {
        let questions = both(resolver, &wanted).await?;
        let mut list = Vec::new();
        let mut alias = None;
        let mut code = Failure::NOT_FOUND;
        for question in questions {
            match question.ending {
                Some(Ok(found)) if found.addresses.is_empty() => {
                    if found.alias.is_some() {
                        ttl = ttl.min(found.ttl);
                        alias = alias.or(found.alias);
                    }
                }
                Some(Ok(found)) => {
                    ttl = ttl.min(found.ttl);
                    list.extend(found.addresses);
                }
                Some(Err(failed)) if failed != 3 => code = Failure::Code(failed),
                Some(Err(_)) | None => {}
            }
        }
        match alias {
            _ if !list.is_empty() => return Ok((list, Duration::from_secs(u64::from(ttl)))),
            Some(alias) => wanted = alias,
            None => return Err(code),
        }
    }
    Err(Failure::NOT_FOUND)
}

/// Asks for the addresses of both families.
async fn both(resolver: &Resolver, name: &Name) -> Result<Vec<Query>, Failure> {
    let kinds = [(resolver.settings.ipv4, Kind::A), (resolver.settings.ipv6, Kind::AAAA)];
    query_servers(resolver, kinds.into_iter().filter(|kind| kind.0).map(|kind| Query::new(name, kind.1)).collect()).await
}

/// Asks until a server has answered all questions, or all servers have said that they cannot.
pub(crate) async fn query_servers(resolver: &Resolver, mut questions: Vec<Query>) -> Result<Vec<Query>, Failure> {
    let Resolver { settings, next, .. } = resolver;
    let first = next.get();
    next.set(first.wrapping_add(1));
    let count = settings.servers.len();
    if count == 0 {
        return Err(Failure::TimedOut);
    }
    loop {
        let mut patient = false;
        for i in 0..count {
            let Some(server) = settings.servers.get(first.wrapping_add(i) % count) else { continue };
            let asked = net::time::timeout(PATIENCE, query::query(*server, &mut questions)).await;
            patient |= asked.is_err();
            if let Ok(Err(trouble)) = asked {
                resolver.report(*server, &trouble);
            }
            if questions.iter().all(Query::is_answered) {
                return Ok(questions);
            }
        }
        // Every server was asked once: what one of them refuses, none will do, and one family is better than none.
        if questions.iter().any(Query::is_useful) || questions.iter().all(|question| question.ending.is_some()) {
            return Ok(questions);
        }
        if !patient {
            net::time::sleep(PATIENCE).await;
        }
    }
}
