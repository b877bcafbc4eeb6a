//! What `-t` says of single directives that do not go together with others, with themselves, or with the place that they stand in.

use crate::rig::Prefix;

/// Where the directives of a row stand.
#[derive(Clone, Copy)]
enum Level {
    Events,
    Http,
    Server,
    Location,
}

/// The first complaint that `-t` prints; nothing for a configuration that is accepted in silence.
fn verdict(level: Level, directives: &str) -> String {
    let prefix = Prefix::new();
    let text = match level {
        Level::Events => format!("events {{\n{directives}\n}}\nhttp {{ server {{ listen 127.0.0.1:1; }} }}\n"),
        Level::Http => format!("events {{ }} http {{\n{directives}\n}}\n"),
        Level::Server => format!("events {{ }} http {{ server {{\n{directives}\n}} }}\n"),
        Level::Location => format!("events {{ }} http {{ server {{ location / {{\n{directives}\n}} }} }}\n"),
    };
    prefix.write("conf/nginx.conf", &text);
    let output = prefix.run(&["-t"]);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = shown.lines().find_map(|line| line.strip_prefix("nginx: ").filter(|rest| rest.starts_with('['))).unwrap_or_default();
    line.replace(&prefix.path.join("conf/nginx.conf").display().to_string(), "FILE").replace(&prefix.path.display().to_string(), "PREFIX")
}

#[track_caller]
fn check(level: Level, rows: &[(&str, &str)]) {
    for (directives, expected) in rows {
        assert_eq!(verdict(level, directives), *expected, "{directives}");
    }
}

#[test]
fn sizes_and_caches_are_checked_where_no_upstream_is_asked() {
    let rows = [
        ("proxy_cache none;", "[emerg] \"proxy_cache\" zone \"none\" is unknown in FILE:2"),
        ("scgi_cache none;", "[emerg] \"scgi_cache\" zone \"none\" is unknown in FILE:2"),
        ("proxy_buffers 1 4k;", "[emerg] there must be at least 2 \"proxy_buffers\" in FILE:2"),
        (
            "uwsgi_buffer_size 64k;",
            "[emerg] \"uwsgi_busy_buffers_size\" must be less than the size of all \"uwsgi_buffers\" minus one buffer in FILE:2",
        ),
        (
            "fastcgi_temp_file_write_size 1k;",
            "[emerg] \"fastcgi_temp_file_write_size\" must be equal to or greater than the maximum of the value of \"fastcgi_buffer_size\" and one of the \"fastcgi_buffers\" in FILE:2",
        ),
        ("proxy_store on; proxy_cache none;", "[emerg] \"proxy_cache\" directive is incompatible with \"proxy_store\" in FILE:2"),
        ("proxy_buffer_size 8k; proxy_buffers 4 8k;", ""),
        ("set_random $x 1 2;", ""),
    ];
    check(Level::Location, &rows);
    check(Level::Server, &rows);
}

#[test]
fn character_sets_need_a_map_between_them() {
    const MISSING: &str = "[emerg] no \"charset_map\" between the charsets \"koi8-r\" and \"utf-8\"";
    let rows = [
        ("source_charset koi8-r; server { location / { charset utf-8; } }", MISSING),
        ("charset utf-8; server { source_charset koi8-r; }", MISSING),
        ("charset utf-8; charset_map koi8-r windows-1251 { 80 88; } server { source_charset koi8-r; }", MISSING),
        ("charset utf-8; charset_map UTF-8 koi8-r { E2 C0; } server { source_charset koi8-r; }", ""),
        ("charset utf-8; server { source_charset UTF-8; }", ""),
        ("charset $arg_c; server { source_charset koi8-r; }", ""),
        ("charset utf-8; server { source_charset koi8-r; location / { charset off; } }", MISSING),
        ("source_charset koi8-r; server { location / { charset off; } }", ""),
    ];
    check(Level::Http, &rows);
}

/// What a set says it says each time, as in nginx; what was said already is warned of.
#[test]
fn sets_are_added_up() {
    let sets = [
        ("dav_methods", "PUT", "DELETE"),
        ("gzip_proxied", "expired", "auth"),
        ("keepalive_disable", "msie6", "safari"),
        ("userid_flags", "secure", "samesite=lax"),
        ("proxy_next_upstream", "error", "timeout"),
        ("tunnel_next_upstream", "error", "timeout"),
        ("fastcgi_next_upstream", "error", "http_500"),
        ("proxy_ignore_headers", "Expires", "Vary"),
        ("scgi_cache_methods", "GET", "POST"),
        ("uwsgi_cache_use_stale", "error", "updating"),
    ];
    for (name, one, other) in sets {
        let duplicate = format!("[warn] duplicate value \"{one}\" in FILE:2");
        check(
            Level::Location,
            &[
                (&format!("{name} {one}; {name} {other};"), ""),
                (&format!("{name} {one}; {name} {other} {one};"), &duplicate),
                (&format!("{name} {one} {one};"), &duplicate),
                (&format!("{name} {one}; {name} wrong;"), "[emerg] invalid value \"wrong\" in FILE:2"),
            ],
        );
    }
    check(
        Level::Location,
        &[("userid_flags samesite=lax; userid_flags samesite=none;", "[warn] duplicate value \"samesite=none\" in FILE:2")],
    );
}

