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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_cached_unless_a_block_says_otherwise() {
        for (own, outer, cached) in
            [(None, None, true), (Some(false), None, false), (None, Some(false), false), (Some(true), Some(false), true)]
        {
            let block = |code_cache| RunOptions { code_cache, ..RunOptions::default() };
            let mut options = block(own);
            options.inherit(&block(outer));
            assert_eq!(options.is_cached(), cached, "{own:?} in {outer:?}");
        }
    }
}
