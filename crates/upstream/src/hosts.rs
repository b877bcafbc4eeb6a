//! Implicit groups of hosts in URLs.

use crate::directory::Named;
use crate::group::{Upstream, Upstreams};
use crate::protocol::Protocol;
use crate::url::{self, Host, Url};
use conf::tree::SettingError;
use std::net::IpAddr;
use std::rc::Rc;

/// The group of a fixed URL, or one made of its host's addresses. A `default_port` of 0 is none.
///
/// # Errors
/// nginx's text: a name that does not resolve, a group with a port, a host without one.
pub fn resolve<P: Protocol>(groups: &Upstreams<P>, url: &Url, default_port: u16) -> Result<Rc<Upstream<P>>, SettingError> {
    let found = match &url.host {
        Host::Name(name) => groups.find(name).map(|group| (group, name)),
        Host::Ip(_) | Host::Unix(_) => None,
    };
    match (found, url.port) {
        (Some((group, _)), None) => Ok(group.clone()),
        (Some((_, name)), Some(port)) => Err(format!("upstream \"{}\" may not have port {port}", String::from_utf8_lossy(name)).into()),
        (None, None) if default_port == 0 && !matches!(url.host, Host::Unix(_)) => {
            Err(format!("no port in upstream \"{}\"", String::from_utf8_lossy(&url.host_header)).into())
        }
        (None, _) => implicit(url, groups, default_port),
    }
}

/// The group that a host in a URL with variables names, if the configuration knows it.
#[must_use]
pub fn known<P: Protocol>(groups: &Upstreams<P>, url: &Url, default_port: u16) -> Option<Rc<Upstream<P>>> {
    let Host::Name(name) = &url.host else { return None };
    if let Some(found) = groups.find(name).filter(|_| url.port.is_none()) {
        return Some(found.clone());
    }
    groups.host(name, url.port.unwrap_or(default_port))
}

/// The group that a host in a fixed URL stands for; all who name the same host share it.
fn implicit<P: Protocol>(url: &Url, groups: &Upstreams<P>, default_port: u16) -> Result<Rc<Upstream<P>>, SettingError> {
    let shown = String::from_utf8_lossy(&url.host_header).into_owned();
    let port = url.port.unwrap_or(default_port);
    let Host::Name(name) = &url.host else {
        let made = Upstream::of_addresses(&shown, url::addresses(url, default_port)?);
        return Ok(listed(groups, made, url, port));
    };
    if let Some(found) = groups.host(name, port) {
        return Ok(found);
    }
    let made = listed(groups, Upstream::of_addresses(&shown, url::addresses(url, default_port)?), url, port);
    groups.add_host(name, port, &made);
    Ok(made)
}

/// Lists a new group among all, with its port.
fn listed<P: Protocol>(groups: &Upstreams<P>, mut made: Upstream<P>, url: &Url, port: u16) -> Rc<Upstream<P>> {
    let (host, port) = match &url.host {
        Host::Name(name) => (String::from_utf8_lossy(name).into_owned(), Some(port)),
        Host::Ip(IpAddr::V6(ip)) => (format!("[{ip}]"), Some(port)),
        Host::Ip(ip) => (ip.to_string(), Some(port)),
        Host::Unix(path) => (format!("unix:{}", path.display()), None),
    };
    let lines = [made.group.snapshot().peers().count()];
    let named = Named { host: host.into(), port, group: made.group.clone(), lines: lines.into(), terms: Rc::default() };
    made.full_name = named.full_name().into();
    groups.directory().add(named);
    Rc::new(made)
}
