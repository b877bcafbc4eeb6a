//! Which clients get early hints (RFC 8297).

use crate::Request;
use crate::line::Version;

impl Request {
    /// Whether a 103 may be sent before the response: `early_hints` says so, and the client can read it.
    pub fn takes_early_hints(&self) -> bool {
        if self.parent.is_some() || self.version() < Version::Http11 || self.flags.header_sent.get() || self.flags.post_action.get() {
            return false;
        }
        let core = self.core();
        core.early_hints.as_ref().is_some_and(|values| {
            values.iter().any(|value| {
                let value = value.to_vec(self);
                !value.is_empty() && value != b"0"
            })
        })
    }
}
