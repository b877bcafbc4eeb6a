//! Limits of a connection's transport, and their encoding as transport parameters (RFC 9000, 18).

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{TransportConfig, VarInt};
use wire::quic::varint;

/// `active_connection_id_limit`
const ID_LIMIT: u64 = 0x0e;
/// `initial_max_stream_data_bidi_remote` and `…_uni`: what a client may send first on a stream that it has opened.
const STREAM_DATA: [u64; 2] = [0x06, 0x07];

/// By how much the window of a stream grows whose first data has been taken, and where that ends. quinn-proto tells the client of an eighth
/// of the window that has been taken, and must do so before what the client may send first is used up.
const GROWTH: u64 = 8;
const MOST_WINDOW: u64 = 1024 * 1024;

/// How many connection IDs of the client are kept, whatever is asked for.
const MOST_IDS: u64 = 5;

/// Streams that a client may have open before it has shown that it needs more. quinn-proto has an entry for each in two tables, which double
/// when they are more than half full: so they take half of what the usual limit of 128 would.
const FIRST_STREAMS: u64 = 100;

/// With so many open streams a client gets its whole limit.
pub(super) const MANY_STREAMS: u64 = 50;

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
    /// Bytes of a stream that the client may send before any are read. The window grows once they have been.
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
    pub(super) parameters: AdvertisedParameters,
    /// The limit of streams for clients that need more than they get first.
    pub(super) streams: Option<u64>,
}

/// Transport parameters that override those of the state machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdvertisedParameters {
    /// How many connection IDs are kept.
    pub(super) ids: u64,
    /// What may be sent first on a stream.
    pub(super) stream_buffer: u64,
}

impl Transport {
    /// Makes limits ready.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let number = |value: u64| VarInt::from_u64(value).unwrap_or(VarInt::MAX);
        let mut config = TransportConfig::default();
        let idle = (limits.idle_ms > 0).then(|| Duration::from_millis(limits.idle_ms.min(u64::from(u32::MAX))));
        let streams = limits.streams.saturating_add(limits.uni);
        // A client is not told of less than an eighth more.
        let more = limits.streams.saturating_sub(FIRST_STREAMS) >= (limits.streams / 8).max(1);
        let first = if more { FIRST_STREAMS } else { limits.streams };
        let window = limits.stream_buffer.saturating_mul(GROWTH).min(MOST_WINDOW).max(limits.stream_buffer);
        config
            .max_idle_timeout(idle.and_then(|time| time.try_into().ok()))
            .max_concurrent_bidi_streams(number(first))
            .max_concurrent_uni_streams(number(limits.uni))
            .stream_receive_window(number(window))
            .receive_window(number(limits.stream_buffer.saturating_mul(streams.max(1))))
            .send_window(FIRST_WINDOW)
            .datagram_receive_buffer_size(None)
            .enable_segmentation_offload(limits.segments);
        let told = AdvertisedParameters { ids: limits.ids.clamp(2, MOST_IDS), stream_buffer: limits.stream_buffer };
        Self { config: Arc::new(config), parameters: told, streams: more.then_some(limits.streams) }
    }
}

/// The parameters as they are sent to clients.
pub(super) fn rewritten(parameters: &[u8], told: AdvertisedParameters) -> Vec<u8> {
    let own = [(ID_LIMIT, told.ids), (STREAM_DATA[0], told.stream_buffer), (STREAM_DATA[1], told.stream_buffer)];
    let (mut out, mut rest) = (Vec::with_capacity(parameters.len() + 16), parameters);
    while let Some((number, after)) = parameter(rest) {
        if !own.iter().any(|own| own.0 == number) {
            out.extend_from_slice(rest.get(..rest.len() - after.len()).unwrap_or_default());
        }
        rest = after;
    }
    for (number, value) in own {
        varint::put(&mut out, number);
        varint::put(&mut out, varint::size(value) as u64);
        varint::put(&mut out, value);
    }
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
    fn what_clients_are_told_is_replaced() {
        let told = AdvertisedParameters { ids: 3, stream_buffer: 64 };
        let own = [0x0e, 0x01, 0x03, 0x06, 0x02, 0x40, 0x40, 0x07, 0x02, 0x40, 0x40];
        let before = [0x01, 0x02, 0x40, 0x64, 0x0e, 0x01, 0x05, 0x06, 0x01, 0x07, 0x0c, 0x00];
        assert_eq!(rewritten(&before, told), [&[0x01, 0x02, 0x40, 0x64, 0x0c, 0x00][..], &own].concat());
        assert_eq!(rewritten(&[], told), own);
    }

    #[test]
    fn an_eighth_of_a_window_is_no_more_than_what_may_come_first() {
        for stream_buffer in [1, 1000, 16 << 10, 64 << 10, 100_000, 128 << 10, 1 << 20, 1 << 30] {
            let limits = Limits { idle_ms: 0, streams: 128, uni: 3, stream_buffer, ids: 2, segments: false };
            let window = stream_buffer.saturating_mul(GROWTH).min(MOST_WINDOW).max(stream_buffer);
            assert!(window / 8 <= stream_buffer && window >= stream_buffer);
            assert_eq!(Transport::new(&limits).parameters.stream_buffer, stream_buffer);
        }
    }
}
