//! The bits of body filters that run on demand: a header filter that has nothing to do for a response sets none, and the body passes
//! as if the filter were not there. The bits from 24 on belong to the filters of Lua.

pub(crate) const RANGE: u32 = 1;
pub(crate) const CHARSET: u32 = 1 << 1;
pub(crate) const SUB: u32 = 1 << 2;
pub(crate) const GUNZIP: u32 = 1 << 3;
pub(crate) const GZIP: u32 = 1 << 4;
pub(crate) const BROTLI: u32 = 1 << 5;
pub(crate) const SSI: u32 = 1 << 6;
pub(crate) const IMAGE: u32 = 1 << 7;
pub(crate) const ADDITION: u32 = 1 << 8;
pub(crate) const SLICE: u32 = 1 << 9;
pub(crate) const XSS: u32 = 1 << 10;
pub(crate) const SRCACHE: u32 = 1 << 11;
pub(crate) const TRAILERS: u32 = 1 << 12;
pub(crate) const ICONV: u32 = 1 << 13;
