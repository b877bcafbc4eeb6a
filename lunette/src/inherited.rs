//! A request that matches no location runs all that a location would have inherited: each directive that may stand in
//! `http` or `server` attaches there what it attaches to an empty location.

use crate::main_level;
use crate::registry::{modules, stream_modules};
use conf::context::{Arity, Context};
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table};
use conf::scope::Frame;
use engine::directives::table;
use engine::nodes::Finished;
use http::Phase;
use http::location::Location;
use http::root::MainContext;
use http::root::Paths;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What directives refer to, and what makes others act.
const AROUND: &str = "limit_req_zone $uri zone=r:1m rate=1r/s; limit_conn_zone $uri zone=c:1m; log_format f $uri;
    upstream u { server 127.0.0.1:1; } upstream_list l u; set_real_ip_from 127.0.0.1; access_log /dev/null;";

/// Arguments for directives that take no arguments of the usual kinds.
const SAMPLES: &[(&str, &str)] = &[
    ("modern_browser", "gecko 1.8"),
    ("srcache_fetch", "GET /x"),
    ("srcache_store", "PUT /x"),
    ("srcache_methods", "POST"),
    (
        "lua_ssl_certificate",
        concat!(
            "'data:",
            include_str!("inherited/example.crt"),
            "'; lua_ssl_certificate_key 'data:",
            include_str!("inherited/example.key"),
            "'"
        ),
    ),
    ("lua_ssl_conf_command", "MinProtocol TLSv1.2"),
    ("lua_ssl_crl", concat!("'data:", include_str!("inherited/example.crl"), "'")),
    ("lua_ssl_key_log", "/dev/null"),
    ("lua_ssl_protocols", "TLSv1.3"),
    ("lua_ssl_ciphers", "HIGH"),
    ("lua_ssl_trusted_certificate", concat!("'data:", include_str!("inherited/example.crt"), "'")),
    ("proxy_busy_buffers_size", "8k"),
    ("proxy_temp_file_write_size", "8k"),
    ("proxy_max_temp_file_size", "8k"),
    ("proxy_buffers", "4 4k"),
    ("proxy_buffer_size", "4k"),
    ("fastcgi_busy_buffers_size", "8k"),
    ("fastcgi_temp_file_write_size", "8k"),
    ("fastcgi_max_temp_file_size", "8k"),
    ("fastcgi_buffers", "4 4k"),
    ("fastcgi_buffer_size", "4k"),
    ("scgi_busy_buffers_size", "8k"),
    ("scgi_temp_file_write_size", "8k"),
    ("scgi_max_temp_file_size", "8k"),
    ("scgi_buffers", "4 4k"),
    ("scgi_buffer_size", "4k"),
    ("uwsgi_busy_buffers_size", "8k"),
    ("uwsgi_temp_file_write_size", "8k"),
    ("uwsgi_max_temp_file_size", "8k"),
    ("uwsgi_buffers", "4 4k"),
    ("uwsgi_buffer_size", "4k"),
    ("proxy_ssl_conf_command", "MinProtocol TLSv1.2"),
    ("proxy_ssl_password_file", "/dev/null"),
    ("proxy_ssl_protocols", "TLSv1.3"),
    ("grpc_ssl_conf_command", "MinProtocol TLSv1.2"),
    ("grpc_ssl_password_file", "/dev/null"),
    ("grpc_ssl_protocols", "TLSv1.3"),
    ("grpc_ignore_headers", "Vary"),
    ("uwsgi_ssl_conf_command", "MinProtocol TLSv1.2"),
    ("uwsgi_ssl_password_file", "/dev/null"),
    ("uwsgi_ssl_protocols", "TLSv1.3"),
    ("encrypted_session_key", "12345678901234567890123456789012"),
    ("encrypted_session_iv", "1234567890123456"),
    ("set_base32_alphabet", "0123456789abcdefghijklmnopqrstuv"),
    ("set_hashed_upstream", "$x l $uri"),
    ("array_split", ", $uri to=$x"),
    ("array_map", "'[$array_it]' $uri to=$x"),
    ("array_map_op", "set_quote_sql_str $uri to=$x"),
    ("array_join", ", $uri to=$x"),
    ("access_log", "/dev/null f"),
    ("auth_basic", "realm; auth_basic_user_file /dev/null"),
    ("auth_request_set", "$x y"),
    ("array_join", "- $x"),
    ("array_map", "a $x"),
    ("array_map_op", "set_md5 $x"),
    ("array_split", ", $x"),
    ("autoindex_format", "html"),
    ("dav_access", "user:rw"),
    ("dav_methods", "PUT"),
    ("encrypted_session_key", "01234567890123456789012345678901"),
    ("error_page", "404 /x"),
    ("expires", "1h"),
    ("fastcgi_cache_methods", "GET"),
    ("fastcgi_ignore_headers", "Vary"),
    ("fastcgi_store_access", "user:rw"),
    ("fastcgi_split_path_info", "^(a)(b)$"),
    ("gzip_http_version", "1.0"),
    ("if", "($uri)"),
    ("keepalive_disable", "none"),
    ("limit_conn", "c 1"),
    ("limit_req", "zone=r"),
    ("lua_capture_error_log", "32k"),
    ("lua_ssl_ciphers", "HIGH"),
    ("uwsgi_cache_methods", "GET"),
    ("lua_ssl_conf_command", "Ciphersuites TLS_AES_128_GCM_SHA256"),
    ("fastcgi_cache_methods", "GET"),
    ("proxy_cache_methods", "GET"),
    ("uwsgi_ssl_protocols", "TLSv1.2"),
    ("metrics", "json"),
    ("lua_ssl_protocols", "TLSv1.2"),
    ("metrics", "json"),
    ("lua_ssl_certificate", "/c; lua_ssl_certificate_key /k"),
    ("proxy_ssl_protocols", "TLSv1.2"),
    ("scgi_cache_methods", "GET"),
    ("memc_cmds_allowed", "get"),
    ("more_set_headers", "'A: b'"),
    ("more_set_input_headers", "'A: b'"),
    ("proxy_http_version", "1.1"),
    ("proxy_cache_methods", "GET"),
    ("srcache_methods", "GET"),
    ("srcache_fetch", "GET /x"),
    ("srcache_store", "PUT /x"),
    ("proxy_ignore_headers", "Vary"),
    ("proxy_store_access", "user:rw"),
    ("scgi_cache_methods", "GET"),
    ("scgi_ignore_headers", "Vary"),
    ("scgi_store_access", "user:rw"),
    ("set_by_lua_block", "$x"),
    ("set_base32_alphabet", "0123456789abcdefghijklmnopqrstuv"),
    ("set_decrypt_session", "$x y; encrypted_session_key 01234567890123456789012345678901"),
    ("set_encrypt_session", "$x y; encrypted_session_key 01234567890123456789012345678901"),
    ("set_hashed_upstream", "$x l $uri"),
    ("try_files", "/a /b"),
    ("uwsgi_cache_methods", "GET"),
    ("uwsgi_ignore_headers", "Vary"),
    ("uwsgi_store_access", "user:rw"),
];

