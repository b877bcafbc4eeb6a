//! The content handler: executes one command after the other.

use super::async_subrequests::{self, ResponsePart};
use super::subrequests;
use super::vars::EchoVariables;
use super::{Action, Command, Echo};
use base::clock;
use base::log::Level;
use bytes::Bytes;
use http::body::{self, BodyState};
use http::content_type;
use http::output::then;
use http::{Chain, Outcome, Request, Step};
use session::BoxFuture;
use session::alarms::Alarms;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

struct Loop {
    /// Place of its `echo_foreach_split`.
    start: usize,
    parts: std::vec::IntoIter<Vec<u8>>,
}

struct Run {
    request: Rc<Request>,
    echo: Rc<Echo>,
    next: usize,
    inner: Option<Loop>,
    parts: Rc<RefCell<Vec<ResponsePart>>>,
}

/// Answers with what the location's commands say.
pub(super) fn content(request: &Rc<Request>) -> Step {
    let mut run = Run { request: request.clone(), echo: request.conf::<Echo>(), next: 0, inner: None, parts: Rc::default() };
    let mut waits_for = match run.advance() {
        Pause::End(step) => return step,
        Pause::Wait(future) => future,
    };
    Step::wait(|| async move {
        loop {
            match waits_for.await {
                Outcome::Ok => {}
                other => return other,
            }
            match run.advance() {
                Pause::End(step) => return step.finish().await,
                Pause::Wait(future) => waits_for = future,
            }
        }
    })
}

/// Why commands stop running.
enum Pause {
    /// There is no other, or one ended the response.
    End(Step),
    /// One waits for this.
    Wait(BoxFuture<Outcome>),
}

fn wait_unit(future: BoxFuture<()>) -> Step {
    Step::wait(|| async move {
        future.await;
        Outcome::Ok
    })
}

impl Run {
    /// Runs commands until one must wait.
    fn advance(&mut self) -> Pause {
        loop {
            let echo = self.echo.clone();
            let Some(command) = echo.content.as_ref().and_then(|commands| commands.get(self.next)) else {
                return Pause::End(self.finish());
            };
            self.next += 1;
            match self.execute(command) {
                Step::Now(Outcome::Ok) => {}
                Step::Now(other) => return Pause::End(other.into()),
                Step::Wait(future) => return Pause::Wait(future),
            }
        }
    }

    fn execute(&mut self, command: &Command) -> Step {
        let request = self.request.clone();
        match command.action {
            Action::Echo => {
                let mut line = Vec::new();
                command.push_line(&request, &mut line);
                self.write(line)
            }
            Action::Duplicate => self.duplicate(command),
            Action::Flush => {
                then(self.join_subrequests(), move |outcome| if outcome == Outcome::Ok { flush(&request) } else { outcome.into() })
            }
            Action::Sleep => self.sleep(command),
            Action::BlockingSleep => match seconds(&request, command) {
                Some(time) => {
                    // Stopping the worker is what this directive is for.
                    std::thread::sleep(time);
                    Outcome::Ok.into()
                }
                None => Outcome::Status(500).into(),
            },
            Action::ResetTimer => {
                clock::update();
                request.context::<EchoVariables>().timer.set(clock::now().epoch_ms());
                Outcome::Ok.into()
            }
            Action::ReadRequestBody => body::read(&request),
            Action::RequestBody => self.request_body(),
            Action::Location { .. } | Action::Subrequest { .. } => self.subrequest(command),
            Action::ForeachSplit => self.foreach(command).into(),
            Action::End => self.end().into(),
            Action::Exec => subrequests::exec(&request, command).into(),
        }
    }

    /// Sends the head if it has not gone.
    fn head(&self) -> Step {
        if self.request.flags.header_sent.get() {
            return Outcome::Ok.into();
        }
        {
            let mut response = self.request.response.borrow_mut();
            response.set_status(self.echo.status.unwrap_or(200));
            response.clear_body_facts();
        }
        if self.request.response.borrow().content_type.is_empty() {
            content_type::set_by_extension(&self.request);
        }
        self.request.send_header()
    }

    fn write(&mut self, text: Vec<u8>) -> Step {
        if !self.parts.borrow().is_empty() {
            self.parts.borrow_mut().push(ResponsePart::Text(Bytes::from(text)));
            return Outcome::Ok.into();
        }
        let request = self.request.clone();
        then(self.head(), move |outcome| match outcome {
            Outcome::Ok if request.flags.header_only.get() || text.is_empty() => Outcome::Ok.into(),
            Outcome::Ok => request.output(Chain::bytes(text)),
            other => other.into(),
        })
    }

    /// Waits for subrequests that run beside, and sends what they held back.
    fn join_subrequests(&mut self) -> Step {
        if self.parts.borrow().is_empty() {
            return self.head();
        }
        let (request, head, held) = (self.request.clone(), self.head(), self.parts.clone());
        Step::wait(|| async move {
            match head.finish().await {
                Outcome::Ok => async_subrequests::join(&request, &held).await,
                other => other,
            }
        })
    }

    fn finish(&mut self) -> Step {
        let request = self.request.clone();
        then(self.join_subrequests(), move |outcome| match outcome {
            Outcome::Ok if request.flags.header_only.get() => Outcome::Ok.into(),
            Outcome::Ok => request.output_end(),
            other => other.into(),
        })
    }

