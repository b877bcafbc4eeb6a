//! Trusted authorities, and verification of chains against them.

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::EndEntityCert;

use super::crl::{Crl, Crls};
use super::parsed::{Parsed, Trusted, Usage, algorithms, is_self_issued, parse, seconds, validity};
use super::reason::Verdict;
use super::{common_name, explain, host, private_leaf};

/// How many certificates of a peer are looked at; webpki follows no longer paths either.
const LONGEST: usize = 16;

/// Trusted authorities, what they have revoked, and how long a chain to them may be. Like OpenSSL's store: a chain ends at
/// a certificate that signs itself; other trusted ones stand between.
#[derive(Debug, Default)]
pub struct Trust {
    /// Those that sign themselves, as webpki takes them.
    anchors: Vec<Anchor>,
    /// All, for what webpki does not do.
    pub(super) trusted: Vec<Trusted>,
    /// Those that do not sign themselves.
    between: Vec<CertificateDer<'static>>,
    pub(super) crls: Crls,
    /// How many certificates may stand between the peer's and the one that signs itself.
    pub(super) depth: usize,
}

#[derive(Debug)]
struct Anchor {
    anchor: TrustAnchor<'static>,
    der: CertificateDer<'static>,
    valid: std::ops::RangeInclusive<i64>,
}

impl Trust {
    /// Trusts `certificates`. A chain may have `depth` certificates in between (`ssl_verify_depth`).
    #[must_use]
    pub fn new(certificates: Vec<CertificateDer<'static>>, depth: usize) -> Self {
        let mut trust = Self { depth, ..Self::default() };
        for certificate in certificates {
            let Some(parsed) = parse(&certificate) else { continue };
            let valid = validity(&parsed);
            if !is_self_issued(&parsed) {
                trust.between.push(certificate.clone());
            } else if let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) {
                let (anchor, der) = (anchor.to_owned(), certificate.clone());
                trust.anchors.push(Anchor { anchor, der, valid });
            }
            trust.trusted.extend(Trusted::new(certificate));
        }
        trust
    }

    /// Also checks every certificate of a chain against the lists of its issuer (`ssl_crl`).
    #[must_use]
    pub fn with_crls(mut self, crls: Vec<Crl>) -> Self {
        self.crls = Crls::new(crls);
        self
    }

    /// The certificates that are trusted.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.trusted.iter().map(|trusted| &trusted.der)
    }

    /// Everything that is wrong with a chain, in the order in which OpenSSL would find it; nothing for a good one.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>], usage: Usage, name: Option<&str>, now: UnixTime) -> Vec<Verdict> {
        let chain = chain.get(..chain.len().min(LONGEST)).unwrap_or_default();
        let Some((own, others)) = chain.split_first() else { return vec![Verdict::UNSPECIFIED] };
        let Some(leaf) = parse(own) else { return vec![Verdict::UNSPECIFIED] };
        let mut found = Vec::new();
        let path = self.path(own, others, usage, now);
        let path = path.or_else(|| private_leaf::path(&self.trusted, own, &leaf, usage, now));
        let path = path.filter(|path| path.len() <= self.depth.saturating_add(1));
        let Some(all) = path.as_deref().and_then(|path| whole(&leaf, path, usage)) else {
            found = explain::chain((&self.trusted, &self.crls, self.depth), &leaf, others, usage, now);
            return if found.is_empty() { vec![Verdict::UNSPECIFIED] } else { found };
        };
        if name.is_some_and(|name| !host::matches(&leaf, name)) {
            found.push(Verdict::new(62));
        }
        self.crls.check(&all, now, &mut found);
        found
    }

    /// What leads from a certificate to the anchor, which comes last, if webpki finds a way.
    fn path(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let time = seconds(now);
        let anchors: Vec<_> = self.anchors.iter().filter(|a| a.valid.contains(&time)).map(|a| borrowed(&a.anchor)).collect();
        let others: Vec<_> = others.iter().chain(&self.between).cloned().collect();
        let end = EndEntityCert::try_from(own).ok()?;
        let verified = end.verify_for_usage(algorithms().all, &anchors, &others, now, usage.for_webpki(), None, None).ok()?;
        let mut path: Vec<_> = verified.intermediate_certificates().map(|cert| cert.der().into_owned()).collect();
        let anchor = verified.anchor();
        let same = |other: &&Anchor| {
            other.anchor.subject == anchor.subject && other.anchor.subject_public_key_info == anchor.subject_public_key_info
        };
        path.push(self.anchors.iter().find(same)?.der.clone());
        Some(path)
    }
}

/// The certificates from `leaf` to the anchor, if their extensions allow it: webpki does not ask for what keys are (RFC 5280, 4.2.1.3), what
/// an anchor says of itself, nor whether a common name that stands for a host breaks constraints.
fn whole<'a>(leaf: &Parsed<'a>, path: &'a [CertificateDer<'static>], usage: Usage) -> Option<Vec<Parsed<'a>>> {
    let mut all = vec![leaf.clone()];
    for certificate in path {
        all.push(parse(certificate)?);
    }
    all.dedup_by(|above, below| above.as_raw() == below.as_raw());
    let mut found = Vec::new();
    explain::constraints(&all, usage, &mut found);
    (found.is_empty() && common_name::broken_constraint(&all).is_none()).then_some(all)
}

/// The same without its own memory: there may be hundreds of them.
fn borrowed<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: anchor.subject.as_ref().into(),
        subject_public_key_info: anchor.subject_public_key_info.as_ref().into(),
        name_constraints: anchor.name_constraints.as_ref().map(|constraints| constraints.as_ref().into()),
    }
}
