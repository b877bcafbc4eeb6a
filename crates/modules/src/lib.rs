//! Modules of HTTP and `stream`: one feature, one file, which serves both protocols where both have it.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

#[cfg(test)]
mod bare_tests;
#[cfg(test)]
mod refusal_tests;

#[cfg(any(test, feature = "check"))]
pub mod check;

// mod1
pub mod access;
pub mod api;
pub mod array_var;
pub mod auth_basic;
pub mod auth_request;
mod block;
pub(crate) mod cidr;
pub mod echo;
pub mod empty_gif;
pub mod flv;
pub mod form_input;
pub mod geo;
pub mod geoip;
pub mod geoip2;
pub mod headers;
pub mod headers_more;
pub mod http2;
pub mod http3;
pub mod keyval;
pub mod log;
pub mod map;
pub mod metrics;
pub mod pass;
pub mod realip;
pub mod referer;
pub mod resolver;
pub mod rewrite;
pub mod secure_link;
pub mod set;
pub mod set_misc;
pub mod slice;
pub mod split_clients;
pub mod ssl;
pub mod ssl_preread;
pub mod status_zone;
pub mod stub_status;
pub mod userid;
pub mod variables;

// mod2
pub mod accept_gzip;
pub mod addition;
pub mod autoindex;
mod background;
mod body_cache;
pub mod brotli;
pub mod browser;
pub mod charset;
mod collector;
mod compile;
mod content_coding;
pub mod coolkit;
pub mod dav;
pub mod early_body;
pub mod encrypted_session;
pub mod files;
mod filtering;
pub mod gunzip;
pub mod gzip;
pub mod iconv;
pub mod image_filter;
pub mod index;
pub mod limit_conn;
pub mod limit_req;
mod limits;
mod marks;
pub mod mirror;
pub mod mp4;
pub mod not_modified;
pub mod precompressed;
pub mod quic;
pub mod random_index;
pub mod range;
pub mod srcache;
pub mod ssi;
pub mod static_files;
pub mod stream_return;
pub mod sub_filter;
mod transform;
mod trusted_proxies;
pub mod try_files;
pub mod xss;
mod zones;
