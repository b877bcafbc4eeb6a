//! A machine with all libraries, for which nothing runs.

use crate::{Subsystem, groups};
use lua::{Options, Vm};

/// The values of a list of Lua expressions, joined by spaces.
pub(crate) fn evaluate(expressions: &str) -> String {
    let vm = Vm::new(&Options::default()).expect("a machine");
    for group in groups(Subsystem::Http) {
        vm.bind(&group).expect(group.name);
    }
    let source = format!(
        "return (function(...) local t = {{...}} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end \
         return table.concat(t, ' ') end)({expressions})"
    );
    let chunk = vm.load_text(source.as_bytes(), "=test").expect("the expressions compile");
    let read = |stack: &mut lua::Stack<'_>| String::from_utf8_lossy(stack.bytes(1).unwrap_or_default()).into_owned();
    vm.run_now(chunk, lua::LuaPhase::INIT, None, |_| 0, read).expect("the expressions run")
}
