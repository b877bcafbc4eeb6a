//! Handshakes with a server in which the client certificate is chosen only when the server asks for one.
//!
//! The choice may be asynchronous, but the session cannot wait in the middle of a message. The server's messages are therefore processed
//! on a thread of their own, and only that thread blocks.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::task::ready;

use tls::buffer::Buffers;
use tls::chooser::{CertificateChoice, CertificateChooser};
use tls::error::TlsError;
use tls::session::ClientSession;
use tokio::sync::{mpsc as channel, oneshot};

use super::{HandshakeFailure, ROOM, Session, Socket, TlsStream, plain};

/// The stack of such a thread.
const STACK: usize = 512 * 1024;

/// A server asks for a certificate in a session of this version.
#[derive(Debug)]
struct CertificateRequest {
    version: u16,
    answer: mpsc::Sender<CertificateChoice>,
}

#[derive(Debug)]
struct RequestSender(channel::UnboundedSender<CertificateRequest>);

impl CertificateChooser for RequestSender {
    fn choose(&self, version: u16) -> Option<CertificateChoice> {
        let (answer, chosen) = mpsc::channel();
        self.0.send(CertificateRequest { version, answer }).ok()?;
        // Fails when nobody waits for the handshake any more.
        chosen.recv().ok()
    }
}

/// Performs the handshake with a server in the session that `make` makes; `choose` is asked with the session's version.
///
/// # Errors
/// When there is no session in the end, or `choose` refuses.
pub async fn connect<S, C>(
    socket: S,
    make: impl FnOnce(Arc<dyn CertificateChooser>) -> Result<ClientSession, TlsError>,
    choose: impl Fn(u16) -> C,
) -> Result<TlsStream<S>, HandshakeFailure>
where
    S: Socket,
    C: Future<Output = Result<CertificateChoice, TlsError>>,
{
    let mut socket = plain(socket)?;
    let (asker, mut questions) = channel::unbounded_channel();
    let session = make(Arc::new(RequestSender(asker))).map_err(HandshakeFailure::Tls)?;
    let mut work = HandshakeTask { session, buffers: Buffers::default(), plain: Vec::new() };
    let mut result = work.receive();
    loop {
        let sent = send(&mut socket, &mut work.buffers).await;
        result?;
        sent?;
        if !work.session.is_handshaking() || !work.plain.is_empty() {
            let mut stream = TlsStream::new(socket, Session::Client(work.session));
            stream.state.get_mut().plain = work.plain;
            return Ok(stream);
        }
        let incoming = &mut work.buffers.incoming;
        incoming.clear();
        incoming.reserve(ROOM);
        if std::future::poll_fn(|cx| socket.poll_read(cx, incoming)).await? == 0 {
            return Err(HandshakeFailure::Closed);
        }
        (work, result) = on_thread(work, &mut questions, &choose).await?;
    }
}

struct HandshakeTask {
    session: ClientSession,
    buffers: Buffers,
    plain: Vec<u8>,
}

impl HandshakeTask {
    fn receive(&mut self) -> Result<(), HandshakeFailure> {
        self.session.receive(&mut self.buffers, &mut self.plain).map_err(HandshakeFailure::Tls)
    }
}

/// Gives what was read to the session on another thread, and answers what it asks.
async fn on_thread<C: Future<Output = Result<CertificateChoice, TlsError>>>(
    mut work: HandshakeTask,
    questions: &mut channel::UnboundedReceiver<CertificateRequest>,
    choose: impl Fn(u16) -> C,
) -> Result<(HandshakeTask, Result<(), HandshakeFailure>), HandshakeFailure> {
    let (done, mut finished) = oneshot::channel();
    let started = std::thread::Builder::new().name("tls handshake".into()).stack_size(STACK).spawn(move || {
        let result = work.receive();
        // Nobody waits when the connection has been given up.
        let _ = done.send((work, result));
    });
    // Without a thread there is nobody who could wait.
    started.map_err(|_| HandshakeFailure::Tls(TlsError::INTERNAL))?;
    loop {
        tokio::select! {
            done = &mut finished => return done.map_err(|_| HandshakeFailure::Tls(TlsError::INTERNAL)),
            Some(question) = questions.recv() => {
                let choice = choose(question.version).await.map_err(HandshakeFailure::Tls)?;
                // The thread waits for it.
                let _ = question.answer.send(choice);
            }
        }
    }
}

async fn send(socket: &mut impl Socket, buffers: &mut Buffers) -> std::io::Result<()> {
    std::future::poll_fn(|cx| {
        while !buffers.records.is_empty() {
            match socket.try_write(buffers.records.pending()) {
                Ok(count) => buffers.records.sent(count),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => ready!(socket.poll_write_ready(cx))?,
                Err(error) => return std::task::Poll::Ready(Err(error)),
            }
        }
        std::task::Poll::Ready(Ok(()))
    })
    .await
}
