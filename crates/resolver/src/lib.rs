//! A caching client of the domain name system, as nginx's `resolver`: its own servers, no hosts file, no search list.
//!
//! `wire::dns` knows the messages, [`query`] one exchange with a server, `flight` lets callers that want the same name share one
//! look-up; the [`Resolver`] here has the servers and the cache.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod failure;
mod lookup;
pub mod query;
mod service;
pub mod settings;
mod shared_lookup;
pub mod status;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use query::ServerError;
pub use service::Service;
use shared_lookup::{Flight, Wait};
use shm::Meter;
use status::Counter;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};
use wire::dns::Name;

/// How long an unused answer stays in memory, as in nginx.
const UNUSED: Duration = Duration::from_secs(30);
/// At most so many names are remembered; then the ones unused for longest go.
const MOST_NAMES: usize = 65_536;
/// If an expired answer can be used, a new one is awaited no longer than this.
const STALE_WAIT: Duration = Duration::from_secs(1);
/// How long an old answer serves before the servers are asked again.
const STALE_REST: Duration = Duration::from_secs(5);

/// What a configuration says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers; each question begins with the next of them.
    pub servers: Vec<SocketAddr>,
    /// How long an answer holds; what its records say when `None`.
    pub valid: Option<Duration>,
    /// How long an old answer may serve while no server answers.
    pub stale: Duration,
    /// Whether IPv4 addresses are looked for.
    pub ipv4: bool,
    /// Whether IPv6 addresses are looked for.
    pub ipv6: bool,
    /// Where it is counted what was asked for.
    pub status_zone: Option<Rc<Meter>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { servers: Vec::new(), valid: None, stale: Duration::ZERO, ipv4: true, ipv6: true, status_zone: None }
    }
}

/// The addresses of a name. Each time a name is looked up again another one is the first.
#[derive(Clone, Debug)]
pub struct Addresses {
    list: Rc<[IpAddr]>,
    first: usize,
    until: Option<Instant>,
}

impl Addresses {
    /// For how long they hold; a literal address does for ever.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }

    /// The address whose turn it is.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        self.iter().next()
    }

    /// All addresses, beginning with the one whose turn it is.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (behind, front) = self.list.split_at_checked(self.first).unwrap_or((&self.list, &[]));
        front.iter().chain(behind).copied()
    }
}

/// An answer in memory.
struct Entry {
    list: Rc<[IpAddr]>,
    until: Cell<Instant>,
    /// For how long it may serve while no server answers.
    stale: Instant,
    used: Cell<Instant>,
    /// Whose turn it is; none while the addresses are unused.
    next_server: Cell<Option<usize>>,
}

impl Entry {
    fn addresses(&self, now: Instant) -> Addresses {
        self.used.set(now);
        let count = self.list.len().max(1);
        // A new answer is used in its own order, as in nginx. The turn after that is anyone's, so that workers do not march in step.
        let turn = self.next_server.get();
        let first = turn.map_or(0, |turn| turn % count);
        self.next_server.set(Some(turn.map_or_else(|| getrandom::u32().unwrap_or(1) as usize, |_| first + 1)));
        Addresses { list: self.list.clone(), first, until: Some(self.until.get()) }
    }
}

/// A group of name servers and what they have answered. It opens sockets only while it asks.
pub struct Resolver {
    settings: Settings,
    next: Cell<usize>,
    entries: RefCell<HashMap<Name, Entry>>,
    swept: Cell<Option<Instant>>,
    flights: RefCell<HashMap<Name, Weak<Flight>>>,
    listener: RefCell<Option<Listener>>,
}

/// Receives the reason why a server could not be asked.
type Listener = Rc<dyn Fn(SocketAddr, &ServerError)>;

