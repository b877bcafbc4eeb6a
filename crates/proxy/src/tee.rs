//! A copy of a body that is taken while the client gets it.

use crate::caching::fill::Filling;
use crate::caching::plan::is_any_true;
use crate::caching::{fill, serve};
use crate::dialect::UpstreamResponse;
use crate::exchange::Exchange;
use crate::storing::{self, StoreFile};

/// Where the copy goes.
pub enum Tee {
    /// To a cache.
    Cache(Box<Filling>),
    /// To a file of the configuration's choice.
    File(Box<StoreFile>),
}

impl Tee {
    /// What has to be known before the head leaves: who evaluates the client's conditions. Begins a copy where that depends on it.
    pub fn prepare(exchange: &mut Exchange, answer: &UpstreamResponse, buffering: bool) -> Option<Tee> {
        let caching = exchange.caching.as_ref()?;
        let filling = if caching.plan.rfc9111 { fill::begin(exchange, answer, buffering) } else { None };
        if filling.is_some() || fill::may_store(exchange, answer) {
            serve::own_conditions(&exchange.request);
        }
        filling.map(|filling| Tee::Cache(Box::new(filling)))
    }

    /// Begins a copy of a response, if there is to be one: header filters have seen its head and may have kept it out.
    pub fn begin(prepared: Option<Tee>, exchange: &mut Exchange, answer: &UpstreamResponse, buffering: bool) -> Option<Tee> {
        match exchange.caching.as_ref().map(|caching| caching.plan.clone()) {
            Some(plan) if plan.rfc9111 => prepared.filter(|_| !is_any_true(&plan.no_cache, &exchange.request)),
            Some(_) => fill::begin(exchange, answer, buffering).map(|filling| Tee::Cache(Box::new(filling))),
            None => storing::begin(exchange, answer, buffering).map(|copy| Tee::File(Box::new(copy))),
        }
    }

    /// Appends bytes of the body.
    pub fn write(&mut self, data: &[u8]) {
        match self {
            Tee::Cache(filling) => filling.write(data),
            Tee::File(copy) => copy.write(data),
        }
    }

    /// Whether there is still something to go on for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Tee::Cache(filling) => filling.is_open(),
            Tee::File(copy) => copy.is_open(),
        }
    }

    /// The body is whole.
    pub fn commit(self) {
        match self {
            Tee::Cache(filling) => filling.commit(),
            Tee::File(copy) => copy.commit(),
        }
    }
}
