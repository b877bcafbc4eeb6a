//! `add_before_body`, `add_after_body`: content of other URIs before and after a body.

use crate::collector::Included;
use crate::filtering::{Types, type_matches, weaken_etag};
use crate::marks;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use http::location::Filtered;
use http::next_filters::NextFilters;
use http::{Attach, Chain, Levels, Module, Outcome, Request, Step};
use std::cell::Cell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("addition") };

#[derive(Default)]
struct Conf {
    before: Option<Box<[u8]>>,
    after: Option<Box<[u8]>>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; before, after, types);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("add_before_body", at, Arity::exactly(1), "URI whose response goes before the body.", |cx| {
            cx.once(&mut cx.location::<Conf>().before, cx.arg(0).into())
        }),
        Row::new("add_after_body", at, Arity::exactly(1), "URI whose response goes after the body.", |cx| {
            cx.once(&mut cx.location::<Conf>().after, cx.arg(0).into())
        }),
        Row::new("addition_types", at, Arity::AtLeast(1), "Types besides text/html that are added to.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
    ]
}

/// A response that is added to, and whether its beginning has gone.
#[derive(Default)]
struct Adding(Cell<bool>);

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    let given = |uri: &Option<Box<[u8]>>| uri.as_ref().is_some_and(|u| !u.is_empty());
    if given(&conf.before) || given(&conf.after) {
        let for_head = conf.clone();
        at.header_filter(move |request| header_filter(request, &for_head));
        at.body_filter_on_demand(marks::ADDITION, move |request, chain| body_filter(request, chain, &conf));
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf) -> Step {
    let fit = {
        let response = request.response.borrow();
        response.status == 200 && type_matches(conf.types.as_ref(), &response)
    };
    if fit && request.is_main() {
        let mut response = request.response.borrow_mut();
        response.clear_body_facts();
        weaken_etag(&mut response);
        drop(response);
        request.set_context(Rc::new(Adding::default()));
        request.demand_body_filter(marks::ADDITION);
    }
    Step::Now(Outcome::Ok)
}

fn body_filter(request: &Rc<Request>, chain: Chain, conf: &Rc<Conf>) -> Filtered {
    let Some(state) = request.find_context::<Adding>().filter(|_| !request.flags.header_only.get()) else {
        return Filtered::Now(Ok(chain));
    };
    let wanted = |uri: &Option<Box<[u8]>>| uri.as_ref().filter(|u| !u.is_empty()).map(|u| u.to_vec());
    let before = if state.0.replace(true) { None } else { wanted(&conf.before) };
    let after = if chain.last { wanted(&conf.after) } else { None };
    if before.is_none() && after.is_none() {
        return Filtered::Now(Ok(chain));
    }
    let request = request.clone();
    Filtered::Parts(Box::new(move |below| {
        Box::pin(async move {
            let Chain { pieces, flush, last } = chain;
            if let Some(uri) = before {
                add(&request, &uri, &below).await?;
            }
            let Some(uri) = after else { return Ok(Chain { pieces, flush, last }) };
            below.send(Chain { pieces, ..Chain::default() }).await?;
            add(&request, &uri, &below).await?;
            Ok(Chain { pieces: Vec::new(), flush, last })
        })
    }))
}

async fn add(request: &Rc<Request>, uri: &[u8], below: &NextFilters) -> Result<(), Outcome> {
    let mut included = Included::start(request, wire::uri::args::split(uri)).ok_or(Outcome::Error)?;
    while let Some(pieces) = included.next().await {
        below.send(Chain { pieces, ..Chain::default() }).await?;
    }
    Ok(())
}