/// What most directives understand one of.
const USUAL: &[&str] = &[
    "on",
    "1",
    "10",
    "1k",
    "8 8k",
    "1 1",
    "/x",
    "all",
    "127.0.0.1",
    "$uri",
    "a b",
    "a=b",
    "a",
    "$x",
    "$x y",
    "$x 1 2",
    "error",
    "503",
    "off",
];

fn load(table: &Table, directive: &str, in_http: bool) -> Result<(Rc<Location>, Rc<Location>), String> {
    let (http, server) = if in_http { (directive, "") } else { ("", directive) };
    let text = format!("http {{ {AROUND} {http}\n server {{ listen 127.0.0.1:1; {server}\n location = /x {{ }} }} }}");
    let block = Parser::new(Text(text.into()), "/").parse_file(b"/conf/nginx.conf").into_result().map_err(|error| error.message)?;
    let frame = Frame::default();
    frame.global.get::<MainContext>().paths = Rc::new(Paths { prefix: "/srv/".into(), conf_prefix: "/conf/".into() });
    table.read(&block, Context::MAIN, &frame).map_err(|error| error.message)?;
    let (http, _) = frame.global.take::<Finished>().http.ok_or("no http")?;
    let server = http.servers.first().ok_or("no server")?;
    Ok((server.own.clone(), server.locations.fixed.first().ok_or("no location")?.clone()))
}

