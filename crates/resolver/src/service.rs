//! Services of a name: `SRV` records with hosts, ports and priorities.

use crate::query::Query;
use crate::status::Counter;
use crate::{Failure, Resolver, lookup};
use std::time::Duration;
use wire::dns::{Kind, LONGEST_TTL, MOST_ALIASES, Name};

/// A place of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
}

impl Resolver {
    /// The places of a service of a name, and how long they hold. A service without a dot is one of TCP: `http` is asked for as
    /// `_http._tcp`.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub async fn services(&self, name: &[u8], service: &[u8], limit: Duration) -> Result<(Vec<Service>, Duration), Failure> {
        let mut full = Vec::with_capacity(service.len() + name.len() + 8);
        if service.contains(&b'.') {
            full.extend_from_slice(service);
        } else {
            full.push(b'_');
            full.extend_from_slice(service);
            full.extend_from_slice(b"._tcp");
        }
        full.push(b'.');
        full.extend_from_slice(name);
        let name = Name::from_text(&full).ok_or(Failure::NOT_FOUND)?;
        let asking = async { net::time::timeout(limit, self.look_up(name)).await.unwrap_or(Err(Failure::TimedOut)) };
        self.counted(Counter::Srv, asking).await
    }

    async fn look_up(&self, mut wanted: Name) -> Result<(Vec<Service>, Duration), Failure> {
        let mut ttl = LONGEST_TTL;
        for _ in 0..MOST_ALIASES {
            let mut asked = lookup::query_servers(self, vec![Query::new(&wanted, Kind::SRV)]).await?;
            let found = match asked.pop().and_then(|question| question.ending) {
                Some(Ok(found)) => found,
                Some(Err(code)) => return Err(Failure::Code(code)),
                None => return Err(Failure::TimedOut),
            };
            ttl = ttl.min(found.ttl);
            match found.alias {
                _ if !found.services.is_empty() => {
                    let holds = self.valid().unwrap_or(Duration::from_secs(u64::from(ttl)));
                    return Ok((found.services.into_iter().map(Service::from).collect(), holds));
                }
                Some(alias) => wanted = alias,
                None => return Err(Failure::NOT_FOUND),
            }
        }
        Err(Failure::NOT_FOUND)
    }
}

impl From<wire::dns::Service> for Service {
    fn from(record: wire::dns::Service) -> Service {
        Service { priority: record.priority, weight: record.weight, port: record.port, target: record.target.to_string() }
    }
}
