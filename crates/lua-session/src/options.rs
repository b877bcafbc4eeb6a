//! `lua_*` switches that code of every protocol has (lua-nginx-module's README, "Directives").

use conf::scope::Config;

/// The switches; `None` after inheritance is the default.
#[derive(Default)]
pub struct RunOptions {
    /// `lua_code_cache`, on by default.
    pub code_cache: Option<bool>,
    /// `lua_check_client_abort`
    pub check_client_abort: Option<bool>,
    /// `lua_yield_in_all_phases`
    pub yield_everywhere: Option<bool>,
}

impl Config for RunOptions {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; code_cache, check_client_abort, yield_everywhere);
    }
}

impl RunOptions {
    /// Whether compiled code stays from one session to the next.
    #[must_use]
    pub(crate) fn is_cached(&self) -> bool {
        self.code_cache.unwrap_or(true)
    }
}
