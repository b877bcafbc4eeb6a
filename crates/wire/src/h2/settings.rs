//! SETTINGS parameters (RFC 9113, 6.5.2; RFC 8441, 3; RFC 9218, 2.1).

use super::error::{ErrorCode, Failure};
use super::frame;

/// Identifiers.
pub mod id {
    /// The largest table that the sender's decoder keeps.
    pub const HEADER_TABLE_SIZE: u16 = 1;
    /// SETTINGS_ENABLE_PUSH: whether the server may push (RFC 9113, 6.5.2).
    pub const ENABLE_PUSH: u16 = 2;
    /// How many streams the sender's peer may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// SETTINGS_INITIAL_WINDOW_SIZE: the window of a new stream, bytes (RFC 9113, 6.5.2).
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// The largest payload the sender accepts.
    pub const MAX_FRAME_SIZE: u16 = 5;
    /// The largest header list the sender accepts.
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    /// Extended CONNECT may be used.
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    /// RFC 7540's priorities are not used.
    pub const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// The largest number of 31 bits: that of a stream (RFC 9113, 5.1.1) and of a window's bytes (6.9.1).
pub const LARGEST: u32 = 0x7fff_ffff;
/// The largest window, bytes.
pub const MAX_WINDOW: i64 = LARGEST as i64;
/// The window of every stream and of the connection before any setting, bytes (RFC 9113, 6.9.2).
pub const DEFAULT_WINDOW: i64 = 65_535;
/// What makes the connection's first window the largest.
pub const FIRST_UPDATE: u32 = LARGEST - 65_535;

/// What the peer's SETTINGS say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerSettings {
    /// New streams' windows for sending.
    pub initial_window: i64,
    /// The largest payload that may be sent, bytes.
    pub frame_size: usize,
    /// It acknowledged ours.
    pub acknowledged: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self { initial_window: DEFAULT_WINDOW, frame_size: frame::DEFAULT_SIZE, acknowledged: false }
    }
}

impl PeerSettings {
    /// Takes one parameter of a client; unknown ones are ignored (RFC 9113, 6.5.2).
    ///
    /// # Errors
    /// A value that is not allowed.
    pub(crate) fn apply(&mut self, id: u16, value: u32) -> Result<(), Failure> {
        let wrong = |code, name| Failure::new(code, format!("client sent SETTINGS frame with incorrect {name} value {value}"));
        match id {
            id::INITIAL_WINDOW_SIZE if i64::from(value) > MAX_WINDOW => {
                return Err(wrong(ErrorCode::FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE"));
            }
            id::INITIAL_WINDOW_SIZE => self.initial_window = i64::from(value),
            id::MAX_FRAME_SIZE => {
                self.frame_size = usize::try_from(value)
                    .ok()
                    .filter(|size| (frame::DEFAULT_SIZE..=frame::MAX_SIZE).contains(size))
                    .ok_or_else(|| wrong(ErrorCode::PROTOCOL_ERROR, "MAX_FRAME_SIZE"))?;
            }
            id::ENABLE_PUSH if value > 1 => return Err(wrong(ErrorCode::PROTOCOL_ERROR, "ENABLE_PUSH")),
            _ => {}
        }
        Ok(())
    }
}

/// The parameters of a SETTINGS payload in their order (RFC 9113, 6.5.1): identifier and value.
pub(crate) fn parameters(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> + '_ {
    payload.as_chunks::<6>().0.iter().map(|&[a, b, c, d, e, f]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])))
}
