//! A copy of a body that is taken while the client gets it.

use crate::caching::fill::Filling;
use crate::caching::{fill, serve};
use crate::dialect::Answer;
use crate::exchange::Exchange;
use crate::storing::{self, Copy};

/// Where the copy goes.
pub enum Tee {
    /// To a cache.
    Cache(Box<Filling>),
    /// To a file of the configuration's choice.
    File(Box<Copy>),
}

impl Tee {
    /// Begins a copy of an answer, if there is to be one.
    pub fn begin(exchange: &mut Exchange, answer: &Answer, buffering: bool) -> Option<Tee> {
        if exchange.caching.is_some() {
            let own = fill::may_store(exchange, answer);
            let filling = fill::begin(exchange, answer, buffering);
            if own || filling.is_some() {
                serve::own(&exchange.request);
            }
            let filling = filling?;
            return Some(Tee::Cache(Box::new(filling)));
        }
        storing::begin(exchange, answer, buffering).map(|copy| Tee::File(Box::new(copy)))
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
    pub fn keep(self) {
        match self {
            Tee::Cache(filling) => filling.keep(),
            Tee::File(copy) => copy.keep(),
        }
    }
}
