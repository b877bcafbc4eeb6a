//! The parts of the `ngx` API that read and change a request.
//!
//! Each part is a [`lua::Group`]: rows in Rust, glue in a Lua file of the same name. The glue also makes the
//! `resty.core.*` and `ngx.*` modules that libraries require of that part.

mod abi;
pub mod args;
pub mod cache;
pub mod ndk;
pub(crate) mod req_body;
pub(crate) mod req_header;
pub mod request;
pub(crate) mod resp_header;
pub mod upstream;

use crate::host::Requests;

/// The groups, in the order of binding.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    vec![
        lua_session::var::group::<Requests>(),
        resp_header::group(),
        req_header::group(),
        args::group(),
        request::group(),
        req_body::group(),
        lua_session::balancer::group::<Requests>(),
        upstream::group(),
        cache::group(),
        ndk::group(),
        abi::group(),
        #[cfg(test)]
        sample_tests::group(),
    ]
}

/// The result of a row that a Lua function wraps: its errors name the line that called that function.
pub(crate) fn wrapped<T>(result: Result<T, lua::Raise>) -> Result<T, lua::Raise> {
    result.map_err(|raise| raise.at_level(2))
}

#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
pub(crate) mod tests;
