//! Groups that are changed while they work, and the file that keeps what they have become (`state`).
//!
//! A change is made under the zone's lock by the process that was asked for it: it is checked, written down in the zone, where all workers see it
//! from then on, and written to the group's file, before the next one begins.

use crate::constraints::GroupConstraints;
use crate::directory::Named;
use crate::url::{self, Host};
use balance::{Edit, Member, Refusal, Server, ServerState, Template};
use base::clock;
use std::fmt;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is said of a server; `None` leaves it as it is, or as it is by default.
#[derive(Clone, Debug, Default)]
pub struct ServerChange {
    /// Its address.
    pub server: Option<String>,
    /// `service`
    pub service: Option<String>,
    /// `weight`
    pub weight: Option<i64>,
    /// `max_conns`
    pub max_conns: Option<u64>,
    /// `max_fails`
    pub max_fails: Option<u64>,
    /// `fail_timeout`, seconds
    pub fail_timeout: Option<i64>,
    /// `slow_start`, milliseconds
    pub slow_start: Option<u64>,
    /// `route`; empty is none
    pub route: Option<String>,
    /// `backup`
    pub backup: Option<bool>,
    /// `down`
    pub down: Option<bool>,
    /// `drain`
    pub drain: Option<bool>,
}

/// Why a change is refused, in the words of NGINX Plus's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The status to answer with.
    pub status: u16,
    /// The word for programs.
    pub code: &'static str,
    /// The words for people.
    pub text: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// A fault with status 400.
    #[must_use]
    pub fn bad(code: &'static str, text: impl Into<String>) -> ApiError {
        ApiError { status: 400, code, text: text.into() }
    }
}

/// The file could not be written; the change holds, but not beyond the processes that there are.
#[derive(Debug)]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state file \"{}\" could not be written {}", self.path.display(), base::errno::describe(&self.error))
    }
}

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The result of a change: the server, if it still exists, and whether the change was saved.
pub type Changed = (Option<Member>, Result<(), SaveError>);

/// The members of a group.
///
/// # Errors
/// It is in no zone.
pub fn members(named: &Named) -> Result<Vec<Member>, ApiError> {
    if named.group.zone().is_none() {
        return Err(refused(named, Refusal::Static, 0));
    }
    Ok(named.group.members())
}

/// Adds a server.
///
/// # Errors
/// What is said of it makes no sense here.
pub fn add(named: &Named, change: &ServerChange) -> Result<Changed, ApiError> {
    let source = change.server.as_deref().ok_or_else(|| ApiError::bad("UpstreamConfFormatError", "missing \"server\" argument"))?;
    if change.backup == Some(true) && !named.terms.backups {
        return Err(ApiError::bad("UpstreamNoBackup", format!("upstream \"{}\" has no backup", named.full_name())));
    }
    let found = address(&named.terms, source, change.service.as_deref())?;
    let mut server = match &found {
        ResolvedServer::Address(server) => server.clone(),
        ResolvedServer::Name(template) => template.server.clone(),
    };
    server.backup = change.backup.unwrap_or(false);
    change.apply(&mut server);
    let mut edit = named.group.edit().map_err(|refusal| refused(named, refusal, 0))?;
    let added = match found {
        ResolvedServer::Address(_) => edit.add(server),
        ResolvedServer::Name(template) => edit.add_name(&Template { server, ..template }),
    };
    let member = added.map_err(|refusal| refused(named, refusal, 0))?;
    Ok((Some(member), save(named, &edit)))
}

