//! The libraries that come along, against servers that play a part: what must come, and what is answered.

use crate::rig::{Prefix, free_port, get};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

/// A server for one connection: for each pair, it answers once these bytes have come.
fn play(part: Vec<(Vec<u8>, Vec<u8>)>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
        for (asked, answer) in part {
            let mut came = vec![0; asked.len()];
            stream.read_exact(&mut came).unwrap();
            assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(&asked));
            stream.write_all(&answer).unwrap();
        }
    });
    (port, thread)
}

fn lines(pairs: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.iter().map(|(asked, answer)| (asked.as_bytes().to_vec(), answer.as_bytes().to_vec())).collect()
}

/// What code says in a request; `PORT` stands for the other server's.
fn run(code: &str, other: u16) -> String {
    let (prefix, port) = (Prefix::new(), free_port());
    let code = code.replace("PORT", &other.to_string());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1;\nerror_log logs/error.log;\nevents {{ worker_connections 1024; }}\nhttp {{\nlua_shared_dict d 1m;\n\
             server {{\nlisten {port};\nlocation / {{\ncontent_by_lua_block {{\n{code}\n}}\n}}\n}}\n}}\n"
        ),
    );
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer = get(port, "/").unwrap();
    assert_eq!(answer.status, 200, "{}", prefix.read("logs/error.log"));
    answer.text()
}

