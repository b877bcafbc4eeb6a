//! How handshakes of TLS end, as far as that is counted.

use tls::error::TlsError;

/// What is counted of handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum TlsCounter {
    /// Those that were completed.
    Handshakes,
    /// Those that failed.
    Failed,
    /// Those that resumed a session.
    Reuses,
    /// Failed: client and server have no version in common.
    NoCommonProtocol,
    /// Failed: client and server have no cipher in common.
    NoCommonCipher,
    /// Failed: the time was over.
    Timeout,
    /// Failed: the client refused the certificate.
    PeerRejectedCertificate,
    /// Completed without the certificate that the client should have.
    NoCertificate,
    /// Completed with a certificate that has expired or does not hold yet.
    ExpiredCertificate,
    /// Completed with a certificate that was revoked.
    RevokedCertificate,
    /// The certificate is another host's.
    HostnameMismatch,
    /// Completed with a certificate that something else is wrong with.
    OtherFault,
}

impl TlsCounter {
    /// All of them in their order.
    pub const ALL: [TlsCounter; 12] = [
        TlsCounter::Handshakes,
        TlsCounter::Failed,
        TlsCounter::Reuses,
        TlsCounter::NoCommonProtocol,
        TlsCounter::NoCommonCipher,
        TlsCounter::Timeout,
        TlsCounter::PeerRejectedCertificate,
        TlsCounter::NoCertificate,
        TlsCounter::ExpiredCertificate,
        TlsCounter::RevokedCertificate,
        TlsCounter::HostnameMismatch,
        TlsCounter::OtherFault,
    ];
}

/// How a handshake has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// It is complete.
    Complete {
        /// It resumed a session.
        resumed: bool,
        /// What is wrong with the client's certificate, if there should be one.
        fault: Option<TlsCounter>,
    },
    /// It failed, maybe for a reason that is counted.
    Failed(Option<TlsCounter>),
}

impl HandshakeEnd {
    /// Everything that is to be counted.
    pub fn counters(&self, mut count: impl FnMut(TlsCounter)) {
        match *self {
            HandshakeEnd::Complete { resumed, fault } => {
                count(TlsCounter::Handshakes);
                if resumed {
                    count(TlsCounter::Reuses);
                }
                fault.into_iter().for_each(count);
            }
            HandshakeEnd::Failed(reason) => {
                count(TlsCounter::Failed);
                reason.into_iter().for_each(count);
            }
        }
    }
}

/// The counter of handshakes that fail with this error.
pub(crate) fn reason(error: &TlsError) -> Option<TlsCounter> {
    match (error.alert, error.reason) {
        // What is wrong with a certificate, or with who signed it.
        (Some(42..=46 | 48), _) => Some(TlsCounter::PeerRejectedCertificate),
        (Some(70), _) | (None, 191 | 258) => Some(TlsCounter::NoCommonProtocol),
        (None, 193) => Some(TlsCounter::NoCommonCipher),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_at_their_numbers() {
        assert!(TlsCounter::ALL.iter().enumerate().all(|(at, counter)| at == *counter as usize));
    }

    #[test]
    fn errors_have_reasons() {
        let alert = |number: u8| {
            let mut error = TlsError::new(1000 + u32::from(number), "");
            error.alert = Some(number);
            error
        };
        assert_eq!(reason(&alert(48)), Some(TlsCounter::PeerRejectedCertificate));
        assert_eq!(reason(&alert(40)), None);
        assert_eq!(reason(&TlsError::NO_CIPHER), Some(TlsCounter::NoCommonCipher));
        assert_eq!(reason(&TlsError::new(258, "unsupported protocol")), Some(TlsCounter::NoCommonProtocol));
        assert_eq!(reason(&TlsError::INTERNAL), None);
    }

    #[test]
    fn an_end_is_counted_once_in_each_respect() {
        let counted = |end: HandshakeEnd| {
            let mut all = Vec::new();
            end.counters(|counter| all.push(counter));
            all
        };
        assert_eq!(counted(HandshakeEnd::Failed(None)), [TlsCounter::Failed]);
        let end = HandshakeEnd::Complete { resumed: true, fault: Some(TlsCounter::NoCertificate) };
        assert_eq!(counted(end), [TlsCounter::Handshakes, TlsCounter::Reuses, TlsCounter::NoCertificate]);
    }
}
