//! Answers kept in Redis by `srcache_*`, fetched by Lua and stored by `redis2_pass`.

use crate::client::send;
use crate::rig::{Foreground, Prefix, free_port, get};
use crate::server::Server;

#[test]
fn answers_are_kept_in_redis() {
    let prefix = Prefix::new();
    let (port, redis) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log info; events {{ }}\n\
             http {{ server {{ listen 127.0.0.1:{port};\n\
             location /app {{ srcache_fetch GET /fetch $uri; srcache_store PUT /store key=$uri&time=$srcache_expire;\n\
               add_header X-Fetch $srcache_fetch_status; proxy_pass http://127.0.0.1:{port}/made; }}\n\
             location /made {{ add_header X-App app; default_type text/x; return 200 $arg_n; }}\n\
             location = /fetch {{ internal; content_by_lua_block {{\n\
               local red = require 'resty.redis':new() assert(red:connect('127.0.0.1', {redis}))\n\
               local found = red:get(ngx.var.args) red:set_keepalive()\n\
               if found == ngx.null then return ngx.exit(404) end ngx.print(found) }} }}\n\
             location = /store {{ internal; redis2_query set $arg_key $echo_request_body; redis2_query expire $arg_key $arg_time;\n\
               redis2_pass 127.0.0.1:{redis}; }}\n\
             }} }}\n"
        ),
    );
    let _redis = Server::redis(&prefix, redis);
    let _server = Foreground::start(&prefix, port, "").unwrap();
    for (n, wanted, fetched) in [(1, "1", "MISS"), (2, "1", "HIT"), (3, "1", "HIT")] {
        let answer = get(port, &format!("/app?n={n}")).unwrap();
        assert_eq!((answer.text().as_ref(), answer.header("X-Fetch")), (wanted, Some(fetched)), "{n}");
        assert_eq!((answer.header("X-App"), answer.header("Content-Type")), (Some("app"), Some("text/x")));
    }
    assert_eq!(send(port, "HEAD", "/app", &[], b"").header("X-Fetch"), Some("HIT"));
    assert!(!prefix.read("logs/error.log").contains("[error]"), "{}", prefix.read("logs/error.log"));
}
