//! `lua_check_client_abort`: a client that goes while its handler waits.
//!
//! The front watches the connection only while a handler waits that asked for it, and says so by a flag. Bytes that have
//! arrived, such as a pipelined request, count as a sign of life.

use crate::state::State;
use base::log::Level;
use http::{Request, log_request};
use lua::{Completion, Job};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// Client closed request.
const GONE: i32 = 499;

/// Watches the client as long as it lives.
struct AbortWatcher(Rc<Request>);

impl Drop for AbortWatcher {
    fn drop(&mut self) {
        self.0.flags.watch_client.set(false);
    }
}

/// Runs `job` to its end. If the client goes meanwhile, its `ngx.on_abort` thread runs, or the job ends with 499.
pub async fn watched(mut job: Job, request: &Rc<Request>, state: &Rc<State>) -> Completion {
    if !request.is_main() {
        return job.await;
    }
    request.flags.watch_client.set(true);
    let _watching = AbortWatcher(request.clone());
    // Who went before this handler began to wait is known to others already.
    state.abort_known.set(request.flags.client_gone.get());
    poll_fn(|cx| {
        if request.flags.client_gone.get() && !state.abort_known.replace(true) {
            log_request!(request, Level::Info, "client prematurely closed connection");
            if !job.wake_standby() {
                return Poll::Ready(Completion::Finished(GONE));
            }
            log_request!(request, Level::Debug, "lua waking up the on_abort callback thread");
        }
        Pin::new(&mut job).poll(cx)
    })
    .await
}
