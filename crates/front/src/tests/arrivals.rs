//! What heads mean where they arrive.

use super::*;
use crate::h1::arrival;
use crate::h1::body::BodyFraming;
use crate::request;
use http::Method;
use http::core::KeepaliveDisable;
use http::line::Version;
use wire::h1::request::{Head, Limits, Status};

struct Arrived {
    request: Rc<Request>,
    /// The status of a refusal.
    refused: Option<u16>,
    lines: String,
}

impl Arrived {
    fn server(&self) -> String {
        String::from_utf8_lossy(&self.request.server().name).into_owned()
    }
}

/// Lets a head arrive at an address of the servers `a`, `b` and `c`; the last takes CONNECT, keeps odd names and slashes.
fn arrive(head: &str) -> Arrived {
    let odd =
        ServerCore { takes_connect: Some(true), ignore_invalid_headers: Some(false), merge_slashes: Some(false), ..ServerCore::default() };
    let first = server("a", Core::default(), ServerCore::default());
    let all = vec![first.clone(), server("b", Core::default(), ServerCore::default()), server("c", Core::default(), odd)];
    let endpoint = endpoint(all);
    let (request, lines) = request(first);
    let mut parsed = Head::new();
    let limits: Limits = arrival::limits(&ServerCore { ignore_invalid_headers: Some(true), ..ServerCore::default() });
    let status = parsed.parse(head.as_bytes(), &limits).unwrap();
    assert_eq!(status, Status::Complete { len: head.len() });
    let body = RefCell::new(BodyFraming::default());
    let filled = arrival::fill(&body, &request, &parsed, head.as_bytes(), &endpoint);
    let lines = lines.borrow().clone();
    Arrived { request, refused: filled.err().map(|refusal| refusal.status), lines }
}

#[test]
fn hosts_lead_to_servers() {
    let rows = [
        ("GET / HTTP/1.1\r\nHost: b\r\n\r\n", "b", "b"),
        ("GET / HTTP/1.1\r\nHost: B:8080\r\n\r\n", "b", "b"),
        ("GET / HTTP/1.1\r\nHost: b.\r\n\r\n", "b", "b"),
        ("GET / HTTP/1.1\r\nHost: other\r\n\r\n", "a", "other"),
        ("GET / HTTP/1.0\r\n\r\n", "a", ""),
        // An absolute target wins (RFC 9112, 3.2.2).
        ("GET http://c/ HTTP/1.1\r\nHost: b\r\n\r\n", "c", "c"),
        ("GET /\r\n", "a", ""),
    ];
    for (head, server, host) in rows {
        let arrived = arrive(head);
        assert_eq!(arrived.refused, None, "{head:?}: {}", arrived.lines);
        assert_eq!(arrived.server(), server, "{head:?}");
        assert_eq!(String::from_utf8_lossy(&arrived.request.line.borrow().host), host, "{head:?}");
    }
}

