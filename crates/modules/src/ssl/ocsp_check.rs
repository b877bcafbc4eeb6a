//! `ssl_ocsp`: asks responders whether client certificates were revoked (`ngx_event_openssl_stapling.c`).

use super::responder::Responder;
use super::responder::StatusError;
use base::clock;
use base::log::{ErrorLog, Level};
use conf::row::Cx;
use conf::tree::Error;
use resolver::settings::Resolving;
use session::tls::Revocation;
use shm::dict::{Dict, Store, StoreMode, Value};
use shm::{ClaimError, Zone, Zones};
use std::rc::Rc;
use tls::certificate::CertificateDer;
use tls::names::sha256;
use tls::ocsp::{self, Status};

/// Smallest zone, bytes: nginx's eight pages.
const SMALLEST: usize = 8 * 4096;
/// Who owns such zones.
pub(super) const OWNER: &str = "ssl_ocsp_cache";
/// How many certificates of a chain are asked about.
const MOST: usize = 16;

/// Which certificates are asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OcspMode {
    /// None.
    #[default]
    Off,
    /// The client's and those between it and the authority.
    Chain,
    /// The client's own.
    Leaf,
}

/// `ssl_ocsp_cache off | shared:NAME:SIZE`
pub(super) fn cache(cx: &mut Cx<'_>) -> Result<Option<Rc<Zone>>, Error> {
    let word = cx.text(0).into_owned();
    if word == "off" {
        return Ok(None);
    }
    let invalid = || cx.error(format!("invalid OCSP cache \"{word}\""));
    let (name, size) = word.strip_prefix("shared:").and_then(|rest| rest.split_once(':')).ok_or_else(invalid)?;
    let size = base::text::parse_size(size.as_bytes(), false).and_then(|size| usize::try_from(size).ok()).ok_or_else(invalid)?;
    if name.is_empty() {
        return Err(invalid());
    }
    if size < SMALLEST {
        return Err(cx.error(format!("OCSP cache \"{word}\" is too small")));
    }
    match cx.global::<Zones>().claim(name, OWNER, size) {
        Ok(zone) | Err(ClaimError::Bound(zone)) => Ok(Some(zone)),
        Err(error) => Err(cx.error(error.to_string())),
    }
}

/// What a server asks about its clients.
pub(super) struct OcspCheck {
    pub(super) extent: OcspMode,
    /// `ssl_ocsp_responder`
    pub(super) responder: Option<Responder>,
    /// Authorities, among which issuers are looked for.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    pub(super) resolving: Rc<Resolving>,
    pub(super) log: Option<ErrorLog>,
    pub(super) cache: Option<Dict>,
}

impl OcspCheck {
    /// Asks about a chain, the client's own certificate first.
    pub(super) async fn check(self: Rc<Self>, chain: Vec<CertificateDer<'static>>, log: ErrorLog) -> Revocation {
        let log = self.log.as_ref().unwrap_or(&log);
        let failed = Some("certificate status request failed");
        let (own, sent) = chain.split_first()?;
        let mut asked = own;
        for _ in 0..MOST {
            let issuer = ocsp::issuer(asked, sent).or_else(|| ocsp::issuer(asked, &self.trusted));
            let Some(issuer) = issuer else {
                log.write(Level::Error, 0, b"issuer certificate not found while requesting certificate status");
                return failed;
            };
            // The authority's own certificate is believed because it stands here.
            if issuer == asked {
                return None;
            }
            match self.status(asked, issuer).await {
                Ok(Status::Good) => {}
                Ok(Status::Revoked) => return Some("certificate revoked"),
                Ok(Status::Unknown) => return Some("certificate status unknown"),
                Err(text) => {
                    log.write(Level::Error, 0, format!("{text} while requesting certificate status").as_bytes());
                    return failed;
                }
            }
            if self.extent == OcspMode::Leaf {
                return None;
            }
            asked = issuer;
        }
        failed
    }

    async fn status(&self, certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Result<Status, StatusError> {
        let question = ocsp::request(certificate, issuer).ok_or("OCSP_cert_to_id() failed")?;
        // The question names the certificate by serial number and digests of its issuer.
        let key = sha256(&question);
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let found;
        let responder = match &self.responder {
            Some(responder) => responder,
            None => {
                let url = ocsp::responder(certificate).ok_or("no OCSP responder URL in certificate")?;
                found = Responder::parse(&url).map_err(|words| format!("{words} in OCSP responder \"{url}\" in certificate"))?;
                &found
            }
        };
        let response = responder.query(&self.resolving, &question).await?;
        let now = clock::now().sec;
        let judged = ocsp::verify(&response, certificate, issuer, true, now);
        let judged = judged.map_err(|error| format!("{error}, responder: {}", responder.log_context()))?;
        self.cache(&key, judged.status, judged.until.map_or(0, |until| until - now));
        Ok(judged.status)
    }

    fn known(&self, key: &[u8]) -> Option<Status> {
        let mut value = Vec::new();
        self.cache.as_ref()?.get(key, false, clock::epoch_ms(), &mut value).ok().flatten()?;
        [Status::Good, Status::Revoked, Status::Unknown].into_iter().find(|status| status.text().as_bytes() == value)
    }

    /// Keeps a status for so many seconds; one without an end is asked for again.
    fn cache(&self, key: &[u8], status: Status, seconds: i64) {
        let Some(lifetime) = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0) else { return };
        let how = Store { when: StoreMode::Always, safe: false, lifetime: lifetime.saturating_mul(1000), flags: 0 };
        if let Some(cache) = &self.cache {
            // A full zone forgets; what is not kept is asked for again.
            let _ = cache.store(key, Value::Text(status.text().as_bytes()), how, clock::epoch_ms());
        }
    }
}
