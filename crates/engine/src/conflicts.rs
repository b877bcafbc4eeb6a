//! Server names on one address: of two servers with the same name the first wins, which causes a warning, and wildcards must be
//! whole labels at one end. Nobody looks at the names of a server that is alone, as in nginx.

use conf::row::Warnings;
use conf::tree::{Error, Span};
use session::names::ServerName;
use std::collections::HashSet;
use std::fmt::Display;

/// Warns of names that stand more than once among the servers of one address.
///
/// # Errors
/// A name that none can have.
pub(crate) fn check<S>(servers: &[&[ServerName<S>]], address: impl Display, warnings: &mut Warnings) -> Result<(), Error> {
    if let Some(name) = malformed(servers) {
        let name = String::from_utf8_lossy(&name);
        return Err(Error::new(format!("invalid server name or wildcard \"{name}\" on {address}"), Span::NONE));
    }
    for name in conflicting(servers) {
        let message = format!("conflicting server name \"{}\" on {address}, ignored", String::from_utf8_lossy(&name));
        warnings.list.push(Error::new(message, Span::NONE));
    }
    Ok(())
}

/// The first name with an asterisk in another place than at one end, or with an empty label.
fn malformed<S>(servers: &[&[ServerName<S>]]) -> Option<Vec<u8>> {
    let is_malformed = |name: &[u8]| name.contains(&b'*') || name.windows(2).any(|two| two == b"..");
    let mut names = servers.iter().filter(|_| servers.len() > 1).flat_map(|own| own.iter());
    names.find_map(|name| match name {
        ServerName::Exact(name) if is_malformed(name) => Some(name.to_vec()),
        ServerName::Leading(tail) if is_malformed(tail) => Some([b"*", &**tail].concat()),
        ServerName::Trailing(head) if is_malformed(head) => Some([head, &b"*"[..]].concat()),
        _ => None,
    })
}

/// Names that stand more than once among the servers of one address, as written; one server alone is not looked at.
fn conflicting<S>(servers: &[&[ServerName<S>]]) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for own in servers.iter().filter(|_| servers.len() > 1) {
        // A server without a name has the empty one.
        let nameless = own.is_empty().then_some((0, &b""[..]));
        let names = own.iter().filter_map(|name| match name {
            ServerName::Exact(name) => Some((0, &**name)),
            ServerName::Leading(tail) => Some((1, &**tail)),
            ServerName::Trailing(head) => Some((2, &**head)),
            ServerName::Regex(_) => None,
        });
        for (kind, name) in nameless.into_iter().chain(names) {
            if seen.insert((kind, name)) {
                continue;
            }
            match (kind, found.last_mut()) {
                // `.example.com` is both names.
                (1, Some(last)) if name.strip_prefix(b".") == Some(&**last) => last.insert(0, b'.'),
                (1, _) => found.push([b"*", name].concat()),
                (2, _) => found.push([name, b"*"].concat()),
                _ => found.push(name.to_vec()),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    type Name = ServerName<http::Request>;

    #[test]
    fn a_name_that_stands_twice_is_found_in_each_of_its_forms() {
        let all = || -> Vec<Name> {
            let of = |text: &str| text.as_bytes().into();
            vec![
                ServerName::Exact(of("a")),
                ServerName::Leading(of(".b")),
                ServerName::Trailing(of("c.")),
                ServerName::Exact(of("d")),
                ServerName::Leading(of(".d")),
            ]
        };
        let (one, two) = (all(), all());
        let shown: Vec<String> = conflicting(&[&one[..], &two[..], &[]]).into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
        assert_eq!(shown, ["a", "*.b", "c.*", ".d"]);
        assert_eq!(conflicting::<http::Request>(&[&[], &[]]), [b""]);
        assert!(conflicting(&[&[all(), all()].concat()[..]]).is_empty());
    }

    #[test]
    fn a_malformed_name_is_found_where_servers_share_an_address() {
        let of = |text: &str| text.as_bytes().into();
        let good: [Name; 3] = [ServerName::Exact(of("a")), ServerName::Leading(of(".b")), ServerName::Trailing(of("c."))];
        let rows: [(Name, &str); 4] = [
            (ServerName::Exact(of("*.*")), "*.*"),
            (ServerName::Exact(of("a..b")), "a..b"),
            (ServerName::Leading(of(".a..b")), "*.a..b"),
            (ServerName::Trailing(of("a..")), "a..*"),
        ];
        assert_eq!(malformed(&[&good[..], &good[..]]), None);
        for (name, shown) in rows {
            assert_eq!(malformed(&[std::slice::from_ref(&name)]), None, "{shown}");
            assert_eq!(malformed(&[&good[..], &[name]]).as_deref(), Some(shown.as_bytes()));
        }
    }
}
