//! `more_set_headers`, `more_clear_headers`, `more_set_input_headers`, `more_clear_input_headers`
//! (headers-more-nginx-module's README).

use crate::compile::complex_of;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Complex, Levels, Module, Outcome, Phase, Request, Step, log_request};
use std::rc::Rc;

/// Setting and clearing header fields. Its rewrite handler stands behind the rewrite programs and before Lua's; its
/// header filter before Lua's.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Commands>, attach, ..Module::named("headers_more") };

/// One field of a command.
struct Field {
    /// The name; of a wildcard what stands before the `*`.
    name: Box<[u8]>,
    wildcard: bool,
    /// None clears.
    value: Option<Complex>,
}

/// Whose header fields a command changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Request,
    Response,
}

/// What it does to them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Set,
    Clear,
}

/// One directive.
struct Command {
    head: Head,
    fields: Vec<Field>,
    /// `-t`: content types; none is any.
    types: Vec<Box<[u8]>>,
    /// `-s`: statuses; none is any.
    statuses: Vec<u16>,
    /// `-r`: only fields that are there.
    replace: bool,
    /// `-a`: beside fields that are there.
    add: bool,
}

/// Response header fields that `-a` cannot add to.
const ONCE: [&[u8]; 14] = [
    b"Server",
    b"Date",
    b"Content-Encoding",
    b"Location",
    b"Refresh",
    b"Last-Modified",
    b"Content-Range",
    b"Accept-Ranges",
    b"WWW-Authenticate",
    b"Expires",
    b"E-Tag",
    b"Content-Length",
    b"Content-Type",
    b"Cache-Control",
];

#[derive(Default)]
struct Commands(Vec<Rc<Command>>);

impl Config for Commands {
    fn inherit(&mut self, parent: &Self) {
        self.0.splice(0..0, parent.0.iter().cloned());
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_IF;
    let row = |name: &'static str, doc: &'static str, head: Head, edit: Edit| {
        Row::new(name, at, Arity::AtLeast(1), doc, move |cx| {
            let command = read(cx, head, edit)?;
            cx.location::<Commands>().0.push(Rc::new(command));
            Ok(())
        })
    };
    vec![
        row("more_set_headers", "Sets fields of the response's head.", Head::Response, Edit::Set),
        row("more_clear_headers", "Removes fields of the response's head.", Head::Response, Edit::Clear),
        row("more_set_input_headers", "Sets fields of the request's head.", Head::Request, Edit::Set),
        row("more_clear_input_headers", "Removes fields of the request's head.", Head::Request, Edit::Clear),
    ]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let commands = place.conf::<Commands>();
    if commands.0.iter().any(|command| command.head == Head::Request) {
        let commands = commands.clone();
        place.phase(Phase::Rewrite, move |request| run_all(&commands, request, Head::Request, Outcome::Declined));
    }
    if commands.0.iter().any(|command| command.head == Head::Response) {
        place.header_filter(move |request| run_all(&commands, request, Head::Response, Outcome::Ok));
    }
    Ok(())
}

fn read(cx: &Cx<'_>, head: Head, edit: Edit) -> Result<Command, Error> {
    let mut command = Command { head, fields: Vec::new(), types: Vec::new(), statuses: Vec::new(), replace: false, add: false };
    let mut i = 0;
    while i < cx.args().len() {
        let arg = cx.arg(i);
        match arg {
            b"" => {}
            b"-t" | b"-s" => {
                i += 1;
                if i == cx.args().len() {
                    return Err(cx.error_at(i - 1, format!("{}: option {} takes an argument.", cx.name(), cx.text(i - 1))));
                }
                if arg == b"-t" {
                    let words = cx.arg(i).split(|b| b.is_ascii_whitespace() || *b == b';');
                    command.types.extend(words.filter(|word| !word.is_empty()).map(Box::from));
                } else {
                    read_statuses(cx, i, &mut command.statuses)?;
                }
            }
            b"-r" if (head, edit) == (Head::Request, Edit::Set) => command.replace = true,
            b"-a" if (head, edit) == (Head::Response, Edit::Set) => command.add = true,
            [b'-', ..] => return Err(cx.error_at(i, format!("{}: invalid option name: \"{}\"", cx.name(), cx.text(i)))),
            _ => command.fields.push(read_field(cx, i, edit)?),
        }
        i += 1;
    }
    if command.add
        && let Some(field) = command.fields.iter().find(|field| ONCE.iter().any(|name| field.name.eq_ignore_ascii_case(name)))
    {
        let name = String::from_utf8_lossy(&field.name);
        return Err(cx.error(format!("{}: can not append builtin headers \"{name}\"", cx.name())));
    }
    Ok(command)
}

fn read_statuses(cx: &Cx<'_>, i: usize, statuses: &mut Vec<u16>) -> Result<(), Error> {
    for word in cx.arg(i).split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        let number = std::str::from_utf8(word).ok().filter(|_| word.iter().all(u8::is_ascii_digit)).and_then(|text| text.parse().ok());
        match number {
            Some(number) => statuses.push(number),
            None => {
                let bad = char::from(word.iter().find(|b| !b.is_ascii_digit()).copied().unwrap_or(b'0'));
                let message = format!("{}: invalid digit \"{bad}\" found in the status code list \"{}\"", cx.name(), cx.text(i));
                return Err(cx.error_at(i, message));
            }
        }
    }
    Ok(())
}

