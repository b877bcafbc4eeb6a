//! Names that several servers of one address have: the first server counts, and a warning tells of the others.

use http::Server;
use http::core::ServerName;
use std::collections::HashSet;
use std::rc::Rc;

/// Names that stand more than once among the servers of one address, as written; one server alone is not looked at.
pub(crate) fn conflicting(servers: &[Rc<Server>]) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for server in servers.iter().filter(|_| servers.len() > 1) {
        // A server without a name has the empty one.
        let nameless = server.core.names.is_empty().then_some((0, &b""[..]));
        let names = server.core.names.iter().filter_map(|name| match name {
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
    use conf::configs::ConfMap;
    use http::core::ServerCore;
    use http::location::{Locations, Match};
    use http::module::Parts;

    fn server(names: Vec<ServerName>) -> Rc<Server> {
        let own = Parts::default().into_location(Box::default(), Match::Unnamed, Rc::default(), ConfMap::default(), Locations::default());
        let core = Rc::new(ServerCore { names, ..ServerCore::default() });
        Rc::new(Server {
            name: Box::default(),
            conf: ConfMap::default(),
            core,
            tls: Default::default(),
            own: Rc::new(own),
            locations: Locations::default(),
        })
    }

    #[test]
    fn a_name_that_stands_twice_is_found_in_each_of_its_forms() {
        let all = || {
            let of = |text: &str| text.as_bytes().into();
            vec![
                ServerName::Exact(of("a")),
                ServerName::Leading(of(".b")),
                ServerName::Trailing(of("c.")),
                ServerName::Exact(of("d")),
                ServerName::Leading(of(".d")),
            ]
        };
        let names = [server(all()), server(all()), server(Vec::new())];
        let shown: Vec<String> = conflicting(&names).into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
        assert_eq!(shown, ["a", "*.b", "c.*", ".d"]);
        assert_eq!(conflicting(&[server(Vec::new()), server(Vec::new())]), [b""]);
        assert!(conflicting(&[server([all(), all()].concat())]).is_empty());
    }
}
