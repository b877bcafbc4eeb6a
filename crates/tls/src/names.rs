//! Fields of a certificate in the formats of nginx's variables.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A certificate that was looked into.
#[derive(Debug)]
pub struct Certificate<'a> {
    der: &'a [u8],
    parsed: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    /// Looks into a certificate; `None` if it is none.
    #[must_use]
    pub fn new(der: &'a CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then_some(Self { der, parsed })
    }

    /// The subject by RFC 2253 (`$ssl_client_s_dn`).
    #[must_use]
    pub fn subject(&self) -> String {
        rfc2253(self.parsed.subject())
    }

    /// The subject's common name, the first if there are several.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok())
    }

    /// The issuer by RFC 2253 (`$ssl_client_i_dn`).
    #[must_use]
    pub fn issuer(&self) -> String {
        rfc2253(self.parsed.issuer())
    }

    /// The subject as OpenSSL wrote it of old (`$ssl_client_s_dn_legacy`).
    #[must_use]
    pub fn subject_legacy(&self) -> String {
        legacy(self.parsed.subject())
    }

    /// The issuer as OpenSSL wrote it of old (`$ssl_client_i_dn_legacy`).
    #[must_use]
    pub fn issuer_legacy(&self) -> String {
        legacy(self.parsed.issuer())
    }

    /// The serial number in hexadecimal digits (`$ssl_client_serial`).
    #[must_use]
    pub fn serial(&self) -> String {
        let raw = self.parsed.raw_serial();
        let negative = raw.first().is_some_and(|byte| *byte >= 0x80);
        let mut bytes = raw.to_vec();
        if negative {
            // The digits are those of the number without its sign.
            let mut carry = true;
            for byte in bytes.iter_mut().rev() {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        let digits = match bytes.split_first() {
            Some((0, rest)) if !rest.is_empty() => rest,
            _ => &bytes,
        };
        format!("{}{}", if negative { "-" } else { "" }, hexadecimal(digits, true))
    }

    /// SHA-1 over the certificate in hexadecimal digits (`$ssl_client_fingerprint`).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hexadecimal(digest(&SHA1_FOR_LEGACY_USE_ONLY, self.der).as_ref(), false)
    }

    /// From when the certificate is good (`$ssl_client_v_start`).
    #[must_use]
    pub fn start(&self) -> String {
        time(&self.parsed.validity().not_before)
    }

    /// Until when the certificate is good (`$ssl_client_v_end`).
    #[must_use]
    pub fn end(&self) -> String {
        time(&self.parsed.validity().not_after)
    }

    /// How many whole days it will be good for (`$ssl_client_v_remain`), `now` in seconds since 1970.
    #[must_use]
    pub fn remaining_days(&self, now: i64) -> i64 {
        self.parsed.validity().not_after.timestamp().saturating_sub(now).max(0) / 86_400
    }

    /// The host names among the alternative names.
    #[must_use]
    pub fn dns_names(&self) -> Vec<&str> {
        let alternative = self.parsed.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        names.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None }).collect()
    }

    /// Whether the certificate is for a host name or address, by OpenSSL's rules.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        crate::verify::host::matches(&self.parsed, name)
    }
}

/// A certificate in PEM, with a line end behind it (`$ssl_client_raw_cert`).
#[must_use]
pub fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// The SHA-256 digest of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub(crate) fn hexadecimal(bytes: &[u8], upper: bool) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        text
    })
}

fn time(time: &ASN1Time) -> String {
    let at = time.to_datetime();
    let month = MONTHS.get(usize::from(u8::from(at.month())) - 1).copied().unwrap_or_default();
    format!("{month} {:2} {:02}:{:02}:{:02} {} GMT", at.day(), at.hour(), at.minute(), at.second(), at.year())
}