/// Everything that is the same for all requests would be the key.
#[test]
fn a_cache_without_a_key_is_warned_of() {
    let paths: String = ["fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_cache_path {name} keys_zone={name}:1m; ")).concat();
    for name in ["fastcgi", "uwsgi", "scgi"] {
        let server = |key: &str| format!("{paths}\nserver {{ location / {{ {name}_pass 127.0.0.1:1; {name}_cache {name}; {key} }} }}");
        let expected = format!("[warn] no \"{name}_cache_key\" for \"{name}_cache\" in FILE:3");
        assert_eq!(verdict(Level::Http, &server("")), expected);
        assert_eq!(verdict(Level::Http, &server(&format!("{name}_cache_key $uri;"))), "");
    }
}

#[test]
fn a_directory_has_one_use() {
    let rows = [
        (
            "proxy_cache_path c keys_zone=a:1m;\nfastcgi_cache_path c keys_zone=b:1m;",
            "[emerg] the same path name \"PREFIX/c\" used in FILE:2 and in FILE:3",
        ),
        (
            "proxy_temp_path t 1 2;\nuwsgi_temp_path t 1;",
            "[emerg] the same path name \"PREFIX/t\" in FILE:2 has the different levels than in FILE:3",
        ),
        ("proxy_temp_path t 1 2; fastcgi_temp_path t 1 2; scgi_temp_path u 4;", ""),
        ("proxy_cache_path c keys_zone=a:1k;", "[emerg] keys zone \"keys_zone=a:1k\" is too small in FILE:2"),
    ];
    check(Level::Http, &rows);
}

#[test]
fn names_and_addresses() {
    check(
        Level::Server,
        &[
            ("server_name *.* a..b *.a.*;", ""),
            ("server_name *;", "[emerg] server name \"*\" is invalid in FILE:2"),
            ("server_name *a;", "[emerg] server name \"*a\" is invalid in FILE:2"),
            ("server_name a/b;", "[warn] server name \"a/b\" has suspicious symbols in FILE:2"),
            ("listen 127.0.0.1:1; listen 127.0.0.1:1;", "[emerg] a duplicate listen 127.0.0.1:1 in FILE:2"),
            ("listen unix:;", "[emerg] no path in the unix domain socket in \"unix:\" of the \"listen\" directive in FILE:2"),
            ("listen 9-8;", "[emerg] invalid port range in \"9-8\" of the \"listen\" directive in FILE:2"),
            ("listen 1 rcvbuf=x;", "[emerg] invalid rcvbuf \"rcvbuf=x\" in FILE:2"),
            ("listen 1 setfib=1;", "[emerg] invalid parameter \"setfib=1\" in FILE:2"),
            ("location ~ a { location /b { } }", "[emerg] location \"/b\" is outside location \"a\" in FILE:2"),
            ("location @a { } location @a { }", "[warn] duplicate location \"@a\", the first one answers in FILE:2"),
            ("location / { internal; internal; }", "[emerg] \"internal\" directive is duplicate in FILE:2"),
            ("location / { index /a b; }", "[warn] only the last index in \"index\" directive should be absolute in FILE:2"),
            (
                "valid_referers none; valid_referers blocked;",
                "[emerg] the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" directive without any valid referer in FILE:2",
            ),
            ("valid_referers none server_names;", ""),
            ("more_set_headers -a 'Link: a';", ""),
            ("more_set_headers -a 'server: a';", "[emerg] more_set_headers: can not append builtin headers \"server\" in FILE:2"),
            (
                "secure_link_secret a; secure_link b;",
                "[emerg] \"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\" in FILE:2",
            ),
            ("aio on;", ""),
        ],
    );
    check(
        Level::Http,
        &[
            (
                "server { listen 1; server_name A.*.b; } server { listen 1; }",
                "[emerg] invalid server name or wildcard \"a.*.b\" on 0.0.0.0:1",
            ),
            ("upstream a { server http://b:1; }", "[emerg] invalid host in upstream \"http://b:1\" in FILE:2"),
            ("upstream a { server unix:/a:/b; }", ""),
            (
                "upstream a { server b.invalid resolve; }",
                "[emerg] resolving names at run time requires upstream \"a\" to be in shared memory in FILE:2",
            ),
            (
                "limit_conn_zone $uri zone=a:1m; limit_conn_zone $uri zone=a:2m;",
                "[emerg] the size 2097152 of shared memory zone \"a\" conflicts with already declared size 1048576 in FILE:2",
            ),
            ("geo $a { default b; default c; }", "[warn] duplicate network \"default\", value: \"c\", old value: \"b\" in FILE:2"),
            ("geo $a { 1.1.1.1 b; 1.1.1.1 c; }", "[warn] duplicate network \"1.1.1.1\", value: \"c\", old value: \"b\" in FILE:2"),
            (
                "geo $a { ranges; 1.1.1.1-1.1.1.2 b; 1.1.1.1-1.1.1.2 c; }",
                "[warn] duplicate range \"1.1.1.1-1.1.1.2\", value: \"c\", old value: \"b\" in FILE:2",
            ),
            ("geo $a { ranges; default b; default c; }", "[warn] duplicate default geo range value: \"c\", old value: \"b\" in FILE:2"),
            ("geo $a { delete 1.1.1.1; }", "[warn] no network \"1.1.1.1\" to delete in FILE:2"),
            ("geo $a { ranges; delete 1.1.1.1-1.1.1.1; }", "[warn] no address range \"1.1.1.1-1.1.1.1\" to delete in FILE:2"),
        ],
    );
    check(Level::Events, &[("worker_connections 1;", "[emerg] 1 worker_connections are not enough for 1 listening sockets")]);
}

