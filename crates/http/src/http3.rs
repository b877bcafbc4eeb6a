//! What a configuration says of HTTP/3 (nginx manual, `ngx_http_v3_module`); what it says of the transport is [`crate::quic::Quic`].

use conf::scope::Config;

/// Settings of HTTP/3 that a server has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http3 {
    /// `http3`
    pub on: Option<bool>,
    /// `http3_hq`
    pub hq: Option<bool>,
}

impl Http3 {
    /// Whether the server accepts HTTP/3 (`http3 on`).
    pub fn is_on(&self) -> bool {
        self.on.unwrap_or(true)
    }

    /// Whether `hq-interop` is spoken.
    pub fn is_hq(&self) -> bool {
        self.hq.unwrap_or(false)
    }
}

impl Config for Http3 {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on, hq);
    }
}
