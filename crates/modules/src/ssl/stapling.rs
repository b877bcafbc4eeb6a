//! `ssl_stapling`: OCSP responses for a server's certificate, fetched when a client asks for one, cached and renewed.

use super::responder::Responder;
use super::responder::StatusError;
use base::clock;
use base::log::{ErrorLog, Level};
use resolver::settings::Resolving;
use session::Worker;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tls::certificate::{CertificateDer, Pair};
use tls::ocsp::{self, Status};

/// How long a response is kept before the next one is asked for, seconds; and how long a failure is.
const RENEWED: i64 = 3600;
const TRIED: i64 = 300;

/// What stapling needs to know.
#[derive(Clone)]
pub(super) struct Source {
    /// The certificate's file.
    pub(super) name: String,
    /// The authorities beside the chain that was read with the certificate.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    /// `ssl_stapling_responder`
    pub(super) responder: Option<Rc<str>>,
    /// `ssl_stapling_verify`
    pub(super) verify: bool,
    /// Looks responders up.
    pub(super) resolving: Rc<Resolving>,
    /// The log.
    pub(super) log: Option<ErrorLog>,
}

/// A response, and until when it is good.
struct CachedResponse {
    der: Vec<u8>,
    until: Option<i64>,
}

/// One certificate whose status is stapled.
pub(super) struct Stapling {
    source: Source,
    certificate: CertificateDer<'static>,
    issuer: CertificateDer<'static>,
    responder: Responder,
    response: RefCell<Option<CachedResponse>>,
    /// How often `cached` has changed.
    changes: Cell<u64>,
    /// When to ask next.
    refresh: Cell<i64>,
    asking: Cell<bool>,
}

fn now() -> i64 {
    clock::now().sec
}

impl Stapling {
    /// For a certificate.
    ///
    /// # Errors
    /// Why it cannot be: a warning.
    pub(super) fn new(pair: &Pair, source: Source) -> Result<Rc<Stapling>, StatusError> {
        let ignored = |why: String| StatusError::from(format!("\"ssl_stapling\" ignored, {why}"));
        let name = &source.name;
        let [own, chain @ ..] = pair.certificates() else { return Err(ignored(format!("no certificate \"{name}\""))) };
        let issuer = ocsp::issuer(own, chain).or_else(|| ocsp::issuer(own, &source.trusted)).cloned();
        let issuer = issuer.ok_or_else(|| ignored(format!("issuer certificate not found for certificate \"{name}\"")))?;
        let url = source.responder.as_deref().map(str::to_owned).or_else(|| ocsp::responder(own));
        let url = url.ok_or_else(|| ignored(format!("no OCSP responder URL in the certificate \"{name}\"")))?;
        let responder = Responder::parse(&url).and_then(|mut responder| {
            if source.resolving.usable().is_none() {
                responder.look_up()?;
            }
            Ok(responder)
        });
        let responder = responder.map_err(|words| ignored(format!("{words} in OCSP responder \"{url}\" in the certificate \"{name}\"")))?;
        let own = own.clone();
        Ok(Rc::new(Stapling {
            source,
            certificate: own,
            issuer,
            responder,
            response: RefCell::default(),
            changes: Cell::new(0),
            refresh: Cell::new(0),
            asking: Cell::new(false),
        }))
    }

    /// The same for another certificate in the place of this one.
    ///
    /// # Errors
    /// As [`Stapling::new`].
    pub(super) fn renew_for(&self, pair: &Pair) -> Result<Rc<Stapling>, StatusError> {
        Stapling::new(pair, self.source.clone())
    }

    /// Whether it is for the certificate of this pair.
    pub(super) fn is_of(&self, pair: &Pair) -> bool {
        pair.certificates().first() == Some(&self.certificate)
    }

    /// How often the response has changed. One that is no longer good goes.
    pub(super) fn changes(&self) -> u64 {
        let over = self.response.borrow().as_ref().is_some_and(|cached| cached.until.is_some_and(|until| until < now()));
        if over {
            self.store(None);
        }
        self.changes.get()
    }

    /// The response, if there is one.
    pub(super) fn der(&self) -> Option<Vec<u8>> {
        self.response.borrow().as_ref().map(|cached| cached.der.clone())
    }

    fn store(&self, cached: Option<CachedResponse>) {
        self.response.replace(cached);
        self.changes.set(self.changes.get() + 1);
    }

    /// Asks, if it is time to, without anybody waiting for it.
    pub(super) fn maintain(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.asking.get() || self.refresh.get() > now() || worker.exiting.get() {
            return;
        }
        self.asking.set(true);
        let (own, worker_log) = (self.clone(), worker.log.clone());
        worker.spawn(Box::pin(async move {
            let next = match own.fetch().await {
                Ok(cached) => {
                    let until = cached.until.map_or(i64::MAX, |until| until.saturating_sub(TRIED));
                    own.store(Some(cached));
                    until.min(now() + RENEWED).max(now() + TRIED)
                }
                Err(text) => {
                    let shown = own.responder.log_context();
                    let line =
                        format!("{text} while requesting certificate status, responder: {shown}, certificate: \"{}\"", own.source.name);
                    own.source.log.as_ref().unwrap_or(&worker_log).write(Level::Error, 0, line.as_bytes());
                    now() + TRIED
                }
            };
            own.refresh.set(next);
            own.asking.set(false);
        }));
    }

    async fn fetch(&self) -> Result<CachedResponse, StatusError> {
        let question = ocsp::request(&self.certificate, &self.issuer).ok_or("OCSP_cert_to_id() failed")?;
        let der = self.responder.query(&self.source.resolving, &question).await?;
        let found = ocsp::verify(&der, &self.certificate, &self.issuer, self.source.verify, now()).map_err(|error| error.to_string())?;
        match found.status {
            Status::Good => Ok(CachedResponse { der, until: found.until }),
            other => Err(format!("certificate status \"{}\" in the OCSP response", other.text()).into()),
        }
    }
}
