//! What a configuration says of QUIC, the transport of HTTP/3 (nginx manual, `ngx_http_v3_module`).

use conf::scope::Config;
use std::cell::OnceCell;
use std::rc::Rc;
use tls::quic::HostKey;

/// Server-level values. Those of an address's default server are in force for all of its clients, as they are needed before a name is
/// known.
#[derive(Clone, Debug, Default)]
pub struct Quic {
    /// `quic_retry`
    pub retry: Option<bool>,
    /// `quic_gso`
    pub gso: Option<bool>,
    /// What the file of `quic_host_key` holds.
    pub host_key: Option<Rc<[u8]>>,
    /// `quic_active_connection_id_limit`
    pub id_limit: Option<u64>,
    /// `http3_stream_buffer_size`, bytes.
    pub stream_buffer: Option<u64>,
    /// `http3_max_concurrent_streams`
    pub max_streams: Option<u64>,
    /// The secrets that follow from the host key, or from the master's own; filled when the server is built.
    pub key: OnceCell<HostKey>,
}

impl Config for Quic {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; retry, gso, host_key, id_limit, stream_buffer, max_streams);
    }
}
