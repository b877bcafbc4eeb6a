//! `*_cache`: responses of upstreams stored on disk and reused.
//!
//! [`conf`] and [`rows`] have the directives of a location, [`path`] has `*_cache_path`; [`mod@lookup`] runs before the upstream is asked,
//! [`fill`] while its response is forwarded.

pub mod conf;
pub mod facts;
pub mod fill;
pub mod find;
pub(crate) mod invalidation;
pub mod lookup;
pub mod maintenance;
pub mod memory;
pub mod path;
pub mod plan;
pub(crate) mod portions;
pub mod purge;
pub(crate) mod rfc;
pub mod rows;
pub mod serve;
pub mod store;
pub mod stored;
pub mod sweep;
