//! What LuaJIT makes of code that calls the built-in functions.

use crate::rig::{Prefix, free_port, get};

/// Functions without a compiled form: their arguments or results are Lua values of any shape.
const STITCHED: [&str; 4] = ["cjson.decode", "cjson.encode", "ngx.req.get_headers", "ngx.req.get_uri_args"];

#[test]
fn built_in_functions_are_compiled() {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write("traces.lua", include_str!("traces.lua"));
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1;\nerror_log logs/error.log;\nevents {{ worker_connections 1024; }}\nhttp {{\nlua_shared_dict d 1m;\n\
             server {{\nlisten {port};\nlocation / {{\nset $v '';\ncontent_by_lua_file traces.lua;\n}}\n}}\n}}\n"
        ),
    );
    assert!(prefix.run(&[]).status.success());
    let answer = get(port, "/?a=b").unwrap();
    assert_eq!(answer.status, 200, "{}", prefix.read("logs/error.log"));
    let text = answer.text();
    let wrong: Vec<&str> = text
        .lines()
        .filter(|line| {
            let (name, outcome) = line.split_once(": ").unwrap();
            outcome != if STITCHED.contains(&name) { "stitched" } else { "compiled" }
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(text.lines().count() > 80, "{text}");
}
