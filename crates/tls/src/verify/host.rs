//! Whether a certificate matches a host name, by OpenSSL's rules.

use x509_parser::extensions::GeneralName;

use super::parsed::Parsed;

/// Whether a certificate is for `name`, a host name or an address in text. Alternative names of the same kind hide the
/// common name. An address may also stand there as if it were a host's name: nginx asks OpenSSL only for that.
pub(crate) fn matches(certificate: &Parsed<'_>, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let address: Option<Vec<u8>> = base::authority::parse_ip(name).map(|address| match address {
        std::net::IpAddr::V4(four) => four.octets().to_vec(),
        std::net::IpAddr::V6(six) => six.octets().to_vec(),
    });
    let Ok(alternative) = certificate.subject_alternative_name() else { return false };
    let mut has_names = false;
    for entry in alternative.iter().flat_map(|names| &names.value.general_names) {
        match (entry, &address) {
            (GeneralName::IPAddress(bytes), Some(address)) if bytes == address => return true,
            (GeneralName::DNSName(pattern), _) => {
                has_names = true;
                if pattern_matches(pattern.as_bytes(), name.as_bytes()) {
                    return true;
                }
            }
            _ => {}
        }
    }
    let mut common = certificate.subject().iter_common_name();
    !has_names && common.any(|value| pattern_matches(value.attr_value().data, name.as_bytes()))
}

/// Whether a pattern stands for a name: equal but for case, or with one `*` in its first label, which stands for a part
/// of one label and never for a whole top of the tree. A NUL byte is a byte like others and equals nothing in a name.
fn pattern_matches(pattern: &[u8], name: &[u8]) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return !name.is_empty();
    }
    let (Some(dot), Some(split)) = (label(pattern), label(name)) else { return false };
    let (first, rest) = pattern.split_at(dot);
    let (label, domain) = name.split_at(split);
    let Some(star) = first.iter().position(|byte| *byte == b'*') else { return false };
    let (before, after) = (first.get(..star).unwrap_or_default(), first.get(star + 1..).unwrap_or_default());
    let whole = before.is_empty() && after.is_empty();
    let international = |text: &[u8]| text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"));
    rest.iter().filter(|byte| **byte == b'.').count() >= 2
        && !rest.contains(&b'*')
        && !after.contains(&b'*')
        && rest.eq_ignore_ascii_case(domain)
        && !label.is_empty()
        && label.len() >= before.len() + after.len()
        && label.get(..before.len()).is_some_and(|start| start.eq_ignore_ascii_case(before))
        && label.get(label.len() - after.len()..).is_some_and(|end| end.eq_ignore_ascii_case(after))
        && (whole || !(international(first) || international(label)))
        && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Where the first label ends.
fn label(name: &[u8]) -> Option<usize> {
    name.iter().position(|byte| *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::pattern_matches;

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, expected) in [
            ("example.com", "EXAMPLE.com", true),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("w*.example.com", "www.example.com", true),
            ("*w.example.com", "www.example.com", true),
            ("x*y.example.com", "xy.example.com", true),
            ("w*.example.com", "example.com", false),
            ("*x*.example.com", "axb.example.com", false),
            ("www.*.example.com", "www.a.example.com", false),
            ("xn--*.example.com", "xn--a.example.com", false),
            ("*a.example.com", "xn--a.example.com", false),
            ("*.example.com", "xn--a.example.com", true),
            ("www.example.com\0.evil.com", "www.example.com", false),
            ("localhost", "localhost", true),
            ("", "", false),
            ("*", "a", false),
        ] {
            assert_eq!(pattern_matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
