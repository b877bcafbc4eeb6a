//! Keeps certificates fresh: one worker asks for those that are missing or due.

use crate::certificate;
use crate::client::{AccountLookup, Client};
use crate::error::AcmeError;
use crate::issuer::{AccountKeySource, Issuer};
use crate::jws::AccountKey;
use crate::order::{Issued, Order};
use crate::registry::Registry;
use crate::schedule::Schedule;
use crate::transport::Transport;
use crate::zone::Zone;
use base::clock;
use base::log::{ErrorLog, Level};
use base::xorshift::Xorshift;
use resolver::settings::Resolving;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tls::certificate::Key;

/// The least and the most time between two looks, seconds.
const PAUSE: (i64, i64) = (30, 24 * 3600);

/// Begins to work in the first worker. All workers fill the zone from what is kept in files.
pub(crate) fn start(worker: &Rc<http::Worker>) {
    let http = worker.http();
    let Some(registry) = http.main.get::<Registry>().cloned() else { return };
    let Some(zone) = registry.zone().filter(|_| worker.process().is_none_or(|place| !place.agent)) else { return };
    for issuer in registry.issuers() {
        issuer.orders.borrow().iter().for_each(|order| load(&issuer, order, &zone));
    }
    if worker.number == 0 && registry.issuers().iter().any(|issuer| !issuer.orders.borrow().is_empty()) {
        let keeper = Renewer { worker: worker.common.clone(), zone, chance: Cell::new(seed()) };
        worker.spawn(Box::pin(async move { keeper.run(&registry).await }));
    }
}

/// Shows what is kept in files, unless something newer is shown.
fn load(issuer: &Issuer, order: &Order, zone: &Zone) {
    if zone.certificate(&issuer.name, &order.id).is_none()
        && let Some(stored) = issuer.state.as_ref().and_then(|state| state.certificate(order))
    {
        // Without room it is asked for anew, and that says so.
        let _ = zone.set_certificate(&issuer.name, &order.id, &stored);
    }
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or(clock::epoch_ms())
}

fn now() -> i64 {
    i64::try_from(clock::epoch_ms() / 1000).unwrap_or(i64::MAX)
}

/// Who keeps them fresh.
struct Renewer {
    worker: Rc<session::Worker>,
    zone: Zone,
    chance: Cell<u64>,
}

/// What is known of an issuer between two looks.
#[derive(Default)]
struct Memory {
    key: Option<Rc<AccountKey>>,
    schedules: HashMap<String, Schedule>,
    /// The account is not to be asked for before.
    account: Option<Schedule>,
}

impl Renewer {
    async fn run(&self, registry: &Registry) {
        let mut memories: HashMap<String, Memory> = HashMap::new();
        while !self.worker.exiting.get() {
            let mut next = now();
            // Another generation's worker may still be at it.
            if self.zone.lease() {
                next += PAUSE.1;
                for issuer in registry.issuers() {
                    let memory = memories.entry(issuer.name.clone()).or_default();
                    next = next.min(self.renew_all(&issuer, memory).await.unwrap_or(next));
                }
                self.zone.release_lease();
            }
            let pause = (next - now()).max(PAUSE.0).min(PAUSE.1);
            net::time::sleep(Duration::from_secs(pause.unsigned_abs())).await;
        }
    }

    fn log(&self) -> &ErrorLog {
        &self.worker.log
    }

    fn log_order(&self, level: Level, issuer: &Issuer, order: Option<&Order>, text: &str) {
        let order = order.map(|order| format!(", order: \"{}\"", order.id)).unwrap_or_default();
        base::log!(self.log(), level, 0, "{text}, acme issuer: \"{}\"{order}", issuer.name);
    }

    fn jitter(&self) -> u64 {
        let drawn = Xorshift::new(self.chance.get()).draw();
        self.chance.set(drawn);
        drawn
    }

