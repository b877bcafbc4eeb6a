//! nginx's defaults.

/// Defaults of the family's directives.
pub mod default {
    /// `*_buffer_size` and each of `*_buffers`, bytes: a page
    pub const PAGE: u64 = 4096;
    /// Number of `*_buffers`
    pub const BUFFERS: u64 = 8;
    /// `*_max_temp_file_size`, bytes
    pub(crate) const MAX_FILE: u64 = 1 << 30;
    /// All three time limits, milliseconds
    pub const TIMEOUT: u64 = 60_000;
    /// Most bytes of one read, whatever `*_buffers` allow: 64 KiB with their head and framing
    pub(crate) const MAX_READ: u64 = 68 * 1024;
    /// `keepalive` of a group that says nothing
    pub(crate) const KEEPALIVE: usize = 32;
    /// `keepalive_requests`
    pub const KEEPALIVE_REQUESTS: u64 = 1000;
    /// `keepalive_time`, milliseconds
    pub const KEEPALIVE_TIME: u64 = 3_600_000;
    /// `keepalive_timeout`, milliseconds
    pub const KEEPALIVE_TIMEOUT: u64 = 60_000;
}

/// Most header lines of a response.
pub const MAX_HEADERS: usize = 1000;
/// Most bytes of chunk extensions and trailers of one response body.
pub(crate) const MAX_CHUNK_OVERHEAD: usize = 32 * 1024;
/// Most scratch buffers that a worker keeps for its next exchanges.
pub(crate) const MAX_SPARE: usize = 64;
/// Scratch buffers above this size are not kept, bytes.
pub(crate) const MAX_SPARE_SIZE: usize = 64 * 1024;
/// Most buffers for responses that a worker keeps for the next ones.
pub(crate) const MAX_INPUTS: usize = 8;
/// Most groups made of addresses that variables gave.
pub(crate) const MAX_ADDRESSES: usize = 1024;

/// What is logged when an upstream is silent for too long.
pub const TIMED_OUT: &[u8] = b"upstream timed out (110: Connection timed out)";
/// Most informational answers before the real one.
pub(crate) const MAX_INTERIM: u32 = 16;
