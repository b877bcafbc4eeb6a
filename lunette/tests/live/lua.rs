//! `ngx.upstream` and `resty.upstream.healthcheck` see and set the state that health checks and the API have.

use crate::api::ask;
use crate::backend::{Backend, Mood};
use crate::rig::{Foreground, Prefix, free_port, get, until};

#[test]
fn lua_the_api_and_checks_have_one_state() {
    let (one, two, prefix, port) = (Backend::start(Mood::good()), Backend::start(Mood::good()), Prefix::new(), free_port());
    let lua = "location /peers { content_by_lua_block {\n\
               local up = require('ngx.upstream')\n\
               if ngx.var.arg_set then assert(up.set_peer_down('group', false, tonumber(ngx.var.arg_set), ngx.var.arg_down == 'yes')) end\n\
               for _, peer in ipairs(up.get_primary_peers('group')) do ngx.print(peer.name, peer.down and ' down' or ' up', ';') end\n\
               ngx.print('|') for _, server in ipairs(up.get_servers('group')) do ngx.print(server.addr, ' ', server.weight, ';') end\n\
               ngx.print('|', require('resty.upstream.healthcheck').status_page()) } }";
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log notice; events {{ }} http {{\n\
             upstream group {{ zone group 64k; server 127.0.0.1:{}; server 127.0.0.1:{}; }}\n\
             server {{ listen {port}; location / {{ proxy_pass http://group; health_check uri=/health interval=100ms; }}\n\
             location /api {{ api write=on; }} {lua} }} }}\n",
            one.port, two.port
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let peers = |query: &str| get(port, &format!("/peers{query}")).unwrap().text();
    let state = |first: &str, second: &str| format!("127.0.0.1:{} {first};127.0.0.1:{} {second};|", one.port, two.port);
    assert!(peers("").starts_with(&state("up", "up")), "{}", peers(""));
    // What Lua sets, the API and all workers see.
    assert!(peers("?set=0&down=yes").starts_with(&state("down", "up")));
    let server = |number: u64| ask(port, "GET", &format!("/9/http/upstreams/group/servers/{number}"), "").text();
    assert!(server(0).contains("\"down\":true"), "{}", server(0));
    for _ in 0..8 {
        assert_eq!(get(port, "/x").unwrap().status, 200);
    }
    assert_eq!(one.requests(), 0);
    // What the API sets, Lua sees.
    assert_eq!(ask(port, "PATCH", "/9/http/upstreams/group/servers/0", "{\"down\":false,\"weight\":7}").status, 200);
    let text = peers("");
    assert!(text.starts_with(&state("up", "up")) && text.contains(&format!("127.0.0.1:{} 7;", one.port)), "{text}");
    // What a check says, Lua sees, and what Lua sets does not overrule it.
    two.be(Mood::Closes);
    until("a check to fail", || peers("").starts_with(&state("up", "down")));
    assert!(peers("?set=1&down=no").starts_with(&state("up", "down")));
    assert!(peers("").contains(&format!("127.0.0.1:{} DOWN", two.port)), "{}", peers(""));
    two.be(Mood::good());
    until("it to recover", || peers("").starts_with(&state("up", "up")));
}
