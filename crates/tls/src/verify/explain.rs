//! Why a chain is not good, after that was decided. It follows names as OpenSSL does, looks at a bounded number of
//! certificates, and cannot turn a no into a yes.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::ParsedExtension;

use super::common_name;
use super::crl::Crls;
use super::parsed::{
    Parsed, Trusted, Usage, algorithms, fits_own, has_weak_digest, has_weak_key, insists_on_policies, is_self_issued, is_supported,
    issuers, key_may_sign, may_be_issuer, may_sign, parse, seconds, usage_allows, validity, verified,
};
use super::reason::Verdict;

/// No chain is followed further.
const LONGEST: usize = 12;

/// How a chain looks when names are followed.
struct Followed<'a> {
    /// The peer's own certificate first.
    path: Vec<Parsed<'a>>,
    /// How many of them the peer gave.
    chain_length: usize,
    /// Whether the last one is trusted and signs itself.
    rooted: bool,
}

/// Everything that is wrong with a chain to these authorities, in OpenSSL's order: `depth` is how many certificates may stand between.
pub(super) fn chain(
    (trusted, crls, depth): (&[Trusted], &Crls, usize),
    leaf: &Parsed<'_>,
    others: &[CertificateDer<'_>],
    usage: Usage,
    now: UnixTime,
) -> Vec<Verdict> {
    let mut found = Vec::new();
    let mut chain = follow(trusted, leaf, others, now);
    let longest = depth.saturating_add(2);
    if chain.path.len() > longest || chain.path.len() >= LONGEST {
        found.push(Verdict::new(22));
        // There OpenSSL stops looking for issuers.
        chain.rooted &= chain.path.len() <= longest;
        chain.path.truncate(longest);
        chain.chain_length = chain.chain_length.min(chain.path.len());
    }
    let Followed { path, chain_length: given, rooted } = &chain;
    let Some(top) = path.last() else { return found };
    if !rooted {
        found.push(Verdict::new(match (is_self_issued(top), path.len(), *given < path.len()) {
            (true, 1, _) => 18,
            (true, ..) => 19,
            (false, _, true) => 2,
            (false, ..) => 20,
        }));
    }
    constraints(path, usage, &mut found);
    strengths(path, &mut found);
    crls.check(path, now, &mut found);
    signatures(&chain, now, &mut found);
    found.extend(names(path, usage));
    if found.is_empty() && path.iter().any(insists_on_policies) {
        found.push(Verdict::new(34));
    }
    found
}

/// Whether names break the constraints of those above them. webpki is asked as if the topmost certificate were trusted, at a time when all are good.
fn names(path: &[Parsed<'_>], usage: Usage) -> Option<Verdict> {
    let (own, above) = path.split_first()?;
    let (top, between) = above.split_last()?;
    let since = path.iter().map(|certificate| *validity(certificate).start()).max()?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(since).ok()?));
    let der = |certificate: &Parsed<'_>| CertificateDer::from(certificate.as_raw().to_vec());
    let (own, top, between) = (der(own), der(top), between.iter().map(der).collect::<Vec<_>>());
    let anchors = [webpki::anchor_from_trusted_cert(&top).ok()?];
    let misnamed = match webpki::EndEntityCert::try_from(&own) {
        Ok(end) => {
            let all = algorithms().all;
            let found = end.verify_for_usage(all, &anchors, &between, time, usage.for_webpki(), None, None);
            found.err() == Some(webpki::Error::NameConstraintViolation)
        }
        Err(_) => false,
    };
    let broken = misnamed.then(|| if path.iter().any(permits_names) { 47 } else { 48 });
    broken.or_else(|| common_name::broken_constraint(path)).map(Verdict::new)
}

/// Whether a certificate says which names are allowed below it.
fn permits_names(certificate: &Parsed<'_>) -> bool {
    certificate.iter_extensions().any(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => constraints.permitted_subtrees.is_some(),
        _ => false,
    })
}

