//! `stub_status`: a page of counters (nginx manual, `ngx_http_stub_status_module`).

use base::text::push_number;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::metrics::Counter;
use http::variables::{define, getter};
use http::{Attach, Levels, Method, Module, Outcome, Step, Variables, Worker};
use session::variable::NO_CACHE;

/// The page of counters.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Status>, variables, attach, ..Module::named("stub_status") };

#[derive(Default)]
struct Status {
    on: bool,
}

impl Config for Status {
    // A content handler belongs to its location.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![Row::new("stub_status", Context::SERVER | Context::LOCATION, Arity::Between(0, 1), "Answers with counters.", |cx| {
        cx.location::<Status>().on = true;
        Ok(())
    })]
}

fn waiting(worker: &Worker) -> u64 {
    let [active, reading, writing] = [Counter::Active, Counter::Reading, Counter::Writing].map(|counter| worker.sum(counter));
    active.saturating_sub(reading + writing)
}

fn variables(variables: &mut Variables) {
    let counters =
        [("connections_active", Counter::Active), ("connections_reading", Counter::Reading), ("connections_writing", Counter::Writing)];
    for (name, counter) in counters {
        variables.define(
            name,
            NO_CACHE,
            getter(move |request, out| {
                push_number(out, request.worker.sum(counter));
                true
            }),
        );
    }
    define(variables, "connections_waiting", NO_CACHE, |request, out| {
        push_number(out, waiting(&request.worker));
        true
    });
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if place.conf::<Status>().on {
        place.content(|request| {
            if !request.method().intersects(Method::GET.or(Method::HEAD)) {
                return Step::Now(Outcome::Status(405));
            }
            let body = page(&request.worker);
            request.respond(200, b"text/plain", body)
        });
    }
    Ok(())
}

/// The page in nginx's form; all workers are counted together.
fn page(worker: &Worker) -> Vec<u8> {
    let [active, accepted, handled, requests, reading, writing] =
        [Counter::Active, Counter::Accepted, Counter::Handled, Counter::Requests, Counter::Reading, Counter::Writing]
            .map(|counter| worker.sum(counter));
    let waiting = active.saturating_sub(reading + writing);
    format!(
        "Active connections: {active} \nserver accepts handled requests\n {accepted} {handled} {requests} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n"
    )
    .into_bytes()
}
