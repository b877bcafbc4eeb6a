//! The parts of the `ngx` API that read and change a request, and those that need none.
//!
//! Each part is a [`lua::Group`]: rows in Rust, glue in a Lua file of the same name. The glue also makes the
//! `resty.core.*` and `ngx.*` modules that libraries require of that part.

pub mod args;
pub mod balancer;
pub mod base64;
pub mod cache;
pub mod consts;
pub mod digest;
pub mod environment;
pub mod errlog;
pub mod escape;
pub mod ndk;
pub mod process;
pub mod regex;
pub mod req_body;
pub mod req_header;
pub mod request;
pub mod resp_header;
pub mod semaphore;
pub mod shared;
pub mod symbols;
pub mod time;
pub mod upstream;
pub mod var;
pub mod worker;

/// The groups, in the order of binding: the constants make the tables that others fill.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    vec![
        symbols::group(),
        consts::group(),
        var::group(),
        resp_header::group(),
        req_header::group(),
        args::group(),
        request::group(),
        time::group(),
        digest::group(),
        base64::group(),
        escape::group(),
        worker::group(),
        environment::group(),
        req_body::group(),
        ndk::group(),
        shared::group(),
        regex::group(),
        semaphore::group(),
        process::group(),
        errlog::group(),
        balancer::group(),
        upstream::group(),
        cache::group(),
    ]
}

/// The groups of a machine in a thread: what needs no request.
#[must_use]
pub(crate) fn thread_groups() -> Vec<lua::Group> {
    vec![symbols::group(), consts::group(), args::group(), digest::group(), base64::group(), escape::group(), shared::group()]
}

/// The result of a row that a Lua function wraps: its errors name the line that called that function.
pub(crate) fn wrapped<T>(result: Result<T, lua::Raise>) -> Result<T, lua::Raise> {
    result.map_err(|raise| raise.at_level(2))
}

#[cfg(test)]
pub(crate) mod tests;
