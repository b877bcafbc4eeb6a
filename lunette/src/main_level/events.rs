//! `events { }`.

use super::MainLevel;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;

/// What `events` says. Only the number of connections has an effect: how events are waited for is settled.
#[derive(Default)]
pub(crate) struct Events {
    /// `worker_connections`
    pub(super) connections: Option<u64>,
    method: Option<()>,
    multi_accept: Option<bool>,
    accept_mutex: Option<bool>,
    accept_mutex_delay: Option<u64>,
    aio_requests: Option<u64>,
}

type Read<T> = fn(&Cx<'_>, usize) -> Result<T, Error>;

fn slot<T: 'static>(name: &'static str, arity: Arity, doc: &'static str, read: Read<T>, field: fn(&mut Events) -> &mut Option<T>) -> Row {
    Row::new(name, Context::EVENTS, arity, doc, move |cx| {
        let value = read(cx, 0)?;
        let mut main = cx.global::<MainLevel>();
        cx.once(field(main.events.get_or_insert_default()), value)
    })
}

pub(super) fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        Row::new("events", Context::MAIN, Arity::exactly(0), "How connections are taken and waited for.", block).with_block(),
        slot("worker_connections", one, "Most connections of a worker.", connections, |e| &mut e.connections),
        slot("use", one, "How events are waited for; always epoll.", method, |e| &mut e.method),
        slot("multi_accept", Arity::Flag, "Takes all waiting connections at once; no effect.", |cx, i| cx.flag(i), |e| &mut e.multi_accept),
        slot("accept_mutex", Arity::Flag, "Workers take connections in turn; no effect.", |cx, i| cx.flag(i), |e| &mut e.accept_mutex),
        slot("accept_mutex_delay", one, "Pause of the turn; no effect.", |cx, i| cx.time_ms(i), |e| &mut e.accept_mutex_delay),
        slot("worker_aio_requests", one, "Most reads under way; no effect.", |cx, i| cx.number(i), |e| &mut e.aio_requests),
        Row::new("debug_connection", Context::EVENTS, one, "Debug lines for some clients; refused with a warning.", |cx| {
            cx.warn("\"debug_connection\" is ignored, this server writes debug lines by level only");
            Ok(())
        }),
    ]
}

fn block(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.global::<MainLevel>().events.is_some() {
        return Err(cx.duplicate());
    }
    cx.global::<MainLevel>().events = Some(Events::default());
    cx.read_block(Context::EVENTS, cx.frame)
}

fn connections(cx: &Cx<'_>, i: usize) -> Result<u64, Error> {
    base::text::parse_number(cx.arg(i)).ok_or_else(|| cx.error_at(i, format!("invalid number \"{}\"", cx.text(i))))
}

fn method(cx: &Cx<'_>, i: usize) -> Result<(), Error> {
    match cx.arg(i) {
        b"epoll" => Ok(()),
        // What nginx could be built with; the same connections are served by epoll.
        b"poll" | b"select" => {
            cx.warn(format!("event type \"{}\" is not supported, epoll is used", cx.text(i)));
            Ok(())
        }
        _ => Err(cx.error_at(i, format!("invalid event type \"{}\"", cx.text(i)))),
    }
}
