//! Certificate revocation lists, indexed by issuer.

use rustls::pki_types::UnixTime;
use x509_parser::prelude::{FromDer, X509Version};
use x509_parser::revocation_list::CertificateRevocationList;

use super::parsed::{Parsed, is_self_issued, seconds, signs};
use super::reason::Verdict;
use crate::certificate::{LoadError, pem, read};
use crate::files::Files;

/// A list of revoked certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    issuer: Vec<u8>,
    from: i64,
    until: Option<i64>,
    /// Sorted.
    serials: Vec<Vec<u8>>,
    /// OpenSSL's number of what makes the list useless.
    defect: Option<u16>,
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
        let mut serials: Vec<_> = list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect();
        serials.sort_unstable();
        let critical = list.extensions().iter().filter(|extension| extension.critical);
        let defect = critical.map(|extension| match extension.oid.to_id_string().as_str() {
            // Only some certificates, or deltas: what is not listed may be revoked elsewhere.
            "2.5.29.28" | "2.5.29.27" => 44,
            _ => 36,
        });
        let entries = list.iter_revoked_certificates().flat_map(|entry| entry.extensions());
        let alien = entries.filter(|extension| extension.critical).map(|_| 36).next();
        Ok(Self {
            issuer: list.issuer().as_raw().to_vec(),
            from: list.last_update().timestamp(),
            until: list.next_update().map(|time| time.timestamp()),
            serials,
            defect: defect.max().or(alien),
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
            // The last one signs itself, its list too, unless its issuer is not here.
            let issuer = path.get(place + 1).or(Some(certificate).filter(|last| is_self_issued(last)));
            found.extend(self.one(certificate, issuer, seconds(now)).map(Verdict::new));
        }
    }

    fn one(&self, certificate: &Parsed<'_>, issuer: Option<&Parsed<'_>>, now: i64) -> Option<u16> {
        let mine = self.lists.iter().filter(|list| list.issuer == certificate.issuer().as_raw());
        // Of several lists the one that is good now, then the latest.
        let current = |list: &Crl| list.from <= now && list.until.is_none_or(|until| now <= until);
        let Some(list) = mine.max_by_key(|list| (list.defect.is_none(), current(list), list.from)) else { return Some(3) };
        if let Some(defect) = list.defect {
            return Some(defect);
        }
        let Some(issuer) = issuer else { return Some(33) };
        let usage = issuer.key_usage().ok().flatten();
        if issuer.version() == X509Version::V3 && usage.is_some_and(|usage| !usage.value.crl_sign()) {
            return Some(35);
        }
        if list.from > now {
            return Some(11);
        }
        if !current(list) {
            return Some(12);
        }
        if !list.signed_by(issuer) {
            return Some(8);
        }
        let serial = certificate.raw_serial();
        list.serials.binary_search_by(|other| other.as_slice().cmp(serial)).is_ok().then_some(23)
    }
}
