//! The choice of a server by host and of a location by URI (`ngx_http_find_virtual_server`, `ngx_http_core_find_location`).

use http::location::{Found, Location, Locations, Match};
use http::root::Endpoint;
use http::{Request, Server};
use std::rc::Rc;

/// The server of `endpoint` for `host`, which is lower-case and without port.
pub fn server(endpoint: &Endpoint, host: &[u8], request: &Request) -> Rc<Server> {
    let found = if endpoint.single { None } else { endpoint.names.find(host, |regex| regex.exec(request, host)) };
    found.unwrap_or_else(|| endpoint.default.clone())
}

/// The server that a client names before there is a request (SNI); `None`: no server has this name, or there is nothing to choose.
pub fn by_name(endpoint: &Endpoint, host: &[u8]) -> Option<Rc<Server>> {
    if endpoint.single { None } else { endpoint.names.find(host, |regex| regex.is_match(host)) }
}

/// What the search for a location found.
pub enum Choice {
    /// This location; no outer regular expression can win over it.
    Final(Rc<Location>),
    /// This location, by prefix.
    Prefix(Rc<Location>),
    /// Redirect to this location's name, which ends in a slash.
    Redirect(Rc<Location>),
    /// No location: the server's own values serve.
    None,
}

/// Searches the locations of a server for the request's URI.
pub fn location(request: &Request, locations: &Locations) -> Choice {
    // Regular expressions set captures on the request while its URI is looked at: take it out meanwhile.
    let uri = std::mem::take(&mut request.line.borrow_mut().uri);
    let choice = search(request, locations, &uri);
    request.line.borrow_mut().uri = uri;
    choice
}

fn search(request: &Request, locations: &Locations, uri: &[u8]) -> Choice {
    let mut best = Choice::None;
    match locations.find_fixed(uri) {
        Found::Exact(location) => return Choice::Final(location),
        Found::Redirect(location) => return Choice::Redirect(location),
        Found::Prefix(location) => {
            let no_regex = matches!(location.kind, Match::PrefixNoRegex);
            best = match search_nested(request, &location, uri) {
                Choice::None => Choice::Prefix(location),
                Choice::Prefix(nested) => Choice::Prefix(nested),
                settled => return settled,
            };
            if no_regex {
                return best;
            }
        }
        Found::Nothing => {}
    }
    for location in &locations.regex {
        let Match::Regex(expression) = &location.kind else { continue };
        if expression.exec(request, uri) {
            return match search_nested(request, location, uri) {
                Choice::Final(nested) | Choice::Prefix(nested) | Choice::Redirect(nested) => Choice::Final(nested),
                Choice::None => Choice::Final(location.clone()),
            };
        }
    }
    best
}

fn search_nested(request: &Request, location: &Location, uri: &[u8]) -> Choice {
    if location.children.is_empty() { Choice::None } else { search(request, &location.children, uri) }
}
