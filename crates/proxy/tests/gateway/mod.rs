//! FastCGI, uwsgi and SCGI over real sockets: what applications see, what clients get.

#![allow(clippy::unwrap_used, reason = "what a test needs is a test, whatever its functions are called")]

mod broken;

use crate::harness::{Answer, Site, Upstream, dead_port, worker};
use http::Outcome;
use http::body::Body;

/// A record of FastCGI; its length and padding stay below 128, so that it is text.
pub(crate) fn record(kind: u8, content: &str) -> String {
    let padding = (8 - content.len() % 8) % 8;
    let header = [1, kind, 0, 1, 0, u8::try_from(content.len()).unwrap(), u8::try_from(padding).unwrap(), 0];
    String::from_utf8(header.to_vec()).unwrap() + content + &"\0".repeat(padding)
}

/// A response with this head and body in one record.
pub(crate) fn answer(text: &str) -> String {
    record(6, text) + &record(6, "") + &record(3, "\0\0\0\0\0\0\0\0")
}

pub(crate) fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A request with these parameters and this body.
fn request(keep: bool, params: &[(&str, &str)], body: &[&str]) -> String {
    let mut text = record(1, if keep { "\0\x01\x01\0\0\0\0\0" } else { "\0\x01\0\0\0\0\0\0" });
    let short = |text: &str| char::from(u8::try_from(text.len()).unwrap());
    let params: String = params.iter().map(|(name, value)| format!("{}{}{name}{value}", short(name), short(value))).collect();
    if !params.is_empty() {
        text += &record(4, &params);
    }
    text += &record(4, "");
    body.iter().for_each(|part| text += &record(5, part));
    text + &record(5, "")
}

async fn post(site: &Site, body: &[u8], headers: &[(&str, &str)]) -> Answer {
    site.run("/x", |request, _| {
        request.line.borrow_mut().method_name = b"POST".to_vec();
        request.line.borrow_mut().method = http::Method::POST;
        if !body.is_empty() {
            http::body::replace(request, Body::from_bytes(body.to_vec()));
        }
        for (name, value) in headers {
            request.headers.borrow_mut().push(name.as_bytes(), value.as_bytes());
        }
    })
    .await
}

const HEADERS: [(&str, &str); 6] =
    [("Host", "h"), ("X-a", "1"), ("Cookie", "a=b"), ("x-A", "2"), ("cookie", "c=d"), ("Accept-Charset", "gone")];

#[test]
fn a_fastcgi_request_and_its_answer() {
    worker(async {
        let params = [("A", "$b"), ("E", ""), ("HTTP_HOST", "h"), ("HTTP_X_A", "1, 2"), ("HTTP_COOKIE", "a=b; c=d")];
        let params = params.map(|(name, value)| (name, if name == "A" { "/x" } else { value }));
        let said = [
            record(7, "PHP message: odd.\n"),
            record(6, "Status: 404 Not Here\r\nX-O"),
            record(7, ""),
            record(6, "ne: 1\r"),
            record(6, "\nContent-Type: text/plain\r\n\r\nhel"),
            record(6, "lo"),
            record(7, "late"),
            record(6, ""),
            record(3, "\0\0\0\0\0\0\0\0"),
        ];
        let up = Upstream::scripted(vec![vec![(leak(request(false, &params, &["abc"])), leak(said.concat()))]]);
        let port = up.port;
        let site = Site::new(&format!(
            "fastcgi_param LOST outer; location / {{ fastcgi_pass 127.0.0.1:{port}; fastcgi_param A $fastcgi_script_name; \
             fastcgi_param E $empty; fastcgi_param N $empty if_not_empty; fastcgi_param HTTP_ACCEPT_CHARSET ''; \
             fastcgi_param HTTP_HOST h; }}"
        ));
        let answer = post(&site, b"abc", &HEADERS).await;
        assert_eq!(*answer.client.head.borrow(), "404\nContent-Type: text/plain\nX-One: 1\n");
        assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"));
        assert_eq!(answer.request.response.borrow().status_line, b"404 Not Here");
        assert!(answer.client.ended.get());
        assert_eq!((answer.variable("upstream_status"), answer.variable("upstream_http_status")), ("404".into(), "404 Not Here".into()));
        assert_eq!(answer.variable("upstream_response_length"), "5");
        let log = site.log.borrow();
        assert!(
            log.contains("[error]")
                && log.contains("FastCGI sent in stderr: \"PHP message: odd\" while reading response header from upstream"),
            "{log}"
        );
        assert!(log.contains("FastCGI sent in stderr: \"late\" while reading upstream"), "{log}");
        assert!(log.contains(&format!("upstream: \"fastcgi://127.0.0.1:{port}\"")), "{log}");
        up.requests();
    });
}

