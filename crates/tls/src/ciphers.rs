//! OpenSSL's cipher strings, lists of curves and of protocols, as rustls' suites, groups and versions.

mod numbers;
pub mod suites;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use suites::{Cipher, GROUPS, Suite, TLS12, TLS13};

/// Protocols as `ssl_protocols` names them, in nginx's order.
pub const PROTOCOLS: [&str; 6] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Ciphers of OpenSSL's strings that it has and rustls has not, by what their names contain or are.
const ELSEWHERE: [&str; 22] = [
    "-SHA", "DHE-", "DSS", "CAMELLIA", "ARIA", "SEED", "IDEA", "3DES", "DES", "RC4", "PSK", "SRP", "CCM", "NULL", "kRSA", "RSA", "EDH",
    "GOST", "EXP", "LOW", "MEDIUM", "AES",
];

/// What a configuration asks for; `None` is the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct CipherConf<'a> {
    /// `ssl_ciphers`: a cipher string for TLS 1.2.
    pub ciphers: Option<&'a str>,
    /// `ssl_conf_command Ciphersuites`: suites of TLS 1.3.
    pub ciphersuites: Option<&'a str>,
    /// `ssl_ecdh_curve`.
    pub curves: Option<&'a str>,
    /// `ssl_protocols`, words of [`PROTOCOLS`].
    pub protocols: Option<&'a [&'a str]>,
}

/// What a server or client offers.
#[derive(Debug, Clone)]
pub struct Offer {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// The provider with the suites of all versions, for handshakes in which code chooses others.
    pub(crate) every_version: Arc<CryptoProvider>,
    /// What was asked for and is left out, a sentence each; worth a warning.
    pub notes: Vec<String>,
}

/// Nothing that was asked for can be offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferError {
    /// No suite remains of a cipher string.
    NoCipher,
    /// No suite of TLS 1.3 remains.
    NoCiphersuite,
    /// No curve remains.
    NoCurve,
    /// No protocol remains.
    NoProtocol,
}

impl std::fmt::Display for OfferError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OfferError::NoCipher => "error:0A0000B9:SSL routines::no cipher match",
            OfferError::NoCiphersuite => "error:0A0000B9:SSL routines::no cipher match",
            OfferError::NoCurve => "error:0A080106:SSL routines::passed invalid argument",
            OfferError::NoProtocol => "error:0A0000BF:SSL routines::no protocols available",
        })
    }
}

impl std::error::Error for OfferError {}

impl Offer {
    /// Finds out what can be offered.
    ///
    /// # Errors
    /// When nothing remains of one of the wishes.
    pub fn new(wishes: &CipherConf<'_>) -> Result<Self, OfferError> {
        let mut notes = Vec::new();
        let versions = versions(wishes.protocols, &mut notes)?;
        let has = |version| versions.iter().any(|v: &&SupportedProtocolVersion| v.version == version);
        let mut every_suite = thirteen(wishes.ciphersuites, &mut notes)?;
        every_suite.extend(twelve(wishes.ciphers.unwrap_or("DEFAULT"), &mut notes)?);
        let cipher_suites = every_suite.iter().copied().filter(|suite| has(suite.version().version)).collect();
        let kx_groups = groups(wishes.curves, &mut notes)?;
        let provider = CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() };
        let every_version = Arc::new(CryptoProvider { cipher_suites: every_suite, ..provider.clone() });
        Ok(Self { provider: Arc::new(provider), versions, every_version, notes })
    }

    /// OpenSSL's names of the suites on offer, first choice first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.provider.cipher_suites.iter().filter_map(|suite| suites::name_of(suite.suite()))
    }
}

fn versions(words: Option<&[&str]>, notes: &mut Vec<String>) -> Result<Vec<&'static SupportedProtocolVersion>, OfferError> {
    let Some(words) = words else { return Ok(vec![&version::TLS13, &version::TLS12]) };
    let mut found = Vec::new();
    if words.contains(&"TLSv1.3") {
        found.push(&version::TLS13);
    }
    if words.contains(&"TLSv1.2") {
        found.push(&version::TLS12);
    }
    for word in words.iter().filter(|word| !matches!(**word, "TLSv1.2" | "TLSv1.3")) {
        notes.push(format!("protocol \"{word}\" is not supported and not offered"));
    }
    if found.is_empty() { Err(OfferError::NoProtocol) } else { Ok(found) }
}

