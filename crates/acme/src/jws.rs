//! JSON Web Signatures (RFC 7515) as ACME uses them (RFC 8555, 6.2), and the account key that makes them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

/// base64url without padding (RFC 7515, 2).
pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A curve: its name in a JWK, the name of its signatures, and the library's.
struct Curve {
    name: &'static str,
    algorithm: &'static str,
    signing: &'static EcdsaSigningAlgorithm,
}

const CURVES: [Curve; 3] = [
    Curve { name: "P-256", algorithm: "ES256", signing: &ECDSA_P256_SHA256_FIXED_SIGNING },
    Curve { name: "P-384", algorithm: "ES384", signing: &ECDSA_P384_SHA384_FIXED_SIGNING },
    Curve { name: "P-521", algorithm: "ES512", signing: &ECDSA_P521_SHA512_FIXED_SIGNING },
];

enum Signer {
    Ecdsa(EcdsaKeyPair, &'static Curve),
    Rsa(rsa::KeyPair),
}

/// The key of an account.
pub(crate) struct AccountKey {
    signer: Signer,
    /// Its public part.
    jwk: Value,
    thumbprint: String,
}

/// Who signs, as the server is told it.
pub(crate) enum Signed<'a> {
    /// The key itself, before there is an account.
    Key,
    /// The account's URL.
    Account(&'a str),
}

impl AccountKey {
    /// Takes a private key in DER: PKCS #8, SEC 1 or PKCS #1.
    pub(crate) fn from_der(der: &[u8]) -> Option<AccountKey> {
        let signer = signer(der)?;
        let jwk = public(&signer)?;
        // The members are in the order of RFC 7638, 3: by name, and nothing but them.
        let thumbprint = base64url(digest(&SHA256, jwk.to_string().as_bytes()));
        Some(AccountKey { signer, jwk, thumbprint })
    }

    /// What a challenge's token is answered with (RFC 8555, 8.1).
    pub(crate) fn authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint)
    }

    /// The body of a request. An empty payload only asks.
    ///
    /// # Errors
    /// The library signs nothing.
    pub(crate) fn sign(&self, by: &Signed<'_>, url: &str, nonce: &str, payload: &str) -> Result<String, &'static str> {
        let algorithm = match &self.signer {
            Signer::Ecdsa(_, curve) => curve.algorithm,
            Signer::Rsa(_) => "RS256",
        };
        let header = match by {
            Signed::Key => json!({"alg": algorithm, "jwk": self.jwk, "nonce": nonce, "url": url}),
            Signed::Account(account) => json!({"alg": algorithm, "kid": account, "nonce": nonce, "url": url}),
        };
        let signed = |text: &str| {
            let random = SystemRandom::new();
            match &self.signer {
                Signer::Ecdsa(key, _) => key.sign(&random, text.as_bytes()).map(|signature| signature.as_ref().to_vec()),
                Signer::Rsa(key) => {
                    let mut signature = vec![0; key.public_modulus_len()];
                    key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).map(|()| signature)
                }
            }
        };
        Ok(message(&header, payload, |text| signed(text).map_err(|_| "signature failed"))?.to_string())
    }

    /// Binds the account to one that the server's owner knows (RFC 8555, 7.3.4).
    pub(crate) fn bind(&self, key_id: &str, mac_key: &[u8], url: &str) -> Value {
        let header = json!({"alg": "HS256", "kid": key_id, "url": url});
        let key = hmac::Key::new(hmac::HMAC_SHA256, mac_key);
        let signed = message(&header, &self.jwk.to_string(), |text| Ok(hmac::sign(&key, text.as_bytes()).as_ref().to_vec()));
        signed.unwrap_or(Value::Null)
    }
}

