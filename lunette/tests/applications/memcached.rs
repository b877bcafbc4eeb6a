//! A memcached server, through nginx's own module and through memc.

use crate::client::{pattern, send};
use crate::rig::{Foreground, Prefix, free_port, get};
use crate::server::{At, Server, program};
use std::process::Command;

fn memcached(port: u16) -> Server {
    let mut command = Command::new(program("memcached").expect("no memcached; ./test.sh installs it"));
    // Root's rights it wants to give away.
    command.args(["-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]);
    Server::start(command, &At::Port(port))
}

#[test]
fn values_of_every_size_and_a_restart() {
    let prefix = Prefix::new();
    let (port, store) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ worker_connections 64; }}\n\
             http {{ client_max_body_size 2m; client_body_buffer_size 2m; upstream store {{ server 127.0.0.1:{store} max_fails=0; keepalive 4; }}\n\
             server {{ listen 127.0.0.1:{port};\n\
             location /memc {{ set $memc_key $arg_key; set $memc_cmd $arg_cmd; set $memc_value $arg_value; memc_pass store; }}\n\
             location /method {{ set $memc_key $arg_key; memc_cmds_allowed get set add delete; memc_pass store; }}\n\
             location /value {{ set $memcached_key $arg_key; memcached_pass store; error_page 404 502 = @made; }}\n\
             location @made {{ return 200 made; }} }} }}\n"
        ),
    );
    let first = memcached(store);
    let _server = Foreground::start(&prefix, port, "").unwrap();
    for (path, status, text) in [
        ("/value?key=a", 200, "made"),
        ("/memc?key=a", 404, ""),
        ("/memc?cmd=set&key=a&value=12", 201, "STORED\r\n"),
        ("/memc?cmd=add&key=a&value=13", 200, "NOT_STORED\r\n"),
        ("/memc?cmd=append&key=a&value=3", 201, "STORED\r\n"),
        ("/value?key=a", 200, "123"),
        ("/memc?cmd=incr&key=a&value=4", 201, "127\r\n"),
        ("/memc?cmd=get&key=a", 200, "127"),
        ("/memc?cmd=delete&key=a", 200, "DELETED\r\n"),
        ("/memc?cmd=incr&key=a&value=4", 404, ""),
        ("/memc?cmd=flush_all", 200, "OK\r\n"),
    ] {
        let answer = get(port, path).unwrap();
        assert_eq!(answer.status, status, "{path}: {}", prefix.read("logs/error.log"));
        assert!(text.is_empty() || answer.text() == text, "{path}: {}", answer.text());
    }
    for size in [1, 4095, 4096, 100_000, 1_000_000] {
        let value = pattern(size);
        let method = send(port, "PUT", &format!("/method?key=s{size}"), &[("X-A", "b")], &value);
        assert_eq!(method.status, 201, "{size}: {}", method.text());
        for path in ["method", "value"] {
            assert!(get(port, &format!("/{path}?key=s{size}")).unwrap().body == value, "{path} {size}");
        }
    }
    // More than memcached takes: its own words.
    let large = send(port, "PUT", "/method?key=large", &[], &pattern(1_500_000));
    assert_eq!((large.status, large.text().as_str()), (502, "SERVER_ERROR object too large for cache\r\n"));
    // Connections that were kept are stale behind a restart; nobody notices but by the empty store.
    first.kill();
    assert_eq!(get(port, "/value?key=s1").unwrap().text(), "made");
    let _second = memcached(store);
    assert_eq!(get(port, "/memc?cmd=set&key=a&value=b").unwrap().status, 201);
    assert_eq!(get(port, "/value?key=a").unwrap().text(), "b");
}
