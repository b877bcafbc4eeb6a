//! `ssi`: commands in pages (`<!--# include virtual="/x" -->`), executed as the page is sent.

use crate::filtering::{Types, forget_body, type_matches, want_memory};
use base::log::Level;
use base::saturated::Saturated;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::location::Filtered;
use http::next_filters::NextFilters;
use http::variables::define;
use http::{Attach, Chain, Levels, Module, Outcome, Piece, Request, Step, Variables, log_request};
use order::Progress;
use page::Page;
use session::variable::NO_CACHE;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

mod command;
mod condition;
mod date;
mod include;
mod marks;
mod order;
mod page;
mod parse;
mod scan;
mod text;
mod values;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, variables, attach, ..Module::named("ssi") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
    silent: Option<bool>,
    last_modified: Option<bool>,
    value_length: Option<u64>,
    min_file_chunk: Option<u64>,
    /// `subrequest_output_buffer_size`, whose only user is `include set`.
    longest_answer: Option<u64>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on, silent, last_modified, value_length, min_file_chunk, longest_answer, types);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("ssi", Context::HTTP_IF, "Carries out commands in pages.", |c| &mut c.on),
        row::flag::<Conf>("ssi_silent_errors", at, "Shows nothing where a command fails.", |c| &mut c.silent),
        row::flag::<Conf>("ssi_last_modified", at, "Keeps Last-Modified.", |c| &mut c.last_modified),
        row::size::<Conf>("ssi_value_length", at, "Longest value of a parameter.", |c| &mut c.value_length),
        row::size::<Conf>("ssi_min_file_chunk", at, "Accepted; text is never copied to be sent.", |c| &mut c.min_file_chunk),
        row::size::<Conf>("subrequest_output_buffer_size", at, "Longest response that becomes a variable.", |c| &mut c.longest_answer),
        Row::new("ssi_types", at, Arity::AtLeast(1), "Types besides text/html that are searched.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
    ]
}

fn variables(variables: &mut Variables) {
    define(variables, "date_local", NO_CACHE, |request, out| date::date(request, true, out));
    define(variables, "date_gmt", NO_CACHE, |request, out| date::date(request, false, out));
}

/// Why a command failed, for the log; the page shows the error message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CommandError(String);

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommandError {}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.on == Some(true) {
        let for_head = conf.clone();
        at.header_filter(move |request| header_filter(request, &for_head));
        at.body_filter_on_demand(crate::marks::SSI, body_filter);
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf) -> Step {
    let fit = {
        let response = request.response.borrow();
        response.content_length != Some(0) && type_matches(conf.types.as_ref(), &response)
    };
    if !fit {
        return Step::Now(Outcome::Ok);
    }
    let longest_value = usize::saturated(conf.value_length.unwrap_or(255));
    request.set_context(Rc::new(Page::new(longest_value, conf.silent == Some(true))));
    request.demand_body_filter(crate::marks::SSI);
    want_memory(request);
    forget_body(request, conf.last_modified == Some(true));
    Step::Now(Outcome::Ok)
}

fn body_filter(request: &Rc<Request>, chain: Chain) -> Filtered {
    let Some(page) = request.find_context::<Page>().filter(|_| !request.flags.header_only.get()) else {
        return Filtered::Now(Ok(chain));
    };
    if let Err(error) = page.read(request, &chain) {
        log_request!(request, Level::Alert, "reading a file for ssi failed: {error}");
        return Filtered::Now(Err(Outcome::Error));
    }
    let Chain { mut pieces, flush, last } = chain;
    pieces.clear();
    match page.advance_at_once(request, &mut pieces) {
        Err(outcome) => return Filtered::Now(Err(outcome)),
        Ok(Progress::Done) => return Filtered::Now(Ok(Chain { pieces, flush, last })),
        Ok(progress) => {
            page.end_with_client(request);
            // What is under way goes on while the page comes.
            if progress == Progress::Waiting && !last && !flush && page.takes_more() {
                return Filtered::Now(Ok(Chain { pieces, flush, last }));
            }
        }
    }
    let request = request.clone();
    Filtered::Parts(Box::new(move |below| {
        Box::pin(async move {
            finish(&page, &request, &mut pieces, &below).await?;
            Ok(Chain { pieces, flush, last })
        })
    }))
}

/// Waits for all that the page includes, and sends what is much or must wait for something.
async fn finish(page: &Page, request: &Rc<Request>, pieces: &mut Vec<Piece>, below: &NextFilters) -> Result<(), Outcome> {
    loop {
        let progress = poll_fn(|cx| match page.advance(request, cx, pieces) {
            Ok(Progress::Waiting) if pieces.is_empty() => {
                if page.is_watched() && request.wire.poll_gone(cx).is_ready() {
                    request.flags.client_gone.set(true);
                    return Poll::Ready(Err(Outcome::Error));
                }
                Poll::Pending
            }
            result => Poll::Ready(result),
        });
        if progress.await? == Progress::Done {
            return Ok(());
        }
        below.send(Chain { pieces: std::mem::take(pieces), ..Chain::default() }).await?;
    }
}
