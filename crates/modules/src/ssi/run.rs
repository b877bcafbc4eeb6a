//! Carrying commands out.

use super::command::{Command, Kind};
use super::parse::Token;
use super::text::evaluate;
use super::values::{push_value, set_value, shared};
use crate::collector::Included;
use crate::filtering::each_run;
use crate::transform::PART;
use base::clock::{self, civil, month_name};
use base::log::Level;
use http::below::Below;
use http::{Chain, Outcome, Piece, Request, log_request};
use session::{Cache, Regex, Session, Variables, variable};
use std::rc::Rc;
use wire::uri::escape::{Class, escape, escape_html};

/// Where a page stands.
#[derive(Default)]
pub(super) struct State {
    condition: Condition,
    /// Name and content of the block that is being read.
    block: Option<(Vec<u8>, Vec<Piece>)>,
    error_message: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    None,
    /// This branch is the one.
    True,
    /// No branch so far.
    False,
    /// A branch has been taken.
    Done,
}

impl State {
    fn silent(&self) -> bool {
        matches!(self.condition, Condition::False | Condition::Done)
    }

    /// Sends a piece to where the page stands: out, into a block, or nowhere.
    pub(super) fn emit(&mut self, piece: Piece, out: &mut Vec<Piece>) {
        if self.silent() {
            return;
        }
        match &mut self.block {
            Some((_, content)) => content.push(piece),
            None => out.push(piece),
        }
    }
}

/// What the page has become so far, and where it goes.
pub(super) struct Out {
    pieces: Vec<Piece>,
    below: Below,
    failed: Option<Outcome>,
}

impl Out {
    /// Goes on behind these pieces.
    pub(super) fn new(pieces: Vec<Piece>, below: Below) -> Out {
        Out { pieces, below, failed: None }
    }

    /// What has not been sent.
    pub(super) fn rest(self) -> Vec<Piece> {
        self.pieces
    }

    /// Sends what there is, if it is much.
    async fn send_much(&mut self) -> Result<(), Outcome> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if !is_much(&self.pieces) {
            return Ok(());
        }
        let chain = Chain { pieces: std::mem::take(&mut self.pieces), ..Chain::default() };
        let sent = self.below.send(chain).await;
        self.failed = sent.err();
        sent
    }
}

/// So many pieces leave, however short they are.
const MANY: usize = 64;

/// Whether so much has been made that it leaves before more is.
pub(super) fn is_much(pieces: &[Piece]) -> bool {
    pieces.len() >= MANY || pieces.iter().map(Piece::len).sum::<u64>() >= PART as u64
}

/// Why a command failed, for the log; the page shows the error message.
struct Fault(String);

/// The failures of a page's commands.
pub(super) struct Failures {
    /// They show nothing.
    pub(super) silent: bool,
}

impl Failures {
    fn show(&self, request: &Request, state: &mut State, Fault(why): &Fault, out: &mut Vec<Piece>) {
        log_request!(request, Level::Error, "{why}");
        if !self.silent {
            let message = state.error_message.clone();
            let message = message.unwrap_or_else(|| b"[an error occurred while processing the directive]".to_vec());
            state.emit(Piece::Bytes(message.into()), out);
        }
    }
}

/// Carries a token out, unless that may have to wait: false then.
pub(super) fn token_now(request: &Request, state: &mut State, token: &Token, failures: &Failures, out: &mut Vec<Piece>) -> bool {
    let result = match token {
        Token::Text(text) => {
            state.emit(Piece::Bytes(text.clone()), out);
            Ok(())
        }
        Token::Broken(why) => Err(Fault(why.clone())),
        Token::Command(command) if state.silent() && !command.kind.is_branch() => Ok(()),
        Token::Command(Command { kind: Kind::Include, fault: None, .. }) => return false,
        Token::Command(command) => carry_out(request, state, command, out),
    };
    if let Err(fault) = result {
        failures.show(request, state, &fault, out);
    }
    true
}

/// Carries a token out, and sends what there is if it is much.
pub(super) async fn token(
    request: &Rc<Request>,
    mut state: State,
    token: &Token,
    failures: &Failures,
    out: &mut Out,
) -> (State, Result<(), Outcome>) {
    if !token_now(request, &mut state, token, failures, &mut out.pieces)
        && let Token::Command(command) = token
        && let Err(fault) = include(request, &mut state, command, out).await
    {
        failures.show(request, &mut state, &fault, &mut out.pieces);
    }
    let sent = out.send_much().await;
    (state, sent)
}