impl Resolver {
    /// A resolver that has asked nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Resolver {
        Resolver {
            settings,
            next: Cell::new(0),
            entries: RefCell::default(),
            swept: Cell::new(None),
            flights: RefCell::default(),
            listener: RefCell::default(),
        }
    }

    /// Has `listener` told from now on why servers could not be asked. Silence is no trouble: that is a time-out.
    pub(crate) fn on_trouble(&self, listener: impl Fn(SocketAddr, &ServerError) + 'static) {
        *self.listener.borrow_mut() = Some(Rc::new(listener));
    }

    fn report(&self, server: SocketAddr, trouble: &ServerError) {
        let listener = self.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(server, trouble);
        }
    }

    /// Whether there is a server to ask.
    #[must_use]
    pub(crate) fn has_servers(&self) -> bool {
        !self.settings.servers.is_empty()
    }

    /// How long answers hold, whatever their records say.
    #[must_use]
    pub fn valid(&self) -> Option<Duration> {
        self.settings.valid
    }

    /// The addresses of a name that was asked for before, while they hold.
    #[must_use]
    pub fn known(&self, name: &[u8]) -> Option<Addresses> {
        self.cached(&Name::from_text(name)?)
    }

    fn cached(&self, name: &Name) -> Option<Addresses> {
        let now = Instant::now();
        self.entries.borrow().get(name).filter(|entry| entry.until.get() > now).map(|entry| entry.addresses(now))
    }

    /// The addresses of a name, asked for if need be, for at most `limit`.
    ///
    /// # Errors
    /// What the servers said, or that none of them said anything in time.
    pub async fn resolve(self: &Rc<Self>, name: &[u8], limit: Duration) -> Result<Addresses, Failure> {
        if let Some(ip) = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok()) {
            return Ok(Addresses { list: Rc::new([ip]), first: 0, until: None });
        }
        // No server can know what is no name.
        let name = Name::from_text(name).ok_or(Failure::NOT_FOUND)?;
        if let Some(found) = self.cached(&name) {
            return Ok(found);
        }
        let waiting = Wait::new(self.flight(&name));
        let limit = if self.is_stale(&name) { limit.min(STALE_WAIT) } else { limit };
        let asking = async { net::time::timeout(limit, waiting).await.unwrap_or(Err(Failure::TimedOut)) };
        let failure = match self.counted(Counter::Name, asking).await {
            Ok(found) => return Ok(self.waiters_served(&name, found)),
            Err(failure) => failure,
        };
        // That there is no such name is an answer; everything else is an outage.
        if failure != Failure::NOT_FOUND && self.is_stale(&name) {
            let now = Instant::now();
            if let Some(old) = self.entries.borrow().get(&name) {
                old.until.set(old.stale.min(now + STALE_REST));
                return Ok(old.addresses(now));
            }
        }
        Err(failure)
    }

    /// The look-up of this name that is under way, or a new one.
    fn flight(self: &Rc<Self>, name: &Name) -> Rc<Flight> {
        let mut flights = self.flights.borrow_mut();
        if let Some(flight) = flights.get(name).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let (resolver, wanted) = (self.clone(), name.clone());
        let flight = Rc::new(Flight::new(Box::pin(async move {
            let answer = lookup::run(&resolver, &wanted).await;
            resolver.flights.borrow_mut().remove(&wanted);
            answer.map(|(list, ttl)| resolver.insert(wanted, list, ttl))
        })));
        flights.insert(name.clone(), Rc::downgrade(&flight));
        flight
    }

    fn insert(&self, name: Name, list: Vec<IpAddr>, ttl: Duration) -> Rc<[IpAddr]> {
        let now = Instant::now();
        self.sweep(now);
        let list: Rc<[IpAddr]> = list.into();
        let until = now + self.settings.valid.unwrap_or(ttl);
        let stale = until + self.settings.stale;
        let entry = Entry { list: list.clone(), until: Cell::new(until), stale, used: Cell::new(now), next_server: Cell::new(None) };
        self.entries.borrow_mut().insert(name, entry);
        list
    }

    fn waiters_served(&self, name: &Name, list: Rc<[IpAddr]>) -> Addresses {
        let entries = self.entries.borrow();
        let now = Instant::now();
        entries.get(name).map_or(Addresses { list, first: 0, until: Some(now) }, |entry| entry.addresses(now))
    }

    fn is_stale(&self, name: &Name) -> bool {
        self.entries.borrow().get(name).is_some_and(|entry| entry.stale > Instant::now())
    }

    /// Forgets what neither holds nor was used lately.
    fn sweep(&self, now: Instant) {
        let mut entries = self.entries.borrow_mut();
        if self.swept.get().is_none_or(|last| now.duration_since(last) > UNUSED) {
            self.swept.set(Some(now));
            entries.retain(|_, entry| entry.stale > now || entry.used.get() + UNUSED > now);
        }
        if entries.len() >= MOST_NAMES {
            let mut ages: Vec<Instant> = entries.values().map(|entry| entry.used.get()).collect();
            let middle = ages.len() / 2;
            let median = *ages.select_nth_unstable(middle).1;
            entries.retain(|_, entry| entry.used.get() > median);
        }
    }
}
