//! Lua chooses upstream servers and looks after their health: in real processes, several workers of them.

use crate::rig::{Prefix, free_port, get, until};

/// A server whose `http` block says `block`; `PORT` is its own, `A` and `B` answer by their names, nobody listens on `DEAD`.
fn start(workers: usize, block: &str) -> (Prefix, u16) {
    let (prefix, port) = (Prefix::new(), free_port());
    let (one, two, dead) = (free_port(), free_port(), free_port());
    let block = block.replace("PORT", &port.to_string()).replace("DEAD", &format!("127.0.0.1:{dead}"));
    let block = block.replace("ONE", &format!("127.0.0.1:{one}")).replace("TWO", &format!("127.0.0.1:{two}"));
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes {workers};\nerror_log logs/error.log;\nevents {{ worker_connections 1024; }}\nhttp {{\n{block}\n\
             server {{ listen {one}; return 200 a; }}\nserver {{ listen {two}; return 200 b; }}\n}}\n"
        ),
    );
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (prefix, port)
}

fn answers(port: u16, path: &str, count: usize) -> String {
    (0..count).map(|_| get(port, path).unwrap().text()).collect()
}

#[test]
fn a_peer_that_is_taken_down_in_a_zone_is_down_for_all_workers() {
    let (_prefix, port) = start(
        2,
        r#"upstream group { zone group 64k; server ONE; server TWO; }
        server {
            listen PORT;
            location / { proxy_pass http://group; }
            location /set {
                content_by_lua_block {
                    ngx.print(require "ngx.upstream".set_peer_down("group", false, 0, ngx.var.arg_down == "1"))
                }
            }
        }"#,
    );
    assert_eq!(get(port, "/set?down=1").unwrap().text(), "true");
    assert_eq!(answers(port, "/", 20), "b".repeat(20));
    assert_eq!(get(port, "/set?down=0").unwrap().text(), "true");
    let both = answers(port, "/", 20);
    assert!(both.contains('a') && both.contains('b'), "{both}");
}

#[test]
fn the_checker_takes_dead_peers_down() {
    let (prefix, port) = start(
        2,
        r#"lua_shared_dict health 1m;
        upstream group { server DEAD; server ONE; server TWO backup; }
        init_worker_by_lua_block {
            assert(require "resty.upstream.healthcheck".spawn_checker {
                shm = "health", upstream = "group", type = "http", http_req = "GET / HTTP/1.0\r\n\r\n",
                interval = 50, timeout = 1000, fall = 1, rise = 1,
            })
        }
        server {
            listen PORT;
            location / {
                content_by_lua_block {
                    local peers = require "ngx.upstream".get_primary_peers("group")
                    ngx.print(peers[1].down, " ", peers[2].down)
                }
            }
            location /status { content_by_lua_block { ngx.print(require "resty.upstream.healthcheck".status_page()) } }
        }"#,
    );
    until("the checker's verdict", || get(port, "/").unwrap().text() == "true nil");
    // The other worker hears of it at its next look.
    until("all workers", || (0..10).all(|_| get(port, "/status").unwrap().text().contains(" DOWN\n")));
    let status = get(port, "/status").unwrap().text();
    assert!(status.contains(" UP\n"), "{status}\n{}", prefix.read("logs/error.log"));
}

#[test]
fn libraries_choose_among_servers() {
    let (prefix, port) = start(
        1,
        r#"init_by_lua_block {
            local nodes = { ["ONE"] = 1, ["TWO"] = 1 }
            ring, turns = require "resty.chash":new(nodes), require "resty.roundrobin":new(nodes)
        }
        upstream group {
            balancer_by_lua_block {
                local balancer = require "ngx.balancer"
                local key = ngx.var.arg_key
                assert(balancer.set_current_peer(key and ring:find(key) or turns:find()))
                assert(balancer.enable_keepalive())
            }
            balancer_keepalive 1;
        }
        server { listen PORT; location / { proxy_pass http://group; } }"#,
    );
    let turns = answers(port, "/", 6);
    assert!(turns == "ababab" || turns == "bababa", "{turns}\n{}", prefix.read("logs/error.log"));
    for key in ["x", "y", "z"] {
        let same = answers(port, &format!("/?key={key}"), 3);
        assert!(same == "aaa" || same == "bbb", "{key} {same}");
    }
}

#[test]
fn it_waits_for_another_service_and_goes_on_to_the_next_server() {
    let (prefix, port) = start(
        1,
        r#"upstream group {
            server ONE;
            balancer_by_lua_block {
                local balancer = require "ngx.balancer"
                if not balancer.get_last_failure() then
                    balancer.set_more_tries(1)
                    return assert(balancer.set_current_peer("DEAD"))
                end
                local sock = ngx.socket.tcp()
                assert(sock:connect("127.0.0.1", ngx.var.server_port))
                assert(sock:send("GET /where HTTP/1.0\r\nHost: x\r\n\r\n"))
                local answer = assert(sock:receive("*a"))
                sock:close()
                assert(balancer.set_current_peer(answer:match("where=(%S+)")))
            }
        }
        server {
            listen PORT;
            location / { proxy_pass http://group; add_header Tries $upstream_addr; }
            location /where { return 200 "where=TWO"; }
            location /outside {
                content_by_lua_block {
                    ngx.print(require "ngx.balancer".set_current_peer("127.0.0.1", 1))
                }
            }
        }"#,
    );
    assert_eq!(answers(port, "/", 3), "bbb", "{}", prefix.read("logs/error.log"));
    assert_eq!(get(port, "/outside").unwrap().text(), "nilno upstream found");
}

#[test]
fn connections_for_one_host_are_not_anothers() {
    let (_prefix, port) = start(
        1,
        r#"upstream group {
            balancer_by_lua_block {
                local balancer = require "ngx.balancer"
                assert(balancer.set_current_peer("127.0.0.1", ngx.var.server_port, ngx.var.arg_host))
                assert(balancer.enable_keepalive(0, ngx.var.arg_most and tonumber(ngx.var.arg_most)))
            }
        }
        server {
            listen PORT;
            location / { proxy_pass http://group/count; proxy_http_version 1.1; proxy_set_header Connection ""; }
            location /count { return 200 $connection_requests; }
        }"#,
    );
    let asked: String =
        ["a", "b", "a", "A", "b", "c&most=1", "c&most=1"].iter().map(|host| get(port, &format!("/?host={host}")).unwrap().text()).collect();
    assert_eq!(asked, "1123211");
}

#[test]
fn pools_have_names_and_sizes() {
    let (prefix, port) = start(
        1,
        r#"upstream group {
            balancer_by_lua_block {
                local balancer = require "ngx.balancer"
                local options = { pool = ngx.var.arg_pool, pool_size = tonumber(ngx.var.arg_size) or ngx.var.arg_size }
                assert(balancer.set_current_peer("127.0.0.1", ngx.var.server_port, options))
                assert(balancer.enable_keepalive())
            }
            balancer_keepalive 8;
        }
        server {
            listen PORT;
            location / { proxy_pass http://group/count; proxy_http_version 1.1; proxy_set_header Connection ""; }
            location /both {
                content_by_lua_block {
                    local path = "/?" .. ngx.var.args
                    local one, two = ngx.location.capture_multi { { path }, { path } }
                    ngx.print(one.body + two.body)
                }
            }
            location /count { content_by_lua_block { ngx.sleep(0.05) ngx.print(ngx.var.connection_requests) } }
            location /wrong {
                content_by_lua_block {
                    local set = require "ngx.balancer".set_current_peer
                    for _, options in ipairs { { pool = 1 }, { pool_size = "1" }, { pool_size = 0 }, { pool_size = 0 / 0 } } do
                        ngx.say(select(2, pcall(set, "127.0.0.1", 1, options)))
                    end
                }
            }
        }"#,
    );
    let ask = |path: &str| get(port, path).unwrap().text();
    let asked: String = ["a", "b", "a", "b", "a"].iter().map(|pool| ask(&format!("/?pool={pool}"))).collect();
    assert_eq!(asked, "11223", "{}", prefix.read("logs/error.log"));
    // Of two connections at once a pool of one keeps one, a pool of two both.
    for (pool, again) in [("pool=one&size=1", "3"), ("pool=two&size=2", "4"), ("size=1", "3")] {
        let sums = [ask(&format!("/both?{pool}")), ask(&format!("/both?{pool}"))];
        assert_eq!(sums, ["2", again], "{pool}: {}", prefix.read("logs/error.log"));
    }
    assert!(ask("/?size=x").contains("500"), "{}", prefix.read("logs/error.log"));
    let wrong = ask("/wrong");
    let expected = [
        "bad option 'pool' to 'set_current_peer' (string expected, got number)",
        "bad option 'pool_size' to 'set_current_peer' (number expected, got string)",
        "bad option 'pool_size' to 'set_current_peer' (expected > 0)",
        "bad option 'pool_size' to 'set_current_peer' (expected > 0)",
    ];
    assert_eq!(wrong.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_balancer_that_gives_no_server_is_a_try_without_an_address() {
    let (prefix, port) = start(
        1,
        r#"log_format tries "$uri=$upstream_addr=$upstream_status=$status";
        upstream fails { server 0.0.0.1; balancer_by_lua_block { error("no") } }
        upstream leaves { server 0.0.0.1; balancer_by_lua_block { ngx.exit(404) } }
        server {
            listen PORT;
            access_log logs/tries.log tries;
            location /fails { proxy_pass http://fails; }
            location /leaves { proxy_pass http://leaves; }
        }"#,
    );
    assert_eq!((get(port, "/fails").unwrap().status, get(port, "/leaves").unwrap().status), (500, 404));
    until("the lines", || prefix.read("logs/tries.log").lines().count() == 2);
    assert_eq!(prefix.read("logs/tries.log"), "/fails==-=500\n/leaves==-=404\n");
}

#[test]
fn what_a_block_may_say() {
    let check = |inside: &str| {
        let prefix = Prefix::new();
        prefix.write("conf/nginx.conf", &format!("events {{ }}\nhttp {{\nupstream u {{\n{inside}\n}}\n}}\n"));
        let output = prefix.run(&["-t"]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let code = "balancer_by_lua_block { return }";
    for (inside, text) in [
        (format!("{code}\n{code}"), "\"balancer_by_lua_block\" directive is duplicate"),
        (format!("{code} balancer_by_lua_file a.lua;"), "\"balancer_by_lua_file\" directive is duplicate"),
        (format!("balancer_keepalive 0; {code}"), "invalid value \"0\" in \"balancer_keepalive\" directive"),
        (format!("balancer_keepalive x; {code}"), "invalid value \"x\" in \"balancer_keepalive\" directive"),
        (format!("balancer_keepalive 1; {code} balancer_keepalive 2;"), "\"balancer_keepalive\" directive is duplicate"),
        (format!("{code} server 127.0.0.1 backup;"), "balancing method does not support parameter \"backup\""),
        ("balancer_keepalive 1;".to_owned(), "no servers are inside upstream"),
    ] {
        let (passed, said) = check(&inside);
        assert!(!passed && said.contains(text), "{inside}\n{said}");
    }
    for (inside, warned) in [
        (code.to_owned(), false),
        (format!("hash $uri; {code}"), true),
        (format!("keepalive 2; {code}"), true),
        (format!("server 127.0.0.1; {code} hash $uri;"), true),
        (format!("zone u 64k; {code}"), false),
    ] {
        let (passed, said) = check(&inside);
        assert!(passed && said.contains("load balancing method redefined") == warned, "{inside}\n{said}");
    }
}
