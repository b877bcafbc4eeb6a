//! What differs between the protocols below a stream.

use super::hub::Hub;
use http::chain::FilePiece;
use http::line::Version;
use http::{Headers, Location, Server};
use std::hash::Hash;
use std::io;
use wire::hpack::{FieldList, Fields};

/// A connection of such a protocol.
pub trait Carrier: Sized + 'static {
    /// The number of a stream.
    type Id: Copy + Eq + Hash + 'static;
    /// What a stream is reset with.
    type Code: Copy + 'static;
    /// What the protocol keeps with each stream.
    type Own: Default + 'static;

    /// The version that requests have.
    const VERSION: Version;
    /// What the head of a frame counts for in `$bytes_sent`.
    const FRAME_HEAD: u64;
    /// We cannot complete the answer.
    const FAILED: Self::Code;
    /// The client was too slow.
    const SLOW: Self::Code;
    /// What a malformed request is reset with behind its answer, if it is.
    const MALFORMED: Option<Self::Code>;

    /// What all streams share.
    fn hub(&self) -> &Hub<Self::Id, Self::Code>;
    /// Runs `f` on the fields of the request that has just come; they may be gone afterwards.
    fn with_fields<R>(&self, f: impl FnOnce(&Fields) -> R) -> R;
    /// Whether a server speaks the protocol.
    fn enabled_on(&self, server: &Server) -> bool;
    /// The most content of a frame in a location.
    fn chunk(&self, location: &Location) -> usize;

    /// The stream has content to send, and is to be asked for it when it is its turn.
    fn queue_send(&self, id: Self::Id, own: &Self::Own);
    /// How many bytes of content it may send now.
    fn quota(&self, id: Self::Id, own: &Self::Own) -> usize;
    /// Whether the client may still end the request's body by itself, which is waited for when the answer has left.
    fn is_receiving(&self, id: Self::Id, own: &Self::Own) -> bool;
    /// So many bytes of the body were taken: the client may send more.
    fn release(&self, id: Self::Id, own: &Self::Own, taken: usize);
    /// The body is being waited for.
    fn request_body(&self, id: Self::Id, own: &Self::Own);
    /// The rest of the body is not wanted.
    fn discard(&self, id: Self::Id, own: &Self::Own);
    /// Frames a head; how many bytes that were.
    fn respond(&self, id: Self::Id, own: &Self::Own, status: u16, fields: &FieldList, end: bool) -> usize;
    /// Frames content; how much of it.
    fn data(&self, id: Self::Id, own: &Self::Own, part: &[u8], end: bool) -> usize;
    /// Frames content of a file.
    ///
    /// # Errors
    /// Those of reading, and a file that is shorter; nothing is framed then.
    fn file(&self, id: Self::Id, own: &Self::Own, file: &FilePiece, length: usize, end: bool) -> io::Result<usize>;
    /// Frames trailers, which end the stream.
    fn trailers(&self, id: Self::Id, own: &Self::Own, fields: &Headers);
    /// The stream is done with. What is not complete is reset, with `code` if there is one.
    fn close(&self, id: Self::Id, own: &Self::Own, code: Option<Self::Code>);

    /// Sends what can be sent, after framing what streams have ready if there is `more`. True: there still is.
    fn send_pending(&self, more: bool) -> bool;
    /// Frames wait for the connection's task to send them.
    fn has_unsent(&self) -> bool;
}
