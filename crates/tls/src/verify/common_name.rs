//! Constraints on the names of hosts, for a certificate that has its host's name only as a common name. webpki knows no common names, and
//! hosts are verified by them where there is no other (`host`).

use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};

use super::parsed::Parsed;

/// OpenSSL's number if a common name of the first certificate breaks what those above it allow.
pub(super) fn broken_constraint(path: &[Parsed<'_>]) -> Option<u16> {
    let (leaf, above) = path.split_first()?;
    if let Ok(Some(alternative)) = leaf.subject_alternative_name()
        && alternative.value.general_names.iter().any(|name| matches!(name, GeneralName::DNSName(_)))
    {
        return None;
    }
    let names = leaf.subject().iter_common_name().map(|value| value.attr_value().data);
    let hosts: Vec<_> = names.filter_map(host).collect();
    let mut constraints = above.iter().flat_map(|certificate| certificate.iter_extensions()).filter_map(|e| match e.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => Some(constraints),
        _ => None,
    });
    constraints.find_map(|constraints| {
        let permitted: Vec<_> = bases(constraints.permitted_subtrees.as_deref()).collect();
        let excluded: Vec<_> = bases(constraints.excluded_subtrees.as_deref()).collect();
        hosts.iter().find_map(|name| match () {
            () if !permitted.is_empty() && !permitted.iter().any(|base| is_below(name.text, base)) => Some(47),
            () if excluded.iter().any(|base| is_below(name.text, base) || name.may_be(base)) => Some(48),
            () => None,
        })
    })
}

fn bases<'a>(subtrees: Option<&'a [GeneralSubtree<'a>]>) -> impl Iterator<Item = &'a [u8]> {
    subtrees.unwrap_or_default().iter().filter_map(|subtree| match subtree.base {
        GeneralName::DNSName(base) => Some(base.as_bytes()),
        _ => None,
    })
}

/// What a common name says of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hosts<'a> {
    /// The name, or what stands behind a pattern's star.
    text: &'a [u8],
    pattern: bool,
}

impl Hosts<'_> {
    /// Whether it is a pattern for names among which there are some of `base`.
    fn may_be(&self, base: &[u8]) -> bool {
        let base = base.strip_prefix(b".").unwrap_or(base);
        let behind = base.iter().position(|byte| *byte == b'.').and_then(|dot| base.get(dot + 1..));
        self.pattern && behind.is_some_and(|behind| behind.eq_ignore_ascii_case(self.text))
    }
}

/// What a common name says of hosts: nothing unless it reads as a name of two labels or more.
fn host(name: &[u8]) -> Option<Hosts<'_>> {
    let (name, pattern) = name.strip_prefix(b"*.").map_or((name, false), |behind| (behind, true));
    let fits = |label: &[u8]| match label {
        [first, .., last] => *first != b'-' && *last != b'-',
        [only] => *only != b'-',
        [] => false,
    };
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let labels = name.split(|byte| *byte == b'.');
    (name.iter().all(known) && name.contains(&b'.') && labels.clone().all(fits)).then_some(Hosts { text: name, pattern })
}

/// Whether a name is `base` or stands below it.
fn is_below(name: &[u8], base: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(base.len()) else { return false };
    let (before, end) = name.split_at(start);
    let apart = base.is_empty() || base.starts_with(b".") || before.is_empty() || before.ends_with(b".");
    apart && end.eq_ignore_ascii_case(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_that_stand_for_hosts_are_told() {
        for (name, expected) in [
            ("www.example.com", Some("www.example.com")),
            ("*.example.com", Some("example.com")),
            ("localhost", None),
            ("Example Ltd.", None),
            ("a b.example.com", None),
            ("-a.example.com", None),
            ("a..example.com", None),
            (".example.com", None),
            ("example.com.", None),
            ("", None),
        ] {
            let pattern = name.starts_with('*');
            assert_eq!(host(name.as_bytes()), expected.map(|text| Hosts { text: text.as_bytes(), pattern }), "{name}");
        }
    }

    #[test]
    fn patterns_may_be_names_that_are_excluded() {
        for (name, base, expected) in [
            ("*.example.com", "secret.example.com", true),
            ("*.Example.com", ".secret.example.COM", true),
            ("*.example.com", "a.secret.example.com", false),
            ("*.example.com", "secret.example.org", false),
            ("www.example.com", "secret.www.example.com", false),
            ("*.example.com", "com", false),
        ] {
            assert_eq!(host(name.as_bytes()).unwrap().may_be(base.as_bytes()), expected, "{name} {base}");
        }
    }

    #[test]
    fn names_stand_below_others() {
        for (name, base, expected) in [
            ("www.example.com", "example.com", true),
            ("EXAMPLE.com", "example.COM", true),
            ("www.example.com", ".example.com", true),
            ("notexample.com", "example.com", false),
            ("com", "example.com", false),
            ("example.com", "", true),
        ] {
            assert_eq!(is_below(name.as_bytes(), base.as_bytes()), expected, "{name} {base}");
        }
    }
}
