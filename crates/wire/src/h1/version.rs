//! The version of HTTP/1 messages.

/// The version of a request or status line (RFC 9112, 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The number before the dot; 0 only for HTTP/0.9.
    pub major: u8,
    /// The number after the dot.
    pub minor: u16,
}

impl Version {
    /// A request line without a version.
    pub(crate) const HTTP_09: Self = Self { major: 0, minor: 9 };
    /// HTTP/1.0.
    pub(crate) const HTTP_10: Self = Self { major: 1, minor: 0 };
    /// HTTP/1.1; later minor versions mean the same (RFC 9110, 2.5).
    pub(crate) const HTTP_11: Self = Self { major: 1, minor: 1 };

    /// True for a request without headers, answered without headers.
    #[must_use]
    pub(crate) fn is_09(self) -> bool {
        self.major == 0
    }

    /// nginx's number for it: 9, 1000, 1001.
    #[must_use]
    pub fn number(self) -> u16 {
        u16::from(self.major) * 1000 + self.minor
    }
}
