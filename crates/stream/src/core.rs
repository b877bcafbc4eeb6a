//! The values of nginx's core stream module, which every part consults.

use crate::variables::ServerName;
use base::log::ErrorLog;
use conf::scope::Config;

/// Values of `stream` and `server`; what is `None` after inheritance has nginx's default.
#[derive(Clone, Default)]
pub struct Core {
    /// `error_log`
    pub error_log: Option<ErrorLog>,
    /// `proxy_protocol_timeout`, milliseconds
    pub proxy_protocol_timeout: Option<u64>,
    /// `tcp_nodelay`
    pub tcp_nodelay: Option<bool>,
    /// `preread_buffer_size`, bytes
    pub preread_buffer_size: Option<u64>,
    /// `preread_timeout`, milliseconds
    pub preread_timeout: Option<u64>,
    /// `server_name`, in order
    pub names: Vec<ServerName>,
    /// `$server_name`: the first name as written
    pub first_name: Option<Box<[u8]>>,
}

impl Config for Core {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; error_log, proxy_protocol_timeout, tcp_nodelay, preread_buffer_size, preread_timeout);
    }
}

impl Core {
    /// `proxy_protocol_timeout`, milliseconds.
    pub fn proxy_protocol_timeout(&self) -> u64 {
        self.proxy_protocol_timeout.unwrap_or(30_000)
    }

    /// `preread_timeout`, milliseconds.
    pub fn preread_timeout(&self) -> u64 {
        self.preread_timeout.unwrap_or(30_000)
    }

    /// `preread_buffer_size`, bytes.
    pub fn preread_buffer_size(&self) -> usize {
        usize::try_from(self.preread_buffer_size.unwrap_or(16_384)).unwrap_or(usize::MAX)
    }
}
