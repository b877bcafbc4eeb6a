//! Functions that need no request by the names that they have in lua-nginx-module's C code, for code that calls them through `ffi.C`.
//!
//! They are written in Lua, over what `ngx` offers: nothing of what such code points to is looked into by this program. What
//! other parts with such functions need is kept for them.

use crate::host::host;
use lua::{CallContext, Group, PhaseSet, Row};

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let rows = vec![Row::fast::<ALL, _, _>("leave_unix_listener", leave_unix_listener), Row::fast::<ALL, _, _>("parse_time", parse_time)];
    Group { name: "ngx by C names", rows, glue: include_str!("abi.lua") }
}

/// A time as nginx's directives have it, in seconds or milliseconds; -1 where it is none.
fn parse_time(_: &CallContext, text: &[u8], in_seconds: f64) -> f64 {
    let parsed = if in_seconds == 0.0 { base::text::parse_time_ms(text) } else { base::text::parse_time_sec(text) };
    parsed.map_or(-1.0, |time| time as f64)
}

/// Leaves a listening socket to the other workers; false where there is none of that name, or this worker listens on it already.
fn leave_unix_listener(cx: &CallContext, name: &[u8]) -> bool {
    let worker = host(cx).and_then(|host| host.worker().cloned());
    worker.is_some_and(|worker| worker.leave_unix_listener(&String::from_utf8_lossy(name)))
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn functions_of_c_fill_what_they_are_pointed_to() {
        let call = |code: &str| {
            evaluate(&format!(
                "(function() local ffi = require 'ffi' local C, out, size = ffi.C, ffi.new('unsigned char [64]'), ffi.new('size_t [1]') {code} end)()"
            ))
        };
        for (code, answer) in [
            ("local n = C.ngx_http_lua_ffi_encode_base64('abcd', 4, out, 0) return ffi.string(out, n)", "YWJjZA=="),
            ("local n = C.ngx_http_lua_ffi_encode_base64('abcd', 4, out, 1) return ffi.string(out, n)", "YWJjZA"),
            ("local ok = C.ngx_http_lua_ffi_decode_base64('YWJj', 4, out, size) return ok, ffi.string(out, size[0])", "1 abc"),
            ("return C.ngx_http_lua_ffi_decode_base64('?', 1, out, size)", "0"),
            (
                "local s = 'a b/c' C.ngx_http_lua_ffi_escape_uri(s, 5, out, 2) \
              return C.ngx_http_lua_ffi_uri_escaped_length(s, 5, 2), ffi.string(out)",
                "9 a%20b%2Fc",
            ),
            ("return ffi.string(out, C.ngx_http_lua_ffi_unescape_uri(ffi.cast('const char *', 'a%20b+c'), 5, out))", "a b"),
            (
                "local n = C.ngx_escape_uri(nil, '/a b/?', 6, 0) local to = ffi.cast('char *', out) \
              return n, C.ngx_escape_uri(to, '/a b/?', 6, 0) == tonumber(ffi.cast('intptr_t', to)) + 10, ffi.string(out, 6 + 2 * n)",
                "2 true /a%20b/%3F",
            ),
            (
                "local from, to = ffi.new('char [8]', 'a%20b+c'), out \
              local source, target = ffi.new('char *[1]', from), ffi.new('unsigned char *[1]', to) \
              C.ngx_unescape_uri(target, source, 7, 0) return ffi.string(out, target[0] - out), source[0] - from",
                "a b+c 7",
            ),
            (
                "local s = ffi.new('ngx_str_t[1]') local function time(text, seconds) s[0].data, s[0].len = text, #text return C.ngx_parse_time(s, seconds) end \
              return time('1m 30s', 1), time('20ms', 0), time('soon', 1), tonumber(time('2', 1), 10)",
                "90 20 -1 2",
            ),
            // Declared by libraries of OpenResty, and used by others that declare nothing.
            ("ffi.cdef[[void *malloc(size_t size);]] C.free(C.malloc(8)) return tostring(ffi.typeof('u_char'))", "ctype<unsigned char>"),
            ("ffi.cdef[[typedef unsigned char u_char; void free(void *ptr);]] return ffi.sizeof('u_char')", "1"),
            ("return C.ngx_http_lua_ffi_now() == ngx.now(), C.ngx_http_lua_ffi_time() == ngx.time()", "true true"),
            ("C.ngx_http_lua_ffi_http_time(out, 784111777) return ffi.string(out)", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (
                "local at = ffi.new('long [1]') C.ngx_http_lua_ffi_parse_http_time('Sun, 06 Nov 1994 08:49:37 GMT', 29, at) \
              return tonumber(at[0])",
                "784111777",
            ),
            ("C.ngx_http_lua_ffi_today(out) return ffi.string(out) == ngx.today()", "true"),
            ("return C.ngx_http_lua_ffi_worker_count() == ngx.worker.count(), C.ngx_http_lua_ffi_worker_exiting()", "true 0"),
        ] {
            assert_eq!(call(code), answer, "{code}");
        }
    }
}