/// Carries a command out that does not wait.
fn carry_out(request: &Request, state: &mut State, command: &Command, out: &mut Vec<Piece>) -> Result<(), Fault> {
    if state.block.is_some() && command.kind == Kind::Block {
        return Err(Fault("the \"block\" command inside the \"block\" command".to_owned()));
    }
    if let Some(fault) = &command.fault {
        return Err(Fault(fault.clone()));
    }
    match command.kind {
        Kind::Echo => echo(request, state, command, out)?,
        Kind::Config => config(request, state, command),
        Kind::Set => {
            let text = command.get("value");
            let value = evaluate(request, text.unwrap_or_default()).ok_or_else(|| bad_name(text))?;
            set_value(request, command.get("var").unwrap_or_default(), value.into_owned());
        }
        Kind::Block => state.block = Some((command.get("name").unwrap_or_default().to_vec(), Vec::new())),
        Kind::Endblock => {
            if let Some(block) = state.block.take() {
                shared(request).blocks.borrow_mut().push(block);
            }
        }
        Kind::If | Kind::Elif | Kind::Else | Kind::Endif => condition(request, state, command)?,
        Kind::Include | Kind::Unknown => {}
    }
    Ok(())
}

fn bad_name(text: Option<&[u8]>) -> Fault {
    Fault(format!("invalid variable name in \"{}\"", String::from_utf8_lossy(text.unwrap_or_default())))
}

fn condition(request: &Request, state: &mut State, command: &Command) -> Result<(), Fault> {
    let inside = state.condition != Condition::None;
    let test = || expression(request, command.get("expr").unwrap_or_default());
    let of = |yes| if yes { Condition::True } else { Condition::False };
    state.condition = match (command.kind, state.condition) {
        (Kind::If, _) if inside => return Err(Fault("the \"if\" command inside the \"if\" command".to_owned())),
        (Kind::If, _) => of(test()?),
        (Kind::Endif, _) => Condition::None,
        (kind, Condition::None) => return Err(Fault(format!("invalid context of SSI command: \"{}\"", kind.name()))),
        (_, Condition::True | Condition::Done) => Condition::Done,
        (Kind::Elif, _) => of(test()?),
        _ => Condition::True,
    };
    Ok(())
}

/// `$a`, `$a = text`, `$a != text`, `$a = /re/`, `$a != /re/`.
fn expression(request: &Request, text: &[u8]) -> Result<bool, Fault> {
    let invalid = || Fault(format!("invalid expression \"{}\"", String::from_utf8_lossy(text)));
    let trimmed = text.trim_ascii();
    let operator = memchr::memchr2(b'=', b'!', trimmed);
    let Some(at) = operator else {
        return Ok(!evaluate(request, trimmed).ok_or_else(invalid)?.is_empty());
    };
    let (left, rest) = trimmed.split_at(at);
    let negate = rest.first() == Some(&b'!');
    let right = rest.strip_prefix(b"!=").or_else(|| rest.strip_prefix(b"=")).ok_or_else(invalid)?.trim_ascii();
    let left = evaluate(request, left.trim_ascii()).ok_or_else(invalid)?;
    let same = match right.strip_prefix(b"/") {
        Some(pattern) => matches(request, pattern.strip_suffix(b"/").ok_or_else(invalid)?, &left)?,
        None => {
            let quoted = right.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\""));
            let quoted = quoted.or_else(|| right.strip_prefix(b"'").and_then(|r| r.strip_suffix(b"'")));
            evaluate(request, quoted.unwrap_or(right)).ok_or_else(invalid)? == left
        }
    };
    Ok(same != negate)
}

/// A session of its own for a pattern on a page: its groups must not touch the variables of the configuration.
struct Scratch(Cache<Scratch>);

impl Session for Scratch {
    fn cache(&self) -> &Cache<Scratch> {
        &self.0
    }

    fn variable_cycle(&self, _: &str) {}
}

fn matches(request: &Request, pattern: &[u8], subject: &[u8]) -> Result<bool, Fault> {
    let mut variables = Variables::default();
    let regex = Regex::new(pattern, false, &mut variables).map_err(Fault)?;
    variables.finish().map_err(|unknown| Fault(unknown.to_string()))?;
    let scratch = Scratch(Cache::new(Rc::new(variables)));
    if !regex.exec(&scratch, subject) {
        return Ok(false);
    }
    let groups = (0..=9).map(|n| scratch.cache().captures().get(n).map(<[u8]>::to_vec)).collect();
    shared(request).captures.replace(groups);
    for name in group_names(pattern) {
        let mut value = Vec::new();
        if variable::get_by_name(&scratch, &name, &mut value) {
            set_value(request, name.as_bytes(), value);
        }
    }
    Ok(true)
}

