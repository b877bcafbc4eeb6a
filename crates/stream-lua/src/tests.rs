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
