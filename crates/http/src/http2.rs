//! What a configuration says of HTTP/2 (nginx manual, `ngx_http_v2_module`).

use conf::scope::Config;

/// Settings of HTTP/2 that a server has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http2 {
    /// `http2_max_concurrent_streams`
    pub max_streams: Option<u64>,
    /// `http2_body_preread_size`, bytes: the window of each stream before its body is wanted.
    pub preread: Option<u64>,
}

impl Config for Http2 {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; max_streams, preread);
    }
}

/// Settings of HTTP/2 that a location has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http2Output {
    /// `http2_chunk_size`, bytes: the most content of one frame.
    pub chunk: Option<u64>,
}

impl Config for Http2Output {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; chunk);
    }
}
