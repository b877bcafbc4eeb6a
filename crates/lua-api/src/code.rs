//! Code in the configuration, as HTTP's directives hold it.

/// One directive's code.
pub type Code = lua_session::Code<http::Request>;
