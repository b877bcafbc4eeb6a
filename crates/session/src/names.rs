//! Server names, and the selection among the servers of an address by name (`server_name`).

use crate::regex::Regex;
use crate::variable::Session;
use std::collections::HashMap;
use std::rc::Rc;

/// A name of a server.
pub enum ServerName<S> {
    /// An exact name.
    Exact(Box<[u8]>),
    /// `*.example.com`, kept as `.example.com`; `.example.com` in the file also makes the exact name.
    Leading(Box<[u8]>),
    /// `www.example.*`, kept as `www.example.`
    Trailing(Box<[u8]>),
    /// `~expression`
    Regex(Rc<Regex<S>>),
}

impl<S> Clone for ServerName<S> {
    fn clone(&self) -> Self {
        match self {
            ServerName::Exact(name) => ServerName::Exact(name.clone()),
            ServerName::Leading(tail) => ServerName::Leading(tail.clone()),
            ServerName::Trailing(head) => ServerName::Trailing(head.clone()),
            ServerName::Regex(regex) => ServerName::Regex(regex.clone()),
        }
    }
}

/// Servers by their names or parts of names, lower-case.
type Names<V> = HashMap<Box<[u8]>, Rc<V>, foldhash::fast::RandomState>;

/// The servers of one address by their names.
pub struct ServerNames<S, V> {
    exact: Names<V>,
    /// `*.example.com` as `.example.com`.
    leading: Names<V>,
    /// `www.*` as `www.`
    trailing: Names<V>,
    /// Regular expressions in the order of the file.
    regex: Vec<(Rc<Regex<S>>, Rc<V>)>,
}

impl<S, V> Default for ServerNames<S, V> {
    fn default() -> Self {
        ServerNames { exact: Names::default(), leading: Names::default(), trailing: Names::default(), regex: Vec::new() }
    }
}

impl<S: Session, V> ServerNames<S, V> {
    /// Adds a server with its names. Of two servers with one name the first counts; nginx warns and does the same. One that has
    /// no name has the empty one, which those who name no host look for.
    pub fn add(&mut self, server: &Rc<V>, names: &[ServerName<S>]) {
        let first = |table: &mut Names<V>, name: &[u8]| {
            table.entry(name.into()).or_insert_with(|| server.clone());
        };
        if names.is_empty() {
            first(&mut self.exact, b"");
        }
        for name in names {
            match name {
                ServerName::Exact(name) => first(&mut self.exact, name),
                ServerName::Leading(tail) => first(&mut self.leading, tail),
                ServerName::Trailing(head) => first(&mut self.trailing, head),
                ServerName::Regex(expression) => self.regex.push((expression.clone(), server.clone())),
            }
        }
    }

    /// Whether a name may be an expression's.
    pub fn has_regex(&self) -> bool {
        !self.regex.is_empty()
    }

    /// The server called `host`, which is lower-case and without port; `matches` tries an expression on it.
    pub fn find(&self, host: &[u8], mut matches: impl FnMut(&Regex<S>) -> bool) -> Option<Rc<V>> {
        // `server_name ""` takes requests that name no host.
        if let Some(server) = self.exact.get(host) {
            return Some(server.clone());
        }
        if host.is_empty() {
            return None;
        }
        // `.example.com` also stands for nothing before the dot when that was asked for; that one is among the exact names.
        if let Some(server) = leading(&self.leading, host).or_else(|| trailing(&self.trailing, host)) {
            return Some(server.clone());
        }
        self.regex.iter().find(|(regex, _)| matches(regex)).map(|(_, server)| server.clone())
    }
}

/// The longest `.example.com` that something precedes in `host`.
fn leading<'a, V>(names: &'a Names<V>, host: &[u8]) -> Option<&'a Rc<V>> {
    if names.is_empty() {
        return None;
    }
    memchr::memchr_iter(b'.', host).filter(|dot| *dot > 0).find_map(|dot| names.get(host.get(dot..)?))
}

/// The longest `www.` that something follows in `host`.
fn trailing<'a, V>(names: &'a Names<V>, host: &[u8]) -> Option<&'a Rc<V>> {
    if names.is_empty() {
        return None;
    }
    memchr::memrchr_iter(b'.', host).filter(|dot| dot + 1 < host.len()).find_map(|dot| names.get(host.get(..=dot)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::variable::Variables;

    /// `server_name`, as the directive takes names apart; what begins with `~` is an expression, and the test says what it matches.
    fn name(text: &str) -> ServerName<Fake> {
        match (text.strip_prefix('~'), text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(_), ..) => ServerName::Regex(Rc::new(Regex::new(b"x", false, &mut Variables::default()).unwrap())),
            (_, Some(tail), _) => ServerName::Leading(tail.as_bytes().into()),
            (_, _, Some(head)) => ServerName::Trailing(head.as_bytes().into()),
            _ => ServerName::Exact(text.as_bytes().into()),
        }
    }

    fn names(servers: &[(&'static str, &[&str])]) -> ServerNames<Fake, &'static str> {
        let mut made = ServerNames::default();
        for (server, own) in servers {
            made.add(&Rc::new(*server), &own.iter().map(|text| name(text)).collect::<Vec<_>>());
        }
        made
    }

    #[test]
    fn exact_names_come_before_wildcards_and_those_before_expressions() {
        let names = names(&[
            ("expression", &["~^a"]),
            ("tail", &["www.a.*", "a.*"]),
            ("head", &["*.a.com", "*.com"]),
            ("longer", &["*.b.a.com"]),
            ("exact", &["www.a.com", "x.b.a.com"]),
            ("none", &[""]),
        ]);
        let rows: &[(&str, Option<&str>)] = &[
            ("www.a.com", Some("exact")),
            ("x.b.a.com", Some("exact")),
            // The longest end, then the longest beginning.
            ("y.b.a.com", Some("longer")),
            ("b.a.com", Some("head")),
            ("a.com", Some("head")),
            ("www.a.org", Some("tail")),
            ("a.org", Some("tail")),
            // Something has to stand in the place of the asterisk.
            (".com", None),
            ("a.", Some("expression")),
            ("com", None),
            ("acom", Some("expression")),
            ("", Some("none")),
        ];
        for (host, expected) in rows {
            let found = names.find(host.as_bytes(), |_| host.starts_with('a'));
            assert_eq!(found.as_deref(), expected.as_ref(), "{host:?}");
        }
    }

    #[test]
    fn of_two_servers_with_a_name_the_first_counts() {
        let names = names(&[("one", &["a", "*.b", "c.*", "~x"]), ("two", &["a", "*.b", "c.*", "~x"]), ("three", &[]), ("four", &[""])]);
        for (host, expected) in [("a", "one"), ("z.b", "one"), ("c.z", "one"), ("x", "one"), ("", "three")] {
            assert_eq!(names.find(host.as_bytes(), |_| true).as_deref(), Some(&expected), "{host:?}");
        }
    }

    #[test]
    fn who_names_no_host_is_no_matter_for_expressions() {
        let names = names(&[("one", &["~."])]);
        assert!(names.has_regex());
        let found = names.find(b"", |_| panic!("an expression is tried on no host"));
        assert!(found.is_none());
        assert!(names.find(b"a", |_| false).is_none());
    }
}
