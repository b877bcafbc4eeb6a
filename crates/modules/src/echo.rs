//! `echo`, `echo_sleep`, `echo_location` and their kin: answers written in the configuration (echo-nginx-module's README).

mod async_subrequests;
mod filters;
mod run;
mod subrequests;
mod vars;

use crate::compile::complex;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Complex, Levels, Module, Request};
use std::rc::Rc;

/// The echo directives. The filters of `echo_before_body` and `echo_after_body` stand behind Lua's.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Echo>, variables: vars::define, attach, ..Module::named("echo") };

/// What a content directive does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Echo,
    Duplicate,
    Flush,
    Sleep,
    BlockingSleep,
    ResetTimer,
    Location { wait: bool },
    Subrequest { wait: bool },
    RequestBody,
    ReadRequestBody,
    ForeachSplit,
    End,
    Exec,
}

/// A directive with its arguments.
struct Command {
    action: Action,
    /// `-x` before the first other argument, without the dash.
    options: Vec<Box<[u8]>>,
    arguments: Vec<Complex>,
}

impl Command {
    fn option(&self, name: &[u8]) -> bool {
        self.options.first().is_some_and(|first| **first == *name)
    }

    fn evaluate(&self, request: &Request) -> Vec<Vec<u8>> {
        self.arguments.iter().map(|argument| argument.to_vec(request)).collect()
    }

    /// The line that `echo` writes.
    fn push_line(&self, request: &Request, out: &mut Vec<u8>) {
        for (i, argument) in self.arguments.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            argument.eval(request, out);
        }
        if !self.option(b"n") {
            out.push(b'\n');
        }
    }
}

type Commands = Option<Rc<Vec<Command>>>;

#[derive(Default)]
struct Echo {
    content: Commands,
    before: Commands,
    after: Commands,
    status: Option<u16>,
    /// The block itself has content directives: only then it answers.
    answers: bool,
}

impl Config for Echo {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; content, before, after, status);
    }
}

const HERE: Context = Context::LOCATION.union(Context::LOCATION_IF);

fn rows() -> Vec<Row> {
    let any = Arity::AtLeast(0);
    let content = |name: &'static str, arity: Arity, action: Action, doc: &'static str| {
        Row::new(name, HERE, arity, doc, move |cx| {
            let command = read(cx, action)?;
            let mut echo = cx.location::<Echo>();
            echo.answers = true;
            add(&mut echo.content, command);
            Ok(())
        })
    };
    let (none, one, two, more) = (Arity::exactly(0), Arity::exactly(1), Arity::Between(1, 2), Arity::AtLeast(2));
    let (wait, go_on) = (true, false);
    vec![
        content("echo", any, Action::Echo, "Writes its arguments and a line end."),
        content("echo_duplicate", more, Action::Duplicate, "Writes a text so many times."),
        content("echo_flush", none, Action::Flush, "Sends what is there."),
        content("echo_sleep", one, Action::Sleep, "Waits so many seconds."),
        content("echo_blocking_sleep", one, Action::BlockingSleep, "Stops the worker for so many seconds."),
        content("echo_reset_timer", none, Action::ResetTimer, "Starts $echo_timer_elapsed anew."),
        content("echo_location", two, Action::Location { wait }, "Writes the response of a subrequest."),
        content("echo_location_async", two, Action::Location { wait: go_on }, "The same beside other subrequests."),
        content("echo_subrequest", more, Action::Subrequest { wait }, "Writes the response of a subrequest with method and body."),
        content("echo_subrequest_async", more, Action::Subrequest { wait: go_on }, "The same beside other subrequests."),
        content("echo_request_body", none, Action::RequestBody, "Writes the request body that was read."),
        content("echo_read_request_body", none, Action::ReadRequestBody, "Reads the request body."),
        content("echo_foreach_split", more, Action::ForeachSplit, "Begins a loop over the parts of a text."),
        content("echo_end", none, Action::End, "Ends a loop."),
        content("echo_exec", two, Action::Exec, "Goes on at another location."),
        Row::new("echo_before_body", HERE, any, "Writes a line before the body.", |cx| {
            let command = read(cx, Action::Echo)?;
            add(&mut cx.location::<Echo>().before, command);
            Ok(())
        }),
        Row::new("echo_after_body", HERE, any, "Writes a line after the body.", |cx| {
            let command = read(cx, Action::Echo)?;
            add(&mut cx.location::<Echo>().after, command);
            Ok(())
        }),
        Row::new("echo_status", HERE, one, "The status of the response.", |cx| {
            let status = u16::try_from(cx.number(0)?).map_err(|_| cx.invalid_value(0))?;
            cx.once(&mut cx.location::<Echo>().status, status)
        }),
    ]
}

fn add(commands: &mut Commands, command: Command) {
    let list = commands.get_or_insert_default();
    if let Some(list) = Rc::get_mut(list) {
        list.push(command);
    }
}

fn read(cx: &Cx<'_>, action: Action) -> Result<Command, Error> {
    let mut command = Command { action, options: Vec::new(), arguments: Vec::new() };
    let mut options_may_come = true;
    for i in 0..cx.args().len() {
        let text = cx.arg(i);
        let value = complex(cx, i)?;
        if value.literal().is_none() || text.len() < 2 || text.first() != Some(&b'-') {
            options_may_come = false;
        } else if options_may_come {
            match text.get(1..) {
                Some([b'-', ..]) => options_may_come = false,
                option => command.options.push(option.unwrap_or_default().into()),
            }
            continue;
        }
        command.arguments.push(value);
    }
    Ok(command)
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let echo = place.conf::<Echo>();
    if echo.answers {
        place.content(run::content);
    }
    if echo.before.is_some() || echo.after.is_some() {
        place.header_filter(filters::header);
        place.body_filter(filters::body);
    }
    Ok(())
}
