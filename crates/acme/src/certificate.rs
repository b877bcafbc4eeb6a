//! Certificates and requests for them: what is asked for, and what an issued one says.

use crate::identifier::Identifier;
use crate::jws::base64url;
use crate::order::Request;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};
use tls::certificate::certificates;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A request to sign a certificate, in DER (RFC 2986).
///
/// # Errors
/// A name is none that a certificate can have.
pub(crate) fn signing_request(request: &Request, key: &KeyPair, common_name: bool) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if common_name {
        params.distinguished_name.push(DnType::CommonName, request.first_name());
    }
    for identifier in &request.identifiers {
        params.subject_alt_names.push(match identifier {
            Identifier::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            Identifier::Ip(address) => SanType::IpAddress(*address),
        });
    }
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// The certificate that answers a challenge of `tls-alpn-01` for an identifier (RFC 8737, 3), in PEM.
///
/// # Errors
/// The name is none that a certificate can have.
pub(crate) fn proof(identifier: &str, digest: &[u8], key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![match identifier.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(identifier.try_into()?),
    }];
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    Ok(params.self_signed(key)?.pem())
}

/// From when until when the first certificate of a chain is good, seconds since 1970.
pub(crate) fn validity(chain: &[u8]) -> Option<(i64, i64)> {
    with_first(chain, |certificate| {
        let validity = certificate.validity();
        Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
    })
}

/// What the server knows the first certificate of a chain by (RFC 9773, 4.1).
pub(crate) fn identifier(chain: &[u8]) -> Option<String> {
    with_first(chain, |certificate| {
        let authority = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref().map(|key| key.0),
            _ => None,
        })?;
        Some(format!("{}.{}", base64url(authority), base64url(certificate.raw_serial())))
    })
}

/// Whether a chain's last certificate is by an issuer with this common name.
pub(crate) fn ends_at(chain: &[u8], name: &str) -> bool {
    let all = certificates(chain).unwrap_or_default();
    let Some(last) = all.last() else { return false };
    let Ok((_, last)) = X509Certificate::from_der(last) else { return false };
    last.issuer().iter_common_name().any(|found| found.as_str().is_ok_and(|found| found == name))
}

fn with_first<T>(chain: &[u8], f: impl FnOnce(&X509Certificate<'_>) -> Option<T>) -> Option<T> {
    let all = certificates(chain).ok()?;
    let (_, certificate) = X509Certificate::from_der(all.first()?).ok()?;
    f(&certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::read;
    use crate::key::KeyKind;
    use rcgen::{BasicConstraints, CertifiedIssuer, IsCa, date_time_ymd};
    use x509_parser::certification_request::X509CertificationRequest;

    fn request(words: &[&str]) -> Request {
        Request { identifiers: words.iter().flat_map(|word| read(word.as_bytes()).unwrap()).collect(), key: KeyKind::P256 }
    }

    #[test]
    fn requests_name_what_they_are_for() {
        let key = KeyKind::P256.generate().unwrap();
        for (common_name, expected) in [(false, None), (true, Some("b.test"))] {
            let der = signing_request(&request(&["192.0.2.1", "b.test"]), &key, common_name).unwrap();
            let (_, parsed) = X509CertificationRequest::from_der(&der).unwrap();
            let subject = &parsed.certification_request_info.subject;
            assert_eq!(subject.iter_common_name().next().map(|name| name.as_str().unwrap()), expected);
            let text = format!("{:?}", parsed.requested_extensions().unwrap().collect::<Vec<_>>());
            assert!(text.contains("b.test") && text.contains("192, 0, 2, 1"), "{text}");
        }
    }

    #[test]
    fn proofs_have_the_digest_in_a_critical_extension() {
        let key = KeyKind::P256.generate().unwrap();
        for name in ["a.test", "192.0.2.1"] {
            let pem = proof(name, &[7; 32], &key).unwrap();
            let found = with_first(pem.as_bytes(), |certificate| {
                let mut all = certificate.extensions().iter();
                all.find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
                    .map(|found| (found.critical, found.value.to_vec()))
            });
            assert_eq!(found, Some((true, [&[4, 32][..], &[7; 32]].concat())));
        }
    }

    #[test]
    fn what_a_chain_says() {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Some Root");
        let authority = CertifiedIssuer::self_signed(authority, KeyKind::P256.generate().unwrap()).unwrap();
        let mut own = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        (own.not_before, own.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 3, 1));
        own.serial_number = Some(vec![0, 0x87, 0x65].into());
        own.use_authority_key_identifier_extension = true;
        let own = own.signed_by(&KeyKind::P256.generate().unwrap(), &authority).unwrap();
        let chain = own.pem();
        assert_eq!(validity(chain.as_bytes()), Some((1_767_225_600, 1_772_323_200)));
        let id = identifier(chain.as_bytes()).unwrap();
        assert!(id.ends_with(&format!(".{}", base64url([0, 0x87, 0x65]))), "{id}");
        assert!(ends_at(chain.as_bytes(), "Some Root") && !ends_at(chain.as_bytes(), "Other"));
        assert!(validity(b"none").is_none() && !ends_at(b"none", "x") && identifier(b"none").is_none());
    }
}
