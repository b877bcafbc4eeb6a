//! What the transport of a connection may use, and its parameters over the wire (RFC 9000, 18).

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{TransportConfig, VarInt};
use wire::quic::varint;

/// `active_connection_id_limit`
const ID_LIMIT: u64 = 0x0e;

/// How many connection IDs of the client are kept, whatever is asked for.
const MOST_IDS: u64 = 5;

/// Bytes that may wait to be sent or to be acknowledged, before more is known of the path.
pub(super) const FIRST_WINDOW: u64 = 256 * 1024;

/// The limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After so many milliseconds of silence it ends; 0: never by itself.
    pub idle_ms: u64,
    /// Streams of both directions that the client may have open.
    pub streams: u64,
    /// Streams of one direction that the client may have open.
    pub uni: u64,
    /// Bytes of a stream that the client may send before they are read.
    pub stream_buffer: u64,
    /// How many connection IDs of the client's are kept.
    pub ids: u64,
    /// Datagrams may be cut by the kernel.
    pub segments: bool,
}

/// Limits made ready; cheap to clone, and made once for all connections of a listener.
#[derive(Debug, Clone)]
pub struct Transport {
    pub(super) config: Arc<TransportConfig>,
    pub(super) ids: u64,
}

impl Transport {
    /// Makes limits ready.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let number = |value: u64| VarInt::from_u64(value).unwrap_or(VarInt::MAX);
        let mut config = TransportConfig::default();
        let idle = (limits.idle_ms > 0).then(|| Duration::from_millis(limits.idle_ms.min(u64::from(u32::MAX))));
        let streams = limits.streams.saturating_add(limits.uni);
        config
            .max_idle_timeout(idle.and_then(|time| time.try_into().ok()))
            .max_concurrent_bidi_streams(number(limits.streams))
            .max_concurrent_uni_streams(number(limits.uni))
            .stream_receive_window(number(limits.stream_buffer))
            .receive_window(number(limits.stream_buffer.saturating_mul(streams.max(1))))
            .send_window(FIRST_WINDOW)
            .datagram_receive_buffer_size(None)
            .enable_segmentation_offload(limits.segments);
        Self { config: Arc::new(config), ids: limits.ids.clamp(2, MOST_IDS) }
    }
}

/// The parameters with another `active_connection_id_limit`.
pub(super) fn with_id_limit(parameters: &[u8], limit: u64) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(parameters.len()), parameters);
    while let Some((number, after)) = parameter(rest) {
        if number != ID_LIMIT {
            out.extend_from_slice(rest.get(..rest.len() - after.len()).unwrap_or_default());
        }
        rest = after;
    }
    varint::put(&mut out, ID_LIMIT);
    varint::put(&mut out, varint::size(limit) as u64);
    varint::put(&mut out, limit);
    out
}

/// The number of the first parameter, and what stands behind it.
fn parameter(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = varint::take(bytes)?;
    let (length, rest) = varint::take(rest)?;
    Some((number, rest.get(usize::try_from(length).ok()?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_ids_is_replaced() {
        let before = [0x01, 0x02, 0x40, 0x64, 0x0e, 0x01, 0x05, 0x0c, 0x00];
        assert_eq!(with_id_limit(&before, 3), [0x01, 0x02, 0x40, 0x64, 0x0c, 0x00, 0x0e, 0x01, 0x03]);
        assert_eq!(with_id_limit(&[], 2), [0x0e, 0x01, 0x02]);
    }
}