/// The last part first, short names, everything outside of printable ASCII escaped.
fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for (place, part) in parts.iter().rev().enumerate() {
        if place > 0 {
            text.push(',');
        }
        let mut attributes: Vec<_> = part.iter().collect();
        attributes.reverse();
        for (place, attribute) in attributes.iter().enumerate() {
            if place > 0 {
                text.push('+');
            }
            let known = short_name(attribute);
            text.push_str(&known.map_or_else(|| attribute.attr_type().to_id_string(), str::to_owned));
            text.push('=');
            match characters(attribute.attr_value()).filter(|_| known.is_some()) {
                Some(value) => escape(&value, &mut text),
                None => {
                    text.push('#');
                    text.push_str(&hexadecimal(&attribute.attr_value().to_der_vec().unwrap_or_default(), true));
                }
            }
        }
    }
    text
}

fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (place, character) in value.chars().enumerate() {
        // As the last one, the only character is no first one to OpenSSL.
        let edge = (place == 0 && place != last && matches!(character, ' ' | '#')) || (place == last && character == ' ');
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            _ if edge => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
        }
    }
}

/// `/C=…/CN=…`, everything outside of printable ASCII as `\xXX`.
fn legacy(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for part in name.iter_rdn() {
        for (place, attribute) in part.iter().enumerate() {
            text.push(if place == 0 { '/' } else { '+' });
            text.push_str(&short_name(attribute).map_or_else(|| attribute.attr_type().to_id_string(), str::to_owned));
            text.push('=');
            for byte in attribute.attr_value().data {
                if matches!(byte, b' '..=b'~') {
                    text.push(char::from(*byte));
                } else {
                    let _ = write!(text, "\\x{byte:02X}");
                }
            }
        }
    }
    text
}

