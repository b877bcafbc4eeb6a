//! A response head that a filter withholds until it has seen the body, because the body decides what the head says.
//!
//! The header filter answers [`Outcome::Done`]: those behind it wait, and the producer of the body goes on. The body filter of the same
//! module then either [sends the head](Request::send_withheld_header) or [refuses the response](Request::refuse_response).

use crate::output;
use crate::request::Request;
use session::{Outcome, Step};
use std::rc::Rc;

/// What has become of the head that a filter withholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WithheldHeader {
    /// No filter withholds it.
    #[default]
    None,
    /// The header filters from this index on have not run.
    Waiting(usize),
    /// It will not be sent: the request is answered with this status instead.
    Refused(u16),
}

impl Request {
    /// Runs the header filters that have waited, and sends the head.
    ///
    /// Returns `Ok`, `Error`, or the status that a filter wants instead.
    pub fn send_withheld_header(self: &Rc<Request>) -> Step {
        match self.withheld_header.replace(WithheldHeader::None) {
            WithheldHeader::Waiting(next) => output::run_header_filters(self, next),
            WithheldHeader::None | WithheldHeader::Refused(_) => Step::Now(Outcome::Error),
        }
    }

    /// The withheld head is dropped: whatever the producer of the body does from here on, the request ends with this status
    /// (`ngx_http_filter_finalize_request`). Answers what the body filter returns.
    pub fn refuse_response(&self, status: u16) -> Outcome {
        self.withheld_header.set(WithheldHeader::Refused(status));
        Outcome::Error
    }

    /// The status that replaces a refused response, once: the request is as if it had sent no head.
    pub fn take_refusal(&self) -> Option<u16> {
        let WithheldHeader::Refused(status) = self.withheld_header.get() else { return None };
        self.withheld_header.set(WithheldHeader::None);
        self.response.borrow_mut().clear();
        self.body_filters_on.set(0);
        self.flags.reads_body.set(false);
        self.flags.header_sent.set(false);
        self.flags.header_only.set(false);
        self.flags.output_ended.set(false);
        self.flags.client_gone.set(false);
        self.flags.filter_failed.set(false);
        Some(status)
    }
}
