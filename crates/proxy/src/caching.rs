//! `*_cache`: answers of upstreams kept on disk and given again.
//!
//! [`said`] and [`rows`] have the directives of a location, [`path`] has `*_cache_path`; [`look`] comes before the upstream is asked,
//! [`fill`] where its answer is passed on.

pub mod conf;
pub mod facts;
pub mod fill;
pub mod find;
pub mod invalidation;
pub mod keeper;
pub mod look;
pub mod memory;
pub mod null_output;
pub mod path;
pub mod plan;
pub mod portions;
pub mod purge;
pub mod rfc;
pub mod rows;
pub mod serve;
pub mod store;
pub mod stored;
pub mod sweep;
