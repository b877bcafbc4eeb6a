//! Of which certificates a revocation list tells (RFC 5280, 5.2.5), as OpenSSL has it without its extended support.

use x509_parser::extensions::{DistributionPointName, GeneralName, IssuingDistributionPoint, ParsedExtension};
use x509_parser::prelude::X509Extension;

use crate::verify::parsed::Parsed;

/// Of which certificates a list tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// It tells only what has changed, only some reasons, or is for others than its issuer: of no use.
    partial: bool,
    users_only: bool,
    authorities_only: bool,
    /// The names of the place that such certificates give for it; any certificate of its issuer if there are none.
    point: Vec<Vec<u8>>,
    /// The key that signed it.
    key: Option<Vec<u8>>,
}

/// Whether an extension of a list is one that is looked at here.
pub(super) fn is_understood(extension: &X509Extension<'_>) -> bool {
    matches!(&*extension.oid.to_id_string(), "2.5.29.27" | "2.5.29.28" | "2.5.29.35")
}

impl Scope {
    /// What a list's extensions say.
    pub(super) fn of(extensions: &[X509Extension<'_>]) -> Self {
        let mut scope = Self::default();
        for extension in extensions.iter().filter(|extension| is_understood(extension)) {
            match extension.parsed_extension() {
                ParsedExtension::IssuingDistributionPoint(point) => scope.narrow(point),
                ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                    scope.key = identifier.key_identifier.as_ref().map(|key| key.0.to_vec());
                }
                _ => scope.partial = true,
            }
        }
        scope
    }

    fn narrow(&mut self, point: &IssuingDistributionPoint<'_>) {
        self.users_only = point.only_contains_user_certs;
        self.authorities_only = point.only_contains_ca_certs;
        self.partial |= point.indirect_crl || point.only_contains_attribute_certs || point.only_some_reasons.is_some();
        if let Some(name) = &point.distribution_point {
            self.point = names(name);
            self.partial |= self.point.is_empty();
        }
    }

    /// Whether a list that names its signer's key may be one of `issuer`.
    pub(super) fn is_usable_below(&self, issuer: &Parsed<'_>) -> bool {
        let own = issuer.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
            _ => None,
        });
        !self.partial && self.key.as_deref().zip(own).is_none_or(|(asked, own)| asked == own)
    }

    /// Whether the list tells of `certificate`.
    pub(super) fn has(&self, certificate: &Parsed<'_>) -> bool {
        let is_of_kind = if certificate.is_ca() { !self.users_only } else { !self.authorities_only };
        is_of_kind && (self.point.is_empty() || certificate.iter_extensions().any(|extension| self.is_named_by(extension)))
    }

    fn is_named_by(&self, extension: &X509Extension<'_>) -> bool {
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else { return false };
        points.iter().filter(|point| point.reasons.is_none() && point.crl_issuer.is_none()).any(|point| {
            let asked = point.distribution_point.as_ref().map(names).unwrap_or_default();
            asked.iter().any(|name| self.point.contains(name))
        })
    }
}

/// Names to be compared, behind a letter for their kind.
fn names(point: &DistributionPointName<'_>) -> Vec<Vec<u8>> {
    let DistributionPointName::FullName(names) = point else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::URI(text) => Some([b"u", text.as_bytes()].concat()),
        GeneralName::DirectoryName(name) => Some([b"d", name.as_raw()].concat()),
        _ => None,
    };
    names.iter().filter_map(name).collect()
}
