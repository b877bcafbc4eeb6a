//! A variable for tests: `$body_filters`, 1 where a body filter looks at the response's body, else 0.

use http::variables::define;
use http::{Module, Variables};
use session::variable::NO_CACHE;

pub(super) const MODULE: Module = Module { variables, ..Module::named("body_filters") };

fn variables(variables: &mut Variables) {
    define(variables, "body_filters", NO_CACHE, |request, out| {
        out.push(if request.has_body_filters() { b'1' } else { b'0' });
        true
    });
}

#[cfg(test)]
mod tests {
    use crate::tests::running::Running;

    /// Filters for `text/css`, and for what does not happen here.
    const FILTERS: &str = "source_charset koi8-r; charset utf-8; charset_types text/css; \
        sub_filter a b; sub_filter_types text/css; ssi on; ssi_types text/css; add_after_body /plain; addition_types text/css; \
        gunzip on; gzip on; gzip_min_length 1; gzip_types text/css; brotli on; brotli_min_length 1; brotli_types text/css; \
        slice 1k; xss_get on; xss_callback_arg call; xss_input_types text/css; \
        srcache_store PUT /kept; srcache_store_statuses 201; add_trailer X-Of-Errors none; \
        lua_dev_errors on; header_filter_by_lua_block { local status = ngx.status }";

    /// Answers without a filter's business; the last one is an error's.
    const PATHS: [&str; 5] = ["/plain", "/chunks", "/proxied/plain", "/proxied/chunks", "/absent"];

    fn locations(port: &str) -> String {
        format!(
            "default_type text/plain; location = /plain {{ add_trailer_inherit off; return 200 aaa; }} \
             location = /chunks {{ add_trailer_inherit off; content_by_lua_block {{ ngx.print(('a'):rep(50000)) }} }} \
             location /proxied/ {{ add_trailer_inherit off; proxy_buffering off; proxy_pass http://127.0.0.1:{port}/; }} \
             location = /absent {{ return 404 aaa; }} location = /kept {{ return 200; }}"
        )
    }

    #[test]
    fn a_filter_that_has_nothing_to_do_does_not_see_the_body() {
        let server = Running::start(&format!(
            "charset_map koi8-r utf-8 {{ C0 D18E; }} log_format seen '$uri $body_filters'; access_log logs/seen seen; \
             server {{ listen 127.0.0.1:$PORT; {locations} \
             location = /styles {{ default_type text/css; return 200 aaa; }} }} \
             server {{ listen 127.0.0.1:$PORT; server_name filtered; {FILTERS} {locations} \
             location = /styles {{ default_type text/css; return 200 aaa; }} }}",
            locations = locations("$PORT"),
        ));
        for path in PATHS {
            let (bare, filtered) = (server.get(path), server.get_from("filtered", path));
            let body = |answer: &str| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            assert_eq!(body(&filtered), body(&bare), "{path}");
            server.await_last_line("logs/seen", &format!("{path} 0"));
        }
        assert!(server.get_from("filtered", "/styles").ends_with("3\r\nbaa\r\n3\r\naaa\r\n0\r\nX-Of-Errors: none\r\n\r\n"));
        server.await_last_line("logs/seen", "/styles 1");
    }
}