fn message(header: &Value, payload: &str, sign: impl FnOnce(&str) -> Result<Vec<u8>, &'static str>) -> Result<Value, &'static str> {
    let (header, payload) = (base64url(header.to_string()), base64url(payload));
    let signature = sign(&format!("{header}.{payload}"))?;
    Ok(json!({"protected": header, "payload": payload, "signature": base64url(signature)}))
}

fn signer(der: &[u8]) -> Option<Signer> {
    let ecdsa = |curve: &'static Curve| {
        let key = EcdsaKeyPair::from_pkcs8(curve.signing, der).ok();
        let key = key.or_else(|| EcdsaKeyPair::from_private_key_der(curve.signing, der).ok());
        key.map(|key| Signer::Ecdsa(key, curve))
    };
    let rsa = || rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der)).ok().map(Signer::Rsa);
    CURVES.iter().find_map(ecdsa).or_else(rsa)
}

fn public(signer: &Signer) -> Option<Value> {
    match signer {
        Signer::Ecdsa(key, curve) => {
            // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
            let point = key.public_key().as_ref().get(1..)?;
            let (x, y) = point.split_at_checked(point.len() / 2)?;
            Some(json!({"crv": curve.name, "kty": "EC", "x": base64url(x), "y": base64url(y)}))
        }
        Signer::Rsa(key) => {
            let (_, public) = RSAPublicKey::from_der(key.public_key().as_ref()).ok()?;
            let without_sign = |number: &[u8]| base64url(number.strip_prefix(&[0]).unwrap_or(number));
            Some(json!({"e": without_sign(public.exponent), "kty": "RSA", "n": without_sign(public.modulus)}))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyKind;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};

    fn parts(text: &str) -> [Vec<u8>; 3] {
        let value: Value = serde_json::from_str(text).unwrap();
        ["protected", "payload", "signature"].map(|name| URL_SAFE_NO_PAD.decode(value[name].as_str().unwrap()).unwrap())
    }

    #[test]
    fn what_is_signed_can_be_verified() {
        let kinds: [(KeyKind, &str, &'static dyn VerificationAlgorithm); 2] =
            [(KeyKind::P256, "ES256", &ECDSA_P256_SHA256_FIXED), (KeyKind::Rsa2048, "RS256", &RSA_PKCS1_2048_8192_SHA256)];
        for (kind, algorithm, verification) in kinds {
            let key = AccountKey::from_der(&kind.generate().unwrap().serialize_der()).unwrap();
            let text = key.sign(&Signed::Account("https://ca/1"), "https://ca/x", "n", "{}").unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            let [header, payload, signature] = parts(&text);
            let header: Value = serde_json::from_slice(&header).unwrap();
            assert_eq!(header, json!({"alg": algorithm, "kid": "https://ca/1", "nonce": "n", "url": "https://ca/x"}));
            assert_eq!(payload, b"{}");
            let public = match &key.signer {
                Signer::Ecdsa(key, _) => key.public_key().as_ref().to_vec(),
                Signer::Rsa(key) => key.public_key().as_ref().to_vec(),
            };
            let signed = format!("{}.{}", value["protected"].as_str().unwrap(), value["payload"].as_str().unwrap());
            assert!(UnparsedPublicKey::new(verification, public).verify(signed.as_bytes(), &signature).is_ok());
        }
    }

    #[test]
    fn keys_of_all_kinds_sign() {
        for (kind, length, curve) in [(KeyKind::P384, 96, "P-384"), (KeyKind::P521, 132, "P-521")] {
            let key = AccountKey::from_der(&kind.generate().unwrap().serialize_der()).unwrap();
            assert_eq!(key.jwk["crv"], curve);
            assert_eq!(parts(&key.sign(&Signed::Key, "u", "n", "").unwrap())[2].len(), length);
        }
        assert!(AccountKey::from_der(b"no key").is_none());
    }

    /// The example of RFC 7638, 3.1.
    #[test]
    fn thumbprints_are_of_the_members_in_order() {
        let jwk = json!({"e": "AQAB", "kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(base64url(digest(&SHA256, jwk.to_string().as_bytes())), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn accounts_are_bound_by_a_mac() {
        let key = AccountKey::from_der(&KeyKind::P256.generate().unwrap().serialize_der()).unwrap();
        let [header, payload, mac] = parts(&key.bind("kid-1", b"secret", "https://ca/new").to_string());
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap(), json!({"alg": "HS256", "kid": "kid-1", "url": "https://ca/new"}));
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), key.jwk);
        assert_eq!(mac.len(), 32);
    }
}