fn thirteen(list: Option<&str>, notes: &mut Vec<String>) -> Result<Vec<SupportedCipherSuite>, OfferError> {
    let Some(list) = list else { return Ok(TLS13.iter().map(|row| row.1).collect()) };
    let mut found: Vec<SupportedCipherSuite> = Vec::new();
    for name in list.split(':').filter(|name| !name.is_empty()) {
        match TLS13.iter().find(|row| row.0.eq_ignore_ascii_case(name)) {
            Some(row) if !found.contains(&row.1) => found.push(row.1),
            Some(_) => {}
            None => notes.push(format!("ciphersuite \"{name}\" is not supported and not offered")),
        }
    }
    if found.is_empty() { Err(OfferError::NoCiphersuite) } else { Ok(found) }
}

fn groups(list: Option<&str>, notes: &mut Vec<String>) -> Result<Vec<&'static dyn SupportedKxGroup>, OfferError> {
    let mut found: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    let Some(list) = list.filter(|list| *list != "auto") else { return Ok(aws_lc_rs::DEFAULT_KX_GROUPS.to_vec()) };
    for name in list.split(':') {
        // OpenSSL 3.5 marks groups it sends key shares for, and groups that may be unknown.
        let bare = name.trim_start_matches(['*', '?']);
        match GROUPS.iter().find(|row| row.0.eq_ignore_ascii_case(bare)) {
            Some(row) if found.iter().all(|group| group.name() != row.1.name()) => found.push(row.1),
            Some(_) => {}
            None => notes.push(format!("curve \"{name}\" is not supported and not offered")),
        }
    }
    if found.is_empty() { Err(OfferError::NoCurve) } else { Ok(found) }
}

/// The state that OpenSSL's cipher strings work on.
#[derive(Debug, Default)]
struct List {
    active: Vec<Suite>,
    /// Not active, in the order in which they would be added; those that were removed come first.
    remaining: Vec<Suite>,
}

/// The suites of TLS 1.2 that a cipher string means: ciphers(1), "CIPHER LIST FORMAT".
fn twelve(string: &str, notes: &mut Vec<String>) -> Result<Vec<SupportedCipherSuite>, OfferError> {
    let mut list = List { active: Vec::new(), remaining: TLS12.to_vec() };
    // A command may follow a word at once.
    let string = string.replace('@', ":@");
    for word in string.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        match word.split_at_checked(1) {
            Some(("!", term)) => {
                list.active.retain(|suite| !matches(suite, term));
                list.remaining.retain(|suite| !matches(suite, term));
            }
            Some(("-", term)) => {
                let (mut gone, kept) = list.active.iter().partition::<Vec<_>, _>(|suite| matches(suite, term));
                gone.append(&mut list.remaining);
                (list.active, list.remaining) = (kept, gone);
            }
            Some(("+", term)) => {
                let (moved, mut kept) = list.active.iter().partition::<Vec<_>, _>(|suite| matches(suite, term));
                kept.extend(moved);
                list.active = kept;
            }
            Some(("@", "STRENGTH")) => list.active.sort_by_key(|suite| suite.cipher == Cipher::Aes128),
            Some(("@", command)) => {
                if !command.starts_with("SECLEVEL=") {
                    notes.push(format!("command \"{word}\" in a cipher string is unknown"));
                }
            }
            _ => {
                let (added, kept) = list.remaining.iter().partition::<Vec<_>, _>(|suite| matches(suite, word));
                if added.is_empty() && !list.active.iter().any(|suite| matches(suite, word)) && is_elsewhere(word) {
                    notes.push(format!("cipher \"{word}\" is not supported and not offered"));
                }
                list.active.extend(added);
                list.remaining = kept;
            }
        }
    }
    if list.active.is_empty() {
        return Err(OfferError::NoCipher);
    }
    Ok(list.active.iter().map(|suite| suite.suite).collect())
}

/// Whether OpenSSL may know a word that none of our suites matches; it ignores what it does not know.
fn is_elsewhere(word: &str) -> bool {
    ELSEWHERE.iter().any(|part| word.contains(part))
}

