//! Name resolution at run time: the settings of `resolver` and `resolver_timeout`.

use crate::Resolver;
use base::errno::severity;
use base::log::ErrorLog;
use conf::scope::Config;
use std::rc::Rc;
use std::time::Duration;

/// The resolver of a location.
#[derive(Default)]
pub struct Resolving {
    /// `resolver`
    pub resolver: Option<Rc<Resolver>>,
    /// `resolver_timeout` in milliseconds, 30 s by default.
    pub timeout: Option<u64>,
}

impl Config for Resolving {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; resolver, timeout);
    }
}

/// Has the log told why name servers could not be asked.
pub fn log_trouble(resolver: &Resolver, log: &ErrorLog) {
    let log = log.clone();
    resolver.on_trouble(move |server, trouble| {
        let level = severity(&trouble.error);
        base::log!(log, level, 0, "{trouble} while resolving, resolver: {server}");
    });
}

impl Resolving {
    /// The resolver, if it has name servers.
    #[must_use]
    pub fn usable(&self) -> Option<&Rc<Resolver>> {
        self.resolver.as_ref().filter(|resolver| resolver.has_servers())
    }

    /// How long a name may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.timeout.unwrap_or(30_000))
    }
}