#[test]
fn lines_are_taken_apart() {
    let arrived = arrive("POST /a%20b//../c+d?x=%41 HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    let line = arrived.request.line.borrow();
    assert_eq!(line.text, b"POST /a%20b//../c+d?x=%41 HTTP/1.1");
    assert_eq!((line.method, &*line.method_name, line.version), (Method::POST, &b"POST"[..], Version::Http11));
    assert_eq!((&*line.raw_uri, &*line.uri, &*line.args), (&b"/a%20b//../c+d?x=%41"[..], &b"/c+d"[..], &b"x=%41"[..]));
    assert_eq!((line.quoted, line.plus, line.complex, line.raw_is_valid), (true, true, false, true));
    assert_eq!(arrived.request.body.borrow().length(), Some(3));
    assert!(arrived.request.flags.expects_continue.get() && arrived.request.flags.keepalive.get());
    for (text, version) in [("GET /\r\n", Version::Http09), ("GET / HTTP/1.0\r\n\r\n", Version::Http10)] {
        let old = arrive(text);
        assert_eq!(old.request.line.borrow().version, version);
        assert!(!old.request.flags.keepalive.get() && old.request.body.borrow().is_none(), "{text:?}");
    }
    assert_eq!(arrive("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n").request.method(), Method::UNKNOWN);
}

#[test]
fn slashes_are_merged_where_the_server_says_so() {
    for (host, expected) in [("b", "/a/b"), ("c", "/a//b")] {
        let arrived = arrive(&format!("GET /a//b HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(String::from_utf8_lossy(&arrived.request.line.borrow().uri), expected, "{host}");
    }
}

#[test]
fn contradictions_are_refused_by_the_server_that_was_asked_for() {
    let rows = [
        ("GET / HTTP/1.1\r\n\r\n", 400, "a", "client sent HTTP/1.1 request without \"Host\" header"),
        (
            "GET / HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n",
            400,
            "b",
            "client sent duplicate host header: \"Host: b\", previous value: \"Host: b\"",
        ),
        ("GET / HTTP/1.1\r\nHost: b/c\r\n\r\n", 400, "a", "client sent invalid host header"),
        (
            "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "b",
            "\"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
        ),
        ("POST / HTTP/1.1\r\nHost: b\r\nContent-Length: -1\r\n\r\n", 400, "b", "client sent invalid \"Content-Length\" header"),
        (
            "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            400,
            "b",
            "client sent duplicate header line: \"Content-Length: 1\"",
        ),
        (
            "POST / HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "b",
            "client sent unknown \"Transfer-Encoding\": \"gzip, chunked\"",
        ),
        (
            "POST / HTTP/1.0\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "b",
            "client sent HTTP/1.0 request with \"Transfer-Encoding\" header",
        ),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "a", "request: \"GET / HTTP/1.1\", host: \"\""),
        ("TRACE / HTTP/1.1\r\nHost: b\r\n\r\n", 405, "b", "client sent TRACE method"),
        ("CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n", 405, "b", "client sent CONNECT method"),
        ("GET /../x HTTP/1.1\r\nHost: b\r\n\r\n", 400, "a", "client sent invalid request while reading client request line"),
        ("GET /%zz HTTP/1.1\r\nHost: b\r\n\r\n", 400, "a", "client sent invalid request while reading client request line"),
    ];
    for (head, status, server, line) in rows {
        let arrived = arrive(head);
        assert_eq!(arrived.refused, Some(status), "{head:?}");
        assert_eq!(arrived.server(), server, "{head:?}");
        assert!(arrived.lines.contains(line), "{head:?}: {}", arrived.lines);
    }
    let tunnel = arrive("CONNECT c:80 HTTP/1.1\r\nHost: c:80\r\n\r\n");
    assert_eq!((tunnel.refused, tunnel.server().as_str()), (None, "c"));
    assert_eq!(tunnel.request.line.borrow().uri, b"/");
}

#[test]
fn odd_names_are_dropped_with_a_word_where_that_is_said() {
    let head = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nA_B: 1\r\nX: 2\r\n\r\n");
    let dropped = arrive(&head("b"));
    assert_eq!(dropped.request.headers.borrow().get(b"a_b"), None);
    assert_eq!(dropped.request.headers.borrow().get(b"x"), Some(&b"2"[..]));
    assert!(dropped.lines.contains("client sent invalid header line: \"A_B: 1\""), "{}", dropped.lines);
}

#[test]
fn what_is_known_of_a_broken_head_is_logged() {
    let rows = [
        // What stands before the fault was understood.
        ("GET /x HTTP/1.1\r\nHost: b\r\nBad\x01: 1\r\n\r\n", "GET /x HTTP/1.1", "b", "/x"),
        ("G\x02T /x HTTP/1.1\r\n\r\n", "G\x02T /x HTTP/1.1", "a", ""),
        ("\r\nGET /\x01 HTTP/1.1\r\n\r\n", "GET /\x01 HTTP/1.1", "a", ""),
    ];
    for (head, text, host, uri) in rows {
        let servers = vec![server("a", Core::default(), ServerCore::default()), server("b", Core::default(), ServerCore::default())];
        let (request, _) = request(servers[0].clone());
        let mut parsed = Head::new();
        let limits = arrival::limits(&ServerCore::default());
        parsed.parse(head.as_bytes(), &limits).unwrap_err();
        arrival::fill_unparsed(&request, &parsed, head.as_bytes(), &endpoint(servers));
        let line = request.line.borrow();
        assert_eq!((String::from_utf8_lossy(&line.text), String::from_utf8_lossy(&line.uri)), (text.into(), uri.into()));
        assert_eq!(&*request.server().name, host.as_bytes(), "{head:?}");
    }
}

#[test]
fn a_host_brings_its_own_limits() {
    let own = ServerCore { large_client_header_buffers: Some((1, 64)), underscores_in_headers: Some(true), ..ServerCore::default() };
    let all = vec![server("a", Core::default(), ServerCore::default()), server("b", Core::default(), own.clone())];
    let endpoint = endpoint(all);
    assert!(endpoint.limits_by_host);
    let rows = [
        ("GET / HTTP/1.1\r\nHost: B:80\r\n", &own),
        ("GET http://b/ HTTP/1.1\r\n", &own),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n", &own),
        ("GET / HTTP/1.1\r\nHost: a\r\n", &ServerCore::default()),
        ("GET / HTTP/1.1\r\nHost: other\r\n", &ServerCore::default()),
        ("GET / HTTP/1.1\r\nHost: @\r\n", &ServerCore::default()),
    ];
    for (head, core) in rows {
        let mut parsed = Head::new();
        let limits = Limits { by_host: true, ..arrival::limits(&endpoint.default.core) };
        assert_eq!(parsed.parse(head.as_bytes(), &limits), Ok(Status::Named), "{head:?}");
        assert_eq!(arrival::limits_of_host(&parsed, head.as_bytes(), &endpoint), arrival::limits(core), "{head:?}");
    }
}

#[test]
fn lines_behind_a_refused_one_are_not_known() {
    let rows = [
        ("Host: a@b", "user-agent,host"),
        ("Host: b\r\nHost: c", "user-agent,host"),
        ("Host: b\r\nRange: x\r\nIf-Match: 1\r\nIf-Match: 2", "user-agent,host,range,if-match"),
        ("Host: b\r\nContent-Length: x", "user-agent,host,content-length,referer"),
    ];
    for (lines, known) in rows {
        let arrived = arrive(&format!("GET / HTTP/1.1\r\nUser-Agent: u\r\n{lines}\r\nReferer: r\r\n\r\n"));
        assert_eq!(arrived.refused, Some(400), "{lines}");
        let headers = arrived.request.headers.borrow();
        let names: Vec<_> = headers.iter().map(|(name, _)| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
        assert_eq!(names.join(","), known, "{lines}");
    }
}

#[test]
fn limits_are_the_servers_or_nginxs() {
    let usual = arrival::limits(&ServerCore::default());
    assert_eq!((usual.first, usual.number, usual.size, usual.max_headers), (1024, 4, 8192, 1000));
    assert!(usual.ignore_invalid && !usual.underscores);
    let core = ServerCore {
        client_header_buffer_size: Some(u64::MAX),
        large_client_header_buffers: Some((2, 1 << 40)),
        underscores_in_headers: Some(true),
        ..ServerCore::default()
    };
    let own = arrival::limits(&core);
    assert_eq!((own.first, own.number, own.size, own.underscores), (u32::MAX, 2, u32::MAX, true));
}

#[test]
fn connections_are_kept_while_limits_and_browsers_allow() {
    let agent = |text: &'static str| move |request: &Request| request.headers.borrow_mut().push(b"User-Agent", text.as_bytes());
    let post = |request: &Request| request.line.borrow_mut().method = Method::POST;
    let disable = |msie6, safari| Core { keepalive_disable: Some(KeepaliveDisable { msie6, safari }), ..Core::default() };
    let allowed = |core: &Core, change: &dyn Fn(&Request)| {
        let (request, _) = request(server("", Core::default(), ServerCore::default()));
        request.line.borrow_mut().method = Method::GET;
        change(&request);
        request::keepalive_allowed(&request, core)
    };
    const MSIE: &str = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10) Safari/600";
    let none = |_: &Request| {};
    let both = |text| move |request: &Request| (agent(text)(request), post(request)).1;
    assert!(allowed(&Core::default(), &none));
    assert!(!allowed(&Core { keepalive_timeout: Some(0), ..Core::default() }, &none));
    assert!(!allowed(&Core { keepalive_requests: Some(1), ..Core::default() }, &none));
    assert!(allowed(&Core { keepalive_requests: Some(2), ..Core::default() }, &none));
    assert!(!allowed(&Core::default(), &|request| request.worker.exiting.set(true)));
    // Old browsers of Microsoft after POST; Apple's only where that is said.
    assert!(allowed(&Core::default(), &agent(MSIE)) && !allowed(&Core::default(), &both(MSIE)));
    assert!(allowed(&disable(false, false), &both(MSIE)));
    assert!(allowed(&Core::default(), &both("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)")));
    assert!(allowed(&Core::default(), &both("Mozilla/4.0 (compatible; MSIE 7.0)")));
    assert!(allowed(&Core::default(), &agent(SAFARI)) && !allowed(&disable(true, true), &agent(SAFARI)));
    assert!(allowed(&disable(true, true), &agent("Mozilla/5.0 (Mac OS X) Chrome/1 Safari/600")));
}