/// `Name: value`, `Name:` or `Name`.
fn read_field(cx: &Cx<'_>, i: usize, edit: Edit) -> Result<Field, Error> {
    let text = cx.arg(i).trim_ascii_start();
    let end = text.iter().position(|b| *b == b':' || b.is_ascii_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(cx.error_at(i, format!("{}: no key found in the header argument: {}", cx.name(), cx.text(i))));
    }
    let start = rest.iter().position(|b| *b != b':' && !b.is_ascii_whitespace());
    let value = match start.and_then(|start| rest.get(start..)) {
        Some(value) if edit == Edit::Set => Some(complex_of(cx, i, value)?),
        _ => None,
    };
    let wildcard = name.last() == Some(&b'*');
    if wildcard && name.len() < 2 {
        return Err(cx.error_at(i, format!("{}: wildcard key too short: {}", cx.name(), cx.text(i))));
    }
    let name = if wildcard { name.strip_suffix(b"*").unwrap_or(name) } else { name };
    Ok(Field { name: name.into(), wildcard, value })
}

fn run_all(commands: &Commands, request: &Rc<Request>, head: Head, normal: Outcome) -> Step {
    if request.log_enabled(Level::Debug) {
        let (handler, line) = (if head == Head::Request { "rewrite handler" } else { "header filter" }, request.line.borrow());
        log_request!(request, Level::Debug, "headers more {handler}, uri \"{}\"", String::from_utf8_lossy(&line.uri));
    }
    let mut value = Vec::new();
    for command in commands.0.iter().filter(|command| command.head == head && applies(command, request)) {
        for field in &command.fields {
            value.clear();
            if let Some(complex) = &field.value {
                complex.eval(&**request, &mut value);
            }
            if head == Head::Request {
                run_input(command, field, request, &value);
            } else {
                run_output(command, field, request, &value);
            }
        }
    }
    Step::Now(normal)
}

/// Whether type and status are those of `-t` and `-s`.
fn applies(command: &Command, request: &Request) -> bool {
    let type_fits = |actual: &[u8]| command.types.iter().any(|wanted| **wanted == *actual);
    if command.head == Head::Request {
        return command.types.is_empty() || request.headers.borrow().get(b"Content-Type").is_some_and(type_fits);
    }
    let response = request.response.borrow();
    let bare = response.content_type.split(|b| *b == b';').next().unwrap_or_default();
    (command.types.is_empty() || type_fits(bare)) && (command.statuses.is_empty() || command.statuses.contains(&response.status))
}

fn matches(field: &Field, name: &[u8]) -> bool {
    if field.wildcard {
        return name.get(..field.name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&field.name));
    }
    name.eq_ignore_ascii_case(&field.name)
}

fn run_input(command: &Command, field: &Field, request: &Request, value: &[u8]) {
    if field.wildcard {
        if value.is_empty() {
            request.headers.borrow_mut().retain(|name, _| !matches(field, name));
        }
        return;
    }
    if command.replace && !request.headers.borrow().contains(&field.name) {
        return;
    }
    // A value that cannot be stands for none: nginx gives up on the request here, which helps nobody.
    if request.set_input_field(&field.name, value, false).is_err() {
        request.log(Level::Error, b"more_set_input_headers: bad value");
    }
}

fn run_output(command: &Command, field: &Field, request: &Request, value: &[u8]) {
    let mut response = request.response.borrow_mut();
    if !field.wildcard {
        if value.is_empty() && field.name.eq_ignore_ascii_case(b"Accept-Ranges") {
            response.allow_ranges = false;
        }
        if response.set_field(&field.name, value, command.add).is_err() {
            drop(response);
            request.log(Level::Error, b"more_set_headers: bad value");
        }
        return;
    }
    if !value.is_empty() {
        return;
    }
    response.headers.retain(|name, _| !matches(field, name));
    for name in [&b"Content-Type"[..], b"Content-Length", b"Last-Modified"] {
        if matches(field, name) {
            // Removing cannot fail.
            let _ = response.set_field(name, b"", false);
        }
    }
}
