//! `metrics`: what all workers have counted, for programs (beyond nginx).

pub(crate) mod json;
mod overview;
mod prometheus;
mod report;
mod zones;

use self::report::{Format, Report};
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Chain, Levels, Method, Module, Outcome, Request, Step};
use std::rc::Rc;

/// Counters as text.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Metrics>, attach, ..Module::named("metrics") };

#[derive(Default)]
struct Metrics {
    format: Option<Format>,
}

impl Config for Metrics {
    // A content handler belongs to its location.
    fn inherit(&mut self, _: &Self) {}
}

/// Bytes that may wait for a slow client before the next part is made.
const AHEAD: u64 = 64 * 1024;

fn rows() -> Vec<Row> {
    vec![Row::new("metrics", Context::SERVER | Context::LOCATION, Arity::Between(0, 1), "Answers with what was counted.", |cx| {
        let format = match cx.args().is_empty() {
            true => Format::Prometheus,
            false => cx.choice(0, &[("prometheus", Format::Prometheus), ("json", Format::Json)])?,
        };
        cx.once(&mut cx.location::<Metrics>().format, format)
    })]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let Some(format) = place.conf::<Metrics>().format else { return Ok(()) };
    place.content(move |request| {
        if !request.method().intersects(Method::GET.or(Method::HEAD)) {
            return Step::Now(Outcome::Status(405));
        }
        let mut report = Report::new(request, format);
        let first = report.next().unwrap_or_default();
        if report.is_done() {
            return request.respond(200, format.content_type(), first);
        }
        Step::wait(|| send(request.clone(), report, first))
    });
    Ok(())
}

/// Sends a long report part by part, so that other requests have their turn between two of them.
async fn send(request: Rc<Request>, report: Report, first: Vec<u8>) -> Outcome {
    {
        let mut response = request.response.borrow_mut();
        response.set_status(200);
        response.set_content_type(report.format.content_type());
    }
    match request.send_header().finish().await {
        Outcome::Ok if request.flags.header_only.get() => return Outcome::Ok,
        Outcome::Ok => {}
        other => return other,
    }
    for part in std::iter::once(first).chain(report) {
        for step in [request.output(Chain::bytes(part)), request.drain(AHEAD)] {
            if step.finish().await != Outcome::Ok {
                return Outcome::Error;
            }
        }
        net::turn::next().await;
    }
    request.output_end().finish().await
}