#[test]
fn redis_values_errors_pipelines_and_messages() {
    let (port, server) = play(lines(&[
        ("*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n", "+OK\r\n"),
        ("*2\r\n$3\r\nget\r\n$1\r\nx\r\n", "$-1\r\n"),
        ("*2\r\n$4\r\nincr\r\n$1\r\na\r\n", "-ERR no\r\n"),
        ("*2\r\n$3\r\nget\r\n$1\r\na\r\n*2\r\n$6\r\nbf.add\r\n$1\r\na\r\n", "*2\r\n$2\r\nhi\r\n:7\r\n-ERR unknown\r\n"),
        ("*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"),
        (
            "*1\r\n$4\r\nping\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nm1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nm2\r\n",
        ),
    ]));
    let code = r#"
        local redis = require "resty.redis"
        redis.register_module_prefix("bf")
        local red = redis:new()
        ngx.say((red:connect("127.0.0.1", PORT)))
        ngx.say(red:set("a", 1), " ", red:get("x") == ngx.null)
        ngx.say(red:incr("a"))
        red:init_pipeline()
        red:get("a")
        red:bf():add("a")
        local all = red:commit_pipeline()
        ngx.say(#all, " ", all[1][1], all[1][2], " ", tostring(all[2][1]), all[2][2])
        ngx.say(red:read_reply())
        ngx.say(red:subscribe("c")[3], " ", red:ping()[1], " ", red:read_reply()[3], " ", red:read_reply()[3])
        ngx.say(red:set_keepalive())
        ngx.say(red:close(), " ", red:commit_pipeline())"#;
    assert_eq!(
        run(code, port),
        "1\nOK true\nfalseERR no\n2 hi7 falseERR unknown\nnilnot subscribed\n1 pong m1 m2\nnilsubscribed state\n1 nilno pipeline\n"
    );
    server.join().unwrap();
}

#[test]
fn memcached_items_and_pipelines() {
    let (port, server) = play(lines(&[
        ("set a%20b 7 0 2\r\nxy\r\n", "STORED\r\n"),
        ("get a%20b\r\n", "VALUE a%20b 7 2\r\nxy\r\nEND\r\n"),
        ("gets a b\r\n", "VALUE a 0 1 12\r\nq\r\nVALUE b 1 0 13\r\n\r\nEND\r\n"),
        ("cas a 0 0 1 12\r\nz\r\n", "EXISTS\r\n"),
        ("incr n 2\r\ntouch n 9\r\nget none\r\n", "5\r\nTOUCHED\r\nEND\r\n"),
    ]));
    let code = r#"
        local memc = require "resty.memcached":new()
        ngx.say(memc:connect("127.0.0.1", PORT))
        ngx.say(memc:set("a b", { "x", { "y" } }, 0, 7), " ", memc:get("a b"))
        local items = memc:gets({ "a", "b" })
        ngx.say(items.a[1], items.a[3], " ", #items.b[1], items.b[2], " ", memc:cas("a", "z", 12))
        memc:init_pipeline()
        memc:incr("n", 2)
        memc:touch("n", 9)
        memc:get("none")
        local all = memc:commit_pipeline()
        ngx.say(#all, " ", all[1][1], all[2][1], tostring(all[3][1]), " ", memc:commit_pipeline())"#;
    assert_eq!(run(code, port), "1\n1 xy7\nq12 01 nilEXISTS\n3 51nil nilno pipeline\n");
    server.join().unwrap();
}

/// A packet of MySQL's.
fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(body.len()).unwrap(), 0, 0, number];
    out.extend_from_slice(body);
    out
}

fn greeting(plugin: &str) -> Vec<u8> {
    let mut body = b"\x0a5.7.1\0\x01\0\0\0abcdefgh\0\xff\xff\x21\x02\0\xff\xff\x15".to_vec();
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(b"ijklmnopqrst\0");
    body.extend_from_slice(plugin.as_bytes());
    packet(0, &[&body[..], b"\0"].concat())
}

fn login(plugin: &str, response: &[u8]) -> Vec<u8> {
    let mut body = b"\xcf\xf7\x0b\0\0\0\x10\0\x21".to_vec();
    body.extend_from_slice(&[0; 23]);
    body.extend_from_slice(b"me\0");
    body.push(u8::try_from(response.len()).unwrap());
    body.extend_from_slice(response);
    body.extend_from_slice(b"db\0");
    body.extend_from_slice(plugin.as_bytes());
    packet(1, &[&body[..], b"\0"].concat())
}

/// What `secret` answers to the random bytes of [`greeting`], as the servers themselves compute it.
const NATIVE: &[u8] = b"\x88\x17\xc5\x0f\xa7\x79\xda\xef\x01\x0e\xe7\x57\x78\x25\xb0\x84\x7d\xf9\x84\x2e";
const SHA2: &[u8] =
    b"\xc7\x6e\x28\x98\x61\x2a\x4c\xf0\x42\xc7\x7f\xa8\xc4\x70\x2c\x4c\x64\xc0\xc2\xc5\x57\xc5\x3c\x4d\x75\x59\x5a\xaa\x6a\xba\xe8\x09";
const OK: &[u8] = b"\0\0\0\x02\0\0\0";

/// A column's description.
fn column(number: u8, name: &str, kind: u8) -> Vec<u8> {
    let mut body = b"\x03def\0\0\0".to_vec();
    body.push(u8::try_from(name.len()).unwrap());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\0\x0c\x21\0\x0b\0\0\0");
    body.push(kind);
    packet(number, &[&body[..], b"\0\0\0\0\0"].concat())
}

#[test]
fn mysql_reads_rows_after_a_change_of_the_plugin() {
    let query = packet(0, b"\x03select");
    let rows = [
        packet(1, b"\x02"),
        column(2, "id", 3),
        column(3, "name", 0xfd),
        packet(4, b"\xfe\0\0\x02\0"),
        packet(5, b"\x0242\x03Bob"),
        packet(6, b"\0\xfb"),
        packet(7, b"\xfe\0\0\x0a\0"),
        packet(8, b"\0\x05\x07\x02\0\0\0\x02hm"),
    ];
    let (port, server) = play(vec![
        (vec![], greeting("mysql_native_password")),
        (login("mysql_native_password", NATIVE), packet(2, b"\xfecaching_sha2_password\0abcdefghijklmnopqrst")),
        (packet(3, SHA2), [packet(4, b"\x01\x03"), packet(5, OK)].concat()),
        (query.clone(), rows.concat()),
        (query, packet(1, b"\xff\x48\x04#42000no such thing")),
        (packet(2, b"\x01"), vec![]),
    ]);
    let code = r#"
        local db = require "resty.mysql":new()
        ngx.say(db:connect { host = "127.0.0.1", port = PORT, database = "db", user = "me", password = "secret", charset = "utf8" })
        local rows, err = db:query("select")
        ngx.say(db:server_ver(), " ", #rows, rows[1].id + 1, rows[1].name, rows[2].id, rows[2].name == ngx.null, " ", err)
        local done = db:read_result()
        ngx.say(done.affected_rows, done.insert_id, done.message, " ", (select(2, db:read_result())))
        ngx.say(db:query("select"))
        ngx.say(db:close(), " ", db:query("select"))"#;
    let expected = "1\n5.7.1 243Bobniltrue again\n57hm cannot read result in the current context: 1\nnilno such thing109642000\n\
                    1 nilfailed to send query: cannot send query in the current context: nil\n";
    assert_eq!(run(code, port), expected);
    server.join().unwrap();
}

#[test]
fn mysql_says_why_it_did_not_log_in() {
    let (port, server) = play(vec![
        (vec![], greeting("caching_sha2_password")),
        (login("caching_sha2_password", SHA2), packet(2, b"\xff\x15\x04#28000Access denied")),
    ]);
    let code = r#"
        local db = require "resty.mysql":new()
        local opts = { host = "127.0.0.1", port = PORT, database = "db", user = "me", password = "secret", charset = "utf8" }
        ngx.say(db:connect(opts))
        opts.charset = "no"
        ngx.say(db:connect(opts))
        ngx.say(db:connect {})
        ngx.say(db:set_keepalive())"#;
    let expected = "nilAccess denied104528000\nnilcharset 'no' is not supported\n\
                    nilneither \"host\" nor \"path\" options are specified\nnilcannot be reused in the current connection state: nil\n";
    assert_eq!(run(code, port), expected);
    server.join().unwrap();
}

#[test]
fn dns_answers_of_each_kind() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut query = [0; 512];
        socket.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
        let record = |kind: u8, data: &[u8]| {
            [b"\xc0\x0c\0".as_slice(), &[kind], b"\0\x01\0\0\0\x3c\0", &[u8::try_from(data.len()).unwrap()], data].concat()
        };
        let records = [
            record(1, &[127, 0, 0, 9]),
            record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            record(15, b"\0\x0a\x02mx\xc0\x0c"),
            record(16, b"\x02hi\x03you"),
            record(33, b"\0\x01\0\x02\0\x50\xc0\x0c"),
            record(5, b"\x01c\xc0\x0c"),
            record(250, b"raw"),
        ];
        for count in [records.len(), 1, 0] {
            let (length, from) = socket.recv_from(&mut query).unwrap();
            let question = &query[..length];
            // An answer to somebody else's question comes first.
            socket.send_to(&[&[query[0] ^ 1, query[1]], b"\x81\x80\0\x01\0\0\0\0\0\0".as_slice(), &question[12..]].concat(), from).unwrap();
            let code = if count == 0 { 0x83 } else { 0x80 };
            let head = [&question[..2], &[0x81, code, 0, 1, 0, u8::try_from(count).unwrap(), 0, 0, 0, 0], &question[12..]].concat();
            let body = if count == 1 { record(1, b"abcde") } else { records[..count].concat() };
            socket.send_to(&[head, body].concat(), from).unwrap();
        }
    });
    let code = r#"
        local resolver = require "resty.dns.resolver"
        local r = resolver:new { nameservers = { { "127.0.0.1", PORT } }, retrans = 1 }
        local a = r:query("lunette.test")
        ngx.say(a[1].name, " ", a[1].address, " ", a[1].ttl, " ", a[2].address, " ", resolver.compress_ipv6_addr(a[2].address))
        ngx.say(a[3].preference, a[3].exchange, " ", table.concat(a[4].txt, ","), " ", a[5].priority, a[5].weight, a[5].port, a[5].target)
        ngx.say(a[6].cname, " ", a[7].rdata, " ", a[7].type)
        ngx.say(select(2, r:query("lunette.test")))
        local none = r:query("lunette.test")
        ngx.say(#none, none.errcode, none.errstr, " ", r:query(".x"))
        ngx.say(resolver.arpa_str("1.2.3.4"), " ", resolver.expand_ipv6_addr("::1"))
        ngx.say(resolver.arpa_str("2001:db8::1"))"#;
    let expected = "lunette.test 127.0.0.9 60 2001:db8:0:0:0:0:0:1 2001:db8::1\n10mx.lunette.test hi,you 1280lunette.test\nc.lunette.test raw 250\n\
                    bad A record value length: 5nil\n03name error nilbad name\n4.3.2.1.in-addr.arpa 0:0:0:0:0:0:0:1\n\
                    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa\n";
    assert_eq!(run(code, port), expected);
    server.join().unwrap();
}

