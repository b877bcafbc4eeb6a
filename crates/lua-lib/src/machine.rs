//! A virtual machine with the configured search paths.

use base::log::{ErrorLog, Level};
use lua::{LuaError, Options, Vm};
use std::cell::{Cell, OnceCell};

/// A machine, with a number that tells it from others so that code can remember its chunk.
pub struct Machine {
    /// The VM.
    pub vm: Vm,
    /// Unique in the process.
    pub serial: u64,
    /// Where its end is noted, if it is one request's.
    pub log: OnceCell<ErrorLog>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(log) = self.log.get() {
            log.write(Level::Debug, 0, b"lua close the global Lua VM");
        }
    }
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

/// The usual places where OpenResty would look after it found a library of its own: all but those for what the site
/// has installed.
pub(crate) fn own_places() -> String {
    PATH.split(';').filter(|template| !template.contains("/site/")).collect::<Vec<_>>().join(";")
}

fn search_path(given: Option<&str>, default: &str) -> String {
    match given {
        None => default.to_owned(),
        Some(given) => given.replace(";;", &format!(";{default};")).trim_matches(';').to_owned(),
    }
}

/// Where machines look, with what the environment said when the configuration was opened: workers do not have it.
#[derive(Debug, Clone)]
pub struct Search {
    path: String,
    cpath: String,
}

impl Search {
    /// The paths are those of `lua_package_path` and `lua_package_cpath`; `;;` stands for the default, which the
    /// variables `LUA_PATH` and `LUA_CPATH` of the environment may change likewise.
    #[must_use]
    pub fn new(path: Option<&str>, cpath: Option<&str>) -> Search {
        let (usual, usual_c) = (from_environment("LUA_PATH", PATH), from_environment("LUA_CPATH", CPATH));
        Search { path: search_path(path, &usual), cpath: search_path(cpath, &usual_c) }
    }
}

fn from_environment(variable: &str, default: &str) -> String {
    search_path(std::env::var(variable).ok().as_deref(), default)
}

impl Machine {
    /// Makes a machine.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn new(search: Search) -> Result<Machine, LuaError> {
        thread_local!(static NEXT: Cell<u64> = const { Cell::new(1) });
        let options = Options { path: Some(search.path), cpath: Some(search.cpath) };
        let vm = Vm::new(&options)?;
        Ok(Machine { vm, serial: NEXT.replace(NEXT.get() + 1), log: OnceCell::new() })
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
        let own = own_places();
        assert!(own.contains("/usr/local/openresty/lualib/?.lua;") && own.ends_with("5.1/?/init.lua") && !own.contains("site"), "{own}");
    }
}
