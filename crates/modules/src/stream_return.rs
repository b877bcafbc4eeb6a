//! `return` in `stream`: a text for the client (nginx manual, `ngx_stream_return_module`).

use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use session::{Levels, Outcome};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};
use stream::{Attach, Complex, Core, Module, Session, Step, Variables, log_session, status};

/// Sends a text.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Return>, attach, ..Module::named("return") };

/// How long the client may take nothing, milliseconds.
const PATIENCE: u64 = 5000;

#[derive(Default)]
struct Return {
    text: Option<Rc<Complex>>,
}

impl Config for Return {
    // It is a server's own.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![Row::new("return", Context::STREAM_SERVER, Arity::exactly(1), "Sends a text to the client and closes.", |cx: &mut Cx<'_>| {
        let text = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|message| cx.error_at(0, message))?;
        cx.once(&mut cx.location::<Return>().text, Rc::new(text))?;
        Core::choose_content(cx, MODULE.name);
        Ok(())
    })]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(text) = place.conf::<Return>().text.clone() {
        place.content(move |session| {
            session.action.set("returning text");
            let text = text.to_vec(session);
            if text.is_empty() {
                return Step::Now(Outcome::Ok);
            }
            let session = session.clone();
            Step::wait(|| async move { send(&session, &text).await })
        });
    }
    Ok(())
}

async fn send(session: &Session, text: &[u8]) -> Outcome {
    let mut rest = text;
    while !rest.is_empty() {
        let mut limit = session.limit(PATIENCE);
        let sent = poll_fn(|cx| {
            if let Poll::Ready(sent) = session.poll_write(cx, rest) {
                return Poll::Ready(sent);
            }
            ready!(limit.poll(cx));
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        })
        .await;
        match sent {
            Ok(count) if session.is_udp() || count > 0 => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                log_session!(session, Level::Info, "connection timed out (110: Connection timed out)");
                return Outcome::Status(status::OK);
            }
            _ => return Outcome::Error,
        }
    }
    Outcome::Ok
}
