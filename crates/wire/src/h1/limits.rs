//! Limits of a head's size.

/// How much a client may send before it has said anything, and how its headers are read.
///
/// nginx keeps a head in one buffer of `client_header_buffer_size` and then in up to `number`
/// buffers of `large_client_header_buffers`; no line may lie across two. The parser counts the
/// same way although its caller has one contiguous buffer, so that the same heads pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `client_header_buffer_size`, bytes.
    pub first: u32,
    /// Number of `large_client_header_buffers`.
    pub number: u32,
    /// Size of one of them, bytes.
    pub size: u32,
    /// `max_headers`, lines.
    pub max_headers: u32,
    /// `underscores_in_headers`.
    pub underscores: bool,
    /// `ignore_invalid_headers`: invalid lines do not count against `max_headers`, and are not valid.
    pub ignore_invalid: bool,
    /// The host that the client names has limits of its own; see [`Status::Named`](super::request::Status::Named).
    pub by_host: bool,
}

impl Default for Limits {
    /// nginx's defaults.
    fn default() -> Self {
        Self { first: 1024, number: 4, size: 8192, max_headers: 1000, underscores: false, ignore_invalid: true, by_host: false }
    }
}

impl Limits {
    /// The most bytes a head that passes can have; the caller's buffer need not grow beyond it.
    #[must_use]
    pub fn total(&self) -> usize {
        // The line ends that may come before the request line fill another first buffer at most.
        2 * self.first as usize + self.number as usize * self.size as usize
    }
}
