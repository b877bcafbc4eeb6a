//! Lets C modules find Lua's functions in this crate's tests and examples, as they do in the server.

fn main() {
    for symbols in ["lua_*", "luaL_*", "luaopen_*", "luaJIT_*", "ngx_*"] {
        println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={symbols}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