/// The characters of a value; `None` if it is no string.
fn characters(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = bytes.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair));
            Some(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        Tag::UniversalString => {
            let points = bytes.as_chunks().0.iter().map(|four| u32::from_be_bytes(*four));
            Some(points.map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        _ => None,
    }
}

/// OpenSSL's short name of an attribute.
// tidy: table
fn short_name(attribute: &AttributeTypeAndValue<'_>) -> Option<&'static str> {
    Some(match attribute.attr_type().to_id_string().as_str() {
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.2" => "textEncodedORAddress",
        "0.9.2342.19200300.100.1.3" => "mail",
        "0.9.2342.19200300.100.1.4" => "info",
        "0.9.2342.19200300.100.1.5" => "favouriteDrink",
        "0.9.2342.19200300.100.1.6" => "roomNumber",
        "0.9.2342.19200300.100.1.7" => "photo",
        "0.9.2342.19200300.100.1.8" => "userClass",
        "0.9.2342.19200300.100.1.9" => "host",
        "0.9.2342.19200300.100.1.10" => "manager",
        "0.9.2342.19200300.100.1.11" => "documentIdentifier",
        "0.9.2342.19200300.100.1.12" => "documentTitle",
        "0.9.2342.19200300.100.1.13" => "documentVersion",
        "0.9.2342.19200300.100.1.14" => "documentAuthor",
        "0.9.2342.19200300.100.1.15" => "documentLocation",
        "0.9.2342.19200300.100.1.20" => "homeTelephoneNumber",
        "0.9.2342.19200300.100.1.21" => "secretary",
        "0.9.2342.19200300.100.1.22" => "otherMailbox",
        "0.9.2342.19200300.100.1.23" => "lastModifiedTime",
        "0.9.2342.19200300.100.1.24" => "lastModifiedBy",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.26" => "aRecord",
        "0.9.2342.19200300.100.1.27" => "pilotAttributeType27",
        "0.9.2342.19200300.100.1.28" => "mXRecord",
        "0.9.2342.19200300.100.1.29" => "nSRecord",
        "0.9.2342.19200300.100.1.30" => "sOARecord",
        "0.9.2342.19200300.100.1.31" => "cNAMERecord",
        "0.9.2342.19200300.100.1.37" => "associatedDomain",
        "0.9.2342.19200300.100.1.38" => "associatedName",
        "0.9.2342.19200300.100.1.39" => "homePostalAddress",
        "0.9.2342.19200300.100.1.40" => "personalTitle",
        "0.9.2342.19200300.100.1.41" => "mobileTelephoneNumber",
        "0.9.2342.19200300.100.1.42" => "pagerTelephoneNumber",
        "0.9.2342.19200300.100.1.43" => "friendlyCountryName",
        "0.9.2342.19200300.100.1.44" => "uid",
        "0.9.2342.19200300.100.1.45" => "organizationalStatus",
        "0.9.2342.19200300.100.1.46" => "janetMailbox",
        "0.9.2342.19200300.100.1.47" => "mailPreferenceOption",
        "0.9.2342.19200300.100.1.48" => "buildingName",
        "0.9.2342.19200300.100.1.49" => "dSAQuality",
        "0.9.2342.19200300.100.1.50" => "singleLevelQuality",
        "0.9.2342.19200300.100.1.51" => "subtreeMinimumQuality",
        "0.9.2342.19200300.100.1.52" => "subtreeMaximumQuality",
        "0.9.2342.19200300.100.1.53" => "personalSignature",
        "0.9.2342.19200300.100.1.54" => "dITRedirect",
        "0.9.2342.19200300.100.1.55" => "audio",
        "0.9.2342.19200300.100.1.56" => "documentPublisher",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        "1.2.840.113549.1.9.8" => "unstructuredAddress",
        "1.3.6.1.4.1.311.60.2.1.1" => "jurisdictionL",
        "1.3.6.1.4.1.311.60.2.1.2" => "jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.3" => "jurisdictionC",
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.14" => "searchGuide",
        "2.5.4.15" => "businessCategory",
        "2.5.4.16" => "postalAddress",
        "2.5.4.17" => "postalCode",
        "2.5.4.18" => "postOfficeBox",
        "2.5.4.19" => "physicalDeliveryOfficeName",
        "2.5.4.20" => "telephoneNumber",
        "2.5.4.21" => "telexNumber",
        "2.5.4.22" => "teletexTerminalIdentifier",
        "2.5.4.23" => "facsimileTelephoneNumber",
        "2.5.4.24" => "x121Address",
        "2.5.4.25" => "internationaliSDNNumber",
        "2.5.4.26" => "registeredAddress",
        "2.5.4.27" => "destinationIndicator",
        "2.5.4.28" => "preferredDeliveryMethod",
        "2.5.4.29" => "presentationAddress",
        "2.5.4.30" => "supportedApplicationContext",
        "2.5.4.31" => "member",
        "2.5.4.32" => "owner",
        "2.5.4.33" => "roleOccupant",
        "2.5.4.34" => "seeAlso",
        "2.5.4.35" => "userPassword",
        "2.5.4.36" => "userCertificate",
        "2.5.4.37" => "cACertificate",
        "2.5.4.38" => "authorityRevocationList",
        "2.5.4.39" => "certificateRevocationList",
        "2.5.4.40" => "crossCertificatePair",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.45" => "x500UniqueIdentifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.47" => "enhancedSearchGuide",
        "2.5.4.48" => "protocolInformation",
        "2.5.4.49" => "distinguishedName",
        "2.5.4.50" => "uniqueMember",
        "2.5.4.51" => "houseIdentifier",
        "2.5.4.52" => "supportedAlgorithms",
        "2.5.4.53" => "deltaRevocationList",
        "2.5.4.54" => "dmdName",
        "2.5.4.65" => "pseudonym",
        "2.5.4.72" => "role",
        "2.5.4.97" => "organizationIdentifier",
        "2.5.4.98" => "c3",
        "2.5.4.99" => "n3",
        "2.5.4.100" => "dnsName",
        _ => return None,
    })
}
