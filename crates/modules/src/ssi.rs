//! `ssi`: commands in pages (`<!--# include virtual="/x" -->`), carried out as the page leaves.

use crate::filtering::{Types, admits, each_run, forget_body, want_memory};
use crate::kept::{KeptBodies, Wish};
use base::log::Level;
use bytes::Bytes;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::location::Filtered;
use http::variables::define;
use http::{Attach, Chain, Levels, Module, Outcome, Piece, Request, Step, Variables, log_request};
use parse::{Parser, Token};
use run::Failures;
use session::variable::NO_CACHE;
use std::cell::RefCell;
use std::rc::Rc;

mod command;
mod parse;
mod run;
mod text;
mod values;

/// The module.
pub const MODULE: Module = Module { rows, levels, variables, attach, ..Module::named("ssi") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
    silent: Option<bool>,
    last_modified: Option<bool>,
    value_length: Option<u64>,
    min_file_chunk: Option<u64>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on, silent, last_modified, value_length, min_file_chunk, types);
    }
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("ssi", Context::HTTP_IF, "Carries out commands in pages.", |c| &mut c.on),
        row::flag::<Conf>("ssi_silent_errors", at, "Shows nothing where a command fails.", |c| &mut c.silent),
        row::flag::<Conf>("ssi_last_modified", at, "Keeps Last-Modified.", |c| &mut c.last_modified),
        row::size::<Conf>("ssi_value_length", at, "Longest value of a parameter.", |c| &mut c.value_length),
        row::size::<Conf>("ssi_min_file_chunk", at, "Accepted; text is never copied to be sent.", |c| &mut c.min_file_chunk),
        Row::new("ssi_types", at, Arity::AtLeast(1), "Types besides text/html that are searched.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
    ]
}

fn variables(variables: &mut Variables) {
    define(variables, "date_local", NO_CACHE, |request, out| run::date(request, true, out));
    define(variables, "date_gmt", NO_CACHE, |request, out| run::date(request, false, out));
}

/// The tokens of pages that came before.
type Known = KeptBodies<Rc<[Token]>>;

/// A page under way.
struct Page {
    parser: RefCell<Parser>,
    state: RefCell<run::State>,
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.on == Some(true) {
        let for_head = conf.clone();
        at.header_filter(move |request| header_filter(request, &for_head));
        at.body_filter(move |request, chain| body_filter(request, chain, Failures { silent: conf.silent == Some(true) }));
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf) -> Step {
    let fit = {
        let response = request.response.borrow();
        response.content_length != Some(0) && admits(conf.types.as_ref(), &response)
    };
    if !fit {
        return Step::Now(Outcome::Ok);
    }
    let parser = RefCell::new(Parser::new(conf.value_length.unwrap_or(256) as usize));
    request.set_context(Rc::new(Page { parser, state: RefCell::default() }));
    want_memory(request);
    forget_body(request, conf.last_modified == Some(true));
    Step::Now(Outcome::Ok)
}

/// The tokens that a chain completes.
fn tokens(request: &Request, parser: &mut Parser, chain: &Chain) -> std::io::Result<Rc<[Token]>> {
    if let ([Piece::Bytes(whole)], true, true) = (&*chain.pieces, chain.last, parser.is_fresh()) {
        let known = request.worker.state::<Known>();
        return Ok(match known.look(whole, parser.value_length()) {
            Wish::Known(tokens) => tokens,
            Wish::Make => parse(parser, chain)?.into(),
            Wish::Keep(key) => {
                let tokens: Rc<[Token]> = parse(parser, chain)?.into();
                known.keep(key, whole, &tokens, tokens.iter().map(Token::size).sum());
                tokens
            }
        });
    }
    Ok(parse(parser, chain)?.into())
}

fn parse(parser: &mut Parser, chain: &Chain) -> std::io::Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for piece in &chain.pieces {
        match piece {
            Piece::Bytes(bytes) => parser.feed(bytes, &mut tokens),
            Piece::File(_) => each_run(piece, |data| {
                parser.feed(&Bytes::copy_from_slice(data), &mut tokens);
                Ok(())
            })?,
        }
    }
    if chain.last {
        parser.finish(&mut tokens);
    }
    Ok(tokens)
}

fn body_filter(request: &Rc<Request>, chain: Chain, failures: Failures) -> Filtered {
    let Some(page) = request.find_context::<Page>().filter(|_| !request.flags.header_only.get()) else {
        return Filtered::Now(Ok(chain));
    };
    let tokens = match tokens(request, &mut page.parser.borrow_mut(), &chain) {
        Ok(tokens) => tokens,
        Err(error) => {
            log_request!(request, Level::Alert, "reading a file for ssi failed: {error}");
            return Filtered::Now(Err(Outcome::Error));
        }
    };
    let Chain { flush, last, .. } = chain;
    let mut pieces = Vec::new();
    let mut state = page.state.take();
    let done = tokens.iter().position(|token| run::is_much(&pieces) || !run::token_now(request, &mut state, token, &failures, &mut pieces));
    page.state.replace(state);
    let Some(done) = done else { return Filtered::Now(Ok(Chain { pieces, flush, last })) };
    let request = request.clone();
    Filtered::Parts(Box::new(move |below| {
        Box::pin(async move {
            let mut out = run::Out::new(pieces, below);
            for token in tokens.iter().skip(done) {
                let taken = page.state.take();
                let (state, result) = run::token(&request, taken, token, &failures, &mut out).await;
                page.state.replace(state);
                result?;
            }
            Ok(Chain { pieces: out.rest(), flush, last })
        })
    }))
}
