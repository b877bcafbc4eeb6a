use super::*;
use conf::scope::Scope;

#[test]
fn a_program_is_not_inherited() {
    let outer = Scope::default();
    outer.get::<Program>().push(|_, _| Flow::Next);
    let mut inner = Program::default();
    inner.inherit(&outer.get::<Program>());
    assert!(inner.is_empty());
    assert_eq!(outer.take::<Program>().len(), 1);
}
