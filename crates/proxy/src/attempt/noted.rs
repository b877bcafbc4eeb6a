//! What is noted of an answer's head, whether a client or a health check waits for it.

use super::now_ms;
use crate::dialect::{RequestContext, UpstreamResponse};
use crate::exchange::Exchange;

impl Exchange {
    /// Notes time, status and header for variables.
    pub(super) fn note_head(&mut self, answer: &UpstreamResponse) {
        self.record.update(now_ms(), |t, elapsed| {
            t.header = Some(elapsed);
            t.status = answer.status;
        });
        self.record.set_head(&*self.route.dialect, self.scratch.head(answer.length), &self.scratch.parser.headers);
    }

    /// Shows the answer to the dialect, which may have variables of its own.
    pub(super) fn show_dialect(&self, answer: &UpstreamResponse) {
        let scratch = &self.scratch;
        let limit = self.route.plan.buffer_size;
        let question = RequestContext { encoded: &self.encoded, written: &scratch.out, limit, unwrapped: &scratch.unwrapped };
        self.route.dialect.answered(&self.request, scratch.head(answer.length), answer, &question);
    }
}
