//! Request states that are single bits.

use std::cell::Cell;

/// Request states that are single bits.
#[derive(Debug, Default)]
pub struct Flags {
    /// Came by an internal redirect or subrequest.
    pub internal: Cell<bool>,
    /// The response head has gone.
    pub header_sent: Cell<bool>,
    /// No body follows the head.
    pub header_only: Cell<bool>,
    /// The connection may serve another request.
    pub keepalive: Cell<bool>,
    /// An error page is being served.
    pub error_page: Cell<bool>,
    /// The last chunk of the response has gone through the filters.
    pub output_ended: Cell<bool>,
    /// `Expect: 100-continue` was received and not answered yet.
    pub expects_continue: Cell<bool>,
    /// The body shall be read to a file only.
    pub body_in_file_only: Cell<bool>,
    /// The response is being made by `error_page`'s default text.
    pub special_response: Cell<bool>,
    /// Filters see a page that replaces the one which they refused.
    pub filter_finalize: Cell<bool>,
    /// A log line has been written or must not be.
    pub logged: Cell<bool>,
    /// The client has gone, as far as we noticed.
    pub client_gone: Cell<bool>,
    /// The connection must be closed without a response (444, errors).
    pub abort: Cell<bool>,
    /// A body filter failed: what waits to leave is no part of a response that anybody should see.
    pub filter_failed: Cell<bool>,
    /// Notice at once when the client closes.
    pub watch_client: Cell<bool>,
    /// The body was requested, even if there is none.
    pub body_asked: Cell<bool>,
    /// The reader of the body has a timeout of its own: `client_body_timeout` does not apply.
    pub body_untimed: Cell<bool>,
    /// The connection lingers at its end (`lingering_close`) although no body was left unread.
    pub lingers: Cell<bool>,
    /// The response is over, and `post_action` runs: nothing that it makes is sent.
    pub post_action: Cell<bool>,
    /// The access phase was passed by `satisfy any`.
    pub access_granted: Cell<bool>,
    /// A subrequest that Lua captures in memory.
    pub captured: Cell<bool>,
    /// Trailers follow the body: it goes in chunks although its length may be known (RFC 9112 section 7.1.2).
    pub expects_trailers: Cell<bool>,
    /// A body filter of this response reads the body: large files come to the filters in pieces.
    pub reads_body: Cell<bool>,
    /// The request's conditions (`If-None-Match` and the like) do not count.
    pub unconditional: Cell<bool>,
    /// The head came behind an earlier request, before that one was answered (`$pipe`).
    pub pipelined: Cell<bool>,
    /// Its server's zone (`status_zone`) counts it as one that has begun.
    pub counted: Cell<bool>,
}
