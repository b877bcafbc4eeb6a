//! A function of `ngx`: `ngx.sample_repeat(text, count)`. Its row, its Lua side and its test stand in one file; in the tree the Lua side is a
//! file of the same name.

use crate::ngx::tests::evaluate;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack};

pub(super) fn group() -> Group {
    Group {
        name: "ngx.sample",
        rows: vec![
            Row::calls("sample_repeat", PhaseSet::EVERYWHERE, repeat),
            Row::calls("sample_late", PhaseSet::of(LuaPhase::LOG), repeat),
        ],
        glue: "local b = ... b.ngx.sample_repeat, b.ngx.sample_late = b.R.sample_repeat, b.R.sample_late",
    }
}

fn repeat(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let count = stack.check_number(2, "sample_repeat")?;
    let text = stack.check_bytes(1, "sample_repeat")?.repeat(count as usize);
    stack.push_bytes(&text);
    Ok(1)
}

#[test]
fn a_function_has_its_arguments_and_phases_checked() {
    let error = |call: &str| evaluate(&format!("select(2, pcall(ngx.{call}))"));
    assert_eq!(evaluate("ngx.sample_repeat('ab', 3)"), "ababab");
    assert_eq!(error("sample_repeat, 'ab', 'x'"), "bad argument #2 to 'sample_repeat' (number expected, got string)");
    assert_eq!(error("sample_late, 'ab', 1"), "API disabled in the context of init_by_lua*");
}