#[test]
fn a_fastcgi_connection_is_kept_where_that_is_asked_for() {
    worker(async {
        let ask = || leak(request(true, &[("A", "b")], &[]));
        let hello = leak(answer("Content-Length: 5\r\n\r\nhello"));
        let up = Upstream::scripted(vec![vec![(ask(), hello), (ask(), hello)], vec![(leak(request(false, &[("A", "b")], &[])), hello)]]);
        let group = format!("upstream u {{ server 127.0.0.1:{}; keepalive 1; }} fastcgi_param A b;", up.port);
        let site = Site::new(&format!("{group} location / {{ fastcgi_pass u; fastcgi_keep_conn on; }}"));
        for _ in 0..2 {
            assert_eq!(site.get("/x").await.body(), "hello");
        }
        let site = Site::new(&format!("{group} location / {{ fastcgi_pass u; }}"));
        assert_eq!(site.get("/x").await.body(), "hello");
        up.requests();
    });
}

#[test]
fn an_answer_without_a_body_for_the_client_keeps_its_connection() {
    worker(async {
        let ask = || leak(request(true, &[], &[]));
        let up = Upstream::scripted(vec![vec![(ask(), leak(answer("X: y\n\nhello"))), (ask(), leak(answer("\n\nagain")))]]);
        let site =
            Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ fastcgi_pass u; fastcgi_keep_conn on; }}", up.port));
        let head = site
            .run("/x", |request, _| {
                request.line.borrow_mut().method = http::Method::HEAD;
                request.flags.header_only.set(true);
            })
            .await;
        assert_eq!((head.outcome, head.body().as_str()), (Outcome::Ok, ""));
        assert_eq!(site.get("/x").await.body(), "\nagain");
        up.requests();
    });
}

#[test]
fn a_connection_with_more_on_it_is_not_kept() {
    worker(async {
        let ask = || leak(request(true, &[], &[]));
        let more = leak(answer("\n\nhello") + "x");
        let up = Upstream::scripted(vec![vec![(ask(), more)], vec![(ask(), leak(answer("\n\nagain")))]]);
        let site =
            Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ fastcgi_pass u; fastcgi_keep_conn on; }}", up.port));
        assert_eq!(site.get("/x").await.body(), "\nhello");
        assert_eq!(site.get("/x").await.body(), "\nagain");
        up.requests();
    });
}

#[test]
fn a_location_is_a_redirect_and_a_script_may_order_another_answer() {
    worker(async {
        let redirect = leak(answer("Location: /elsewhere\r\n\r\n"));
        let internal = leak(answer("X-Accel-Redirect: /files/a?b\r\nStatus: 500\r\n\r\n"));
        let ask = || leak(request(false, &[("A", "b")], &[]));
        let up = Upstream::scripted(vec![vec![(ask(), redirect)], vec![(ask(), internal)]]);
        let site = Site::new(&format!("location / {{ fastcgi_pass 127.0.0.1:{}; fastcgi_param A b; }}", up.port));
        let got = site.get("/x").await;
        assert_eq!(*got.client.head.borrow(), "302\nContent-Type: \nLocation: /elsewhere\n");
        let got = site.get("/x").await;
        assert_eq!(got.outcome, Outcome::Done);
        assert_eq!(*got.request.progress.jump.borrow(), Some(http::Jump::Internal { uri: b"/files/a".to_vec(), args: b"b".to_vec() }));
        up.requests();
    });
}

