//! Waiting for the first bytes, within what the preread phase allows (`ngx_stream_core_preread_phase`).

use crate::core::Core;
use crate::log_session;
use crate::session::{Session, status};
use base::log::Level;
use net::deadline::Limit;
use std::future::poll_fn;
use std::task::{Poll, ready};

/// What the phase allows.
pub struct PrereadLimits {
    /// `preread_buffer_size`
    pub most: usize,
    limit: Limit,
}

impl PrereadLimits {
    /// That of a session; its time begins now.
    pub fn of(session: &Session, core: &Core) -> PrereadLimits {
        PrereadLimits { most: core.preread_buffer_size(), limit: session.limit(core.preread_timeout()) }
    }

    /// Waits for more bytes than [`Session::preread`] shows.
    ///
    /// # Errors
    /// The status that the session ends with.
    pub async fn wait(&mut self, session: &Session) -> Result<(), u16> {
        if session.preread().len() >= self.most {
            log_session!(session, Level::Error, "preread buffer full");
            return Err(status::BAD_REQUEST);
        }
        let more = poll_fn(|cx| {
            if let Poll::Ready(read) = session.poll_preread(cx) {
                return Poll::Ready(Some(read));
            }
            ready!(self.limit.poll(cx));
            Poll::Ready(None)
        });
        match more.await {
            Some(Ok(1..)) => Ok(()),
            // Time is up, or the client has gone: nginx calls that an ordinary end.
            None | Some(Ok(0)) => Err(status::OK),
            Some(Err(error)) => {
                log_session!(session, Level::Info, "recv() failed {}", base::errno::describe(&error));
                Err(status::OK)
            }
        }
    }
}
