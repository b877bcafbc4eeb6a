//! Certificates that the server gets by itself: `acme_issuer`, `acme_certificate` (RFC 8555; the manual of `ngx_http_acme_module`).
//!
//! The configuration makes `issuer`s with their orders. One worker keeps certificates fresh (`renewal`): it speaks the protocol
//! (`client` over `transport`, signed by `jws`) and proves control of names by `challenge`s, which all workers answer from the
//! shared `zone`. Certificates come to `ssl_certificate` by variables, so that they change without a reload.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod certificate;
mod challenge;
mod client;
mod error;
mod identifier;
mod issuer;
mod jws;
mod key;
mod order;
mod proof_files;
mod registry;
mod renewal;
mod resource;
mod rows;
mod schedule;
mod state;
mod transport;
mod url;
mod zone;

use http::Module;

/// The module.
pub const MODULE: Module = Module {
    rows: rows::rows,
    levels: registry::levels,
    variables: registry::variables,
    complete: registry::complete,
    server: registry::server,
    attach: proof_files::attach,
    start: renewal::start,
    ..Module::named("acme")
};