/// Names of groups, `(?<name>` or `(?P<name>`.
fn group_names(pattern: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(pattern);
    let starts = text.split("(?").skip(1);
    let named = starts.filter_map(|rest| rest.strip_prefix("P<").or_else(|| rest.strip_prefix('<'))?.split_once('>'));
    let names = named.map(|(name, _)| name);
    names.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).map(str::to_owned).collect()
}

fn config(request: &Request, state: &mut State, command: &Command) {
    if let Some(format) = command.get("timefmt") {
        shared(request).time_format.replace(Some(format.to_vec()));
    }
    if let Some(message) = command.get("errmsg") {
        state.error_message = Some(message.to_vec());
    }
}

fn echo(request: &Request, state: &mut State, command: &Command, out: &mut Vec<Piece>) -> Result<(), Fault> {
    let mut value = Vec::new();
    if !push_value(request, command.get("var").unwrap_or_default(), &mut value) {
        value.extend_from_slice(command.get("default").unwrap_or(b"(none)"));
    }
    let mut text = Vec::new();
    match command.get("encoding") {
        None | Some(b"entity") => escape_html(&value, &mut text),
        Some(b"none") => text = value,
        Some(b"url") => escape(&value, Class::Html, &mut text),
        Some(other) => {
            return Err(Fault(format!("unknown encoding \"{}\" in the \"echo\" command", String::from_utf8_lossy(other))));
        }
    }
    if !text.is_empty() {
        state.emit(Piece::Bytes(text.into()), out);
    }
    Ok(())
}

/// Path and arguments of an include; a relative one starts from the page's directory.
fn include_uri(request: &Request, params: &Command) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let given = match (params.get("virtual"), params.get("file")) {
        (Some(_), Some(_)) => return Err(Fault("inclusion may be either virtual or file".to_owned())),
        (None, None) => return Err(Fault("no parameter in \"include\" SSI command".to_owned())),
        (Some(uri), None) | (None, Some(uri)) => uri,
    };
    if params.get("file").is_some() && params.get("wait").is_some() {
        return Err(Fault(format!("\"wait\" cannot be used with file=\"{}\"", String::from_utf8_lossy(given))));
    }
    let mut uri = evaluate(request, given).ok_or_else(|| bad_name(Some(given)))?.into_owned();
    if uri.first() != Some(&b'/') {
        let line = request.line.borrow();
        let end = memchr::memrchr(b'/', &line.uri).map_or(0, |at| at + 1);
        uri.splice(0..0, line.uri.get(..end).unwrap_or_default().iter().copied());
    }
    let mut buffer = Vec::new();
    let target = wire::uri::internal::check(&uri, &mut buffer)
        .map_err(|_| Fault(format!("unsafe URI \"{}\" was detected", String::from_utf8_lossy(&uri))))?;
    // A path may hold a `?` of its own once it is decoded.
    let args = target.args.map(|args| args.of(&uri).to_vec()).unwrap_or_default();
    Ok((target.path(&uri, &buffer).to_vec(), args))
}

async fn include(request: &Rc<Request>, state: &mut State, params: &Command, out: &mut Out) -> Result<(), Fault> {
    if params.get("set").is_some() && params.get("stub").is_some() {
        return Err(Fault("\"set\" and \"stub\" cannot be used together in \"include\" SSI command".to_owned()));
    }
    if let Some(wait) = params.get("wait")
        && !wait.eq_ignore_ascii_case(b"yes")
        && !wait.eq_ignore_ascii_case(b"no")
    {
        return Err(Fault(format!("invalid value \"{}\" in the \"wait\" parameter", String::from_utf8_lossy(wait))));
    }
    let (path, args) = include_uri(request, params)?;
    let stub = match params.get("stub") {
        Some(name) => Some(find_block(request, name)?),
        None => None,
    };
    let included = Included::start(request, (&path, &args)).ok_or_else(|| Fault("subrequest failed".to_owned()))?;
    match (params.get("set"), stub) {
        (Some(name), _) => set_to_answer(request, name, included).await,
        (None, Some(stub)) => {
            let (status, pieces) = included.whole().await;
            let pieces = if status >= 300 || pieces.iter().all(Piece::is_empty) { stub } else { pieces };
            pieces.into_iter().for_each(|piece| state.emit(piece, &mut out.pieces));
            Ok(())
        }
        (None, None) => {
            pass_on(state, included, out).await;
            Ok(())
        }
    }
}

