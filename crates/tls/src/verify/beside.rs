//! What users of private authorities have and webpki refuses as a peer's own certificate: X.509 version 1, a certificate
//! that is an authority too, one that signs itself. It is accepted only when it is trusted itself, or a trusted
//! certificate signed it.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use webpki::RawPublicKeyEntity;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

use super::Usage;
use super::trust::{Parsed, Trust, algorithms, is_self_issued, parse, seconds, validity};

/// How many trusted certificates are tried: names may be equal, signatures cost time.
const TRIES: usize = 8;

/// What leads from the certificate `own` to one that signs itself, through trusted certificates only.
pub(super) fn path(
    trust: &Trust,
    own: &CertificateDer<'_>,
    leaf: &Parsed<'_>,
    usage: Usage,
    now: UnixTime,
) -> Option<Vec<CertificateDer<'static>>> {
    if !validity(leaf).contains(&seconds(now)) || !fits(leaf, usage) || !understood(leaf) {
        return None;
    }
    if is_self_issued(leaf) {
        let same = trust.certificates.iter().find(|trusted| **trusted == *own)?;
        return verified(leaf, leaf).then(|| vec![same.clone()]);
    }
    if leaf.version() == X509Version::V3 && !leaf.is_ca() {
        return None;
    }
    let mut path = Vec::new();
    let mut top: Option<&CertificateDer<'static>> = None;
    for _ in 0..TRIES {
        let issuer = match top {
            None => issuer(trust, leaf, now)?,
            Some(below) => {
                let below = parse(below)?;
                if is_self_issued(&below) {
                    return Some(path);
                }
                issuer(trust, &below, now)?
            }
        };
        path.push(issuer.clone());
        top = Some(issuer);
    }
    None
}

/// The trusted certificate that signed `below` and may do so.
fn issuer<'t>(trust: &'t Trust, below: &Parsed<'_>, now: UnixTime) -> Option<&'t CertificateDer<'static>> {
    let named = trust.certificates.iter().filter_map(|der| Some((der, parse(der)?)));
    let named = named.filter(|(_, other)| other.subject().as_raw() == below.issuer().as_raw());
    let mut good = named
        .take(TRIES)
        .filter(|(_, other)| validity(other).contains(&seconds(now)) && may_sign(other) && understood(other) && verified(below, other));
    good.next().map(|(der, _)| der)
}

/// Whether a certificate may sign others: an authority by its extensions, or of version 1 and signing itself.
pub(super) fn may_sign(certificate: &Parsed<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    let authority = match certificate.version() {
        X509Version::V3 => certificate.is_ca(),
        _ => is_self_issued(certificate),
    };
    authority && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

/// Whether a certificate's extended key usage allows what it is shown for.
pub(super) fn fits(certificate: &Parsed<'_>, usage: Usage) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(extended)) => match usage {
            Usage::Client => extended.value.client_auth,
            Usage::Server => extended.value.server_auth,
        },
        Err(_) => false,
    }
}

/// Whether each critical extension is one that is checked here. Name constraints are not: what has them is webpki's.
pub(super) fn understood(certificate: &Parsed<'_>) -> bool {
    certificate.extensions().iter().all(|extension| match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectAlternativeName(_) => true,
        ParsedExtension::NameConstraints(_) => false,
        _ => !extension.critical,
    })
}

/// Whether the key of `issuer` signed `certificate`.
pub(super) fn verified(certificate: &Parsed<'_>, issuer: &Parsed<'_>) -> bool {
    let signature = &certificate.signature_value.data;
    let same = certificate.signature_algorithm == certificate.tbs_certificate.signature;
    same && signs(issuer, &certificate.signature_algorithm, certificate.tbs_certificate.as_ref(), signature)
}

/// Whether the key of `issuer` made `signature` over `message`.
pub(super) fn signs(issuer: &Parsed<'_>, algorithm: &AlgorithmIdentifier<'_>, message: &[u8], signature: &[u8]) -> bool {
    let key = SubjectPublicKeyInfoDer::from(issuer.public_key().raw);
    let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
    let object = algorithm.algorithm.as_bytes();
    // An algorithm's identifier starts with its object, whose length is one byte.
    let named = algorithms().iter().filter(|known| known.signature_alg_id().as_ref().get(2..).is_some_and(|id| id.starts_with(object)));
    named.into_iter().any(|known| key.verify_signature(*known, message, signature).is_ok())
}
