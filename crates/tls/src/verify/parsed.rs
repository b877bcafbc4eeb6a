//! Parsed certificates, as all verifiers use them.

use std::sync::LazyLock;

use rustls::DistinguishedName;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use webpki::{KeyUsage, RawPublicKeyEntity};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

/// What a chain is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// A client shows it.
    Client,
    /// A server shows it.
    Server,
}

impl Usage {
    /// The same for webpki.
    pub(crate) fn for_webpki(self) -> KeyUsage {
        match self {
            Usage::Client => KeyUsage::client_auth(),
            Usage::Server => KeyUsage::server_auth(),
        }
    }
}

/// A certificate that was looked into.
pub(crate) type Parsed<'a> = X509Certificate<'a>;

/// A trusted certificate, which is found by its name without looking into others.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) der: CertificateDer<'static>,
    subject: Vec<u8>,
}

impl Trusted {
    /// `None` if it is no certificate.
    pub(crate) fn new(der: CertificateDer<'static>) -> Option<Self> {
        let subject = parse(&der)?.subject().as_raw().to_vec();
        Some(Self { der, subject })
    }
}

/// How many certificates of one name are looked into.
const NAMESAKES: usize = 8;

/// The trusted certificates that `certificate` names as its issuer.
pub(crate) fn issuers<'t>(trusted: &'t [Trusted], certificate: &Parsed<'_>) -> Vec<(&'t CertificateDer<'static>, Parsed<'t>)> {
    let name = certificate.issuer().as_raw();
    let named = trusted.iter().filter(|trusted| trusted.subject == name).take(NAMESAKES);
    named.filter_map(|trusted| Some((&trusted.der, parse(&trusted.der)?))).collect()
}

/// The subject's name of a certificate, as handshakes carry it.
pub(crate) fn subject(certificate: &CertificateDer<'static>) -> Option<DistinguishedName> {
    let parsed = parse(certificate)?;
    Some(DistinguishedName::from(parsed.subject().as_raw().to_vec()))
}

pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<Parsed<'a>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, parsed)| parsed)
}

/// Whether a certificate names itself as its issuer.
pub(crate) fn is_self_issued(certificate: &Parsed<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

pub(crate) fn validity(certificate: &Parsed<'_>) -> std::ops::RangeInclusive<i64> {
    certificate.validity().not_before.timestamp()..=certificate.validity().not_after.timestamp()
}

/// Seconds since 1970.
pub(crate) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The signatures that are understood.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
        LazyLock::new(|| aws_lc_rs::default_provider().signature_verification_algorithms);
    *ALGORITHMS
}

/// Whether a certificate may sign others: an authority by its extensions, or of version 1 and signing itself.
pub(crate) fn may_sign(certificate: &Parsed<'_>) -> bool {
    let authority = match (certificate.version(), certificate.basic_constraints()) {
        (X509Version::V3, Ok(Some(basic))) => basic.value.ca,
        // Without basic constraints the usage of the key tells it.
        (X509Version::V3, Ok(None)) => matches!(certificate.key_usage(), Ok(Some(_))),
        (X509Version::V3, Err(_)) => false,
        _ => is_self_issued(certificate),
    };
    authority && key_may_sign(certificate)
}

/// Whether the usage of a certificate's key, where it tells one, includes signing others.
pub(crate) fn key_may_sign(certificate: &Parsed<'_>) -> bool {
    match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    }
}

/// The least bits of an RSA key: OpenSSL's security level 2, and what webpki takes.
const LEAST_RSA: usize = 2048;

/// Whether OpenSSL takes a certificate's key for too short.
pub(crate) fn has_weak_key(certificate: &Parsed<'_>) -> bool {
    matches!(certificate.public_key().parsed(), Ok(PublicKey::RSA(key)) if key.key_size() < LEAST_RSA)
}

/// Whether OpenSSL takes the digest that was signed for a certificate as too weak: MD5 or SHA-1.
pub(crate) fn has_weak_digest(certificate: &Parsed<'_>) -> bool {
    let object = certificate.signature_algorithm.algorithm.to_id_string();
    matches!(&*object, "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1")
}

