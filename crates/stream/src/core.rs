//! The values of nginx's core stream module, which every part consults.

use base::log::ErrorLog;
use conf::row::Cx;
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
    /// The module whose directive of content (`return`, `pass`, `proxy_pass`) stands last.
    pub content: Option<&'static str>,
}

impl Config for Core {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; error_log, proxy_protocol_timeout, tcp_nodelay, preread_buffer_size, preread_timeout);
    }
}

impl Core {
    /// A directive of content by the module called `name` takes the place of those before it, as in nginx.
    pub fn choose_content(cx: &Cx<'_>, name: &'static str) {
        cx.location::<Core>().content = Some(name);
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_the_block_then_from_the_one_around_it_then_from_nginx() {
        let table = [
            ((None, None), (30_000, 16_384)),
            ((Some(5), None), (5, 5)),
            ((None, Some(7)), (7, 7)),
            ((Some(5), Some(7)), (5, 5)),
            ((Some(0), Some(7)), (0, 0)),
        ];
        for ((own, outer), (time, size)) in table {
            let block =
                |value| Core { preread_timeout: value, proxy_protocol_timeout: value, preread_buffer_size: value, ..Core::default() };
            let mut core = block(own);
            core.inherit(&block(outer));
            assert_eq!((core.preread_timeout(), core.proxy_protocol_timeout(), core.preread_buffer_size()), (time, time, size));
        }
    }

    #[test]
    fn content_is_the_servers_own() {
        let outer = Core { content: Some("return"), ..Core::default() };
        let mut core = Core::default();
        core.inherit(&outer);
        assert!(core.content.is_none());
    }
}
