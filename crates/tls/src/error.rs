//! Errors of a session, worded as in OpenSSL: users search their logs for these.

use std::borrow::Cow;
use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// OpenSSL's number of its library for TLS, in the place where error codes have it.
const LIBRARY: u32 = 20 << 23;

/// How rustls says that no certificate is fit for what the client offers.
pub(crate) const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// Why a session failed: OpenSSL's number and text, and the alert that was sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    /// OpenSSL's reason.
    pub reason: u32,
    text: Cow<'static, str>,
    /// The number of the alert that the peer sent.
    pub alert: Option<u8>,
}

impl TlsError {
    /// The session has said close_notify.
    pub const SHUTDOWN: Self = Self::new(207, "protocol is shutdown");
    /// The keys of a session have sealed all that they may.
    pub const EXHAUSTED: Self = Self::new(313, "record layer failure");
    /// A state that must not be.
    pub const INTERNAL: Self = Self::new(0xc0103, "internal error");
    /// The peer speaks plain HTTP.
    pub const HTTP_REQUEST: Self = Self::new(156, "http request");
    /// The first bytes are no TLS.
    pub const WRONG_VERSION: Self = Self::new(267, "wrong version number");
    /// The connection ended without close_notify.
    pub const UNEXPECTED_EOF: Self = Self::new(294, "unexpected eof while reading");
    /// A callback refused the handshake.
    pub const CALLBACK_FAILED: Self = Self::new(234, "callback failed");
    /// No certificate for this name, and none wanted.
    pub const CERT_CB: Self = Self::new(377, "cert cb error");
    /// There is no certificate for any suite.
    pub const NO_CIPHER: Self = Self::new(193, "no shared cipher");
    /// No protocol is left to speak.
    pub const NO_PROTOCOLS: Self = Self::new(191, "no protocols available");
    /// A chain was refused where that ends the handshake.
    pub const VERIFY_FAILED: Self = Self::new(134, "certificate verify failed");

    /// An error by OpenSSL's number and words.
    #[must_use]
    pub const fn new(reason: u32, text: &'static str) -> Self {
        Self { reason, text: Cow::Borrowed(text), alert: None }
    }

    /// OpenSSL's words for the reason, such as `no shared cipher`.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.text
    }

    /// Whether any client can cause it, so that nginx logs it as `info`; everything else is `crit`. OpenResty's nginx also takes
    /// code's refusals (`cert cb error`) for ordinary.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.alert.is_some() || !matches!(self.reason, 0xc0103 | 134 | 207)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error:{:08X}:SSL routines::{}", LIBRARY | self.reason, self.text)?;
        match self.alert {
            Some(number) => write!(f, ":SSL alert number {number}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<Error> for TlsError {
    // tidy: table
    fn from(error: Error) -> Self {
        let (reason, text) = match &error {
            Error::AlertReceived(alert) => return received(*alert),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => (244, "unexpected message"),
            Error::InvalidMessage(message) => invalid(message),
            Error::NoCertificatesPresented => (199, "peer did not return a certificate"),
            Error::DecryptError => (281, "decryption failed or bad record mac"),
            Error::PeerIncompatible(what) => incompatible(what),
            Error::PeerMisbehaved(what) => misbehavior(what),
            Error::InvalidCertificate(CertificateError::BadSignature) => (123, "bad signature"),
            Error::InvalidCertificate(CertificateError::BadEncoding) => (135, "cert length mismatch"),
            Error::InvalidCertificate(_) => (134, "certificate verify failed"),
            Error::PeerSentOversizedRecord => (198, "packet length too long"),
            Error::NoApplicationProtocol => (235, "no application protocol"),
            Error::General(text) if text == NO_CERTIFICATE => (193, "no shared cipher"),
            _ => return Self { text: Cow::Owned(error.to_string()), ..Self::INTERNAL },
        };
        Self::new(reason, text)
    }
}

fn invalid(message: &InvalidMessage) -> (u32, &'static str) {
    match message {
        InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion => (267, "wrong version number"),
        InvalidMessage::MessageTooLarge => (198, "packet length too long"),
        InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge => (152, "excessive message size"),
        InvalidMessage::InvalidCcs => (103, "bad change cipher spec"),
        InvalidMessage::InvalidKeyUpdate => (122, "bad key update"),
        InvalidMessage::UnsupportedCompression => (257, "unsupported compression algorithm"),
        InvalidMessage::NoSignatureSchemes => (112, "missing sigalgs extension"),
        InvalidMessage::InvalidServerName | InvalidMessage::DuplicateExtension(_) => (110, "bad extension"),
        InvalidMessage::UnexpectedMessage(_) => (244, "unexpected message"),
        _ => (159, "length mismatch"),
    }
}

fn incompatible(what: &PeerIncompatible) -> (u32, &'static str) {
    match what {
        PeerIncompatible::NoCipherSuitesInCommon => (193, "no shared cipher"),
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => (101, "no suitable key share"),
        PeerIncompatible::NoSignatureSchemesInCommon | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            (118, "no suitable signature algorithm")
        }
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => (112, "missing sigalgs extension"),
        PeerIncompatible::KeyShareExtensionRequired => (258, "unsupported protocol"),
        PeerIncompatible::NullCompressionRequired => (187, "no compression specified"),
        _ => (258, "unsupported protocol"),
    }
}

