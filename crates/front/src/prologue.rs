//! What comes before a connection's protocol: the PROXY header, then the first bytes, which choose the protocol.

use crate::active::Activity;
use crate::door::{Beginning, Front, Opened};
use crate::handshake::{self, Shaken};
use crate::proxy_protocol::{self, Failure};
use base::log::Level;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Brings a new connection to its protocol. The usual case, one protocol and nothing before it, needs no task.
pub fn enter(front: &Rc<Front>, opened: Opened) {
    let mut candidates = front.protocols_of(&opened.listener.endpoint);
    match (candidates.next(), candidates.next()) {
        (Some((_, only)), None) if !opened.listener.endpoint.proxy_protocol && !opened.listener.endpoint.tls => (only.start)(front, opened),
        _ => drop(tokio::task::spawn_local(run(front.clone(), opened))),
    }
}

async fn run(front: Rc<Front>, mut opened: Opened) {
    opened.watch.set_activity(Activity::Fresh);
    opened.watch.read_by(opened.request_by);
    if opened.listener.endpoint.proxy_protocol
        && let Err(failure) = proxy_protocol::read(&mut opened).await
    {
        return log_failure(&front, &opened, &failure);
    }
    let chosen = if opened.listener.endpoint.tls {
        // Boxed: tasks are moved when they are made and when they end, and this one would have room for a whole session.
        match Box::pin(handshake::shake(&front, opened)).await {
            Shaken::Over => return,
            Shaken::Session(shaken, chosen) => {
                opened = shaken;
                chosen.unwrap_or_else(|| front.last_resort())
            }
            Shaken::Plain(plain) => {
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

fn log_failure(front: &Front, opened: &Opened, failure: &Failure) {
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
            let message = error.message(opened.input.rest());
            front.log(&opened.listener, &opened.info, Level::Error, &format!("{message} while reading PROXY protocol"));
        }
    }
}

/// The index of the protocol that the first bytes are of. Where they never tell, the last of the table takes the connection.
fn poll_choice(front: &Front, opened: &mut Opened, cx: &mut Context<'_>) -> Poll<u8> {
    loop {
        let (mut last, mut unclear) = (u8::MAX, false);
        for (index, protocol) in front.protocols_of(&opened.listener.endpoint) {
            last = index;
            match (protocol.begins)(opened.input.rest()) {
                Beginning::Mine if !unclear => return Poll::Ready(index),
                Beginning::Unclear => unclear = true,
                Beginning::Mine | Beginning::Foreign => {}
            }
        }
        let over = opened.watch.evicted() || opened.watch.read_expired();
        if !unclear || over || !matches!(std::task::ready!(opened.poll_fill(cx)), Ok(1..)) {
            return Poll::Ready(last);
        }
    }
}