#[test]
fn files_of_tls_are_read_where_there_is_tls() {
    let missing = "failed (SSL: error:80000002:system library::No such file or directory)";
    let unopened = "failed (SSL: error:80000002:system library::No such file or directory:calling fopen(PREFIX/conf/none.pem, r) \
        error:10000080:BIO routines::no such file)";
    let rows = [
        ("ssl_dhparam none.pem; ssl_crl none.pem; ssl_trusted_certificate none.pem; ssl_client_certificate none.pem;", String::new()),
        ("ssl_dhparam none.pem;\nssl_dhparam none.pem;", "[emerg] \"ssl_dhparam\" directive is duplicate in FILE:3".to_owned()),
        (
            "listen 127.0.0.1:1 ssl; ssl_reject_handshake on; ssl_dhparam none.pem;",
            format!("[emerg] BIO_new_file(\"PREFIX/conf/none.pem\") {missing}"),
        ),
        // Nobody is asked for a certificate.
        (
            "listen 127.0.0.1:1 ssl; ssl_reject_handshake on; ssl_trusted_certificate none.pem;",
            format!("[emerg] cannot load certificate \"PREFIX/conf/none.pem\": BIO_new_file() {unopened}"),
        ),
        (
            "listen 127.0.0.1:1 ssl; ssl_reject_handshake on; ssl_crl none.pem;",
            format!("[emerg] cannot load CRL \"PREFIX/conf/none.pem\": BIO_new_file() {unopened}"),
        ),
    ];
    for (directives, expected) in rows {
        assert_eq!(verdict(Level::Server, directives), expected, "{directives}");
    }
}

#[test]
fn more_connections_than_files_are_warned_of() {
    let rows = [
        ("error_log logs/error.log warn;", true),
        ("error_log logs/error.log;", false),
        ("error_log logs/error.log warn; worker_rlimit_nofile 1024;", true),
        ("error_log logs/error.log warn; worker_rlimit_nofile 2000000000;", false),
    ];
    for (limit, warned) in rows {
        let prefix = Prefix::new();
        prefix.write("conf/nginx.conf", &format!("{limit}\nevents {{ worker_connections 2000000000; }}\n"));
        let output = prefix.run(&["-t"]);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}");
        let text = "[warn] 2000000000 worker_connections exceed open file resource limit: ";
        assert_eq!(shown.contains(text), warned, "{limit}: {shown}");
        assert_eq!(shown.contains(&format!("{text}1024\n")), limit.contains("1024"), "{shown}");
    }
}

#[test]
fn a_log_or_a_file_of_the_master_without_a_name_is_the_usual_one() {
    let prefix = Prefix::new();
    let port = crate::rig::free_port();
    let server = format!("server {{ listen {port}; return 200 x; }}");
    prefix.write("conf/nginx.conf", &format!("pid \"\"; error_log \"\" notice; events {{ }} http {{ access_log \"\"; {server} }}\n"));
    assert_eq!(prefix.run(&["-t"]).status.code(), Some(0), "{:?}", prefix.run(&["-t"]));
    for directive in ["proxy_store", "fastcgi_store", "uwsgi_store", "scgi_store"] {
        check(Level::Location, &[(&format!("{directive} \"\";"), "[emerg] empty path in FILE:2")]);
    }
}
