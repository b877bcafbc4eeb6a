//! OCSP (RFC 6960): encoding of requests and validation of responses. Transport and scheduling are the caller's.

use std::fmt;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, FromDer, GeneralizedTime, Tag};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::AlgorithmIdentifier;

use crate::verify::parsed::{Parsed, may_be_issuer, parse, signs, validity, verified};

/// How far clocks may be apart, in seconds.
const SKEW: i64 = 300;

/// How many certificates of a response are tried as its signer.
const SIGNERS: usize = 4;

const SHA1_OBJECT: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256_OBJECT: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const BASIC_OBJECT: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const AUTHORITY_ACCESS: &str = "1.3.6.1.5.5.7.48.1";

/// What an authority says about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked,
    /// The authority does not know it.
    Unknown,
}

impl Status {
    /// OpenSSL's word.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Status::Good => "good",
            Status::Revoked => "revoked",
            Status::Unknown => "unknown",
        }
    }
}

/// A response that may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspResponse {
    /// What it says.
    pub status: Status,
    /// Until when, in seconds since 1970; `None` when there is always a newer one to be had.
    pub until: Option<i64>,
}

/// Why a response is worth nothing, in nginx's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspError {
    /// It is no response.
    Malformed,
    /// The responder answers with an error.
    NotSuccessful(u8),
    /// It is not in the one form that is in use.
    NotBasic,
    /// The signer is not authorised.
    Unverified,
    /// It is about other certificates.
    NotFound,
    /// It is not good yet, or no more.
    OutOfDate,
}

impl fmt::Display for OcspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OcspError::Malformed => f.write_str("d2i_OCSP_RESPONSE() failed"),
            OcspError::NotSuccessful(code) => {
                let text = match code {
                    1 => "malformedrequest",
                    2 => "internalerror",
                    3 => "trylater",
                    5 => "sigrequired",
                    6 => "unauthorized",
                    _ => "(UNKNOWN)",
                };
                write!(f, "OCSP response not successful ({code}: {text})")
            }
            OcspError::NotBasic => f.write_str("OCSP_response_get1_basic() failed"),
            OcspError::Unverified => f.write_str("OCSP_basic_verify() failed"),
            OcspError::NotFound => f.write_str("certificate status not found in the OCSP response"),
            OcspError::OutOfDate => f.write_str("OCSP_check_validity() failed"),
        }
    }
}

impl std::error::Error for OcspError {}

/// Where a certificate says that questions about it are answered.
#[must_use]
pub fn responder(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = parse(certificate)?;
    parsed.iter_extensions().find_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { return None };
        access.iter().find_map(|entry| match &entry.access_location {
            GeneralName::URI(uri) if entry.access_method.to_id_string() == AUTHORITY_ACCESS => Some((*uri).to_owned()),
            _ => None,
        })
    })
}

/// The certificate among `candidates` that issued another one.
#[must_use]
pub fn issuer<'c>(certificate: &CertificateDer<'_>, candidates: &'c [CertificateDer<'static>]) -> Option<&'c CertificateDer<'static>> {
    let parsed = parse(certificate)?;
    let named = |other: &Parsed<'_>| other.subject().as_raw() == parsed.issuer().as_raw();
    candidates.iter().find(|candidate| parse(candidate).is_some_and(|other| named(&other) && verified(&parsed, &other)))
}

/// Whether `issuer` is, by name and key identifier, the one that `certificate` names; the signature is not looked at (X509_check_issued(3)).
#[must_use]
pub fn is_issuer(issuer: &CertificateDer<'_>, certificate: &CertificateDer<'_>) -> bool {
    let (Some(issuer), Some(certificate)) = (parse(issuer), parse(certificate)) else { return false };
    may_be_issuer(&issuer, &certificate)
}

