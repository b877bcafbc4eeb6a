//! A virtual machine with the whole API in it.

use crate::host::Host;
use base::log::Level;
use lua::{Cx, Hooks, LuaError, Options, Vm};
use std::cell::Cell;
use std::rc::Rc;

/// A machine, with a number that tells it from others so that code can remember its chunk.
pub struct Machine {
    /// The VM.
    pub vm: Vm,
    /// Unique in the process.
    pub serial: u64,
}

/// Where `require` looks when the configuration does not say: what OpenResty and Debian's packages use.
const PATH: &str = "/usr/local/openresty/site/lualib/?.ljbc;/usr/local/openresty/site/lualib/?/init.ljbc;\
/usr/local/openresty/lualib/?.ljbc;/usr/local/openresty/lualib/?/init.ljbc;/usr/local/openresty/site/lualib/?.lua;\
/usr/local/openresty/site/lualib/?/init.lua;/usr/local/openresty/lualib/?.lua;/usr/local/openresty/lualib/?/init.lua;\
./?.lua;/usr/local/share/luajit-2.1/?.lua;/usr/local/share/lua/5.1/?.lua;/usr/local/share/lua/5.1/?/init.lua;\
/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua";
const CPATH: &str = "/usr/local/openresty/site/lualib/?.so;/usr/local/openresty/lualib/?.so;./?.so;\
/usr/local/lib/lua/5.1/?.so;/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;/usr/lib/aarch64-linux-gnu/lua/5.1/?.so;/usr/lib/lua/5.1/?.so;\
/usr/local/lib/lua/5.1/loadall.so";

fn search_path(given: Option<&str>, default: &str) -> String {
    match given {
        None => default.to_owned(),
        Some(given) => given.replace(";;", &format!(";{default};")).trim_matches(';').to_owned(),
    }
}

impl Machine {
    /// Makes a machine. The paths are those of `lua_package_path` and `lua_package_cpath`; `;;` stands for the default.
    ///
    /// # Errors
    /// Memory is exhausted, or a part of the API does not load.
    pub fn new(path: Option<&str>, cpath: Option<&str>) -> Result<Machine, LuaError> {
        thread_local!(static NEXT: Cell<u64> = const { Cell::new(1) });
        let options = Options { path: Some(search_path(path, PATH)), cpath: Some(search_path(cpath, CPATH)) };
        let vm = Vm::new(&options)?;
        vm.set_hooks(Rc::new(Watcher));
        for group in crate::groups() {
            vm.bind(&group)?;
        }
        for (name, source) in crate::preloads() {
            vm.preload(name, source)?;
        }
        Ok(Machine { vm, serial: NEXT.replace(NEXT.get() + 1) })
    }
}

/// Writes to the error log what the VM reports.
struct Watcher;

impl Hooks for Watcher {
    fn global_write(&self, cx: &Cx, name: &[u8], traceback: &[u8]) {
        let Some(host) = cx.host::<Host>() else { return };
        if !host.log_enabled(Level::Warn) {
            return;
        }
        let mut line = b"writing a global Lua variable ('".to_vec();
        line.extend_from_slice(name);
        line.extend_from_slice(b"') which may lead to race conditions between concurrent requests, so prefer the use of 'local' variables");
        line.extend_from_slice(traceback);
        host.log(Level::Warn, &line, crate::host::log_context(cx));
    }

    fn thread_aborted(&self, cx: &Cx, error: &LuaError) {
        let Some(host) = cx.host::<Host>() else { return };
        let mut line = b"lua user thread aborted: ".to_vec();
        line.extend_from_slice(&error.log_text());
        host.log(Level::Error, &line, crate::host::log_context(cx));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(search_path(None, "d"), "d");
        assert_eq!(search_path(Some("/a/?.lua;;"), "d"), "/a/?.lua;d");
        assert_eq!(search_path(Some(";;/a/?.lua"), "d"), "d;/a/?.lua");
    }
}
