//! The response head while it is made.

use crate::headers::Headers;

/// Status, fields with a meaning for filters, and all others in order. Reused between requests.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code; 0 until set, sent as 200.
    pub status: u16,
    /// A status line of its own (`ngx.status`'s reason, an upstream's line), e.g. `200 Fine`; empty for the standard text.
    pub status_line: Vec<u8>,
    /// Body length, if known; `None` means chunked or close.
    pub content_length: Option<u64>,
    /// `Content-Type` without charset; empty for none.
    pub content_type: Vec<u8>,
    /// Charset to append to `Content-Type`.
    pub charset: Vec<u8>,
    /// `Last-Modified` in seconds since the epoch, unless a header of that name is in `headers`.
    pub last_modified: Option<i64>,
    /// All other fields, `Location`, `ETag`, `Server` and `Date` overrides included.
    pub headers: Headers,
    /// Trailer fields.
    pub trailers: Headers,
    /// `Server` was removed: none leaves.
    pub no_server: bool,
    /// `Date` was removed: none leaves.
    pub no_date: bool,
    /// A `Location` that begins with `/` leaves as it is, whatever `absolute_redirect` says: code gave it.
    pub location_is_final: bool,
    /// The body can be cut into ranges (`allow_ranges`).
    pub allow_ranges: bool,
}

impl Response {
    /// Empties everything, keeping the memory.
    pub fn clear(&mut self) {
        self.status = 0;
        self.status_line.clear();
        self.content_length = None;
        self.content_type.clear();
        self.charset.clear();
        self.last_modified = None;
        self.headers.clear();
        self.trailers.clear();
        (self.no_server, self.no_date) = (false, false);
        self.allow_ranges = false;
        self.location_is_final = false;
    }

    /// For a body that a filter will change: its length, ranges and validators no longer hold.
    pub fn clear_body_facts(&mut self) {
        self.content_length = None;
        self.allow_ranges = false;
        self.headers.remove(b"Accept-Ranges");
        self.headers.remove(b"Content-Length");
    }

    /// Sets status and the standard line.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.status_line.clear();
    }

    /// Sets `Content-Type`, charset apart.
    pub fn set_content_type(&mut self, value: &[u8]) {
        self.content_type.clear();
        self.content_type.extend_from_slice(value);
    }
}