fn misbehavior(what: &PeerMisbehaved) -> (u32, &'static str) {
    match what {
        PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported => (373, "inappropriate fallback"),
        PeerMisbehaved::ResumptionAttemptedWithVariedEms => (104, "inconsistent extms"),
        PeerMisbehaved::IncorrectBinder => (253, "binder does not verify"),
        PeerMisbehaved::InvalidKeyShare | PeerMisbehaved::WrongGroupForKeyShare => (108, "bad key share"),
        PeerMisbehaved::MissingKeyShare => (101, "no suitable key share"),
        PeerMisbehaved::TooManyEmptyFragments => (298, "record too small"),
        PeerMisbehaved::TooManyKeyUpdateRequests => (132, "too many key updates"),
        PeerMisbehaved::TooManyRenegotiationRequests => (339, "no renegotiation"),
        PeerMisbehaved::TooManyWarningAlertsReceived => (409, "too many warn alerts"),
        PeerMisbehaved::TooMuchEarlyDataReceived => (164, "too much early data"),
        PeerMisbehaved::IllegalMiddleboxChangeCipherSpec => (103, "bad change cipher spec"),
        PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme | PeerMisbehaved::SignedKxWithWrongAlgorithm => {
            (370, "wrong signature type")
        }
        PeerMisbehaved::MessageInterleavedWithHandshakeMessage | PeerMisbehaved::KeyEpochWithPendingFragment => {
            (293, "mixed handshake and non handshake data")
        }
        PeerMisbehaved::SelectedUnofferedCipherSuite => (248, "unknown cipher returned"),
        _ => (110, "bad extension"),
    }
}

