//! From URIs to files, and where redirects to ourselves lead.

use super::*;
use crate::core::Root;
use crate::path::{PathError, UriBelowAlias};
use crate::root::Http;
use conf::configs::ConfMap;

fn rooted(path: &str, alias: bool, cut: Option<usize>) -> Core {
    Core { root: Some(Root { path: complex(path), alias, cut }), ..Core::default() }
}

fn mapped(core: Core, uri: &'static str) -> Result<(String, usize), PathError> {
    let made = setup(RequestSpec { core, uri, ..RequestSpec::default() });
    let found = made.request.map_path()?;
    Ok((String::from_utf8(found.bytes).unwrap(), found.root_length))
}

#[test]
fn files_of_uris() {
    let alias = Some(3);
    let rows: &[(Core, &'static str, Result<(&str, usize), PathError>)] = &[
        (Core::default(), "/a", Ok(("/srv/html/a", 9))),
        (rooted("/data", false, None), "/a/b", Ok(("/data/a/b", 5))),
        (rooted("/data/", false, None), "/a", Ok(("/data/a", 5))),
        (rooted("/", false, None), "/a", Ok(("/a", 0))),
        // An alias takes the place of the location's name, `/i/`.
        (rooted("/data/", true, alias), "/i/a", Ok(("/data/a", 6))),
        (rooted("/data/", true, alias), "/i/", Ok(("/data/", 6))),
        // A location without a slash at its end must not lead out of the directory.
        (rooted("/data/", true, Some(2)), "/i../secret", Err(PathError::Escapes)),
        (rooted("/data/", true, Some(2)), "/i..", Err(PathError::Escapes)),
        (rooted("/data/", true, Some(2)), "/i..a", Ok(("/data/..a", 6))),
        (rooted("/data/", true, Some(2)), "/i.../a", Ok(("/data/.../a", 6))),
        // In the location of an expression the alias is the whole file name.
        (rooted("/data/x.html", true, None), "/anything", Ok(("/data/x.html", 12))),
        (rooted("/data", false, None), "/a\0b", Err(PathError::Nul)),
        (rooted("/data/", true, alias), "/i/\0", Err(PathError::Nul)),
    ];
    for (core, uri, expected) in rows {
        let expected = expected.map(|(path, length)| (path.to_owned(), length));
        assert_eq!(mapped(core.clone(), uri), expected, "{uri:?}");
    }
}

#[test]
fn what_try_files_found_stands_below_an_alias_of_an_expression() {
    let made = setup(RequestSpec { core: rooted("/data/", true, None), uri: "a.html", ..RequestSpec::default() });
    assert_eq!(made.request.map_path().unwrap().bytes, b"/data/");
    made.request.context::<UriBelowAlias>();
    assert_eq!(made.request.map_path().unwrap().bytes, b"/data/a.html");
}

#[test]
fn a_buffer_that_is_used_again_holds_nothing_of_before() {
    let made = setup(RequestSpec { core: rooted("/data", false, None), ..RequestSpec::default() });
    let mut out = crate::path::MappedPath { bytes: b"/of/before".to_vec(), root_length: 99 };
    made.request.map_uri_into(b"/a", &mut out).unwrap();
    assert_eq!((&*out.bytes, out.root_length), (&b"/data/a"[..], 5));
}

/// `Location` as it leaves when a redirect to `/x` is ours.
fn redirected(given: RequestSpec) -> String {
    let made = setup(given);
    {
        let mut response = made.request.response.borrow_mut();
        response.set_status(301);
        response.headers.push(b"Location", b"/x");
        response.location_is_own = true;
    }
    assert_eq!(outcome(made.request.send_header()), Outcome::Ok);
    let response = made.request.response.borrow();
    String::from_utf8(response.headers.get(b"Location").unwrap().to_vec()).unwrap()
}

#[test]
fn redirects_to_ourselves_name_scheme_host_and_port() {
    let ip = |text: &str| Address::Ip(text.parse().unwrap());
    let rows = [
        (RequestSpec { host: "a.test", ..RequestSpec::default() }, "http://a.test/x"),
        (RequestSpec { host: "a.test", local: ip("127.0.0.1:8080"), ..RequestSpec::default() }, "http://a.test:8080/x"),
        // Without a host, the address: IPv6 in brackets.
        (RequestSpec { local: ip("192.0.2.1:80"), ..RequestSpec::default() }, "http://192.0.2.1/x"),
        (RequestSpec { local: ip("[2001:db8::1]:8080"), ..RequestSpec::default() }, "http://[2001:db8::1]:8080/x"),
        (RequestSpec { host: "a.test", local: Address::Unix(None), ..RequestSpec::default() }, "http://a.test/x"),
        (
            RequestSpec {
                core: Core { port_in_redirect: Some(false), ..Core::default() },
                host: "a.test",
                local: ip("127.0.0.1:8080"),
                ..RequestSpec::default()
            },
            "http://a.test/x",
        ),
        (
            RequestSpec {
                core: Core { server_name_in_redirect: Some(true), ..Core::default() },
                host: "a.test",
                server_name: "own.test",
                ..RequestSpec::default()
            },
            "http://own.test/x",
        ),
        // A server without a name has the host's.
        (
            RequestSpec { core: Core { server_name_in_redirect: Some(true), ..Core::default() }, host: "a.test", ..RequestSpec::default() },
            "http://a.test/x",
        ),
        (RequestSpec { core: Core { absolute_redirect: Some(false), ..Core::default() }, host: "a.test", ..RequestSpec::default() }, "/x"),
    ];
    for (given, expected) in rows {
        assert_eq!(redirected(given), expected);
    }
}

#[test]
fn connections_are_listened_to_by_their_own_address_or_by_any() {
    let ip = |text: &str| Address::Ip(text.parse().unwrap());
    let unix = |path: &str| Address::Unix(Some(path.into()));
    let listen = |address| crate::root::Listen { address, endpoints: Vec::new() };
    let http = Http {
        variables: Rc::default(),
        main: ConfMap::default(),
        servers: Vec::new(),
        listens: [ip("127.0.0.1:80"), ip("0.0.0.0:81"), ip("[::]:82"), unix("/run/a")].into_iter().map(listen).collect(),
        paths: Rc::default(),
    };
    let rows = [
        (ip("127.0.0.1:80"), Some(ip("127.0.0.1:80"))),
        (ip("127.0.0.2:80"), None),
        (ip("127.0.0.2:81"), Some(ip("0.0.0.0:81"))),
        (ip("[2001:db8::1]:82"), Some(ip("[::]:82"))),
        (ip("127.0.0.1:83"), None),
        (unix("/run/a"), Some(unix("/run/a"))),
        (unix("/run/b"), None),
    ];
    for (local, expected) in rows {
        assert_eq!(http.listening(&local), expected.as_ref(), "{local:?}");
    }
}
