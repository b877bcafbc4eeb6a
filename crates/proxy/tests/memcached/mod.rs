//! memcached's protocol over real sockets: what the server sees, what clients get.

use crate::harness::{Answer, Site, Upstream, dead_port, worker};
use http::body::Body;
use http::{Method, Outcome};
use session::variable::by_name::set_by_name;

/// Runs a request with these variables and this body.
async fn run(site: &Site, method: Method, variables: &[(&str, &str)], body: &str) -> Answer {
    site.run("/x", |request, _| {
        request.line.borrow_mut().method = method;
        for (name, value) in variables {
            assert!(set_by_name(request, name, Some(value.as_bytes())).is_ok(), "{name}");
        }
        if !body.is_empty() {
            http::body::replace(request, Body::from_bytes(body.as_bytes().to_vec()));
        }
    })
    .await
}

fn status(answer: &Answer) -> u16 {
    match answer.outcome {
        Outcome::Status(status) => status,
        _ => answer.client.head.borrow().lines().next().and_then(|line| line.parse().ok()).unwrap_or(0),
    }
}

#[test]
fn every_command_and_its_answer_on_one_connection() {
    worker(async {
        let up = Upstream::scripted(vec![vec![
            ("set a%20b 0 0 5\r\nhello\r\n", "STORED\r\n"),
            ("add k 7 60 3\r\nabc\r\n", "NOT_STORED\r\n"),
            ("get a%20b\r\n", "VALUE a%20b 17 5\r\nhello\r\nEND\r\n"),
            ("get k\r\n", "END\r\n"),
            ("replace k 0 0 0\r\n\r\n", "STORED\r\n"),
            ("append k 0 0 1\r\nx\r\n", "NOT_FOUND\r\n"),
            ("incr k 18446744073709551615\r\n", "12 \r\n"),
            ("decr k 1\r\n", "NOT_FOUND\r\n"),
            ("delete k 5\r\n", "DELETED\r\n"),
            ("delete k\r\n", "NOT_FOUND\r\n"),
            ("flush_all\r\n", "OK\r\n"),
            ("flush_all 9\r\n", "OK\r\n"),
            ("version\r\n", "VERSION 1.6\r\n"),
            ("stats\r\n", "STAT a 1\r\nSTAT b 2\r\nEND\r\n"),
            ("get k\r\n", "VALUE k 0 0\r\n\r\nEND\r\n"),
        ]]);
        let site = Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ memc_pass u; }}", up.port));
        let cmd = |name: &'static str| ("memc_cmd", name);
        let key = ("memc_key", "k");
        let cases: Vec<(Method, Vec<(&str, &str)>, &str, u16, &str)> = vec![
            (Method::PUT, vec![("memc_key", "a b")], "hello", 201, "STORED\r\n"),
            (Method::POST, vec![key, ("memc_flags", "7"), ("memc_exptime", "60")], "abc", 200, "NOT_STORED\r\n"),
            (Method::GET, vec![("memc_key", "a b")], "", 200, "hello"),
            (Method::HEAD, vec![key], "", 404, ""),
            (Method::GET, vec![cmd("replace"), key, ("memc_value", "")], "", 201, "STORED\r\n"),
            (Method::GET, vec![cmd("append"), key, ("memc_value", "x")], "ignored", 404, ""),
            (Method::GET, vec![cmd("incr"), key, ("memc_value", "18446744073709551615")], "", 201, "12 \r\n"),
            (Method::GET, vec![cmd("decr"), key, ("memc_value", "1")], "", 404, ""),
            (Method::DELETE, vec![key, ("memc_exptime", "5")], "", 200, "DELETED\r\n"),
            (Method::DELETE, vec![key], "", 404, ""),
            (Method::GET, vec![cmd("flush_all")], "", 200, "OK\r\n"),
            (Method::GET, vec![cmd("flush_all"), ("memc_exptime", "9")], "", 200, "OK\r\n"),
            (Method::GET, vec![cmd("version")], "", 200, "VERSION 1.6\r\n"),
            (Method::GET, vec![cmd("stats")], "", 200, "STAT a 1\r\nSTAT b 2\r\nEND\r\n"),
            (Method::GET, vec![key], "", 200, ""),
        ];
        for (method, variables, body, expected, text) in cases {
            let answer = run(&site, method, &variables, body).await;
            assert_eq!((status(&answer), answer.body().as_str()), (expected, text), "{variables:?}");
            if expected == 201 && body == "hello" {
                assert_eq!((answer.variable("memc_flags"), answer.variable("memc_exptime")), ("0".to_owned(), "0".to_owned()));
            }
            if text == "hello" {
                assert_eq!((answer.variable("memc_flags"), answer.variable("memc_cmd")), ("17".to_owned(), "get".to_owned()));
                assert_eq!(answer.variable("memc_flags_as_http_time"), "Thu, 01 Jan 1970 00:00:17 GMT");
                assert_eq!(*answer.client.head.borrow(), "200\nContent-Length: 5\nContent-Type: text/plain\n");
            }
        }
        assert_eq!(up.requests().len(), 15);
        assert!(site.log.borrow().contains("[info] ") && site.log.borrow().contains("key: \"k\" was not found by memcached"));
    });
}