#[test]
fn scripts_and_paths() {
    for (directives, uri, script, path) in [
        ("", "/a/b.php/c", "/a/b.php/c", ""),
        ("fastcgi_index index.php;", "/a/", "/a/index.php", ""),
        ("fastcgi_index index.php; fastcgi_split_path_info ^(.+?\\.php)(/.*)$;", "/a/b.php/c", "/a/b.php", "/c"),
        ("fastcgi_index index.php; fastcgi_split_path_info ^(.+?\\.php)(/.*)$;", "/a/", "/a/index.php", ""),
        ("fastcgi_index i.php; fastcgi_split_path_info ^(/x/)(.*)$;", "/x/y", "/x/i.php", "y"),
    ] {
        worker(async {
            let ask = request(false, &[("S", script), ("P", path)], &[]);
            let up = Upstream::scripted(vec![vec![(leak(ask), leak(answer("\n\nok")))]]);
            let site = Site::new(&format!(
                "{directives} location / {{ fastcgi_pass 127.0.0.1:{}; fastcgi_param S $fastcgi_script_name; fastcgi_param P $fastcgi_path_info; }}",
                up.port
            ));
            assert_eq!(site.get(uri).await.body(), "\nok", "{uri}");
            up.requests();
        });
    }
}

#[test]
fn uwsgi_packets() {
    worker(async {
        let block = "\x01\0A\x02\0/x\x09\0HTTP_HOST\x01\0h\x08\0HTTP_X_A\x04\x001, 2\x0b\0HTTP_COOKIE\x08\0a=b; c=d";
        let ask = format!("\x05{}\0\x09{block}zabc", char::from(u8::try_from(block.len() + 1).unwrap()));
        let up = Upstream::scripted(vec![
            vec![(leak(ask), "HTTP/1.1 201 Made\r\nStatus: 404\r\nContent-Length: 5\r\n\r\nhello")],
            vec![("\0\0\0\0", "Content-Type: a/b\n\nhello")],
        ]);
        let site = Site::new(&format!(
            "location / {{ uwsgi_pass uwsgi://127.0.0.1:{}; uwsgi_param A /x; uwsgi_param HTTP_ACCEPT_CHARSET ''; uwsgi_modifier1 5; \
             uwsgi_modifier2 9; uwsgi_string z; uwsgi_param HTTP_HOST h; }}",
            up.port
        ));
        let got = post(&site, b"abc", &HEADERS).await;
        assert_eq!(*got.client.head.borrow(), "201\nContent-Length: 5\nContent-Type: \nStatus: 404\n");
        assert_eq!((got.outcome, got.body().as_str()), (Outcome::Ok, "hello"));
        let site = Site::new(&format!("location / {{ uwsgi_pass 127.0.0.1:{}; uwsgi_pass_request_body off; }}", up.port));
        let got = post(&site, b"abc", &[]).await;
        assert_eq!((got.outcome, got.body().as_str()), (Outcome::Ok, "hello"));
        up.requests();
    });
}

#[test]
fn scgi_netstrings() {
    worker(async {
        let ask = "63:CONTENT_LENGTH\x003\0A\0/x\0HTTP_HOST\0h\0HTTP_X_A\x001, 2\0HTTP_COOKIE\0a=b; c=d\0,abc";
        let length = ask.find(':').map(|at| ask.len() - at - 1 - ",abc".len()).unwrap();
        let ask = ask.replacen("63", &length.to_string(), 1);
        let up = Upstream::scripted(vec![
            vec![(leak(ask), "Status: 201 Made\r\n\r\nhello")],
            vec![("17:CONTENT_LENGTH\x000\0,", "Location: /y\n\n")],
        ]);
        let site = Site::new(&format!(
            "location / {{ scgi_pass 127.0.0.1:{}; scgi_param A /x; scgi_param HTTP_ACCEPT_CHARSET ''; scgi_param HTTP_HOST h; }}",
            up.port
        ));
        let got = post(&site, b"abc", &HEADERS).await;
        assert_eq!(*got.client.head.borrow(), "201\nContent-Type: \n");
        assert_eq!((got.outcome, got.body().as_str()), (Outcome::Ok, "hello"));
        let site = Site::new(&format!("location / {{ scgi_pass 127.0.0.1:{}; scgi_pass_request_body off; }}", up.port));
        let got = post(&site, b"abc", &[]).await;
        assert_eq!(*got.client.head.borrow(), "302\nContent-Type: \nLocation: /y\n");
        up.requests();
    });
}