    fn duplicate(&mut self, command: &Command) -> Step {
        let mut arguments = command.evaluate(&self.request).into_iter();
        let count = arguments.next().unwrap_or_default();
        let digits: Vec<u8> = count.iter().copied().filter(|byte| *byte != b'_').collect();
        let Some(times) = base::text::parse_number(&digits) else {
            let shown = String::from_utf8_lossy(&count).into_owned();
            self.request.log(Level::Error, format!("invalid size specified: \"{shown}\"").as_bytes());
            return Outcome::Status(500).into();
        };
        let text = arguments.next().unwrap_or_default();
        let times = usize::try_from(times).unwrap_or(usize::MAX);
        let mut all = Vec::new();
        if all.try_reserve_exact(text.len().saturating_mul(times)).is_err() {
            return Outcome::Status(500).into();
        }
        for _ in 0..if text.is_empty() { 0 } else { times } {
            all.extend_from_slice(&text);
        }
        self.write(all)
    }

    fn sleep(&mut self, command: &Command) -> Step {
        let Some(time) = seconds(&self.request, command) else { return Outcome::Status(500).into() };
        if self.parts.borrow().is_empty() {
            return wait_unit(Box::pin(Alarms::after(&self.request.worker, time)));
        }
        let (request, head, held) = (self.request.clone(), self.head(), self.parts.clone());
        Step::wait(|| async move {
            match head.finish().await {
                Outcome::Ok => async_subrequests::sleep(&request, &held, time).await,
                other => other,
            }
        })
    }

    fn request_body(&mut self) -> Step {
        let body = self.request.body.borrow().clone();
        if body.state() != BodyState::Read {
            return Outcome::Ok.into();
        }
        match body.to_vec() {
            Ok(data) if data.is_empty() => Outcome::Ok.into(),
            Ok(data) => self.write(data),
            Err(_) => Outcome::Error.into(),
        }
    }

    fn subrequest(&mut self, command: &Command) -> Step {
        // A subrequest shares the body, which must be here before.
        match body::read(&self.request) {
            Step::Now(Outcome::Ok) => {}
            Step::Now(other) => return other.into(),
            Step::Wait(future) => {
                self.next -= 1;
                return Step::Wait(future);
            }
        }
        let begun = match subrequests::begin(&self.request, command) {
            Ok(begun) => begun,
            Err(outcome) => return outcome.into(),
        };
        self.parts.borrow_mut().push(ResponsePart::Answer(begun));
        match command.action {
            Action::Location { wait: true } | Action::Subrequest { wait: true } => self.join_subrequests(),
            _ => self.head(),
        }
    }

    fn foreach(&mut self, command: &Command) -> Outcome {
        if self.inner.is_some() {
            self.request.log(Level::Error, b"Nested echo_foreach not supported yet.");
            return Outcome::Status(500);
        }
        let arguments = command.evaluate(&self.request);
        let [delimiter, text, ..] = &*arguments else {
            self.request.log(
                Level::Error,
                b"echo_foreach should take at least two arguments. (if your delimiter starts with \"-\", preceding it with a \"--\".)",
            );
            return Outcome::Status(500);
        };
        let parts = split(text, delimiter);
        let mut inner = Loop { start: self.next, parts: parts.into_iter() };
        match inner.parts.next() {
            Some(part) => {
                self.request.context::<EchoVariables>().part.replace(Some(part));
                self.inner = Some(inner);
            }
            None => {
                let echo = self.echo.clone();
                let commands = echo.content.as_deref().map_or(&[][..], Vec::as_slice);
                let rest = commands.get(self.next..).unwrap_or_default();
                let skipped = rest.iter().position(|command| command.action == Action::End).map_or(rest.len(), |at| at + 1);
                self.next += skipped;
            }
        }
        Outcome::Ok
    }

    fn end(&mut self) -> Outcome {
        let Some(inner) = &mut self.inner else {
            self.request.log(Level::Error, b"Found a echo_end that has no corresponding echo_foreach before it.");
            return Outcome::Error;
        };
        let part = inner.parts.next();
        if part.is_some() {
            self.next = inner.start;
        } else {
            self.inner = None;
        }
        self.request.context::<EchoVariables>().part.replace(part);
        Outcome::Ok
    }
}

fn flush(request: &Rc<Request>) -> Step {
    if request.flags.header_only.get() {
        return Outcome::Ok.into();
    }
    request.output(Chain { pieces: Vec::new(), flush: true, last: false })
}

/// The first argument as a time; logs when it is none.
fn seconds(request: &Request, command: &Command) -> Option<Duration> {
    let text = command.arguments.first().map(|argument| argument.to_vec(request)).unwrap_or_default();
    let time = base::text::parse_fixed(&text, 3).map(Duration::from_millis);
    if time.is_none() {
        let shown = String::from_utf8_lossy(&text);
        request.log(Level::Error, format!("invalid sleep duration \"{shown}\"").as_bytes());
    }
    time
}

/// The parts of `text` between delimiters; empty ones are left out.
fn split(text: &[u8], delimiter: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !delimiter.is_empty()
        && let Some(at) = memchr::memmem::find(rest, delimiter)
    {
        let (part, tail) = rest.split_at(at);
        if !part.is_empty() {
            parts.push(part.to_vec());
        }
        rest = tail.get(delimiter.len()..).unwrap_or_default();
    }
    if !rest.is_empty() {
        parts.push(rest.to_vec());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn parts_of_a_text() {
        let of = |text: &str, delimiter: &str| -> Vec<String> {
            split(text.as_bytes(), delimiter.as_bytes()).into_iter().map(|part| String::from_utf8(part).unwrap()).collect()
        };
        assert_eq!(of("a&b&&c&", "&"), ["a", "b", "c"]);
        assert_eq!(of("a--b", "--"), ["a", "b"]);
        assert_eq!(of("", ","), Vec::<String>::new());
        assert_eq!(of("ab", ""), ["ab"]);
    }
}