/// Handlers of the phases after the choice of a location, and filters by their number.
fn attached(location: &Location) -> BTreeSet<(&'static str, usize)> {
    let phases = [
        ("rewrite", Phase::Rewrite),
        ("preaccess", Phase::Preaccess),
        ("access", Phase::Access),
        ("precontent", Phase::Precontent),
        ("content", Phase::Content),
        ("log", Phase::Log),
    ];
    let handlers = phases.into_iter().flat_map(|(name, phase)| location.handlers(phase).iter().map(move |h| (name, usize::from(h.order))));
    let filters = [("header filter", location.header_filters.len()), ("body filter", location.body_filters.len())];
    let content = location.content.iter().map(|_| ("content handler", 0));
    handlers.chain(content).chain(filters.into_iter().flat_map(|(name, count)| (0..count).map(move |at| (name, at)))).collect()
}

/// The directive with arguments that it accepts.
fn sample(table: &Table, row: &Row, in_http: bool) -> Result<(String, Rc<Location>, Rc<Location>), String> {
    let given = SAMPLES.iter().find(|(name, _)| *name == row.name).map(|(_, args)| *args);
    let lua = row.name.ends_with("_by_lua_block");
    let none = (row.arity == Arity::exactly(0)).then_some("");
    let texts = given.or(none).map_or(USUAL.to_vec(), |args| vec![args]);
    let mut refusal = Err(String::new());
    for args in texts {
        let text = match (lua, row.block) {
            (true, _) => format!("{} {} {{ return 1 }}", row.name, given.unwrap_or_default()),
            (false, true) => format!("{} {args} {{ }}", row.name),
            (false, false) => format!("{} {args};", row.name),
        };
        match load(table, &text, in_http) {
            Ok((own, inner)) => return Ok((text, own, inner)),
            Err(message) => refusal = Err(message),
        }
    }
    refusal
}

#[test]
fn what_an_empty_location_inherits_acts_without_a_location_too() -> Result<(), String> {
    let table = table(&modules(), &stream_modules(), main_level::rows());
    let bare = attached(&load(&table, "", false)?.0);
    let mut acting = BTreeSet::new();
    for (row, level) in table.rows().flat_map(|row| [(row, Context::HTTP), (row, Context::SERVER)]) {
        if !row.contexts.contains(level | Context::LOCATION) {
            continue;
        }
        let (text, own, inner) = match sample(&table, row, level == Context::HTTP) {
            Ok(loaded) => loaded,
            Err(message) => {
                // What needs a file attaches nothing here that the file decides.
                assert!(message.contains("not supported") || message.contains("No such file"), "{} needs a sample: {message}", row.name);
                continue;
            }
        };
        // The server's own place may have more: what locations do not inherit, such as `try_files`.
        assert!(attached(&own).is_superset(&attached(&inner)), "{text} in {level:?}: {:?}, {:?}", attached(&own), attached(&inner));
        if attached(&own) != bare {
            acting.insert((row.name.to_string(), level.bits()));
        }
    }
    for name in ["access_by_lua_block", "rewrite_by_lua_block", "precontent_by_lua_block", "more_set_input_headers", "deny", "auth_basic"] {
        let levels = acting.iter().filter(|(acting, _)| acting == name).count();
        assert_eq!(levels, 2, "{name}");
    }
    Ok(())
}
