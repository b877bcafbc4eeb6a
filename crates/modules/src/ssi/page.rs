//! A page being processed: commands are executed as they are parsed.

use super::CommandError;
use super::command::{self, CachedCommand, CommandSpec, Kind, Params};
use super::condition;
use super::include::{IncludeKind, Value, include};
use super::marks::inner;
use super::order::{OutputQueue, Progress};
use super::parse::{Parser, Token};
use super::text::evaluate;
use super::values::{append_value, set_value, shared};
use crate::body_cache::{BodyCache, Lookup};
use crate::filtering::each_bytes;
use base::log::Level;
use bytes::Bytes;
use http::{Chain, Outcome, Piece, Request, log_request};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Waker};
use wire::uri::escape::{Class, escape, escape_html};

/// A page under way.
pub(super) struct Page {
    /// `config timefmt`.
    pub(super) time_format: RefCell<Option<Vec<u8>>>,
    work: RefCell<Work>,
}

impl Page {
    pub(super) fn new(longest_value: usize, silent: bool) -> Page {
        let (tokens, state, order) = Default::default();
        let parser = Parser::new(longest_value);
        let work = Work { parser, tokens, state, order, waiting: None, longest_value, silent, ends_with_client: false };
        Page { time_format: RefCell::default(), work: RefCell::new(work) }
    }

    /// Reads a part of the page. One that comes whole, and came before, was taken apart then.
    ///
    /// # Errors
    /// Those of reading a file.
    pub(super) fn read(&self, request: &Request, chain: &Chain) -> io::Result<()> {
        let mut work = self.work.borrow_mut();
        let Work { parser, tokens, longest_value, .. } = &mut *work;
        if let ([Piece::Bytes(body)], true, true) = (&*chain.pieces, chain.last, parser.is_new()) {
            let cached: Rc<BodyCache<Rc<[Part]>>> = request.worker.state();
            match cached.lookup(body, *longest_value) {
                Lookup::Known(parts) => {
                    tokens.extend(take_apart(body, &parts));
                    return Ok(());
                }
                Lookup::Keep(key) => {
                    let mut all = Vec::new();
                    parser.feed(body.clone(), &mut all);
                    parser.finish(&mut all);
                    let parts: Rc<[Part]> = all.iter().map(Part::of).collect();
                    cached.insert(key, body, &parts, parts.iter().map(Part::size).sum());
                    tokens.extend(all);
                    return Ok(());
                }
                Lookup::Make => {}
            }
        }
        for piece in &chain.pieces {
            each_bytes(piece, |data| {
                parser.feed(data, tokens);
                Ok(())
            })?;
        }
        if chain.last {
            parser.finish(tokens);
        }
        Ok(())
    }

    /// Carries out what has been read, and moves what is ready to `out`.
    pub(super) fn advance(&self, request: &Rc<Request>, cx: &mut Context<'_>, out: &mut Vec<Piece>) -> Result<Progress, Outcome> {
        let mut work = self.work.borrow_mut();
        loop {
            if work.waiting.is_some() {
                match work.go_on(request, cx, out)? {
                    Progress::Done => work.waiting = None,
                    other => return Ok(other),
                }
            }
            match work.tokens.pop_front() {
                Some(token) => work.token(request, self, token),
                None => return Ok(work.order.collect(&request.worker, cx, out)),
            }
        }
    }

    /// What can be done without waiting.
    pub(super) fn advance_at_once(&self, request: &Rc<Request>, out: &mut Vec<Piece>) -> Result<Progress, Outcome> {
        self.advance(request, &mut Context::from_waker(Waker::noop()), out)
    }

    /// Whether what the page waits for wants to know when the client has gone.
    pub(super) fn is_watched(&self) -> bool {
        let work = self.work.borrow();
        work.order.is_watched() || matches!(&work.waiting, Some(Wait::Value(value)) if value.is_watched())
    }

    /// Whether more of the page can come before all that it includes has gone out.
    pub(super) fn takes_more(&self) -> bool {
        let work = self.work.borrow();
        work.waiting.is_none() && !work.order.is_full()
    }

