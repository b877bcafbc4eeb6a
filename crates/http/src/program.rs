//! The rewrite program of a location: `set`, `if`, `rewrite`, `return` and `break` as a flat list of operations.
//!
//! The rewrite module fills it; other modules append operations of their own at the place where their directive
//! stands (`set_by_lua`), which may wait.

use crate::location::Location;
use crate::request::Request;
use conf::scope::Config;
use session::{BoxFuture, Outcome, Step};
use std::rc::Rc;

/// What one run of a program carries from operation to operation.
#[derive(Clone, Default)]
pub struct State {
    /// Captures in values are escaped if the URI was; nginx starts so and ends it with the first `rewrite`.
    pub quote: bool,
    /// `rewrite_log` of the location that the program belongs to.
    pub log: bool,
    /// The location that the program belongs to, once a block inside has taken its place.
    pub owner: Option<Rc<Location>>,
}

/// How a program goes on after an operation.
pub enum Flow {
    /// With the next operation.
    Next,
    /// After leaving out this many operations.
    Skip(usize),
    /// Not at all: the phase answers this.
    End(Outcome),
    /// When the future answers `Declined`; any other outcome ends the program.
    Wait(BoxFuture<Outcome>),
}

/// An operation.
pub(crate) type Op = Rc<dyn Fn(&Rc<Request>, &mut State) -> Flow>;

/// The operations of one location, in the order of the file.
#[derive(Default)]
pub struct Program {
    ops: Vec<Op>,
}

impl Config for Program {
    // A program belongs to the block that it stands in; nested locations do not run it.
    fn inherit(&mut self, _: &Self) {}
}

impl Program {
    /// Appends an operation.
    pub fn push(&mut self, op: impl Fn(&Rc<Request>, &mut State) -> Flow + 'static) {
        self.ops.push(Rc::new(op));
    }

    /// Appends a handler at this place of the file; the program goes on if it answers [`Outcome::Declined`].
    pub fn push_custom(&mut self, run: Rc<dyn Fn(&Rc<Request>) -> Step>) {
        self.push(move |request, _| match run(request) {
            Step::Now(Outcome::Declined) => Flow::Next,
            Step::Now(outcome) => Flow::End(outcome),
            Step::Wait(future) => Flow::Wait(future),
        });
    }

    /// Appends all operations of another program, which was read from a block inside.
    pub fn append(&mut self, mut inner: Program) {
        self.ops.append(&mut inner.ops);
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Runs the program. `Declined`: the phase goes on.
    pub fn run(self: &Rc<Program>, request: &Rc<Request>, log: bool) -> Step {
        self.run_from(0, request, State { quote: true, log, owner: None })
    }

    fn run_from(self: &Rc<Program>, mut at: usize, request: &Rc<Request>, mut state: State) -> Step {
        while let Some(op) = self.ops.get(at) {
            at += 1;
            match op(request, &mut state) {
                Flow::Next => {}
                Flow::Skip(count) => at += count,
                Flow::End(outcome) => return Step::Now(outcome),
                Flow::Wait(future) => {
                    let (program, request) = (self.clone(), request.clone());
                    return Step::wait(|| async move {
                        match future.await {
                            Outcome::Declined => program.run_from(at, &request, state).finish().await,
                            other => other,
                        }
                    });
                }
            }
        }
        Step::Now(Outcome::Declined)
    }
}
