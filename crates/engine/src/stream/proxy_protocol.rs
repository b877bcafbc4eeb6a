//! The PROXY protocol header before a session's first byte: `listen … proxy_protocol`.

use base::log::Level;
use session::address::Proxied;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use stream::{Session, log_session, status};
use wire::proxy_protocol::{Status, parse};

/// Reads the header; what follows it stays read ahead.
///
/// # Errors
/// The status that the session ends with; the log has been told.
pub(super) async fn read(session: &Rc<Session>) -> Result<(), u16> {
    session.action.set("reading PROXY protocol");
    let mut limit = session.limit(session.core().proxy_protocol_timeout());
    poll_fn(|cx| {
        if let Poll::Ready(result) = poll(session, cx) {
            return Poll::Ready(result);
        }
        ready!(limit.poll(cx));
        session.log(Level::Info, b"client timed out (110: Connection timed out)");
        Poll::Ready(Err(status::OK))
    })
    .await?;
    session.action.set("initializing session");
    Ok(())
}

fn poll(session: &Session, cx: &mut Context<'_>) -> Poll<Result<(), u16>> {
    loop {
        let parsed = parse(&session.preread());
        match parsed {
            Err(error) => {
                let message = error.message(&session.preread());
                log_session!(session, Level::Error, "{message}");
                return Poll::Ready(Err(status::BAD_REQUEST));
            }
            Ok(Status::Complete { len, ends }) => {
                let proxied = ends.map(|ends| {
                    let tlvs = ends.tlvs.of(&session.preread()).into();
                    Rc::new(Proxied { client: ends.client, server: ends.server, tlvs })
                });
                session.connection.proxy_protocol.replace(proxied);
                session.skip_preread(len);
                return Poll::Ready(Ok(()));
            }
            Ok(Status::Partial) => {}
        }
        match ready!(session.poll_preread(cx)) {
            Ok(1..) => {}
            Ok(0) => return Poll::Ready(Err(status::BAD_REQUEST)),
            Err(error) => {
                log_session!(session, Level::Info, "recv() failed {}", base::errno::describe(&error));
                return Poll::Ready(Err(status::OK));
            }
        }
    }
}
