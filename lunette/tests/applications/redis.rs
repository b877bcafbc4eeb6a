//! A Redis server and `redis2_pass`.

use crate::rig::{Foreground, Prefix, free_port, get};
use crate::server::Server;

#[test]
fn commands_one_after_the_other_and_together() {
    let prefix = Prefix::new();
    let (port, redis) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log info; events {{ worker_connections 64; }}\n\
             http {{ upstream redis {{ server 127.0.0.1:{redis}; keepalive 2; }} server {{ listen 127.0.0.1:{port};\n\
             location /set {{ set_unescape_uri $value $arg_value; redis2_query set $arg_key $value; redis2_query ttl $arg_key; redis2_pass redis; }}\n\
             location /get {{ redis2_query get $arg_key; redis2_pass redis; }}\n\
             location /raw {{ set_unescape_uri $query $arg_query; redis2_raw_query $query; redis2_pass redis; }}\n\
             location /many {{ redis2_raw_queries 2 \"get a\\r\\nget b\\r\\n\"; redis2_pass 127.0.0.1:{redis}; }}\n\
             }} }}\n"
        ),
    );
    let _redis = Server::redis(&prefix, redis);
    let _server = Foreground::start(&prefix, port, "").unwrap();
    for (path, reply) in [
        ("/set?key=a&value=x%0D%0Ay", "+OK\r\n:-1\r\n"),
        ("/get?key=a", "$4\r\nx\r\ny\r\n"),
        ("/get?key=nothing", "$-1\r\n"),
        ("/raw?query=lpush%20l%201%202%0D%0A", ":2\r\n"),
        ("/raw?query=lrange%20l%200%20-1%0D%0A", "*2\r\n$1\r\n2\r\n$1\r\n1\r\n"),
        ("/raw?query=bad%0D%0A", "-ERR unknown command"),
        ("/many", "$4\r\nx\r\ny\r\n$-1\r\n"),
    ] {
        let answer = get(port, path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text() == reply || reply.starts_with('-') && answer.text().starts_with(reply), "{path}: {}", answer.text());
    }
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[error]"), "{log}");
}
