//! Verification results as OpenSSL's numbers and messages.

/// What was found about a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// OpenSSL's `X509_V_ERR_…`; 0 is a good chain.
    pub code: u16,
}

impl Verdict {
    /// A good chain.
    pub const OK: Self = Self { code: 0 };

    /// Not good, for a reason that has no number of its own.
    pub const UNSPECIFIED: Self = Self { code: 1 };

    /// A finding by OpenSSL's number.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self { code }
    }

    /// Whether the chain is good.
    #[must_use]
    pub fn is_ok(self) -> bool {
        self.code == 0
    }

    /// Whether the chain only lacks a trusted authority, which `ssl_verify_client optional_no_ca` forgives.
    #[must_use]
    pub fn lacks_authority(self) -> bool {
        matches!(self.code, 18..=21 | 27)
    }

    /// OpenSSL's words.
    #[must_use]
    // tidy: table
    pub fn text(self) -> &'static str {
        match self.code {
            0 => "ok",
            2 => "unable to get issuer certificate",
            3 => "unable to get certificate CRL",
            7 => "certificate signature failure",
            8 => "CRL signature failure",
            9 => "certificate is not yet valid",
            10 => "certificate has expired",
            11 => "CRL is not yet valid",
            12 => "CRL has expired",
            18 => "self-signed certificate",
            19 => "self-signed certificate in certificate chain",
            20 => "unable to get local issuer certificate",
            21 => "unable to verify the first certificate",
            22 => "certificate chain too long",
            23 => "certificate revoked",
            25 => "path length constraint exceeded",
            26 => "unsuitable certificate purpose",
            27 => "certificate not trusted",
            32 => "key usage does not include certificate signing",
            33 => "unable to get CRL issuer certificate",
            34 => "unhandled critical extension",
            35 => "key usage does not include CRL signing",
            36 => "unhandled critical CRL extension",
            44 => "different CRL scope",
            47 => "permitted subtree violation",
            48 => "excluded subtree violation",
            62 => "hostname mismatch",
            66 => "EE certificate key too weak",
            67 => "CA certificate key too weak",
            68 => "CA signature digest algorithm too weak",
            79 => "invalid CA certificate",
            _ => "unspecified certificate verification error",
        }
    }
}