/// Whether a certificate's extended key usage allows what it is shown for.
pub(crate) fn usage_allows(certificate: &Parsed<'_>, usage: Usage) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(extended)) => match usage {
            Usage::Client => extended.value.client_auth,
            Usage::Server => extended.value.server_auth,
        },
        Err(_) => false,
    }
}

/// The same for a peer's own certificate, whose key has to be allowed for handshakes too. webpki does not ask that.
pub(crate) fn fits_own(certificate: &Parsed<'_>, usage: Usage) -> bool {
    let allowed = match certificate.key_usage() {
        Ok(None) => true,
        Ok(Some(key)) => {
            let signs = key.value.digital_signature() || key.value.key_agreement();
            signs || (usage == Usage::Server && key.value.key_encipherment())
        }
        Err(_) => false,
    };
    allowed && usage_allows(certificate, usage)
}

/// Whether each critical extension is one that is checked here. Name constraints are not: what has them is webpki's.
pub(crate) fn critical_supported(certificate: &Parsed<'_>) -> bool {
    let constrained = |extension: &X509Extension<'_>| matches!(extension.parsed_extension(), ParsedExtension::NameConstraints(_));
    certificate.extensions().iter().all(|extension| !constrained(extension) && (!extension.critical || is_supported(extension)))
}

/// Whether an extension is one that is checked here.
pub(crate) fn is_supported(extension: &X509Extension<'_>) -> bool {
    matches!(
        extension.parsed_extension(),
        ParsedExtension::BasicConstraints(_)
            | ParsedExtension::KeyUsage(_)
            | ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::SubjectAlternativeName(_)
    ) || is_policy(extension)
}

/// Whether an extension is about policies, which OpenSSL knows and, unless asked, does not enforce. webpki refuses it where it is critical.
fn is_policy(extension: &X509Extension<'_>) -> bool {
    matches!(
        extension.parsed_extension(),
        ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::InhibitAnyPolicy(_)
    )
}

/// Whether a critical extension of a certificate is about policies.
pub(crate) fn insists_on_policies(certificate: &Parsed<'_>) -> bool {
    certificate.extensions().iter().any(|extension| extension.critical && is_policy(extension))
}

/// Whether the key of `issuer` signed `certificate`.
pub(crate) fn verified(certificate: &Parsed<'_>, issuer: &Parsed<'_>) -> bool {
    let signature = &certificate.signature_value.data;
    let same = certificate.signature_algorithm == certificate.tbs_certificate.signature;
    same && signs(issuer, &certificate.signature_algorithm, certificate.tbs_certificate.as_ref(), signature)
}

/// Whether names, key identifiers and the kind of the key say that `issuer` issued `certificate`.
pub(crate) fn may_be_issuer(issuer: &Parsed<'_>, certificate: &Parsed<'_>) -> bool {
    let asked = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => identifier.key_identifier.as_ref(),
        _ => None,
    });
    let own = issuer.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier),
        _ => None,
    });
    let same = asked.zip(own).is_none_or(|(asked, own)| asked == own);
    issuer.subject().as_raw() == certificate.issuer().as_raw() && same && is_of_kind(issuer, certificate)
}

/// Whether a certificate's signature is of the kind that the key of `issuer` makes.
fn is_of_kind(issuer: &Parsed<'_>, certificate: &Parsed<'_>) -> bool {
    let signature = certificate.signature_algorithm.algorithm.to_id_string();
    match &*issuer.public_key().algorithm.algorithm.to_id_string() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => signature.starts_with("1.2.840.113549.1.1."),
        "1.2.840.10045.2.1" => signature.starts_with("1.2.840.10045.4."),
        key => signature == key,
    }
}

/// Whether the key of `issuer` made `signature` over `message`.
pub(crate) fn signs(issuer: &Parsed<'_>, algorithm: &AlgorithmIdentifier<'_>, message: &[u8], signature: &[u8]) -> bool {
    let key = SubjectPublicKeyInfoDer::from(issuer.public_key().raw);
    let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
    let object = algorithm.algorithm.as_bytes();
    // An algorithm's identifier starts with its object, whose length is one byte.
    let named = algorithms().all.iter().filter(|known| known.signature_alg_id().as_ref().get(2..).is_some_and(|id| id.starts_with(object)));
    named.into_iter().any(|known| key.verify_signature(*known, message, signature).is_ok())
}
