//! Verification of handshake signatures. The chain is verified separately.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::parsed::algorithms;
use super::{ClientVerifier, ServerVerifier};

/// Checks a handshake's signature with the key of any certificate, of X.509 version 1 too.
fn signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    is_tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let bad = |error| Error::InvalidCertificate(error);
    crate::signatures::note_peer(signed.scheme);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad(CertificateError::BadEncoding))?;
    let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    let algorithms = algorithms();
    let unadvertised = || Error::from(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme);
    let (_, candidates) = algorithms.mapping.iter().find(|row| row.0 == signed.scheme).ok_or_else(unadvertised)?;
    if is_tls13 {
        // The first is the one whose curve the scheme names; the others are for TLS 1.2.
        if !candidates.first().is_some_and(|algorithm| is_for(*algorithm, parsed.public_key().raw)) {
            return Err(unadvertised());
        }
        return rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &algorithms);
    }
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad(CertificateError::BadEncoding))?;
    let good = candidates.iter().any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
    if good { Ok(HandshakeSignatureValid::assertion()) } else { Err(bad(CertificateError::BadSignature)) }
}

/// Whether an algorithm goes with a key: the identifier of the key's kind stands behind two headers of DER.
fn is_for(algorithm: &dyn SignatureVerificationAlgorithm, key: &[u8]) -> bool {
    const HEADERS: usize = 8;
    let kind = algorithm.public_key_alg_id();
    key.windows(kind.len()).take(HEADERS).any(|found| found == kind.as_ref())
}

/// The part of both verifiers that looks at signatures.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            signature(message, certificate, signed, false)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            signature(message, certificate, signed, true)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            algorithms().supported_schemes()
        }
    };
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};

    #[test]
    fn a_scheme_of_tls_1_3_goes_with_one_kind_of_key() {
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::ED25519];
        for (kind, own) in [(&PKCS_ECDSA_P256_SHA256, 0), (&PKCS_ECDSA_P384_SHA384, 1), (&PKCS_ED25519, 2)] {
            let key = KeyPair::generate_for(kind).unwrap().subject_public_key_info();
            for (place, scheme) in schemes.iter().enumerate() {
                let (_, candidates) = algorithms().mapping.iter().find(|row| row.0 == *scheme).copied().unwrap();
                assert_eq!(is_for(candidates[0], &key), place == own, "{scheme:?}");
            }
        }
    }
}
