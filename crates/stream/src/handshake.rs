//! The server's side of a handshake of TLS on a session's connection, whoever wants it: `listen ... ssl`, or code that has spoken in the
//! clear before.

use crate::session::Session;
use net::deadline::Limit;
use net::stream::Stream;
use session::tls::{ClientHello, Failed, FirstBytes, choose, classify, finish, preliminary};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use wire::tls::hello::Hello;

/// What `work` gives, unless the time is over.
async fn limited<T>(limit: &mut Limit, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        ready!(limit.poll(cx));
        Poll::Ready(None)
    })
    .await
}

/// Performs the handshake with the client, whose stream is taken; what comes out is TLS. A time limit that is over has no words for the log.
///
/// # Errors
/// Why there is no session of TLS.
pub async fn open(session: &Rc<Session>, limit: &mut Limit) -> Result<Stream, Option<Failed>> {
    let hello = limited(limit, read_hello(session)).await.ok_or(None)??;
    let default = session.endpoint.default.clone();
    if let Some(host) = hello.server_name().and_then(wire::h1::host::validate) {
        session.choose_server(&host.name.to_ascii_lowercase());
    }
    let subject = session.clone();
    let client_hello = Rc::new(ClientHello {
        hello,
        worker: session.worker.common.clone(),
        connection: session.connection.clone(),
        server: session.server(),
        // Nothing asks: a session has no other name.
        is_named: true,
        alpn: Vec::new(),
        subject: Box::new(move || subject.clone()),
        leftovers: RefCell::default(),
    });
    session.connection.tls.replace(Some(Rc::new(preliminary(&client_hello))));
    let settings = limited(limit, choose(&client_hello, &default)).await.ok_or(None)?.map_err(|rejection| Some(rejection.into()))?;
    let made = settings.session().map_err(|error| Some(error.into()))?;
    let input = session.take_preread().unwrap_or_default();
    let Some(stream) = session.take_stream() else { return Err(Some(Failed::closed())) };
    let tls = limited(limit, net::tls::accept(stream, made, &input)).await.ok_or(None)?.map_err(|failure| Some(failure.into()))?;
    let stream = Stream::Tls(Box::new(tls));
    if let Some(found) = stream.established() {
        let found = limited(limit, finish(&client_hello, found)).await.ok_or(None)?;
        session.connection.tls.replace(Some(Rc::new(found)));
    }
    Ok(stream)
}

/// Reads the ClientHello, which stays read ahead.
async fn read_hello(session: &Rc<Session>) -> Result<Hello, Option<Failed>> {
    let mut hello = Hello::new();
    poll_fn(|cx| {
        loop {
            let seen = classify(&session.preread(), &mut hello);
            match seen {
                FirstBytes::Hello(hello) => return Poll::Ready(Ok(hello)),
                FirstBytes::Plain => return Poll::Ready(Err(Some(Failed::not_tls()))),
                FirstBytes::Malformed(failed) => return Poll::Ready(Err(Some(failed))),
                FirstBytes::More => {}
            }
            if !matches!(ready!(session.poll_preread(cx)), Ok(1..)) {
                return Poll::Ready(Err(Some(Failed::closed())));
            }
        }
    })
    .await
}
