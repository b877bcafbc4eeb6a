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