/// The question about a certificate; `None` if one of the two is none.
#[must_use]
pub fn request(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (certificate, issuer) = (parse(certificate)?, parse(issuer)?);
    let algorithm = sequence(&[&tagged(6, SHA1_OBJECT), &[5, 0]]);
    let (name, key) = hashes(&certificate, &issuer, &SHA1_FOR_LEGACY_USE_ONLY);
    let id = sequence(&[&algorithm, &tagged(4, &name), &tagged(4, &key), &tagged(2, certificate.raw_serial())]);
    Some(sequence(&[&sequence(&[&sequence(&[&sequence(&[&id])])])]))
}

/// Verifies a response about a certificate at the time `now`. Who signed it is not asked when `verify` is off
/// (`ssl_stapling_verify`).
///
/// # Errors
/// When the response is worth nothing.
pub fn verify(
    response: &[u8],
    certificate: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
    verify: bool,
    now: i64,
) -> Result<OcspResponse, OcspError> {
    let mut outer = Reader(single(response, 0x10).ok_or(OcspError::Malformed)?);
    let code = outer.next(Tag::Enumerated.0).and_then(|any| any.data.first().copied()).ok_or(OcspError::Malformed)?;
    if code != 0 {
        return Err(OcspError::NotSuccessful(code));
    }
    let basic = basic(outer).ok_or(OcspError::NotBasic)?;
    let certificate = parse(certificate).ok_or(OcspError::NotFound)?;
    let issuer = parse(issuer).ok_or(OcspError::Unverified)?;
    if verify && !basic.is_signed(&issuer, now) {
        return Err(OcspError::Unverified);
    }
    let found = basic.status_of(&certificate, &issuer).ok_or(OcspError::NotFound)?;
    if found.from > now + SKEW || found.response.until.is_some_and(|until| until < now - SKEW || until < found.from) {
        return Err(OcspError::OutOfDate);
    }
    Ok(found.response)
}

/// Whether these bytes are a response, whatever it says.
#[must_use]
pub fn is_response(bytes: &[u8]) -> bool {
    single(bytes, 0x10).is_some_and(|content| Reader(content).next(Tag::Enumerated.0).is_some())
}

/// The hashes by which an issuer is named.
fn hashes(certificate: &Parsed<'_>, issuer: &Parsed<'_>, algorithm: &'static Algorithm) -> (Vec<u8>, Vec<u8>) {
    let hash = |bytes: &[u8]| digest(algorithm, bytes).as_ref().to_vec();
    (hash(certificate.issuer().as_raw()), hash(&issuer.public_key().subject_public_key.data))
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match content.len() {
        short @ ..128 => bytes.push(u8::try_from(short).unwrap_or_default()),
        long => {
            let length: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            bytes.extend(length);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// Elements one behind the other.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element if it is of the universal class and has this tag.
    fn next(&mut self, tag: u32) -> Option<Any<'a>> {
        self.take(Class::Universal, tag).map(|(any, _)| any)
    }

    /// The next element if it is context-specific and has this number.
    fn context(&mut self, number: u32) -> Option<Any<'a>> {
        self.take(Class::ContextSpecific, number).map(|(any, _)| any)
    }

    /// The next element with all of its bytes, if it has this class and tag; otherwise it stays.
    fn take(&mut self, class: Class, tag: u32) -> Option<(Any<'a>, &'a [u8])> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        if any.class() != class || any.tag().0 != tag {
            return None;
        }
        let whole = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        Some((any, whole))
    }
}

/// The content of the one element that fills `bytes`.
fn single(bytes: &[u8], tag: u32) -> Option<&[u8]> {
    let mut reader = Reader(bytes);
    let any = reader.next(tag)?;
    reader.0.is_empty().then_some(any.data)
}

/// A basic answer.
struct Basic<'a> {
    /// What is signed.
    signed: &'a [u8],
    by_name: Option<&'a [u8]>,
    by_key: Option<&'a [u8]>,
    singles: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
    certificates: &'a [u8],
}

/// What is said about one certificate.
struct SingleResponse {
    response: OcspResponse,
    from: i64,
}

