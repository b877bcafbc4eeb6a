//! Redis over real sockets: commands of the configuration, replies as they are.

use crate::harness::{Answer, Site, Upstream, worker};
use http::Outcome;
use session::variable::by_name::set_by_name;

#[test]
fn commands_and_their_replies_on_one_connection() {
    worker(async {
        let pipeline = "*2\r\n$3\r\nget\r\n$1\r\nk\r\n*1\r\n$4\r\nping\r\n";
        let replies = "$5\r\nhel\r\n\r\n*2\r\n:1\r\n*1\r\n$-1\r\n";
        let up = Upstream::scripted(vec![vec![(pipeline, replies), (pipeline, "-ERR no\r\n+PONG\r\n")]]);
        let site = Site::new(&format!(
            "upstream u {{ server 127.0.0.1:{}; }} location / {{ redis2_query get $empty; redis2_query ping; redis2_pass u; }}",
            up.port
        ));
        for expected in [replies, "-ERR no\r\n+PONG\r\n"] {
            let got = site.run("/x", |request, _| assert!(set_by_name(request, "empty", Some(b"k")).is_ok())).await;
            assert_eq!((got.outcome, got.body().as_str()), (Outcome::Ok, expected));
            assert!(got.client.head.borrow().starts_with("200\n") && got.client.ended.get());
        }
        up.requests();
    });
}

#[test]
fn raw_commands() {
    for (directives, sent, reply) in [
        ("redis2_raw_query \"get k\\r\\n\"", "get k\r\n", "+v\r\n"),
        ("redis2_literal_raw_query 'get $k\r\n'", "get $k\r\n", "$0\r\n\r\n"),
        ("redis2_raw_queries 2 'ping\r\nping\r\n'", "ping\r\nping\r\n", "+PONG\r\n+PONG\r\n"),
    ] {
        worker(async {
            let up = Upstream::scripted(vec![vec![(sent, reply)]]);
            let site = Site::new(&format!("location / {{ {directives}; redis2_pass 127.0.0.1:{}; }}", up.port));
            assert_eq!(site.get("/x").await.body(), reply, "{directives}");
            up.requests();
        });
    }
}

#[test]
fn what_cannot_be_asked() {
    worker(async {
        for (directives, line) in [
            ("", "no redis2 query specified or the query is empty"),
            ("redis2_raw_query $empty;", "the redis query is empty"),
            ("redis2_raw_queries $empty ping;", "the N argument to redis2_raw_queries is empty"),
            ("redis2_raw_queries 0 ping;", "the N argument to redis2_raw_queries is invalid"),
        ] {
            let site = Site::new(&format!("location / {{ {directives} redis2_pass 127.0.0.1:1; }}"));
            assert_eq!(site.get("/x").await.outcome, Outcome::Status(500), "{directives}");
            assert!(site.log.borrow().contains(line), "{}", site.log.borrow());
        }
        let site = Site::new("location / { redis2_query ping; redis2_pass $empty; }");
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(500));
        assert!(site.log.borrow().contains("handler: empty \"redis2_pass\" target"));
    });
    let text = "location / { redis2_raw_query x; redis2_query y; }";
    assert_eq!(Site::try_new(text).err().as_deref(), Some("\"redis2_query\" directive conflicts with redis2_raw_query"));
}

#[test]
fn what_is_no_reply() {
    for (reply, line, outcome) in [
        ("HTTP/1.1 400\r\n", "redis2 sent invalid response: \"HTTP/1.1 400", Outcome::Status(502)),
        ("$x\r\n", "Redis server returned invalid response near pos 1 in \"$x", Outcome::Status(502)),
        ("*2\r\n+a\r\n", "upstream prematurely closed connection while reading upstream", Outcome::Error),
        ("+a\r\n+b\r\n", "Redis server returned extra bytes: \"+b", Outcome::Ok),
    ] {
        worker(async {
            let up = Upstream::scripted(vec![vec![("*1\r\n$4\r\nping\r\n", reply)]]);
            let site = Site::new(&format!("location / {{ redis2_query ping; redis2_pass 127.0.0.1:{}; }}", up.port));
            assert_eq!(site.get("/x").await.outcome, outcome, "{reply}");
            assert!(site.log.borrow().contains(line), "{reply}: {}", site.log.borrow());
            up.requests();
        });
    }
}

const ASKED: &str = "select 3\r\nget a%20b\r\n";

/// A site with `redis_pass`, whose key is `a b` and whose database is 3.
async fn got(site: &Site) -> Answer {
    let give = |request: &http::Request, name: &str, value: &[u8]| assert!(set_by_name(request, name, Some(value)).is_ok());
    site.run("/x", |request, _| {
        give(request, "redis_key", b"a b");
        give(request, "redis_db", b"3");
    })
    .await
}

#[test]
fn values_of_a_database_on_one_connection() {
    worker(async {
        let up = Upstream::scripted(vec![vec![(ASKED, "+OK\r\n$5\r\nhello\r\n"), (ASKED, "+OK\r\n$-1\r\n"), (ASKED, "+OK\r\n$0\r\n\r\n")]]);
        let site = Site::new(&format!("upstream u {{ server 127.0.0.1:{}; }} location / {{ redis_gzip_flag 1; redis_pass u; }}", up.port));
        let first = got(&site).await;
        assert_eq!((first.outcome, first.body().as_str()), (Outcome::Ok, "hello"));
        assert!(first.client.head.borrow().to_ascii_lowercase().contains("content-encoding: gzip"), "{}", first.client.head.borrow());
        assert_eq!(got(&site).await.outcome, Outcome::Status(404));
        assert!(site.log.borrow().contains("key: \"a%20b\" was not found by redis"));
        assert_eq!(got(&site).await.body(), "");
        up.requests();
    });
}

#[test]
fn what_is_no_value() {
    for (reply, line, outcome) in [
        ("-ERR x\r\n-ERR x\r\n", "redis sent error in response \"-ERR x\" for key \"a%20b\"", Outcome::Status(502)),
        ("+OK\r\n-WRONGTYPE x\r\n", "redis sent error in response \"+OK", Outcome::Status(502)),
        ("+OK\r\n$x\r\n", "redis sent invalid length in response \"+OK", Outcome::Status(502)),
        ("HTTP/1.1 400\r\n", "redis sent invalid response: \"", Outcome::Status(502)),
        ("+OK\r\n$2\r\nabcd", "redis sent invalid trailer", Outcome::Error),
        ("+OK\r\n$9\r\nab", "upstream prematurely closed connection", Outcome::Error),
    ] {
        worker(async {
            let up = Upstream::scripted(vec![vec![(ASKED, reply)]]);
            let site = Site::new(&format!("location / {{ redis_pass 127.0.0.1:{}; }}", up.port));
            assert_eq!(got(&site).await.outcome, outcome, "{reply}");
            assert!(site.log.borrow().contains(line), "{reply}: {}", site.log.borrow());
            up.requests();
        });
    }
}

#[test]
fn requests_without_a_key_or_with_a_database_that_is_none() {
    worker(async {
        let site = Site::new("location / { redis_pass 127.0.0.1:1; }");
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(500));
        assert!(site.log.borrow().contains("the \"$redis_key\" variable is not set"));
        let injected = site.run("/x", |request, _| {
            assert!(
                set_by_name(request, "redis_key", Some(b"k")).is_ok() && set_by_name(request, "redis_db", Some(b"1\r\nflushall")).is_ok()
            );
        });
        assert_eq!(injected.await.outcome, Outcome::Status(500));
        assert!(site.log.borrow().contains("the \"$redis_db\" variable is no number"));
    });
}