    /// Sees to all certificates of an issuer; when to look again.
    async fn renew_all(&self, issuer: &Issuer, memory: &mut Memory) -> Option<i64> {
        let orders = issuer.orders.borrow().clone();
        if memory.account.is_some_and(|account| !account.wants_certificate(now())) {
            return memory.account.and_then(|account| account.at());
        }
        let key = match &memory.key {
            Some(key) => key.clone(),
            None => {
                let key = self.account_key(issuer).map(Rc::new);
                let Some(key) = key else { return Some(now() + PAUSE.1) };
                memory.key.insert(key).clone()
            }
        };
        let none = Resolving::default();
        let transport = Transport { resolving: issuer.resolving.get().unwrap_or(&none), tls: &issuer.tls, verify: issuer.verify };
        let mut client = Client { issuer, transport, key: &key, zone: &self.zone, directory: None, account: None, nonce: None };
        let mut next: Option<i64> = None;
        for order in &orders {
            if self.worker.exiting.get() {
                return None;
            }
            let schedule = memory.schedules.entry(order.id.clone()).or_insert_with(|| self.schedule(issuer, order));
            match self.renew(&mut client, order, schedule).await {
                Ok(()) => memory.account = None,
                Err(error) => return self.without_account(issuer, &error, memory),
            }
            next = schedule.at().map(|at| next.map_or(at, |next| next.min(at))).or(next);
        }
        next
    }

    /// There is no account: notes it, and says when to try again.
    fn without_account(&self, issuer: &Issuer, error: &AcmeError, memory: &mut Memory) -> Option<i64> {
        let is_final = error.is_final_for_account();
        let level = if is_final { Level::Error } else { Level::Warn };
        self.log_order(level, issuer, None, &format!("{error} while creating account"));
        let account = memory.account.get_or_insert_with(Schedule::missing);
        match error {
            _ if is_final => account.is_exhausted(),
            AcmeError::RateLimited(pause) => account.postponed(now(), pause.as_secs()),
            _ => account.failed(now(), self.jitter()),
        }
        account.at()
    }

    fn schedule(&self, issuer: &Issuer, order: &Order) -> Schedule {
        let issued = self.zone.certificate(&issuer.name, &order.id);
        issued.and_then(|issued| certificate::validity(&issued.chain)).map_or_else(Schedule::missing, Schedule::of)
    }

    /// The account's key: the configuration's, or the one that is kept, or a new one.
    fn account_key(&self, issuer: &Issuer) -> Option<AccountKey> {
        let kind = match &issuer.account_key {
            AccountKeySource::File(der) => return AccountKey::from_der(der),
            AccountKeySource::Made(kind) => *kind,
        };
        let stored = || Key::with_der(&issuer.state.as_ref()?.account_key()?, &[]).ok().map(|(_, der)| der);
        if let Some(known) = self.zone.account(&issuer.name).or_else(stored).and_then(|der| AccountKey::from_der(&der)) {
            return Some(known);
        }
        let made = match kind.generate() {
            Ok(made) => made,
            Err(error) => {
                self.log_order(Level::Error, issuer, None, &format!("key generation error: {error}"));
                return None;
            }
        };
        let der = made.serialize_der();
        let stored = issuer.state.as_ref().map_or(Ok(()), |state| state.set_account_key(made.serialize_pem().as_bytes()));
        if let Err(error) = stored {
            self.log_order(
                Level::Warn,
                issuer,
                None,
                &format!("writing account key to state directory failed {}", base::errno::describe(&error)),
            );
        }
        if self.zone.set_account(&issuer.name, &der).is_err() {
            self.log_order(Level::Warn, issuer, None, "no memory in the shared zone for the account key");
        }
        AccountKey::from_der(&der)
    }