    /// Includes are under way: they end with the client's request, whatever becomes of this one.
    pub(super) fn end_with_client(self: &Rc<Page>, request: &Rc<Request>) {
        if std::mem::replace(&mut self.work.borrow_mut().ends_with_client, true) {
            return;
        }
        let page = Rc::downgrade(self);
        request.main().on_end(move |_| {
            let Some(page) = page.upgrade() else { return };
            let left = page.work.try_borrow_mut().map(|mut work| (std::mem::take(&mut work.order), work.waiting.take()));
            drop(left);
        });
    }
}

/// How a part of a page is read. Parts stand one behind another.
struct Part {
    length: usize,
    read: Read,
}

enum Read {
    Text,
    Command(Rc<CachedCommand>),
    Malformed(CommandError),
    Cut(Option<CommandError>),
}

impl Part {
    fn of(token: &Token) -> Part {
        let (text, read) = match token {
            Token::Text(text) => (text, Read::Text),
            Token::Command(text) => (text, Read::Command(Rc::new(CachedCommand::of(text)))),
            Token::Kept(text, command) => (text, Read::Command(command.clone())),
            Token::Malformed(text, fault) => (text, Read::Malformed(fault.clone())),
            Token::Cut(text, fault) => (text, Read::Cut(fault.clone())),
        };
        Part { length: text.len(), read }
    }

    /// The memory that it takes, about.
    fn size(&self) -> usize {
        let own = match &self.read {
            Read::Command(_) => size_of::<CachedCommand>(),
            Read::Malformed(CommandError(text)) | Read::Cut(Some(CommandError(text))) => text.len(),
            Read::Text | Read::Cut(None) => 0,
        };
        size_of::<Part>() + own
    }
}

fn take_apart(page: &Bytes, parts: &[Part]) -> impl Iterator<Item = Token> {
    let mut rest = page.clone();
    parts.iter().map(move |part| {
        let text = rest.split_to(part.length.min(rest.len()));
        match &part.read {
            Read::Text => Token::Text(text),
            Read::Command(command) => Token::Kept(text, command.clone()),
            Read::Malformed(fault) => Token::Malformed(text, fault.clone()),
            Read::Cut(fault) => Token::Cut(text, fault.clone()),
        }
    })
}

/// What carries a page's commands out.
struct Work {
    parser: Parser,
    /// What has been read and not been carried out.
    tokens: VecDeque<Token>,
    state: State,
    order: OutputQueue,
    /// What must come before the page goes on.
    waiting: Option<Wait>,
    longest_value: usize,
    silent: bool,
    ends_with_client: bool,
}

/// Where a page stands.
#[derive(Debug, Default)]
struct State {
    /// The branches that are being read: none, before their `else`, behind it.
    branches: Branches,
    /// One of them has been the one.
    branch_taken: bool,
    /// This one is not.
    hidden: bool,
    /// Name and content of the block that is being read.
    block: Option<(Vec<u8>, Vec<u8>)>,
    error_message: Option<Bytes>,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Branches {
    #[default]
    None,
    BeforeElse,
    BehindElse,
}

#[derive(Clone, Copy, Debug, Default)]
enum Encoding {
    None,
    Url,
    #[default]
    Entity,
}

/// Why a page waits.
enum Wait {
    /// All before this place goes out first.
    Sent,
    /// A response becomes a variable, and all before this place goes out first.
    Value(Value),
}

impl Work {
    fn go_on(&mut self, request: &Rc<Request>, cx: &mut Context<'_>, out: &mut Vec<Piece>) -> Result<Progress, Outcome> {
        self.order.begin(&request.worker);
        if let Some(Wait::Value(value)) = &mut self.waiting {
            value.begin(&request.worker);
        }
        let progress = self.order.collect(&request.worker, cx, out);
        match &mut self.waiting {
            Some(Wait::Value(value)) if progress == Progress::Done => value.poll(request, cx),
            _ => Ok(progress),
        }
    }

