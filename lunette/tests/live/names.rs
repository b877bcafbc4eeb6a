//! Names that are added by the API are followed: their addresses come, are asked whether they are well first, and go with them.

use crate::api::ask;
use crate::backend::{Backend, Mood};
use crate::rig::dns::NameServer;
use crate::rig::{Foreground, Prefix, free_port, get, until};

#[test]
fn a_name_that_is_added_is_followed() {
    let (names, one, prefix, port) = (NameServer::start(), Backend::start(Mood::good()), Prefix::new(), free_port());
    names.say(&[1]);
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log notice; events {{ }} http {{ resolver 127.0.0.1:{} valid=1s;\n\
             upstream group {{ zone group 64k; server 127.0.0.1:1 down; }}\n\
             server {{ listen {port}; location / {{ proxy_pass http://group; health_check uri=/health interval=100ms mandatory; }}\n\
             location /api {{ api write=on; }} }} }}\n",
            names.port
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let group = "/9/http/upstreams/group/servers";
    one.be(Mood::Closes);
    let added = ask(port, "POST", group, &format!("{{\"server\":\"a.test:{}\",\"weight\":3}}", one.port));
    let start = format!("{{\"id\":1,\"server\":\"a.test:{}\",\"weight\":3,", one.port);
    assert!(added.status == 201 && added.text().starts_with(&start), "{added:?}");
    let child = format!("{{\"id\":2,\"server\":\"127.0.0.1:{}\",\"weight\":3,", one.port);
    until("its address", || ask(port, "GET", group, "").text().contains(&child));
    assert!(ask(port, "GET", &format!("{group}/2"), "").text().contains("\"parent\":1,\"host\":\"a.test\""));
    assert_eq!(get(port, "/x").unwrap().status, 502);
    one.be(Mood::good());
    until("it to be well", || get(port, "/x").unwrap().status == 200);
    // What follows from a name is changed with it.
    for (method, path, code) in [("PATCH", "2", "UpstreamServerImmutable"), ("DELETE", "2", "UpstreamServerImmutable")] {
        let answer = ask(port, method, &format!("{group}/{path}"), "{\"weight\":9}");
        assert!(answer.status == 400 && answer.text().contains(code), "{answer:?}");
    }
    assert_eq!(ask(port, "PATCH", &format!("{group}/1"), "{\"down\":true}").status, 200);
    assert_eq!(get(port, "/x").unwrap().status, 502);
    assert_eq!(ask(port, "PATCH", &format!("{group}/1"), "{\"down\":false}").status, 200);
    until("it to be back", || get(port, "/x").unwrap().status == 200);
    names.say(&[]);
    until("it to be gone", || get(port, "/x").unwrap().status == 502);
    names.say(&[1]);
    until("it to be there again", || get(port, "/x").unwrap().status == 200);
    assert_eq!(ask(port, "DELETE", &format!("{group}/1"), "").status, 200);
    assert_eq!(get(port, "/x").unwrap().status, 502);
    assert!(!ask(port, "GET", group, "").text().contains("a.test"));
}