/// Whether a suite is meant by all of the words that `+` joins.
fn matches(suite: &Suite, term: &str) -> bool {
    term.split('+').all(|word| {
        word == suite.name
            || word == suite.standard
            || match word {
                "ALL" | "DEFAULT" | "COMPLEMENTOFALL" | "HIGH" | "TLSv1.2" => word != "COMPLEMENTOFALL",
                "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "ECDH" => true,
                "aRSA" | "RSA" => word == "aRSA" && !suite.ecdsa,
                "aECDSA" | "ECDSA" => suite.ecdsa,
                "AESGCM" | "AES" | "FIPS" => suite.cipher != Cipher::Chacha20,
                "AES128" => suite.cipher == Cipher::Aes128,
                "AES256" => suite.cipher == Cipher::Aes256,
                "CHACHA20" => suite.cipher == Cipher::Chacha20,
                _ => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ciphers: &str) -> Vec<&'static str> {
        let wishes = CipherConf { ciphers: Some(ciphers), protocols: Some(&["TLSv1.2"]), ..CipherConf::default() };
        Offer::new(&wishes).map(|offer| offer.names().collect()).unwrap_or_default()
    }

    #[test]
    // tidy: table
    fn cipher_strings_mean_what_they_mean_to_openssl() {
        const E128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
        const E256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
        const EC: &str = "ECDHE-ECDSA-CHACHA20-POLY1305";
        const R128: &str = "ECDHE-RSA-AES128-GCM-SHA256";
        const R256: &str = "ECDHE-RSA-AES256-GCM-SHA384";
        const RC: &str = "ECDHE-RSA-CHACHA20-POLY1305";
        let all = [E128, R128, E256, R256, EC, RC];
        for (string, expected) in [
            ("DEFAULT", &all[..]),
            ("HIGH:!aNULL:!MD5", &all),
            ("ALL:!ADH:!EXPORT56:RC4+RSA:+HIGH:+MEDIUM:+LOW:+SSLv2:+EXP", &all),
            ("ECDHE+AESGCM", &[E128, R128, E256, R256]),
            ("ECDHE+AESGCM+aRSA", &[R128, R256]),
            ("EECDH+CHACHA20:EECDH+AES128:EECDH+AES256", &[EC, RC, E128, R128, E256, R256]),
            ("HIGH:@STRENGTH", &[E256, R256, EC, RC, E128, R128]),
            ("DEFAULT@SECLEVEL=0", &all),
            ("DEFAULT:@SECLEVEL=0", &all),
            ("HIGH:+aECDSA", &[R128, R256, RC, E128, E256, EC]),
            ("HIGH:-aECDSA:ALL", &[R128, R256, RC, E128, E256, EC]),
            ("!AES:ALL", &[EC, RC]),
            ("ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256", &[R256, R128]),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &[R128]),
            ("AES128-SHA", &[]),
            ("NOTHING", &[]),
        ] {
            assert_eq!(names(string), expected, "{string}");
        }
    }

    #[test]
    fn what_is_left_out_is_noted_and_nothing_left_is_an_error() {
        let wishes = CipherConf {
            ciphers: Some("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA"),
            ciphersuites: Some("TLS_AES_256_GCM_SHA384:TLS_AES_128_CCM_SHA256"),
            curves: Some("secp521r1:prime256v1"),
            protocols: Some(&["TLSv1", "TLSv1.2", "TLSv1.3"]),
        };
        let offer = Offer::new(&wishes).unwrap();
        assert_eq!(offer.notes.len(), 4, "{:?}", offer.notes);
        assert_eq!(offer.names().collect::<Vec<_>>(), ["TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
        for (wishes, error) in [
            (CipherConf { ciphers: Some("RC4-SHA"), ..wishes }, OfferError::NoCipher),
            (CipherConf { ciphersuites: Some("X"), ..wishes }, OfferError::NoCiphersuite),
            (CipherConf { curves: Some("sect571r1"), ..wishes }, OfferError::NoCurve),
            (CipherConf { protocols: Some(&["TLSv1.1"]), ..wishes }, OfferError::NoProtocol),
        ] {
            assert_eq!(Offer::new(&wishes).unwrap_err(), error);
        }
    }
}
