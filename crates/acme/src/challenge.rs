//! Proofs of control: a file by HTTP (RFC 8555, 8.3) or a certificate in a handshake (RFC 8737).

use crate::certificate;
use crate::order::Issued;
use crate::zone::Zone;
use aws_lc_rs::digest::{SHA256, digest};
use http::Request;
use http::tls::{ClientHello, Proofs};
use rcgen::KeyPair;
use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{CipherConf, Offer};
use tls::server::{Options, Settings};

/// What servers offer to speak that look at a handshake.
const ALPN: &[u8] = b"acme-tls/1";

/// How control is shown (`challenge`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChallengeKind {
    #[default]
    Http,
    Handshake,
}

impl ChallengeKind {
    /// The kind that a word names.
    pub(crate) fn named(word: &[u8]) -> Option<ChallengeKind> {
        match word {
            b"http" | b"http-01" => Some(ChallengeKind::Http),
            b"tls-alpn" | b"tls-alpn-01" => Some(ChallengeKind::Handshake),
            _ => None,
        }
    }

    /// As the protocol names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ChallengeKind::Http => "http-01",
            ChallengeKind::Handshake => "tls-alpn-01",
        }
    }
}

/// A proof while a server may look for it.
pub(crate) struct Proof<'a> {
    pub(crate) kind: ChallengeKind,
    pub(crate) token: &'a str,
    pub(crate) identifier: &'a str,
    /// What the token is answered with.
    pub(crate) authorization: String,
}

impl Proof<'_> {
    /// Has all workers show it.
    ///
    /// # Errors
    /// Why they cannot.
    pub(crate) fn publish(&self, zone: &Zone, key: &KeyPair) -> Result<(), &'static str> {
        let shown = match self.kind {
            ChallengeKind::Http => zone.set_token(self.token, self.authorization.as_bytes()),
            ChallengeKind::Handshake => {
                let digest = digest(&SHA256, self.authorization.as_bytes());
                let chain = certificate::proof(self.identifier, digest.as_ref(), key).map_err(|_| "certificate generation failed")?;
                zone.set_handshake(self.identifier, &Issued { chain: chain.into_bytes(), key: key.serialize_pem().into_bytes() })
            }
        };
        shown.map_err(|_| "no memory in the shared zone")
    }

    /// Has them show it no more.
    pub(crate) fn withdraw(&self, zone: &Zone) {
        match self.kind {
            ChallengeKind::Http => zone.forget_token(self.token),
            ChallengeKind::Handshake => zone.forget_handshake(self.identifier),
        }
    }
}

/// Certificates as proofs.
pub(crate) struct Certificates(pub(crate) Zone);

impl Proofs<Request> for Certificates {
    fn settings(&self, hello: &ClientHello) -> Option<Settings> {
        let name = hello.hello.server_name()?;
        // Addresses are asked for by their names in DNS (RFC 8738, 6).
        let identifier = address(name).unwrap_or_else(|| String::from_utf8_lossy(name).to_ascii_lowercase());
        let proof = self.0.handshake(&identifier)?;
        let pair = Pair::new(&Chain::from_pem(&proof.chain).ok()?, &Key::from_pem(&proof.key, &[]).ok()?).ok()?;
        let mut options = Options::new(Offer::new(&CipherConf::default()).ok()?, vec![pair]);
        options.alpn = vec![ALPN.to_vec()];
        Settings::new(options).ok()
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for.
fn address(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<&str> = reversed.rsplit('.').collect();
        return parts.join(".").parse::<std::net::Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let digits: String = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(std::net::Ipv6Addr::from(bits).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyKind;
    use crate::zone::{DEFAULT, OWNER};

    #[test]
    fn kinds() {
        for kind in [ChallengeKind::Http, ChallengeKind::Handshake] {
            assert_eq!(ChallengeKind::named(kind.name().as_bytes()), Some(kind));
        }
        assert_eq!(ChallengeKind::named(b"dns-01"), None);
    }

    #[test]
    fn addresses_have_names() {
        for (name, expected) in [
            ("1.2.0.192.in-addr.arpa", Some("192.0.2.1")),
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", Some("2001:db8::1")),
            ("1.ip6.arpa", None),
            ("a.test", None),
        ] {
            assert_eq!(address(name.as_bytes()).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn proofs_are_there_until_they_are_hidden() {
        let zone = Zone::new(&shm::Zone::new("z", OWNER, DEFAULT.1).unwrap());
        let key = KeyKind::P256.generate().unwrap();
        for kind in [ChallengeKind::Http, ChallengeKind::Handshake] {
            let proof = Proof { kind, token: "t", identifier: "a.test", authorization: "t.x".to_owned() };
            proof.publish(&zone, &key).unwrap();
            let http = kind == ChallengeKind::Http;
            assert_eq!((zone.token("t").is_some(), zone.handshake("a.test").is_some()), (http, !http));
            proof.withdraw(&zone);
            assert!(zone.token("t").is_none() && zone.handshake("a.test").is_none());
        }
    }
}
