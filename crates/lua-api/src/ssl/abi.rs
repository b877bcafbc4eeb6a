//! The same functions by the names that they have in lua-nginx-module's C code, for code that calls them through `ffi.C`.
//!
//! They are written in Lua: nothing of what such code points to is looked into by this program, and the request that it hands
//! over is only compared with the one that runs.

use lua::Group;

/// The part's glue.
pub(super) fn group() -> Group {
    Group { name: "ngx.ssl by C names", rows: Vec::new(), glue: include_str!("abi.lua") }
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

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
}