    fn token(&mut self, request: &Rc<Request>, page: &Page, token: Token) {
        let result = match token {
            Token::Text(text) => {
                match &mut self.state.block {
                    Some((_, content)) => content.extend_from_slice(&text),
                    None => self.emit(text),
                }
                return;
            }
            Token::Malformed(_, fault) => Err(fault),
            Token::Cut(_, fault) => {
                if let Some(CommandError(why)) = fault {
                    log_request!(request, Level::Error, "{why}");
                }
                return;
            }
            Token::Command(text) => self.execute_parsed(request, page, &text),
            Token::Kept(text, cached) => self.execute_cached(request, page, &text, &cached),
        };
        if let Err(CommandError(why)) = result {
            log_request!(request, Level::Error, "{why}");
            if !self.silent {
                let message = self.state.error_message.clone();
                // Seen also where nothing else is.
                self.order.push(Piece::Bytes(message.unwrap_or(Bytes::from_static(b"[an error occurred while processing the directive]"))));
            }
        }
    }

    fn emit(&mut self, text: impl Into<Bytes>) {
        if !self.state.hidden {
            self.order.push(Piece::Bytes(text.into()));
        }
    }

    /// Whether a command is to be carried out here.
    fn applies(&mut self, known: Option<&'static CommandSpec>, text: &[u8]) -> bool {
        let kind = known.map(|known| known.kind);
        if let Some((_, content)) = &mut self.state.block
            && kind != Some(Kind::Endblock)
        {
            // A block's commands are carried out where it stands in for an include.
            content.extend_from_slice(text);
            return false;
        }
        !self.state.hidden || matches!(kind, Some(Kind::If | Kind::Elif | Kind::Else | Kind::Endif))
    }

    fn execute_parsed(&mut self, request: &Rc<Request>, page: &Page, text: &[u8]) -> Result<(), CommandError> {
        let (name, rest) = command::split_name(inner(text));
        let known = command::find(name);
        if !self.applies(known, text) {
            return Ok(());
        }
        self.state.check_placement(known.map(|known| known.kind))?;
        let command = command::read(name, known, rest)?;
        self.carry_out(request, page, command.kind(), &command.params(rest))
    }

    fn execute_cached(&mut self, request: &Rc<Request>, page: &Page, text: &[u8], cached: &CachedCommand) -> Result<(), CommandError> {
        if !self.applies(cached.spec, text) {
            return Ok(());
        }
        self.state.check_placement(cached.spec.map(|known| known.kind))?;
        let command = cached.read.as_ref().map_err(CommandError::clone)?;
        self.carry_out(request, page, command.kind(), &command.params(cached.written(text)))
    }

    fn carry_out(&mut self, request: &Rc<Request>, page: &Page, kind: Kind, params: &Params<'_>) -> Result<(), CommandError> {
        match kind {
            Kind::Include => match include(request, params)? {
                IncludeKind::Shown(include) => self.order.include(include),
                IncludeKind::Waited(include) => {
                    self.order.include(include);
                    self.waiting = Some(Wait::Sent);
                }
                IncludeKind::Value(value) => self.waiting = Some(Wait::Value(value)),
            },
            Kind::Echo => self.echo(request, params),
            Kind::Config => self.config(page, params),
            Kind::Set => {
                let value = evaluate(request, params.need("value"))?.into_owned();
                set_value(request, params.need("var"), value);
            }
            Kind::Block => self.state.block = Some((params.need("name").to_vec(), Vec::new())),
            Kind::Endblock => {
                if let Some(block) = self.state.block.take() {
                    shared(request).blocks.borrow_mut().push(block);
                }
            }
            branch => self.state.branch(branch, || condition::holds(request, params.need("expr")))?,
        }
        Ok(())
    }

    fn config(&mut self, page: &Page, params: &Params<'_>) {
        if let Some(format) = params.get("timefmt") {
            page.time_format.replace(Some(format.to_vec()));
        }
        if let Some(message) = params.get("errmsg") {
            self.state.error_message = Some(Bytes::copy_from_slice(message));
        }
    }

