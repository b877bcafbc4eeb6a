//! `status_zone`: what is counted of servers and locations for the API and the metrics (nginx manual, `ngx_http_api_module`).

use ::session::status_zone::{BEGUN, HTTP_SERVERS, LOCATIONS, STREAM_SERVERS, ServerZone, count_end, stripe};
use ::session::{Levels, Outcome, Step};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::switch::Switch;
use conf::tree::Error;
use http::request_zones::RequestZones;
use http::{Attach, Module};
use shm::meter::Kind;
use shm::{Meter, Zones};
use std::rc::Rc;
use stream::session::status;

/// Zones of servers and locations.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("status_zone") };

/// Zones of servers of `stream`.
pub const STREAM: stream::Module =
    stream::Module { rows: stream_rows, levels: stream_levels, attach: attach_stream, ..stream::Module::named("status_zone") };

/// The zone of a location; `Some(None)`: there is none, whatever stands outside.
#[derive(Default)]
struct LocationZone(Option<Switch<Rc<Meter>>>);

impl Config for LocationZone {
    fn inherit(&mut self, parent: &Self) {
        if self.0.is_none() {
            self.0.clone_from(&parent.0);
        }
    }
}

const DOC: &str = "Counts requests and responses in a zone.";

fn rows() -> Vec<Row> {
    let here = Context::SERVER | Context::LOCATION | Context::LOCATION_IF;
    vec![Row::new("status_zone", here, Arity::exactly(1), DOC, |cx| {
        if cx.context == Context::SERVER {
            return server(cx, &HTTP_SERVERS);
        }
        let zone = if cx.arg(0) == b"off" { None } else { Some(claim(cx, &LOCATIONS)?) };
        cx.once(&mut cx.location::<LocationZone>().0, zone.into())
    })]
}

fn stream_rows() -> Vec<Row> {
    vec![Row::new("status_zone", Context::STREAM_SERVER, Arity::exactly(1), DOC, |cx| server(cx, &STREAM_SERVERS))]
}

fn server(cx: &mut Cx<'_>, kind: &'static Kind) -> Result<(), Error> {
    let zone = claim(cx, kind)?;
    cx.once(&mut cx.server::<ServerZone>().0, zone)
}

fn claim(cx: &Cx<'_>, kind: &'static Kind) -> Result<Rc<Meter>, Error> {
    let name = cx.text(0);
    if name.is_empty() {
        return Err(cx.error_at(0, format!("invalid zone name \"{name}\"")));
    }
    let claimed = cx.global::<Zones>().meters.claim(kind, &name);
    claimed.map_err(|error| cx.error(format!("mapping shared memory zone \"{name}\" failed: {error}")))
}

fn levels(levels: &mut Levels) {
    levels.server::<ServerZone>();
    levels.location::<LocationZone>();
}

fn stream_levels(levels: &mut Levels) {
    levels.server::<ServerZone>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let server = place.server_conf::<ServerZone>().0.clone();
    let location = place.conf::<LocationZone>().0.clone().and_then(Switch::on);
    place.count_in(RequestZones { server, location });
    Ok(())
}

/// The zone in which a session has begun.
struct Begun(Rc<Meter>);

fn attach_stream(place: &mut stream::Attach<'_>) -> Result<(), Error> {
    let Some(zone) = place.conf::<ServerZone>().0.clone() else { return Ok(()) };
    let own = zone.clone();
    place.phase(stream::Phase::PostAccept, move |session| {
        zone.add(BEGUN, 1);
        let begun = Rc::new(Begun(zone.clone()));
        session.set_context(begun.clone());
        session.on_end(move |session| session_ended(session, &begun.0));
        Step::Now(Outcome::Declined)
    });
    place.phase(stream::Phase::Log, move |session| {
        // The client has named this server after the session had begun with another.
        if session.find_context::<Begun>().is_none_or(|begun| !Rc::ptr_eq(&begun.0, &own)) {
            own.add(BEGUN, 1);
            count_session(session, &own);
        }
        Step::Now(Outcome::Ok)
    });
    Ok(())
}

/// A session has ended that has begun in this zone.
fn session_ended(session: &stream::Session, zone: &Rc<Meter>) {
    let last = session.conf::<ServerZone>();
    let stayed = last.0.as_ref().is_some_and(|last| Rc::ptr_eq(last, zone));
    if stayed || session.status.get() == status::PASSED {
        count_session(session, zone);
    } else {
        zone.add(BEGUN, u64::MAX);
    }
}

fn count_session(session: &stream::Session, zone: &Meter) {
    let status = Some(session.status.get()).filter(|status| *status != status::PASSED);
    if let Some(own) = stripe(zone) {
        count_end(own, status, session.received.get(), session.sent.get());
    }
}
