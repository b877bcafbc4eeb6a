//! HTTP modules: one feature, one file.
#![forbid(unsafe_code)]

// mod2
pub mod accept_gzip;
pub mod dav;
mod filtering;
pub mod random_index;
pub mod gunzip;
pub mod gzip;
pub mod gzip_static;
pub mod autoindex;
mod compile;
pub mod content_type;
pub mod files;
pub mod index;
pub mod limit_conn;
pub mod limit_req;
mod limits;
pub mod not_modified;
pub mod range;
pub mod static_files;
pub mod try_files;