    fn echo(&mut self, request: &Request, params: &Params<'_>) {
        match params.get("encoding") {
            None => {}
            Some(b"none") => self.state.encoding = Encoding::None,
            Some(b"url") => self.state.encoding = Encoding::Url,
            Some(b"entity") => self.state.encoding = Encoding::Entity,
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                log_request!(request, Level::Error, "unknown encoding \"{other}\" in the \"echo\" command");
            }
        }
        let mut value = Vec::new();
        if !append_value(request, params.need("var"), &mut value) {
            value.extend_from_slice(params.get("default").unwrap_or(b"(none)"));
        }
        if value.is_empty() {
            return;
        }
        let mut text = Vec::new();
        match self.state.encoding {
            Encoding::None => text = value,
            Encoding::Url => escape(&value, Class::Html, &mut text),
            Encoding::Entity => escape_html(&value, &mut text),
        }
        self.emit(text);
    }
}

impl State {
    /// Where a command stands is checked before its parameters are.
    fn check_placement(&self, kind: Option<Kind>) -> Result<(), CommandError> {
        match (kind, self.branches) {
            (Some(Kind::Elif), Branches::None | Branches::BehindElse) => Err(misplaced("elif")),
            (Some(Kind::Else), Branches::None | Branches::BehindElse) => Err(misplaced("else")),
            (Some(Kind::Endif), Branches::None) => Err(misplaced("endif")),
            _ => Ok(()),
        }
    }

    /// `if`, `elif`, `else`, `endif`.
    fn branch(&mut self, kind: Kind, holds: impl FnOnce() -> Result<bool, CommandError>) -> Result<(), CommandError> {
        match (kind, self.branches) {
            // Where nothing is shown nothing is checked.
            (Kind::If, Branches::BeforeElse | Branches::BehindElse) if self.hidden => return Ok(()),
            (Kind::If, Branches::BeforeElse | Branches::BehindElse) => {
                return Err(CommandError("the \"if\" command inside the \"if\" command".to_owned()));
            }
            (Kind::Endif, _) => {
                (self.branches, self.branch_taken, self.hidden) = (Branches::None, false, false);
                return Ok(());
            }
            (Kind::Else, _) => {
                (self.branches, self.hidden) = (Branches::BehindElse, self.branch_taken);
                return Ok(());
            }
            _ => {}
        }
        self.hidden = self.branch_taken || !holds()?;
        self.branch_taken = self.branch_taken || !self.hidden;
        self.branches = Branches::BeforeElse;
        Ok(())
    }
}

fn misplaced(command: &str) -> CommandError {
    CommandError(format!("invalid context of SSI command: \"{command}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches() {
        use Kind::{Elif, Else, Endif, If};
        // Commands with what their condition says, and whether the text behind each is shown; `None`: an error.
        let cases: [&[(Kind, bool, Option<bool>)]; 5] = [
            &[(If, true, Some(true)), (Else, false, Some(false)), (Endif, false, Some(true))],
            &[(If, false, Some(false)), (Elif, true, Some(true)), (Elif, true, Some(false)), (Else, false, Some(false))],
            &[
                (If, false, Some(false)),
                (Elif, false, Some(false)),
                (Else, false, Some(true)),
                (Else, false, None),
                (Endif, true, Some(true)),
            ],
            &[(If, false, Some(false)), (If, true, Some(false)), (Else, false, Some(true)), (If, true, None), (Elif, true, None)],
            &[(Else, true, None), (Endif, true, None), (Elif, true, None), (If, true, Some(true))],
        ];
        for case in cases {
            let mut state = State::default();
            for (at, (kind, holds, shown)) in case.iter().enumerate() {
                let result = state.check_placement(Some(*kind)).and_then(|()| state.branch(*kind, || Ok(*holds)));
                assert_eq!(result.is_ok().then_some(!state.hidden), *shown, "{case:?} {at}");
            }
        }
    }
}