#[test]
fn hostile_answers_end_their_connection() {
    worker(async {
        for (answer, expected, text, line) in [
            ("VALUE other 0 5\r\nhello\r\nEND\r\n", 502, "", "memcached sent invalid key in response \"VALUE other 0 5\" for key \"k\""),
            ("VALUE k 0 -5\r\nhello\r\nEND\r\n", 502, "", "memcached sent invalid length in response \"VALUE k 0 -5\" for key \"k\""),
            ("SERVER_ERROR no\r\n", 502, "", "memcached sent invalid response: \"SERVER_ERROR no\""),
            ("VALUE k 0 3\r\nhello\r\nEND\r\n", 200, "hel", "memcached sent invalid trailer while reading response header from upstream"),
            (
                "VALUE k 0 5\r\nhello\r\nEND\r\nVALUE",
                200,
                "hello",
                "memcached sent invalid trailer while reading response header from upstream",
            ),
            ("VALUE k 0 5\r\nhello", 200, "hello", "upstream prematurely closed connection"),
            ("VALUE k 0", 502, "", "upstream prematurely closed connection"),
        ] {
            // The second connection shows that the first one was not kept.
            let up = Upstream::scripted(vec![vec![("get k\r\n", answer)], vec![("get k\r\n", "END\r\n")]]);
            let site = Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ memc_pass u; }}", up.port));
            let got = run(&site, Method::GET, &[("memc_key", "k")], "").await;
            assert_eq!((status(&got), got.body().as_str()), (expected, text), "{answer}");
            assert!(site.log.borrow().contains(line), "{answer}: {}", site.log.borrow());
            assert_eq!(status(&run(&site, Method::GET, &[("memc_key", "k")], "").await), 404);
            up.requests();
        }
    });
}

#[test]
fn an_error_is_passed_on_and_not_followed_by_another_command() {
    worker(async {
        let up = Upstream::scripted(vec![
            vec![("set k 0 0 1\r\nx\r\n", "SERVER_ERROR out of memory\r\n")],
            vec![("set k 0 0 1\r\nx\r\n", "STORED\r\n")],
        ]);
        let site = Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ memc_pass u; }}", up.port));
        let set = [("memc_cmd", "set"), ("memc_key", "k"), ("memc_value", "x")];
        let answer = run(&site, Method::GET, &set, "").await;
        assert_eq!((status(&answer), answer.body().as_str()), (502, "SERVER_ERROR out of memory\r\n"));
        assert_eq!(status(&run(&site, Method::GET, &set, "").await), 201);
        up.requests();
    });
}

#[test]
fn requests_that_make_no_command_are_refused() {
    worker(async {
        let site = Site::new(&format!("location / {{ memc_pass 127.0.0.1:{}; memc_cmds_allowed get set incr; }}", dead_port()));
        let long = "k".repeat(251);
        for (variables, expected, line) in [
            (vec![("memc_cmd", "quit")], 400, "ngx_memc: unknown $memc_cmd \"quit\""),
            (vec![("memc_cmd", "flush_all")], 403, "ngx_memc: memcached command \"flush_all\" not allowed"),
            (vec![], 500, "the \"$memc_key\" variable is not set"),
            (vec![("memc_key", &*long)], 502, "the \"$memc_key\" variable is too long for a memcached key"),
            (vec![("memc_cmd", "incr"), ("memc_key", "k")], 400, "the \"$memc_value\" variable is required for command \"incr\""),
            (
                vec![("memc_cmd", "incr"), ("memc_key", "k"), ("memc_value", "1 x")],
                400,
                "variable \"$memc_value\" is invalid for incr/decr: 1 x",
            ),
            (vec![("memc_cmd", "set"), ("memc_key", "k"), ("memc_flags", "-1")], 400, "variable \"$memc_flags\" takes invalid value: -1"),
            (
                vec![("memc_cmd", "set"), ("memc_key", "k"), ("memc_exptime", "1\r\n")],
                400,
                "variable \"$memc_exptime\" takes invalid value: 1",
            ),
            (vec![("memc_cmd", "set"), ("memc_key", "k")], 500, "neither the \"$memc_value\" variable nor the request body is available"),
        ] {
            let answer = run(&site, Method::GET, &variables, "").await;
            assert_eq!(answer.outcome, Outcome::Status(expected), "{variables:?}");
            assert!(site.log.borrow().contains(line), "{variables:?}: {}", site.log.borrow());
        }
        let answer = run(&site, Method::PATCH, &[("memc_key", "k")], "").await;
        assert_eq!(answer.outcome, Outcome::Status(400));
    });
}