#[test]
fn health_checks_turn_a_server_down_and_up() {
    let (bad, first) = play(lines(&[("GET /\r\n", "HTTP/1.0 503 no\r\n")]));
    // The module of upstream groups is played too, as a file would bring one.
    let code = r#"
        local down = {}
        package.loaded["ngx.upstream"] = {
            get_upstreams = function() return { "u" } end,
            get_primary_peers = function() return { { name = "127.0.0.1:PORT", down = down[0] } } end,
            get_backup_peers = function() return {} end,
            set_peer_down = function(_, _, id, value) down[id] = value return true end,
        }
        local health = require "resty.upstream.healthcheck"
        ngx.say(health.spawn_checker { type = "tcp" })
        ngx.say(health.spawn_checker { type = "http", http_req = "x", shm = "none" })
        ngx.print(health.status_page())
        ngx.say(health.spawn_checker {
            type = "http", http_req = "GET /\r\n", shm = "d", upstream = "u", fall = 1, interval = 60000, valid_statuses = { 200 },
        })
        for _ = 1, 1000 do
            if down[0] then break end
            ngx.sleep(0.01)
        end
        ngx.print(health.status_page())
        ngx.print(health.prometheus_status_page())"#;
    let answer = run(code, bad);
    assert!(
        answer.starts_with(
            "nilonly \"http\" and \"https\" type are supported right now\nnilshm \"none\" not found\nUpstream u (NO checkers)\n"
        ),
        "{answer}"
    );
    assert!(
        answer.contains(&format!(
            "127.0.0.1:{bad} UP\n    Backup Peers\ntrue\nUpstream u\n    Primary Peers\n        127.0.0.1:{bad} DOWN\n"
        )),
        "{answer}"
    );
    assert!(
        answer.contains("status=\"DOWN\",role=\"PRIMARY\"} 1\n")
            && answer.ends_with("status=\"DOWN\"} 1\nnginx_upstream_status_info{name=\"u\",status=\"UNKNOWN\"} 0\n"),
        "{answer}"
    );
    first.join().unwrap();
}
