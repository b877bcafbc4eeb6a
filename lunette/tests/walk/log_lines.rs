//! Lines of the error log tell what the server was doing, as nginx's do.

use crate::rig::{Foreground, Prefix, free_port, get, until};

#[test]
fn lines_of_the_log_phase_say_so() {
    let (prefix, port) = (Prefix::new(), free_port());
    let conf = format!(
        "daemon off; error_log logs/error.log info;\nevents {{ }}\nhttp {{ server {{ listen 127.0.0.1:{port};\n\
         location / {{ access_by_lua_block {{ ngx.log(ngx.WARN, 'before') }} return 200; log_by_lua_block {{ ngx.log(ngx.WARN, 'after') }} }}\n\
         }} }}\n"
    );
    prefix.write("conf/nginx.conf", &conf);
    let running = Foreground::start(&prefix, port, "").unwrap();
    get(port, "/").unwrap();
    let log = || prefix.read("logs/error.log");
    until("the log phase", || log().contains("after"));
    assert!(log().contains(": before, client: 127.0.0.1"), "{}", log());
    assert!(log().contains(": after while logging request, client: 127.0.0.1"), "{}", log());
    drop(running);
}
