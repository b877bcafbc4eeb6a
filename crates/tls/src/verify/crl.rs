//! Certificate revocation lists, indexed by issuer.

mod scope;

use rustls::pki_types::UnixTime;
use x509_parser::prelude::{FromDer, ReasonCode, X509Version};
use x509_parser::revocation_list::CertificateRevocationList;

use super::parsed::{Parsed, seconds, signs};
use super::reason::Verdict;
use crate::certificate::{LoadError, pem, read};
use crate::files::Files;
use scope::Scope;

/// A list of revoked certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    issuer: Vec<u8>,
    from: i64,
    until: Option<i64>,
    /// Sorted.
    serials: Vec<Vec<u8>>,
    /// Of which certificates it tells.
    scope: Scope,
    /// Whether it has a critical extension that nobody knows.
    alien: bool,
}

impl Crl {
    /// Reads the lists of `name`, a file in PEM, or PEM itself behind `data:` (`ssl_crl`).
    ///
    /// # Errors
    /// nginx's message.
    pub fn load(files: &Files, name: &str) -> Result<Vec<Self>, LoadError> {
        let fail = |call: &str, text: &str| LoadError(format!("cannot load CRL \"{name}\": {call}() failed (SSL: {text})"));
        let text = read(files, name).map_err(|LoadError(text)| fail("BIO_new_file", &text))?;
        Self::from_pem(&text).map_err(|text| fail("PEM_read_bio_X509_CRL", text))
    }

    /// The lists of a text in PEM.
    ///
    /// # Errors
    /// OpenSSL's words when one is none, or there is none.
    pub fn from_pem(text: &[u8]) -> Result<Vec<Self>, &'static str> {
        let mut found = Vec::new();
        for block in pem::blocks(text) {
            let block = block.map_err(pem::PemError::text)?;
            if block.label == "X509 CRL" {
                found.push(Self::from_der(&block.der)?);
            }
        }
        if found.is_empty() { Err("error:0480006C:PEM routines::no start line:Expecting: X509 CRL") } else { Ok(found) }
    }

    /// One list in DER.
    ///
    /// # Errors
    /// OpenSSL's words when it is none.
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        let parsed = CertificateRevocationList::from_der(der);
        let (_, list) = parsed.map_err(|_| "error:0688010A:asn1 encoding routines::nested asn1 error:Type=X509_CRL")?;
        let entries = || list.iter_revoked_certificates();
        let revoked = entries().filter(|entry| !matches!(entry.reason_code(), Some((_, ReasonCode::RemoveFromCRL))));
        let mut serials: Vec<_> = revoked.map(|entry| entry.raw_serial().to_vec()).collect();
        serials.sort_unstable();
        let own = list.extensions().iter().filter(|extension| !scope::is_understood(extension));
        let alien = own.chain(entries().flat_map(|entry| entry.extensions())).any(|extension| extension.critical);
        Ok(Self {
            issuer: list.issuer().as_raw().to_vec(),
            from: list.last_update().timestamp(),
            until: list.next_update().map(|time| time.timestamp()),
            serials,
            scope: Scope::of(list.extensions()),
            alien,
            der: der.to_vec(),
        })
    }

    fn signed_by(&self, issuer: &Parsed<'_>) -> bool {
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
        signs(issuer, &list.signature_algorithm, list.tbs_cert_list.as_ref(), &list.signature_value.data)
    }
}

/// All lists; without any, nothing is checked.
#[derive(Debug, Default)]
pub(super) struct Crls {
    lists: Vec<Crl>,
}

impl Crls {
    pub(super) fn new(lists: Vec<Crl>) -> Self {
        Self { lists }
    }

    /// Checks each certificate of a chain, the peer's own first. Says what is wrong.
    pub(super) fn check(&self, path: &[Parsed<'_>], now: UnixTime, found: &mut Vec<Verdict>) {
        if self.lists.is_empty() {
            return;
        }
        for (place, certificate) in path.iter().enumerate() {
            // The last one signs itself and its list, or nobody is here who did.
            let issuer = path.get(place + 1).unwrap_or(certificate);
            self.one(certificate, issuer, seconds(now), found);
        }
    }

    /// What OpenSSL finds, and in its order: it goes on behind everything but a missing list.
    fn one(&self, certificate: &Parsed<'_>, issuer: &Parsed<'_>, now: i64, found: &mut Vec<Verdict>) {
        let mut says = |code: u16| found.push(Verdict::new(code));
        let name = certificate.issuer().as_raw();
        let mine = self.lists.iter().filter(|list| list.issuer == name && list.scope.is_usable_below(issuer));
        // Of several lists the one that tells of this certificate and is good now, then the latest.
        let current = |list: &Crl| list.from <= now && list.until.is_none_or(|until| now <= until);
        let rank = |list: &&Crl| (!list.alien, list.scope.has(certificate), current(list), list.from);
        let Some(list) = mine.max_by_key(rank) else { return says(3) };
        let usage = issuer.key_usage().ok().flatten();
        if issuer.version() == X509Version::V3 && usage.is_some_and(|usage| !usage.value.crl_sign()) {
            says(35);
        }
        let in_scope = list.scope.has(certificate);
        if !in_scope {
            says(44);
        }
        if list.from > now {
            says(11);
        }
        if list.until.is_some_and(|until| until < now) {
            says(12);
        }
        if !list.signed_by(issuer) {
            says(8);
        }
        if list.alien {
            says(36);
        }
        if list.serials.binary_search_by(|other| other.as_slice().cmp(certificate.raw_serial())).is_ok() {
            says(23);
        }
        if !in_scope {
            says(3);
        }
    }
}
