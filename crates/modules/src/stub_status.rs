//! `stub_status`: a page of counters (nginx manual, `ngx_http_stub_status_module`).

use base::text::push_number;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::variables::define;
use http::worker::Counters;
use http::{Attach, Levels, Method, Module, Outcome, Step};
use session::Variables;
use session::variable::NO_CACHE;

/// The page of counters.
pub const MODULE: Module = Module { rows, levels, variables, attach, ..Module::named("stub_status") };

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

fn levels(levels: &mut Levels) {
    levels.location::<Status>();
}

fn waiting(counters: &Counters) -> u64 {
    counters.active.get().saturating_sub(counters.reading.get() + counters.writing.get())
}

fn variables(variables: &mut Variables) {
    define(variables, "connections_active", NO_CACHE, |request, out| {
        push_number(out, request.worker.counters().active.get());
        true
    });
    define(variables, "connections_reading", NO_CACHE, |request, out| {
        push_number(out, request.worker.counters().reading.get());
        true
    });
    define(variables, "connections_writing", NO_CACHE, |request, out| {
        push_number(out, request.worker.counters().writing.get());
        true
    });
    define(variables, "connections_waiting", NO_CACHE, |request, out| {
        push_number(out, waiting(request.worker.counters()));
        true
    });
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if place.conf::<Status>().on {
        place.content(|request| {
            if !request.method().intersects(Method::GET.or(Method::HEAD)) {
                return Step::Now(Outcome::Status(405));
            }
            let body = page(request.worker.counters());
            request.respond(200, b"text/plain", body)
        });
    }
    Ok(())
}

fn page(counters: &Counters) -> Vec<u8> {
    format!(
        "Active connections: {} \nserver accepts handled requests\n {} {} {} \nReading: {} Writing: {} Waiting: {} \n",
        counters.active.get(),
        counters.accepted.get(),
        counters.handled.get(),
        counters.requests.get(),
        counters.reading.get(),
        counters.writing.get(),
        waiting(counters)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_nginxs_shape() {
        let counters = Counters::default();
        counters.active.set(5);
        counters.reading.set(1);
        counters.writing.set(2);
        counters.accepted.set(10);
        counters.handled.set(10);
        counters.requests.set(30);
        let text = "Active connections: 5 \nserver accepts handled requests\n 10 10 30 \nReading: 1 Writing: 2 Waiting: 2 \n";
        assert_eq!(page(&counters), text.as_bytes());
    }
}
