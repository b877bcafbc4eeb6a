//! Parts of the API without anything that runs for them.

use crate::phase::LuaPhase;
use crate::raise::LuaError;
use crate::row::Group;
use crate::stack::Stack;
use crate::vm::{Options, Vm};

/// The values of a list of Lua expressions, joined by spaces, in a machine that has these parts: what tests ask.
///
/// # Errors
/// The expressions do not compile or fail, or a part cannot be bound.
pub fn evaluate(groups: &[Group], expressions: &str) -> Result<String, LuaError> {
    let vm = Vm::new(&Options::default())?;
    groups.iter().try_for_each(|group| vm.bind(group))?;
    let source = format!(
        "return (function(...) local t = {{...}} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end \
         return table.concat(t, ' ') end)({expressions})"
    );
    let chunk = vm.load_text(source.as_bytes(), "=test")?;
    let read = |stack: &mut Stack<'_>| String::from_utf8_lossy(stack.bytes(1).unwrap_or_default()).into_owned();
    vm.run_now(chunk, LuaPhase::INIT, None, |_| 0, read)
}
