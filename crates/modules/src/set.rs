//! `set`: defines a variable and assigns a value. Requests assign when their rewrite program reaches it, streams before access.

use crate::compile::complex;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use session::variable::{self, CHANGEABLE, Get, WEAK};
use session::{Complex, Session, VarIndex, Variables};
use std::rc::Rc;
use stream::{Attach, Levels, Module, Outcome, Phase};

/// `set` of streams. In preaccess.
pub const STREAM: Module = Module { rows, levels: Levels::location_only::<Assignments>, attach, ..Module::named("set") };

/// What one server assigns; it has nothing from outside.
#[derive(Default)]
struct Assignments {
    list: Vec<Assignment<stream::Session>>,
}

impl Config for Assignments {
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![Row::new("set", Context::STREAM_SERVER, Arity::exactly(2), "Assigns a value to a variable.", |cx| {
        // What has not been assigned is empty.
        let assignment = Assignment::read(cx, |_| Rc::new(|_: &stream::Session, _: &mut Vec<u8>| true))?;
        cx.location::<Assignments>().list.push(assignment);
        Ok(())
    })]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<Assignments>();
    if !own.list.is_empty() {
        place.phase(Phase::Preaccess, move |session| {
            own.list.iter().for_each(|assignment| assignment.run(session));
            Outcome::Declined.into()
        });
    }
    Ok(())
}

/// One `set`.
pub(crate) struct Assignment<S> {
    /// The variable.
    pub(crate) index: VarIndex,
    /// What it becomes.
    pub(crate) value: Complex<S>,
}

impl<S: Session> Assignment<S> {
    /// Reads the directive; `unset` makes the getter of a variable that has not been assigned yet.
    ///
    /// # Errors
    /// nginx's texts.
    pub(crate) fn read(cx: &Cx<'_>, unset: impl FnOnce(&str) -> Get<S>) -> Result<Assignment<S>, Error> {
        let Some(name) = cx.arg(0).strip_prefix(b"$").filter(|name| !name.is_empty()) else {
            return Err(cx.error_at(0, format!("invalid variable name \"{}\"", cx.text(0))));
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let index = {
            let mut variables = cx.global::<Variables<S>>();
            let index = variables.add(&name, None, CHANGEABLE | WEAK).map_err(|message| cx.error_at(0, message))?;
            variables.define_default(&name, unset(&name));
            index
        };
        Ok(Assignment { index, value: complex(cx, 1)? })
    }

    /// Assigns.
    pub(crate) fn run(&self, session: &S) {
        variable::assign(session, self.index, &self.value.to_vec(session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_tests::{Bare, Setup};
    use std::cell::RefCell;

    #[test]
    fn values_are_assigned_in_order() {
        let all: Rc<RefCell<Vec<Assignment<Bare>>>> = Rc::default();
        let read = all.clone();
        let row = Row::new("set", Context::STREAM, Arity::exactly(2), "", move |cx| {
            let unset = |_: &str| Rc::new(|_: &Bare, _: &mut Vec<u8>| true) as Get<Bare>;
            read.borrow_mut().push(Assignment::read(cx, unset)?);
            Ok(())
        });
        let setup = Setup::read("set $a 1; set $A $a-$addr; set $b $a;", vec![row], |_| {}).unwrap();
        let client = setup.client("10.0.0.1", None);
        assert_eq!(client.variable("a").as_deref(), Some(""));
        all.borrow().iter().for_each(|assignment| assignment.run(&client));
        assert_eq!((client.variable("a").as_deref(), client.variable("b").as_deref()), (Some("1-10.0.0.1"), Some("1-10.0.0.1")));
    }
}
