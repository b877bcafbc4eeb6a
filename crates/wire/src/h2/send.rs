//! Sent frames.

use super::conn::{Codec, DRAIN_PING};
use super::error::ErrorCode;
use super::frame::{self, FrameHead, flag, kind};
use super::settings::{self, DEFAULT_WINDOW, MAX_WINDOW};
use super::stream::{Incoming, Outgoing, Waiting};
use crate::hpack::{Encoder, FieldList};

/// The largest window of a stream whose content is taken as fast as it comes.
const LARGEST: i64 = 1024 * 1024;
/// By so much all windows of a connection may be larger than at first.
const MOST_GROWN: i64 = 4 * 1024 * 1024;

impl Codec {
    /// Appends a head: `status` and fields, whose names are in lower case and which hold nothing of HTTP/1's connections. A status below
    /// 200 is an informational one, after which another must follow. False when the stream is gone.
    pub fn respond<'f>(
        &mut self,
        stream: u32,
        status: u16,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        end: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        self.header_block(stream, Some(status), end && status >= 200, out, |encoder, out| {
            encoder.begin(out);
            encoder.status(status, out);
            fields.into_iter().for_each(|(name, value)| encoder.field(name, value, out));
        })
    }

    /// As [`Self::respond`]; cheaper for heads that repeat themselves.
    pub fn respond_list(&mut self, stream: u32, status: u16, fields: &FieldList, end: bool, out: &mut Vec<u8>) -> bool {
        self.header_block(stream, Some(status), end && status >= 200, out, |encoder, out| encoder.head(status, fields, out))
    }

    /// Appends trailers, which end the stream.
    pub fn trailers<'f>(&mut self, stream: u32, fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>, out: &mut Vec<u8>) -> bool {
        self.header_block(stream, None, true, out, |encoder, out| {
            encoder.begin(out);
            fields.into_iter().for_each(|(name, value)| encoder.field(name, value, out));
        })
    }

    fn header_block(
        &mut self,
        id: u32,
        status: Option<u16>,
        end: bool,
        out: &mut Vec<u8>,
        pack: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> bool {
        let Some(stream) = self.streams.get_mut(id) else { return false };
        // A head comes once and first, trailers after it.
        let expected = if status.is_some() { Outgoing::Head } else { Outgoing::Content };
        if self.failed || stream.outgoing != expected {
            return false;
        }
        if end {
            stream.outgoing = Outgoing::Closed;
        } else if status.is_none_or(|status| status >= 200) {
            stream.outgoing = Outgoing::Content;
        }
        let start = out.len();
        out.extend_from_slice(&[0; frame::HEAD]);
        pack(&mut self.encoder, out);
        frame::seal_headers(start, id, end, self.peer.frame_size, out);
        true
    }

    /// How many bytes of content the stream may send now, in one frame.
    #[must_use]
    pub fn quota(&self, id: u32) -> usize {
        let Some(stream) = self.streams.get(id).filter(|stream| stream.outgoing != Outgoing::Closed && !self.failed) else { return 0 };
        usize::try_from(stream.send_window.min(self.send_window)).unwrap_or(0).min(self.peer.frame_size)
    }

    /// Appends as much of `data` as the windows allow, in frames of at most the peer's size, and returns how much that was. With `end`
    /// and all of it sent, the stream is complete; no data at all and `end` need no window.
    pub fn data(&mut self, id: u32, data: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let mut sent = 0;
        loop {
            let rest = data.get(sent..).unwrap_or(&[]);
            let len = rest.len().min(self.quota(id));
            let last = end && len == rest.len();
            if (len == 0 && !(last && rest.is_empty())) || !self.data_head(id, len, last, out) {
                return sent;
            }
            out.extend_from_slice(rest.get(..len).unwrap_or(&[]));
            sent += len;
            if sent == data.len() {
                return sent;
            }
        }
    }

    /// Appends only the head of a DATA frame, behind which the caller puts `len` bytes, for content that should not be copied. False, and
    /// nothing appended, when the stream must not send so much (see [`Self::quota`]).
    pub fn data_head(&mut self, id: u32, len: usize, end: bool, out: &mut Vec<u8>) -> bool {
        let allowed = self.quota(id);
        let Some(stream) = self.streams.get_mut(id) else { return false };
        if stream.outgoing != Outgoing::Content || self.failed || len > allowed {
            return false;
        }
        stream.send_window -= len as i64;
        if end {
            stream.outgoing = Outgoing::Closed;
        }
        self.send_window -= len as i64;
        self.budget.sent_data();
        FrameHead { len, kind: kind::DATA, flags: if end { flag::END_STREAM } else { 0 }, stream: id }.write(out);
        true
    }

    /// The stream has content to send: [`Self::next_stream`] will name it when it is its turn and there is window. To be said again after each
    /// time it was named, as long as there is more.
    pub fn queue(&mut self, id: u32) {
        let rank = self.rank(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.waiting == Waiting::Turn || stream.outgoing == Outgoing::Closed {
            return;
        }
        if stream.send_window > 0 {
            stream.waiting = Waiting::Turn;
            self.schedule.push(id, rank);
        } else {
            stream.waiting = Waiting::Window;
        }
    }

    /// The stream that should send next: its quota is above 0.
    pub fn next_stream(&mut self) -> Option<u32> {
        while self.send_window > 0 && !self.failed {
            let id = self.schedule.pop()?;
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.waiting = Waiting::Nothing;
            if stream.outgoing == Outgoing::Closed {
                continue;
            }
            if stream.send_window > 0 {
                return Some(id);
            }
            stream.waiting = Waiting::Window;
        }
        None
    }

    /// Streams want to send, but the connection's window is used up.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn is_blocked(&self) -> bool {
        self.send_window <= 0 && !self.schedule.is_empty()
    }

    /// The stream wants to send, but a window is used up.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn is_starved(&self, id: u32) -> bool {
        self.streams
            .get(id)
            .is_some_and(|stream| stream.waiting == Waiting::Window || (stream.waiting == Waiting::Turn && self.send_window <= 0))
    }

    pub(super) fn credit_stream(&mut self, id: u32) {
        if self.streams.get(id).is_some_and(|stream| stream.send_window > 0 && stream.waiting == Waiting::Window) {
            self.queue(id);
        }
    }

    pub(super) fn feed_all(&mut self) {
        let waiting: Vec<u32> =
            self.streams.iter_mut().filter(|stream| stream.waiting == Waiting::Window).map(|stream| stream.id).collect();
        for id in waiting {
            self.credit_stream(id);
        }
    }

    /// The caller is done with so much of the stream's content: the peer may send as much again. It is told when half of the window
    /// has gathered, so that small pieces cost no frame each. The window of a stream whose content is taken as fast as it comes grows: a
    /// small one would hold up a client that is far away.
    pub fn release(&mut self, id: u32, len: usize, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.released = stream.released.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        let released = i64::from(stream.released);
        if stream.incoming == Incoming::Closed || released < (stream.window / 2).max(1) {
            return;
        }
        let unread = stream.window - stream.recv_window - released;
        let larger = if unread > 0 { 0 } else { stream.window.min(LARGEST - stream.window).min(MOST_GROWN - self.grown).max(0) };
        stream.released = 0;
        self.grow_window(id, released, larger, out);
    }

    /// The caller waits for content: a first window that is too small for that becomes larger, up to what is known to come.
    pub fn enlarge_window(&mut self, id: u32, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(id) else { return };
        let expected = i64::try_from(stream.expected.unwrap_or(0)).unwrap_or(i64::MAX);
        let wished = expected.min(LARGEST).min(stream.window + MOST_GROWN - self.grown).max(DEFAULT_WINDOW);
        let lacks = wished - stream.window;
        if lacks > 0 && stream.incoming != Incoming::Closed {
            self.grow_window(id, 0, lacks, out);
        }
    }

    fn grow_window(&mut self, id: u32, released: i64, larger: i64, out: &mut Vec<u8>) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.window += larger;
            self.grown += larger;
            self.grant(id, u32::try_from(released + larger).unwrap_or(0), out);
        }
    }

    fn grant(&mut self, id: u32, amount: u32, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.incoming != Incoming::Closed) else { return };
        let room = u32::try_from(MAX_WINDOW - stream.recv_window).unwrap_or(0);
        let amount = amount.min(room);
        if amount > 0 {
            stream.recv_window += i64::from(amount);
            frame::window_update(id, amount, out);
        }
    }

    /// How many bytes the peer may still send on the stream.
    #[must_use]
    pub fn receive_window(&self, id: u32) -> i64 {
        self.streams.get(id).map_or(0, |stream| stream.recv_window)
    }

    /// The peer may still send on the stream.
    #[must_use]
    pub fn is_receiving(&self, id: u32) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.incoming != Incoming::Closed && stream.reset.is_none())
    }

    /// What still comes of the stream's body is dropped and not given back to its window.
    pub fn discard(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.incoming == Incoming::Open) {
            stream.incoming = Incoming::Discarded;
        }
    }

    /// Ends a stream by force. It must still be closed.
    pub fn reset(&mut self, id: u32, code: ErrorCode, out: &mut Vec<u8>) {
        if !self.failed {
            self.end_by_us(id, code, out);
        }
    }

    /// Begins to close the connection so that no request is lost (RFC 9113, 6.8): the client is asked to open no more streams, and
    /// those that are on their way are still taken until it has answered. Then the last GOAWAY follows, and [`super::Event::Drained`].
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        if self.closing_at.is_some() || self.failed {
            return;
        }
        self.closing_at = Some(settings::LARGEST);
        self.draining = true;
        frame::goaway(settings::LARGEST, ErrorCode::NO_ERROR, out);
        frame::ping(false, DRAIN_PING, out);
    }

    /// Takes no new stream from here on, and says so. Open streams go on.
    pub fn goaway(&mut self, code: ErrorCode, out: &mut Vec<u8>) {
        if self.failed || self.closing_at.is_some_and(|_| !self.draining) {
            return;
        }
        self.closing_at = Some(self.last);
        self.draining = false;
        frame::goaway(self.last, code, out);
    }

    /// Ends the connection at once.
    pub fn abort(&mut self, code: ErrorCode, out: &mut Vec<u8>) {
        if !self.failed {
            self.failed = true;
            frame::goaway(self.last, code, out);
        }
    }
}
