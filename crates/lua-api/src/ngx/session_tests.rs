//! What code of every protocol has (`lua_session`), in a machine with HTTP's API and without a request.

use crate::ngx::tests::evaluate;

#[test]
fn only_tables_and_only_with_a_request() {
    let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
    assert_eq!(error("ngx.ctx = 1"), "test:1: ctx should be a table while getting a number");
    assert_eq!(error("return ngx.ctx.a"), "test:1: no request found");
}

#[test]
fn without_a_request() {
    assert_eq!(evaluate("select(2, pcall(function() return ngx.var.uri end))"), "test:1: no request found");
    assert_eq!(evaluate("select(2, pcall(function() return ngx.var[{}] end))"), "test:1: bad variable name");
}

#[test]
fn outside_of_requests() {
    let error = |call: &str| evaluate(&format!("select(2, pcall(function() require('ngx.balancer').{call} end))"));
    assert_eq!(error("set_current_peer('127.0.0.1', 80)"), "test:1: no request found");
    assert_eq!(error("set_timeouts(-1)"), "test:1: bad connect timeout");
    assert_eq!(error("enable_keepalive('x')"), "test:1: bad argument #1 to 'enable_keepalive' (number expected, got string)");
    assert_eq!(error("enable_keepalive(1, -1)"), "test:1: bad argument #2 to 'enable_keepalive' (expected >= 0)");
}

#[test]
fn functions_of_c_take_strings_and_pointers_and_leave_their_errors() {
    let call = |call: &str| {
        evaluate(&format!(
            "(function() local ffi = require 'ffi' local err = ffi.new('char *[1]') local rc = ffi.C.ngx_http_lua_ffi_{call} \
             return tostring(rc) .. ' ' .. (err[0] ~= nil and ffi.string(err[0]) or '') end)()"
        ))
    };
    for (code, answer) in [
        ("cert_pem_to_der('x', 1, nil, err)", "-1 PEM_read_bio_X509_AUX() failed"),
        ("priv_key_pem_to_der(ffi.cast('const char *', 'x'), 1, nil, nil, err)", "-1 PEM_read_bio_PrivateKey() failed"),
        ("parse_der_cert('x', 1, err)", "nil d2i_X509_bio() failed"),
        ("parse_pem_priv_key('x', 1, err)", "nil PEM_read_bio_PrivateKey() failed"),
        ("ssl_clear_certs(nil, err)", "-1 bad request"),
        ("proxy_ssl_set_cert(ffi.cast('void *', 5), nil, err)", "-1 bad request"),
        ("req_shared_ssl_ciphers(nil, nil, nil, 0, err)", "-1 bad request"),
    ] {
        assert_eq!(call(code), answer, "{code}");
    }
}

#[test]
fn what_cannot_be_parsed_is_named_as_openssl_does() {
    for (call, text) in [
        ("parse_pem_cert('x')", "PEM_read_bio_X509_AUX() failed"),
        ("parse_der_cert('x')", "d2i_X509_bio() failed"),
        ("parse_der_cert('')", "invalid argument"),
        ("parse_pem_priv_key('x')", "PEM_read_bio_PrivateKey() failed"),
        ("parse_der_priv_key('x')", "d2i_PrivateKey_bio() failed"),
        ("cert_pem_to_der('x')", "PEM_read_bio_X509_AUX() failed"),
        ("priv_key_pem_to_der('x', 'y')", "PEM_read_bio_PrivateKey() failed"),
        ("ssl_session_reused()", "bad ssl"),
    ] {
        assert_eq!(evaluate(&format!("select(2, require 'ngx.ssl'.{call})")), text, "{call}");
    }
}

#[test]
fn what_is_no_chain_is_refused() {
    let error = |call: &str| evaluate(&format!("select(2, require 'ngx.ocsp'.{call})"));
    assert_eq!(error("get_ocsp_responder_from_der_chain('x')"), "d2i_X509_bio() failed");
    assert_eq!(error("create_ocsp_request('x')"), "d2i_X509_bio() failed");
    assert_eq!(error("validate_ocsp_response('x', 'y', 4)"), "d2i_");
}

#[test]
fn outside_of_a_handshake_there_is_nothing_to_change() {
    for (call, text) in [
        ("proxysslcert'.clear_certs()", "no request found"),
        ("proxysslcert'.set_der_cert('x')", "no request found"),
        ("proxysslcert'.set_cert(nil)", "no request found"),
        ("proxysslverify'.set_verify_result(0)", "API disabled in the current context"),
        ("proxysslverify'.get_verify_result()", "API disabled in the current context"),
        ("proxysslverify'.get_verify_cert()", "API disabled in the current context"),
    ] {
        let said = evaluate(&format!("select(2, pcall(function() return require 'ngx.ssl.{call} end))"));
        assert!(said.ends_with(text), "{call}: {said}");
    }
}
