//! A machine with the whole API of `stream`, without a session.

use crate::groups;

/// The values of a list of Lua expressions, joined by spaces.
fn evaluate(expressions: &str) -> String {
    lua::evaluate(&groups(), expressions).expect("the expressions run")
}

#[test]
fn the_subsystem_is_stream() {
    assert_eq!(evaluate("ngx.config.subsystem, ngx.config.ngx_lua_version, ngx.OK, ngx.HTTP_GET, ngx.ERR"), "stream 20 0 nil 4");
    assert_eq!(evaluate("ngx.resp, ngx.header, ngx.location, ngx.redirect, ngx.send_headers"), "nil nil nil nil nil");
    let refused = "select(2, pcall(require 'resty.core.base'.allows_subsystem, 'http'))";
    assert_eq!(evaluate(refused), "unsupported subsystem: stream");
}

#[test]
fn without_a_session() {
    let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
    assert_eq!(error("return ngx.var.remote_addr"), "test:1: no request found");
    assert_eq!(error("return ngx.ctx.a"), "test:1: no request found");
    assert_eq!(error("ngx.exit()"), "test:1: bad argument #1 to 'exit' (number expected, got no value)");
    assert_eq!(error("ngx.say('x')"), "test:1: API disabled in the context of init_by_lua*");
    assert_eq!(error("ngx.req.socket()"), "test:1: API disabled in the context of init_by_lua*");
    assert_eq!(error("require('ngx.balancer').set_current_peer('127.0.0.1', 80)"), "test:1: no request found");
    assert_eq!(
        error("require('ngx.balancer').set_current_peer('127.0.0.1', 80, 'a')"),
        "test:1: bad argument #3 to 'set_current_peer' ('host' not yet implemented in stream subsystem)"
    );
    assert_eq!(error("require('ngx.balancer').enable_keepalive()"), "test:1: 'enable_keepalive' not yet implemented in stream subsystem");
}

#[test]
fn functions_are_those_of_the_subsystem() {
    let table = [
        ("say print flush eof exit log", "ngx", "function"),
        ("get_phase sleep now time md5 crc32_short encode_base64", "ngx", "function"),
        ("exec redirect send_headers set_header location resp header", "ngx", "nil"),
        ("socket", "ngx.req", "function"),
        ("get_headers get_uri_args read_body get_method set_uri", "ngx.req", "nil"),
        ("tcp udp stream connect", "ngx.socket", "function"),
        ("spawn wait kill", "ngx.thread", "function"),
        ("at every running_count", "ngx.timer", "function"),
    ];
    for (names, table, kind) in table {
        for name in names.split(' ') {
            assert_eq!(evaluate(&format!("type({table}.{name})")), kind, "{table}.{name}");
        }
    }
}

#[test]
fn modules_of_the_core_load() {
    for module in ["ngx.balancer", "ngx.ssl", "ngx.ssl.clienthello", "ngx.semaphore", "ngx.re", "resty.core"] {
        assert_eq!(evaluate(&format!("type(require('{module}'))")), "table", "{module}");
    }
}