fn basic(mut outer: Reader<'_>) -> Option<Basic<'_>> {
    let mut bytes = Reader(single(outer.context(0)?.data, 0x10)?);
    if bytes.next(Tag::Oid.0)?.data != BASIC_OBJECT {
        return None;
    }
    let mut basic = Reader(single(bytes.next(Tag::OctetString.0)?.data, 0x10)?);
    let (data, signed) = basic.take(Class::Universal, 0x10)?;
    let (rest, algorithm) = AlgorithmIdentifier::from_der(basic.0).ok()?;
    basic.0 = rest;
    let signature = basic.next(Tag::BitString.0)?.data.split_first().filter(|(unused, _)| **unused == 0)?.1;
    let certificates = basic.context(0).and_then(|any| single(any.data, 0x10)).unwrap_or_default();
    let mut data = Reader(data.data);
    let _ = data.context(0);
    let by_name = data.context(1).map(|any| any.data);
    let by_key = if by_name.is_none() { Some(single(data.context(2)?.data, Tag::OctetString.0)?) } else { None };
    data.next(Tag::GeneralizedTime.0)?;
    let singles = data.next(0x10)?.data;
    Some(Basic { signed, by_name, by_key, singles, algorithm, signature, certificates })
}

impl Basic<'_> {
    /// Whether the issuer signed the response, or one to whom it gave that right.
    fn is_signed(&self, issuer: &Parsed<'_>, now: i64) -> bool {
        let mut rest = self.certificates;
        let sent = std::iter::from_fn(|| {
            let (left, certificate) = X509Certificate::from_der(rest).ok()?;
            rest = left;
            Some(certificate)
        });
        let delegated = |signer: &Parsed<'_>| {
            let right = signer.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
            right && validity(signer).contains(&now) && verified(signer, issuer)
        };
        self.is_by(issuer) || sent.take(SIGNERS).any(|signer| delegated(&signer) && self.is_by(&signer))
    }

    fn is_by(&self, signer: &Parsed<'_>) -> bool {
        let key = digest(&SHA1_FOR_LEGACY_USE_ONLY, &signer.public_key().subject_public_key.data);
        let named = self.by_name.is_some_and(|name| name == signer.subject().as_raw());
        let keyed = self.by_key.is_some_and(|hash| hash == key.as_ref());
        (named || keyed) && signs(signer, &self.algorithm, self.signed, self.signature)
    }

    fn status_of(&self, certificate: &Parsed<'_>, issuer: &Parsed<'_>) -> Option<SingleResponse> {
        let mut all = Reader(self.singles);
        std::iter::from_fn(|| all.next(0x10)).find_map(|any| matching_single(Reader(any.data), certificate, issuer))
    }
}

/// What one part of a response says, if it is about this certificate.
fn matching_single(mut part: Reader<'_>, certificate: &Parsed<'_>, issuer: &Parsed<'_>) -> Option<SingleResponse> {
    let mut id = Reader(part.next(0x10)?.data);
    let object = Reader(id.next(0x10)?.data).next(Tag::Oid.0)?;
    let algorithm = match object.data {
        SHA1_OBJECT => &SHA1_FOR_LEGACY_USE_ONLY,
        SHA256_OBJECT => &SHA256,
        _ => return None,
    };
    let (name, key) = hashes(certificate, issuer, algorithm);
    let same = id.next(Tag::OctetString.0)?.data == name
        && id.next(Tag::OctetString.0)?.data == key
        && id.next(Tag::Integer.0)?.data == certificate.raw_serial();
    if !same {
        return None;
    }
    let states = [(0, Status::Good), (1, Status::Revoked), (2, Status::Unknown)];
    let status = states.into_iter().find_map(|(number, status)| part.context(number).map(|_| status))?;
    let from = time(&mut part)?;
    let until = match part.context(0) {
        Some(any) => Some(time(&mut Reader(any.data))?),
        None => None,
    };
    Some(SingleResponse { response: OcspResponse { status, until }, from })
}

fn time(reader: &mut Reader<'_>) -> Option<i64> {
    let any = reader.next(Tag::GeneralizedTime.0)?;
    let time = GeneralizedTime::try_from(any).ok()?.utc_datetime().ok()?;
    Some(time.unix_timestamp())
}