#[test]
fn the_next_server_is_asked_for_what_the_first_does_not_have() {
    worker(async {
        let first = Upstream::scripted(vec![vec![("get k\r\n", "END\r\n")]]);
        let second = Upstream::scripted(vec![vec![("get k\r\n", "VALUE k 0 2\r\nhi\r\nEND\r\n")]]);
        let (one, two) = (first.port, second.port);
        let site = Site::new(&format!(
            "upstream u {{ server 127.0.0.1:{one}; server 127.0.0.1:{two}; }} memc_next_upstream error not_found; location / {{ memc_pass u; memc_flags_to_last_modified on; }}"
        ));
        let answer = run(&site, Method::GET, &[("memc_key", "k")], "").await;
        assert_eq!((answer.body().as_str(), answer.variable("upstream_status").as_str()), ("hi", "404, 200"));
        assert_eq!(answer.request.response.borrow().last_modified, Some(0));
        assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    });
}

#[test]
fn what_the_configuration_cannot_say() {
    for (text, error) in [
        ("memc_pass 127.0.0.1;", "no port in upstream \"127.0.0.1\""),
        ("memc_pass a:1; memc_pass b:1;", "\"memc_pass\" directive is duplicate"),
        ("memc_cmds_allowed quit;", "Unknown memcached command \"quit\" used in \"memc_cmds_allowed\""),
        ("memc_next_upstream http_500;", "invalid value \"http_500\""),
        ("memc_upstream_max_fails 1;", "\"memc_upstream_max_fails\" is not supported"),
    ] {
        let got = Site::try_new(&format!("location / {{ {text} }}")).err().unwrap_or_default();
        assert!(got.contains(error), "{text}: {got}");
    }
}

#[test]
fn nginx_s_own_module_gets_values() {
    worker(async {
        let up = Upstream::scripted(vec![vec![
            ("get /a%20b\r\n", "VALUE /a%20b 6 2\r\nhi\r\nEND\r\n"),
            ("get k\r\n", "VALUE k 5 2\r\nhi\r\nEND\r\n"),
            ("get k\r\n", "END\r\n"),
        ]]);
        let site =
            Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ memcached_pass u; memcached_gzip_flag 2; }}", up.port));
        let answer = run(&site, Method::GET, &[("memcached_key", "/a b")], "").await;
        assert_eq!(answer.body(), "hi");
        assert_eq!(*answer.client.head.borrow(), "200\nContent-Length: 2\nContent-Type: text/plain\nContent-Encoding: gzip\n");
        let answer = run(&site, Method::GET, &[("memcached_key", "k")], "").await;
        assert_eq!(*answer.client.head.borrow(), "200\nContent-Length: 2\nContent-Type: text/plain\n");
        assert_eq!(status(&run(&site, Method::HEAD, &[("memcached_key", "k")], "").await), 404);
        assert_eq!(status(&run(&site, Method::POST, &[("memcached_key", "k")], "").await), 405);
        assert_eq!(status(&run(&site, Method::GET, &[], "").await), 500);
        assert!(site.log.borrow().contains("the \"$memcached_key\" variable is not set"));
        up.requests();
    });
}

#[test]
fn flags_matter_only_where_they_are_asked_for() {
    worker(async {
        const ODD: &str = "VALUE k x 2\r\nhi\r\nEND\r\n";
        const NONE: &str = "VALUE k  2\r\nhi\r\nEND\r\n";
        for (flag, answer, expected) in
            [("", ODD, 200), ("", NONE, 200), ("memcached_gzip_flag 2;", ODD, 502), ("memcached_gzip_flag 2;", NONE, 502)]
        {
            let up = Upstream::scripted(vec![vec![("get k\r\n", answer)]]);
            let site = Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ memcached_pass u; {flag} }}", up.port));
            let got = run(&site, Method::GET, &[("memcached_key", "k")], "").await;
            assert_eq!(status(&got), expected, "{flag} {answer}");
            let line = format!("memcached sent invalid flags in response \"{}\" for key \"k\"", answer.split('\r').next().unwrap());
            assert_eq!(site.log.borrow().contains(&line), expected == 502, "{flag} {answer}: {}", site.log.borrow());
            up.requests();
        }
    });
}