fn received(alert: AlertDescription) -> TlsError {
    let number = u8::from(alert);
    let text = match number {
        10 => "sslv3 alert unexpected message",
        20 => "sslv3 alert bad record mac",
        21 => "tlsv1 alert decryption failed",
        22 => "tlsv1 alert record overflow",
        30 => "sslv3 alert decompression failure",
        40 => "sslv3 alert handshake failure",
        41 => "sslv3 alert no certificate",
        42 => "sslv3 alert bad certificate",
        43 => "sslv3 alert unsupported certificate",
        44 => "sslv3 alert certificate revoked",
        45 => "sslv3 alert certificate expired",
        46 => "sslv3 alert certificate unknown",
        47 => "sslv3 alert illegal parameter",
        48 => "tlsv1 alert unknown ca",
        49 => "tlsv1 alert access denied",
        50 => "tlsv1 alert decode error",
        51 => "tlsv1 alert decrypt error",
        60 => "tlsv1 alert export restriction",
        70 => "tlsv1 alert protocol version",
        71 => "tlsv1 alert insufficient security",
        80 => "tlsv1 alert internal error",
        86 => "tlsv1 alert inappropriate fallback",
        90 => "tlsv1 alert user cancelled",
        100 => "tlsv1 alert no renegotiation",
        109 => "tlsv13 alert missing extension",
        110 => "tlsv1 unsupported extension",
        111 => "tlsv1 certificate unobtainable",
        112 => "tlsv1 unrecognized name",
        113 => "tlsv1 bad certificate status response",
        114 => "tlsv1 bad certificate hash value",
        116 => "tlsv13 alert certificate required",
        120 => "tlsv1 alert no application protocol",
        _ => "unknown alert type",
    };
    TlsError { alert: Some(number), ..TlsError::new(1000 + u32::from(number), text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_openssl_writes_them() {
        let shown = |error: Error| TlsError::from(error).to_string();
        assert_eq!(
            shown(Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)),
            "error:0A0000C1:SSL routines::no shared cipher"
        );
        assert_eq!(
            shown(Error::AlertReceived(AlertDescription::CertificateUnknown)),
            "error:0A000416:SSL routines::sslv3 alert certificate unknown:SSL alert number 46"
        );
        assert_eq!(shown(Error::InvalidMessage(InvalidMessage::InvalidContentType)), "error:0A00010B:SSL routines::wrong version number");
        assert_eq!(TlsError::HTTP_REQUEST.to_string(), "error:0A00009C:SSL routines::http request");
    }

    /// Errors of each kind that rustls tells apart.
    fn kinds() -> Vec<Error> {
        use InvalidMessage as Invalid;
        let invalid = [
            Invalid::UnknownProtocolVersion,
            Invalid::MessageTooLarge,
            Invalid::HandshakePayloadTooLarge,
            Invalid::CertificatePayloadTooLarge,
            Invalid::InvalidCcs,
            Invalid::InvalidKeyUpdate,
            Invalid::UnsupportedCompression,
            Invalid::NoSignatureSchemes,
            Invalid::InvalidServerName,
            Invalid::DuplicateExtension(7),
            Invalid::UnexpectedMessage("x"),
            Invalid::MessageTooShort,
            Invalid::MissingData("x"),
            Invalid::TrailingData("x"),
            Invalid::InvalidEmptyPayload,
        ];
        use PeerIncompatible as Incompatible;
        let incompatible = [
            Incompatible::NoCipherSuitesInCommon,
            Incompatible::NoKxGroupsInCommon,
            Incompatible::NamedGroupsExtensionRequired,
            Incompatible::NoSignatureSchemesInCommon,
            Incompatible::NoCertificateRequestSignatureSchemesInCommon,
            Incompatible::SignatureAlgorithmsExtensionRequired,
            Incompatible::KeyShareExtensionRequired,
            Incompatible::NullCompressionRequired,
            Incompatible::ServerDoesNotSupportTls12Or13,
        ];
        use PeerMisbehaved as Misbehaved;
        let misbehaved = [
            Misbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported,
            Misbehaved::ResumptionAttemptedWithVariedEms,
            Misbehaved::IncorrectBinder,
            Misbehaved::InvalidKeyShare,
            Misbehaved::WrongGroupForKeyShare,
            Misbehaved::MissingKeyShare,
            Misbehaved::TooManyEmptyFragments,
            Misbehaved::TooManyKeyUpdateRequests,
            Misbehaved::TooManyRenegotiationRequests,
            Misbehaved::TooManyWarningAlertsReceived,
            Misbehaved::TooMuchEarlyDataReceived,
            Misbehaved::IllegalMiddleboxChangeCipherSpec,
            Misbehaved::SignedHandshakeWithUnadvertisedSigScheme,
            Misbehaved::SignedKxWithWrongAlgorithm,
            Misbehaved::MessageInterleavedWithHandshakeMessage,
            Misbehaved::KeyEpochWithPendingFragment,
            Misbehaved::SelectedUnofferedCipherSuite,
            Misbehaved::UnsolicitedServerHelloExtension,
        ];
        let certificates = [CertificateError::BadSignature, CertificateError::BadEncoding, CertificateError::Expired];
        let others = [
            Error::NoCertificatesPresented,
            Error::DecryptError,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::General(NO_CERTIFICATE.to_owned()),
            Error::InappropriateMessage { expect_types: Vec::new(), got_type: rustls::ContentType::Alert },
        ];
        let all = invalid.into_iter().map(Error::InvalidMessage).chain(incompatible.into_iter().map(Error::PeerIncompatible));
        all.chain(misbehaved.into_iter().map(Error::PeerMisbehaved))
            .chain(certificates.into_iter().map(Error::InvalidCertificate))
            .chain(others)
            .collect()
    }

    #[test]
    fn numbers_and_words_are_those_of_openssl() {
        let fixed = [
            TlsError::SHUTDOWN,
            TlsError::EXHAUSTED,
            TlsError::INTERNAL,
            TlsError::HTTP_REQUEST,
            TlsError::UNEXPECTED_EOF,
            TlsError::CALLBACK_FAILED,
            TlsError::CERT_CB,
            TlsError::NO_PROTOCOLS,
            TlsError::VERIFY_FAILED,
        ];
        let errors: Vec<TlsError> = kinds().into_iter().map(TlsError::from).chain(fixed).collect();
        let codes = errors.iter().map(|error| format!("{:X}", LIBRARY | error.reason));
        let said = std::process::Command::new("openssl").arg("errstr").args(codes).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), errors.len());
        let mut known = 0;
        for (line, error) in lines.iter().zip(&errors) {
            // What an older or newer one has no words for it shows as a number.
            if !line.contains("reason(") {
                known += 1;
                assert_eq!(*line, error.to_string());
            }
        }
        assert!(known > errors.len() / 2, "{known} of {}", errors.len());
    }

    #[test]
    fn what_any_client_can_cause_is_ordinary() {
        assert!(kinds().into_iter().map(TlsError::from).filter(|error| error.reason != 134).all(|error| error.is_ordinary()));
        let strange = TlsError::from(Error::General("something else".to_owned()));
        assert!(!strange.is_ordinary() && strange.words().contains("something else"));
        for number in [10, 20, 40, 42, 46, 48, 70, 80, 90, 112, 120, 255] {
            let error = TlsError::from(Error::AlertReceived(AlertDescription::from(number)));
            assert_eq!((error.alert, error.reason, error.is_ordinary()), (Some(number), 1000 + u32::from(number), true), "{number}");
            assert_eq!(error.words() == "unknown alert type", number == 255, "{number}");
            assert!(error.to_string().ends_with(&format!(":SSL alert number {number}")));
        }
    }
}
