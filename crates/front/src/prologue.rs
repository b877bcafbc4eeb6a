//! Connection setup before the protocol: the PROXY header, then the first bytes, which select the protocol.

use crate::active::Activity;
use crate::handshake::{self, HandshakeOutcome};
use crate::protocol::{Accepted, Detection, Front, Protocol};
use crate::proxy_protocol::{self, Failure};
use base::log::Level;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use sys::boxed::pinned;

/// Brings a new connection to its protocol. Where nothing comes before it and there is one, or its first bytes are there already,
/// that needs no task.
pub(crate) fn enter(front: &Rc<Front>, mut opened: Accepted) {
    match choose_now(front, &mut opened) {
        Some(protocol) => (protocol.start)(front, opened),
        None => drop(tokio::task::spawn_local(pinned(|| run(front.clone(), opened)))),
    }
}

fn choose_now<'a>(front: &'a Front, opened: &mut Accepted) -> Option<&'a Protocol> {
    let endpoint = &opened.listener.endpoint;
    if endpoint.proxy_protocol || endpoint.tls {
        return None;
    }
    let mut candidates = front.protocols_of(endpoint);
    if let (Some((_, only)), None) = (candidates.next(), candidates.next()) {
        return Some(only);
    }
    match poll_choice(front, opened, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(chosen) => front.protocol(chosen),
        Poll::Pending => None,
    }
}

async fn run(front: Rc<Front>, mut opened: Accepted) {
    opened.watch.set_activity(Activity::Fresh);
    opened.watch.read_by(opened.request_by);
    if opened.listener.endpoint.proxy_protocol
        && let Err(failure) = proxy_protocol::read(&mut opened).await
    {
        return log_failure(&front, &opened, &failure);
    }
    let chosen = if opened.listener.endpoint.tls {
        // Boxed: tasks are moved when they are made and when they end, and this one would have room for a whole session.
        match pinned(|| handshake::perform(&front, opened)).await {
            HandshakeOutcome::Over => return,
            HandshakeOutcome::Secured(secured, chosen) => {
                opened = secured;
                chosen.unwrap_or_else(|| front.last_resort())
            }
            HandshakeOutcome::Plain(plain) => {
                opened = plain;
                front.last_resort()
            }
        }
    } else {
        poll_fn(|cx| poll_choice(&front, &mut opened, cx)).await
    };
    if let Some(protocol) = front.protocol(chosen) {
        (protocol.start)(&front, opened);
    }
}

fn log_failure(front: &Front, opened: &Accepted, failure: &Failure) {
    match failure {
        Failure::Closed => {}
        Failure::TimedOut => {
            front.log(
                &opened.listener,
                &opened.info,
                Level::Info,
                "client timed out (110: Connection timed out) while reading PROXY protocol",
            );
        }
        Failure::Bad(error) => {
            let message = error.message(opened.input.unread());
            front.log(&opened.listener, &opened.info, Level::Error, &format!("{message} while reading PROXY protocol"));
        }
    }
}

/// The index of the protocol that the first bytes are of. Where they never tell, the last of the table takes the connection.
fn poll_choice(front: &Front, opened: &mut Accepted, cx: &mut Context<'_>) -> Poll<u8> {
    loop {
        let (mut last, mut unclear) = (u8::MAX, false);
        for (index, protocol) in front.protocols_of(&opened.listener.endpoint) {
            last = index;
            match (protocol.begins)(opened.input.unread()) {
                Detection::Mine if !unclear => return Poll::Ready(index),
                Detection::Unclear => unclear = true,
                Detection::Mine | Detection::Foreign => {}
            }
        }
        let over = opened.watch.evicted() || opened.watch.read_expired();
        if !unclear || over || !matches!(std::task::ready!(opened.poll_fill(cx)), Ok(1..)) {
            return Poll::Ready(last);
        }
    }
}