/// Changes what is said of a server.
///
/// # Errors
/// There is none of this number, or what is said of it makes no sense here.
pub fn change(named: &Named, number: u64, change: &ServerChange) -> Result<Changed, ApiError> {
    let mut edit = named.group.edit().map_err(|refusal| refused(named, refusal, number))?;
    let all = edit.members();
    let own = all.iter().find(|member| member.id == number).ok_or_else(|| refused(named, Refusal::NotFound, number))?;
    let other = match &change.server {
        None => None,
        Some(source) => match (address(&named.terms, source, None)?, &own.name) {
            (ResolvedServer::Address(server), None) if own.parent.is_none() => Some(server),
            _ => return Err(ApiError::bad("UpstreamServerImmutable", format!("server \"{number}\" address is immutable"))),
        },
    };
    let changed = edit.change(number, clock::monotonic_ms(), |server| {
        if let Some(other) = &other {
            (server.address, server.name, server.source) = (other.address.clone(), other.name.clone(), other.source.clone());
        }
        change.apply(server);
    });
    let member = changed.map_err(|refusal| refused(named, refusal, number))?;
    Ok((Some(member), save(named, &edit)))
}

/// Takes a server out.
///
/// # Errors
/// There is none of this number, or it follows from a name.
pub fn remove(named: &Named, number: u64) -> Result<Changed, ApiError> {
    let mut edit = named.group.edit().map_err(|refusal| refused(named, refusal, number))?;
    edit.remove(number).map_err(|refusal| match refusal {
        Refusal::Immutable => ApiError::bad("UpstreamServerImmutable", format!("server \"{number}\" not removable")),
        refusal => refused(named, refusal, number),
    })?;
    Ok((None, save(named, &edit)))
}

fn refused(named: &Named, refusal: Refusal, number: u64) -> ApiError {
    match refusal {
        Refusal::Static => ApiError::bad("UpstreamStatic", "upstream is static"),
        Refusal::Full => ApiError::bad("UpstreamOutOfMemory", format!("upstream \"{}\" memory exhausted", named.full_name())),
        Refusal::Immutable => ApiError::bad("UpstreamServerImmutable", format!("server \"{number}\" is immutable")),
        Refusal::Exists => ApiError { status: 409, code: "EntryExists", text: "entry exists".to_owned() },
        Refusal::NotFound => {
            ApiError { status: 404, code: "UpstreamServerNotFound", text: format!("server with ID \"{number}\" does not exist") }
        }
    }
}

enum ResolvedServer {
    Address(Server),
    Name(Template),
}

/// What a server's address is: one that can be connected to, or a name that is looked up while requests run.
fn address(terms: &GroupConstraints, source: &str, service: Option<&str>) -> Result<ResolvedServer, ApiError> {
    let wrong = |text: String| ApiError::bad("UpstreamBadAddress", text);
    let url = url::parse_address(source.as_bytes(), terms.port.unwrap_or(0)).map_err(|what| wrong(format!("{what} while parsing")))?;
    let shape = |server: Server| Server { source: source.into(), ..server };
    match service {
        Some("") => return Err(ApiError::bad("UpstreamBadService", "\"service\" is empty")),
        Some(_) if url.port.is_some() => return Err(wrong(format!("service upstream \"{source}\" may not have port"))),
        Some(_) if !matches!(url.host, Host::Name(_)) => {
            return Err(wrong(format!("service upstream \"{source}\" requires domain name")));
        }
        None if url.port.or(terms.port).is_none() && !matches!(url.host, Host::Unix(_)) => {
            return Err(wrong(format!("no port in upstream \"{source}\"")));
        }
        _ => {}
    }
    let Host::Name(host) = &url.host else {
        // Nothing is looked up for an address.
        let found = url::addresses(&url, terms.port.unwrap_or(0)).ok().and_then(|all| all.into_iter().next());
        let address = found.ok_or_else(|| wrong(format!("invalid host in upstream \"{source}\" while parsing")))?;
        return Ok(ResolvedServer::Address(shape(Server::new(address))));
    };
    if !terms.resolves {
        return Err(ApiError::bad("UpstreamConfNoResolver", format!("no resolver defined to resolve \"{source}\"")));
    }
    let host = String::from_utf8_lossy(host).to_lowercase();
    Ok(ResolvedServer::Name(Template {
        id: 0,
        server: shape(Server::new(net::address::SocketAddress::Unix(PathBuf::new()))),
        host: host.trim_end_matches('.').into(),
        service: service.map(Into::into),
        port: url.port.or(terms.port).unwrap_or(0),
    }))
}

