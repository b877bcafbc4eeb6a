//! `lua_*` switches of a location that only HTTP has (lua-nginx-module's README, "Directives").

use conf::context::Context;
use conf::row::{self, Row};
use conf::scope::Config;

/// The switches; `None` after inheritance is the default.
#[derive(Default)]
pub struct Options {
    /// `lua_need_request_body`
    pub need_body: Option<bool>,
    /// `lua_use_default_type`, on by default.
    pub use_default_type: Option<bool>,
    /// `lua_http10_buffering`, on by default.
    pub http10_buffering: Option<bool>,
    /// `lua_transform_underscores_in_response_headers`, on by default.
    pub transform_underscores: Option<bool>,
    /// `lua_dev_errors`
    pub dev_errors: Option<bool>,
}

impl Config for Options {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; need_body, use_default_type, http10_buffering, transform_underscores, dev_errors);
    }
}

/// Their rows.
pub fn rows() -> Vec<Row> {
    let at = Context::HTTP_IF;
    vec![
        row::flag("lua_need_request_body", at, "Reads the request body before Lua runs.", |o: &mut Options| &mut o.need_body),
        row::flag("lua_use_default_type", at, "Gives responses of Lua the default type.", |o: &mut Options| &mut o.use_default_type),
        row::flag("lua_http10_buffering", at, "Gathers responses to HTTP/1.0.", |o: &mut Options| &mut o.http10_buffering),
        row::flag("lua_transform_underscores_in_response_headers", at, "Makes `_` in ngx.header's names `-`.", |o: &mut Options| {
            &mut o.transform_underscores
        }),
        row::flag("lua_dev_errors", at, "Shows errors of Lua code in the browser.", |o: &mut Options| &mut o.dev_errors),
    ]
}