fn follow<'a>(trust: &'a [Trusted], leaf: &Parsed<'a>, others: &'a [CertificateDer<'_>], now: UnixTime) -> Followed<'a> {
    let mut pool: Vec<_> = others.iter().filter_map(parse).collect();
    let mut path = vec![leaf.clone()];
    let mut given = 1;
    let mut rooted = is_self_issued(leaf) && issuers(trust, leaf).iter().any(|(der, _)| der.as_ref() == leaf.as_raw());
    while let Some(top) = path.last().filter(|_| !rooted && path.len() < LONGEST).cloned() {
        let of_top = |other: &Parsed<'_>| may_be_issuer(other, &top);
        let named: Vec<_> = issuers(trust, &top).into_iter().map(|(_, other)| other).filter(of_top).collect();
        let time = seconds(now);
        let next = named.iter().find(|other| validity(other).contains(&time)).or(named.first()).cloned();
        if let Some(next) = next.filter(|next| !is_self_issued(&top) || next.as_raw() == top.as_raw()) {
            rooted = is_self_issued(&next);
            if next.as_raw() != top.as_raw() {
                path.push(next);
            }
        } else if is_self_issued(&top) || given < path.len() {
            break;
        } else if let Some(place) = pool.iter().position(of_top) {
            path.push(pool.swap_remove(place));
            given += 1;
        } else {
            break;
        }
    }
    Followed { path, chain_length: given, rooted }
}

/// What the extensions of a chain say against it.
pub(super) fn constraints(path: &[Parsed<'_>], usage: Usage, found: &mut Vec<Verdict>) {
    for (place, certificate) in path.iter().enumerate() {
        let known = |oid: &str| matches!(oid, "2.5.29.30" | "2.5.29.32" | "2.5.29.33" | "2.5.29.36" | "2.5.29.54" | "2.5.29.31");
        if certificate.extensions().iter().any(|e| e.critical && !known(&e.oid.to_id_string()) && !is_supported(e)) {
            found.push(Verdict::new(34));
        }
        let signs = place == 0 || may_sign(certificate);
        if !signs || (place > 0 && place + 1 < path.len() && !certificate.is_ca()) {
            found.push(Verdict::new(79));
        }
        let limit = certificate.basic_constraints().ok().flatten().and_then(|basic| basic.value.path_len_constraint);
        let below = path.get(1..place).unwrap_or_default().iter().filter(|below| !is_self_issued(below)).count();
        if place > 0 && limit.is_some_and(|limit| below > usize::try_from(limit).unwrap_or(usize::MAX)) {
            found.push(Verdict::new(25));
        }
        if !signs || !(if place == 0 { fits_own } else { usage_allows })(certificate, usage) {
            found.push(Verdict::new(26));
        }
    }
}

/// Keys and digests that are too weak. The digest under the certificate at the top does not matter.
fn strengths(path: &[Parsed<'_>], found: &mut Vec<Verdict>) {
    for (place, certificate) in path.iter().enumerate() {
        if has_weak_key(certificate) {
            found.push(Verdict::new(if place == 0 { 66 } else { 67 }));
        }
        if place + 1 < path.len() && has_weak_digest(certificate) {
            found.push(Verdict::new(68));
        }
    }
}

fn signatures(chain: &Followed<'_>, now: UnixTime, found: &mut Vec<Verdict>) {
    let Followed { path, rooted, .. } = chain;
    if let ([only], false) = (&path[..], rooted)
        && !is_self_issued(only)
    {
        found.push(Verdict::new(21));
    }
    // From the top down; what has no issuer here is not checked.
    for (place, certificate) in path.iter().enumerate().rev() {
        let issuer = path.get(place + 1).or_else(|| is_self_issued(certificate).then_some(certificate));
        let trusted = place + 1 == path.len() && *rooted;
        if let Some(issuer) = issuer.filter(|_| !trusted) {
            if place + 1 < path.len() && !key_may_sign(issuer) {
                found.push(Verdict::new(32));
            }
            // What is too weak has been found, and is not checked here.
            if !has_weak_key(issuer) && !has_weak_digest(certificate) && !verified(certificate, issuer) {
                found.push(Verdict::new(7));
            }
        }
        // The time of the topmost matters only if nothing could stand above it.
        if place > 0 && place + 1 == path.len() && !is_self_issued(certificate) {
            continue;
        }
        let (time, valid) = (seconds(now), validity(certificate));
        if time < *valid.start() {
            found.push(Verdict::new(9));
        } else if time > *valid.end() {
            found.push(Verdict::new(10));
        }
    }
}