    /// Sees to one certificate.
    ///
    /// # Errors
    /// There is no account.
    async fn renew(&self, client: &mut Client<'_>, order: &Order, schedule: &mut Schedule) -> Result<(), AcmeError> {
        let issuer = client.issuer;
        if schedule.wants_info(now()) {
            self.fetch_renewal_info(client, order, schedule).await;
        }
        if !schedule.wants_certificate(now()) {
            return Ok(());
        }
        if client.account.is_none() {
            if let AccountLookup::Created(url) = client.open_account().await? {
                self.log_order(Level::Info, issuer, Some(order), &format!("account \"{url}\" created"));
                if issuer.state.as_ref().is_some_and(|state| state.set_account_url(&url).is_err()) {
                    self.log_order(Level::Warn, issuer, Some(order), "writing account URL to state directory failed");
                }
            }
            if let Some(note) = client.profile().1 {
                self.log_order(Level::Notice, issuer, None, &note);
            }
        }
        let replaced = self.zone.certificate(&issuer.name, &order.id).and_then(|issued| certificate::identifier(&issued.chain));
        let replaced = replaced.filter(|_| client.directory.as_ref().is_some_and(|directory| directory.renewal_info.is_some()));
        match client.certificate(&order.request, replaced.as_deref()).await {
            Ok((issued, note)) => {
                note.iter().for_each(|note| self.log_order(Level::Info, issuer, Some(order), note));
                self.take(client, order, schedule, &issued).await;
            }
            Err(error) => self.failed(issuer, order, schedule, &error),
        }
        Ok(())
    }

    fn failed(&self, issuer: &Issuer, order: &Order, schedule: &mut Schedule, error: &AcmeError) {
        let is_final = error.is_final_for_order();
        let level = if is_final { Level::Error } else { Level::Warn };
        self.log_order(level, issuer, Some(order), &format!("{error} while updating certificate"));
        match error {
            _ if is_final => schedule.is_exhausted(),
            AcmeError::RateLimited(pause) => schedule.postponed(now(), pause.as_secs()),
            _ => schedule.failed(now(), self.jitter()),
        }
    }

    /// Keeps and shows a certificate that was issued.
    async fn take(&self, client: &mut Client<'_>, order: &Order, schedule: &mut Schedule, issued: &Issued) {
        let issuer = client.issuer;
        if let Err(error) = issuer.state.as_ref().map_or(Ok(()), |state| state.set_certificate(order, issued)) {
            let text = format!("writing certificate to state directory failed {}", base::errno::describe(&error));
            self.log_order(Level::Warn, issuer, Some(order), &text);
        }
        if self.zone.set_certificate(&issuer.name, &order.id, issued).is_err() {
            self.log_order(Level::Warn, issuer, Some(order), "no memory in the shared zone while updating certificate");
            return schedule.failed(now(), self.jitter());
        }
        let time = now();
        *schedule = Schedule::of(certificate::validity(&issued.chain).unwrap_or((time, time)));
        self.fetch_renewal_info(client, order, schedule).await;
        self.log_order(
            Level::Info,
            issuer,
            Some(order),
            &format!("certificate issued, renewal scheduled at {}", rfc3339(schedule.at().unwrap_or_default())),
        );
    }

    /// Asks the server when it should be renewed (RFC 9773).
    async fn fetch_renewal_info(&self, client: &mut Client<'_>, order: &Order, schedule: &mut Schedule) {
        let issuer = client.issuer;
        let chain = self.zone.certificate(&issuer.name, &order.id);
        let Some(identifier) = chain.and_then(|issued| certificate::identifier(&issued.chain)) else {
            return schedule.by_life(self.jitter());
        };
        let warn = |text: &str| self.log_order(Level::Warn, issuer, Some(order), &format!("{text} while updating renewal info"));
        match client.renewal_info(&identifier).await {
            Ok(None) => schedule.by_life(self.jitter()),
            Ok(Some((info, holds))) => {
                let window = (info.suggested_window.start.unix_timestamp(), info.suggested_window.end.unix_timestamp());
                if window != schedule.window {
                    let reason = info.explanation.map(|url| format!(", see {url} for details")).unwrap_or_default();
                    let text = format!("CA suggested renewal window: {} - {}{reason}", rfc3339(window.0), rfc3339(window.1));
                    self.log_order(Level::Info, issuer, Some(order), &text);
                }
                if !schedule.suggested(window, holds.map(|holds| holds.as_secs()), now(), self.jitter()) {
                    warn("invalid renewal window");
                }
            }
            Err(error) => {
                warn(&error.to_string());
                schedule.failed(now(), self.jitter());
            }
        }
    }
}

/// A moment for people (RFC 3339).
fn rfc3339(seconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds);
    time.ok().and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}
