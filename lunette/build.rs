//! Exports the C interface of Lua, and ours, to C modules and to code that uses the FFI.

fn main() {
    for symbols in ["lua_*", "luaL_*", "luaopen_*", "luaJIT_*", "ngx_*"] {
        println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={symbols}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