impl ServerChange {
    fn apply(&self, server: &mut Server) {
        server.weight = self.weight.unwrap_or(server.weight);
        server.max_conns = self.max_conns.unwrap_or(server.max_conns);
        server.max_fails = self.max_fails.unwrap_or(server.max_fails);
        server.fail_timeout = self.fail_timeout.unwrap_or(server.fail_timeout);
        server.slow_start = self.slow_start.unwrap_or(server.slow_start);
        if let Some(route) = &self.route {
            server.route = (!route.is_empty()).then(|| Rc::from(route.as_str()));
        }
        let is = |standing| server.state == standing;
        let (down, drain) = (self.down.unwrap_or(is(ServerState::Down)), self.drain.unwrap_or(is(ServerState::Draining)));
        server.state = match (down, drain) {
            (true, _) => ServerState::Down,
            (false, true) => ServerState::Draining,
            (false, false) => ServerState::Up,
        };
    }
}

/// Keeps what the group is now, if it has a file for that.
fn save(named: &Named, edit: &Edit<'_>) -> Result<(), SaveError> {
    let Some(path) = &named.terms.state else { return Ok(()) };
    let mut text = String::new();
    for member in edit.members().iter().filter(|member| member.parent.is_none()) {
        push_line(member, &mut text);
    }
    replace(path, text.as_bytes()).map_err(|error| SaveError { path: path.clone(), error })
}

/// Replaces a file atomically: readers find either the old or the new content.
///
/// # Errors
/// What the system says.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        // There may be none.
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// A member as a line of configuration.
fn push_line(member: &Member, out: &mut String) {
    let server = &member.server;
    let defaults = Server::new(server.address.clone());
    // Writing to a string does not fail, here and below.
    let _ = write!(out, "server {}", quoted(&server.source));
    let mut number = |name: &str, value: u64, usual: u64, unit: &str| {
        if value != usual {
            let _ = write!(out, " {name}={value}{unit}");
        }
    };
    number("weight", server.weight.unsigned_abs(), 1, "");
    number("max_conns", server.max_conns, 0, "");
    number("max_fails", server.max_fails, defaults.max_fails, "");
    number("fail_timeout", server.fail_timeout.unsigned_abs(), defaults.fail_timeout.unsigned_abs(), "s");
    number("slow_start", server.slow_start, 0, "ms");
    if let Some(route) = &server.route {
        let _ = write!(out, " {}", quoted(&format!("route={route}")));
    }
    if server.backup {
        out.push_str(" backup");
    }
    match server.state {
        ServerState::Up => {}
        ServerState::Draining => out.push_str(" drain"),
        ServerState::Down => out.push_str(" down"),
    }
    if let Some(name) = &member.name {
        if let Some(service) = &name.service {
            let _ = write!(out, " {}", quoted(&format!("service={service}")));
        }
        out.push_str(" resolve");
    }
    out.push_str(";\n");
}

/// A word of the configuration, in quotes where it needs them.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/[]=@+,%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let directory = std::env::temp_dir().join(format!("lunette-live-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(replace(&directory.join("none/state"), b"").is_err());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_line_says_what_is_not_usual() {
        let shape = Server::new("127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap().into());
        let line = |server: Server| {
            let mut out = String::new();
            push_line(&Member::new(server), &mut out);
            out
        };
        assert_eq!(line(shape.clone()), "server 127.0.0.1:80;\n");
        let full = Server {
            weight: 5,
            max_conns: 7,
            max_fails: 0,
            fail_timeout: 3,
            slow_start: 1500,
            route: Some("a \"b\"".into()),
            backup: true,
            state: ServerState::Draining,
            ..shape
        };
        let expected =
            "server 127.0.0.1:80 weight=5 max_conns=7 max_fails=0 fail_timeout=3s slow_start=1500ms \"route=a \\\"b\\\"\" backup drain;\n";
        assert_eq!(line(full), expected);
    }
}
