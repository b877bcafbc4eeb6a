//! What users of private authorities have and webpki refuses as a peer's own certificate: X.509 version 1, a certificate
//! that is an authority too, one that signs itself, one with a critical extension about policies. It is accepted only when it is trusted itself, or a trusted
//! certificate signed it.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::x509::X509Version;

use super::parsed::{
    Parsed, Trusted, Usage, critical_supported, fits_own, insists_on_policies, is_self_issued, issuers, may_sign, parse, seconds, validity,
    verified,
};

/// No path is followed further.
const LONGEST: usize = 8;

/// What leads from the certificate `own` to one that signs itself, through trusted certificates only.
pub(super) fn path(
    trust: &[Trusted],
    own: &CertificateDer<'_>,
    leaf: &Parsed<'_>,
    usage: Usage,
    now: UnixTime,
) -> Option<Vec<CertificateDer<'static>>> {
    if !validity(leaf).contains(&seconds(now)) || !fits_own(leaf, usage) || !critical_supported(leaf) {
        return None;
    }
    if is_self_issued(leaf) {
        let same = issuers(trust, leaf).into_iter().find(|(trusted, _)| **trusted == *own)?.0;
        return verified(leaf, leaf).then(|| vec![same.clone()]);
    }
    if leaf.version() == X509Version::V3 && !leaf.is_ca() && !insists_on_policies(leaf) {
        return None;
    }
    let mut path = Vec::new();
    let mut top: Option<&CertificateDer<'static>> = None;
    for _ in 0..LONGEST {
        let issuer = match top {
            None => issuer(trust, leaf, now)?,
            Some(below) => {
                let below = parse(below)?;
                if is_self_issued(&below) {
                    return Some(path);
                }
                issuer(trust, &below, now)?
            }
        };
        path.push(issuer.clone());
        top = Some(issuer);
    }
    None
}

/// The trusted certificate that signed `below` and may do so.
fn issuer<'t>(trust: &'t [Trusted], below: &Parsed<'_>, now: UnixTime) -> Option<&'t CertificateDer<'static>> {
    let mut good = issuers(trust, below).into_iter().filter(|(_, other)| {
        validity(other).contains(&seconds(now)) && may_sign(other) && critical_supported(other) && verified(below, other)
    });
    good.next().map(|(der, _)| der)
}