/// `include set`: the answer becomes a variable.
async fn set_to_answer(request: &Rc<Request>, name: &[u8], included: Included) -> Result<(), Fault> {
    let (status, pieces) = included.whole().await;
    let mut value = Vec::new();
    if status < 300 {
        for piece in &pieces {
            let run = each_run(piece, |data| {
                value.extend_from_slice(data);
                Ok(())
            });
            run.map_err(|error| Fault(format!("reading an included file failed: {error}")))?;
        }
    }
    set_value(request, name, value);
    Ok(())
}

/// Sends an included answer as it comes; when it can go nowhere any more, [`Out::send_much`] says so again.
async fn pass_on(state: &mut State, mut included: Included, out: &mut Out) {
    while let Some(pieces) = included.next().await {
        pieces.into_iter().for_each(|piece| state.emit(piece, &mut out.pieces));
        if out.send_much().await.is_err() {
            return;
        }
    }
}

fn find_block(request: &Request, name: &[u8]) -> Result<Vec<Piece>, Fault> {
    let shared = shared(request);
    let blocks = shared.blocks.borrow();
    let found = blocks.iter().find(|(n, _)| n == name).map(|(_, content)| content.clone());
    found.ok_or_else(|| Fault(format!("\"stub\"=\"{}\" for \"include\" not found", String::from_utf8_lossy(name))))
}

/// `$date_local`, `$date_gmt` in the format of `config timefmt`.
pub(super) fn date(request: &Request, local: bool, out: &mut Vec<u8>) -> bool {
    let format = shared(request).time_format.borrow().clone();
    let format = format.unwrap_or_else(|| b"%A, %d-%b-%Y %H:%M:%S %Z".to_vec());
    strftime(&format, clock::now().sec, local, out);
    true
}

/// The conversions of strftime(3) that dates on pages use; others are copied as they are.
fn strftime(format: &[u8], sec: i64, local: bool, out: &mut Vec<u8>) {
    use std::io::Write;
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let east = if local { clock::offset(sec) } else { 0 };
    let t = civil(sec + i64::from(east));
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let Some((&kind, after)) = rest.split_first().filter(|_| byte == b'%') else {
            out.push(byte);
            continue;
        };
        rest = after;
        // Writing to a Vec cannot fail.
        let _ = match kind {
            b'A' => write!(out, "{}", DAYS.get(t.weekday as usize).copied().unwrap_or_default()),
            b'a' => write!(out, "{}", clock::weekday_name(t.weekday)),
            b'b' | b'h' => write!(out, "{}", month_name(t.month)),
            b'd' => write!(out, "{:02}", t.day),
            b'e' => write!(out, "{:2}", t.day),
            b'm' => write!(out, "{:02}", t.month),
            b'Y' => write!(out, "{}", t.year),
            b'y' => write!(out, "{:02}", t.year.rem_euclid(100)),
            b'H' => write!(out, "{:02}", t.hour),
            b'M' => write!(out, "{:02}", t.minute),
            b'S' => write!(out, "{:02}", t.second),
            b's' => write!(out, "{sec}"),
            b'F' => write!(out, "{}-{:02}-{:02}", t.year, t.month, t.day),
            b'T' => write!(out, "{:02}:{:02}:{:02}", t.hour, t.minute, t.second),
            b'Z' if !local || east == 0 => write!(out, "GMT"),
            b'Z' | b'z' => {
                let minutes = east.unsigned_abs() / 60;
                write!(out, "{}{:02}{:02}", if east < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
            b'%' => write!(out, "%"),
            other => out.write_all(&[b'%', other]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let mut out = Vec::new();
        strftime(b"%A, %d-%b-%Y %H:%M:%S %Z %s %%", 784_111_777, false, &mut out);
        assert_eq!(out, b"Sunday, 06-Nov-1994 08:49:37 GMT 784111777 %");
    }

    #[test]
    fn names_of_groups() {
        assert_eq!(group_names(b"(?<a>x)(?P<b_1>y)(?<=z)(?:w)(?<!v)"), ["a", "b_1"]);
    }

    #[test]
    fn a_skipped_branch_emits_nothing() {
        let mut state = State { condition: Condition::False, ..State::default() };
        let mut out = Vec::new();
        state.emit(Piece::Bytes("x".into()), &mut out);
        assert!(out.is_empty());
        state.condition = Condition::None;
        state.block = Some((Vec::new(), Vec::new()));
        state.emit(Piece::Bytes("x".into()), &mut out);
        assert!(out.is_empty() && state.block.is_some_and(|b| b.1.len() == 1));
    }
}