#[test]
fn a_pass_with_variables_names_a_group_or_an_address() {
    worker(async {
        let ask = || leak(request(false, &[("A", "b")], &[]));
        let hello = leak(answer("\n\nhello"));
        let up = Upstream::scripted(vec![vec![(ask(), hello)], vec![(ask(), hello)], vec![(ask(), hello)]]);
        let (port, dead) = (up.port, dead_port());
        let head = format!("upstream u {{ server 127.0.0.1:{dead} down; server 127.0.0.1:{port}; }} fastcgi_param A b;");
        for target in ["u$empty".to_owned(), format!("127.0.0.1:{port}$empty"), format!("${{empty}}127.0.0.1:{port}")] {
            let site = Site::new(&format!("{head} location / {{ fastcgi_pass {target}; }}"));
            let got = site.get("/x").await;
            assert_eq!((got.body().as_str(), got.variable("upstream_addr")), ("\nhello", format!("127.0.0.1:{port}")), "{target}");
        }
        up.requests();
        for (directive, outcome, line) in [
            ("fastcgi_pass 127.0.0.1$empty", 500, "no port in upstream \"127.0.0.1\""),
            ("fastcgi_pass 127.0.0.1:1/x$empty", 500, "invalid host in upstream \"127.0.0.1:1/x\""),
            ("fastcgi_pass $empty", 500, "no host in upstream \"\""),
            ("fastcgi_pass a.invalid:1$empty", 502, "no resolver defined to resolve a.invalid"),
            ("proxy_pass http://$empty", 500, "invalid URL prefix in \"http://\""),
            ("proxy_pass http://$empty/x", 500, "no host in upstream \"/x\""),
            ("uwsgi_pass suwsgi://127.0.0.1:1$empty", 502, "upstream: \"suwsgi://127.0.0.1:1\""),
        ] {
            let site = Site::new(&format!("location / {{ {directive}; }}"));
            assert_eq!(site.get("/x").await.outcome, Outcome::Status(outcome), "{directive}");
            assert!(site.log.borrow().contains(line), "{directive}: {}", site.log.borrow());
        }
    });
}

#[test]
fn configurations_that_are_refused() {
    for (text, error) in [
        ("location / { fastcgi_pass 127.0.0.1; }", "no port in upstream \"127.0.0.1\""),
        ("location / { scgi_pass 127.0.0.1:1/x; }", "invalid host in upstream \"127.0.0.1:1/x\""),
        ("location / { uwsgi_pass suwsgi://127.0.0.1; }", "no port in upstream \"127.0.0.1\""),
        ("location / { uwsgi_modifier1 256; }", "value must be between 0 and 255"),
        ("location / { fastcgi_pass 127.0.0.1:1; fastcgi_pass 127.0.0.1:1; }", "\"fastcgi_pass\" directive is duplicate"),
        ("location / { fastcgi_param A b if_empty; }", "invalid parameter \"if_empty\""),
        ("location / { fastcgi_split_path_info ^(.+)$; }", "pattern \"^(.+)$\" must have 2 captures"),
        ("location / { fastcgi_pass_trailers on; }", "unknown directive \"fastcgi_pass_trailers\""),
        ("location / { fastcgi_next_upstream http_502; }", "invalid value \"http_502\""),
        ("location / { scgi_send_lowat 1; }", "unknown directive \"scgi_send_lowat\""),
    ] {
        let got = Site::try_new(text).err().unwrap_or_default();
        assert!(got.starts_with(error), "{text}: {got}");
    }
}
