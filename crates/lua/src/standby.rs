//! A thread in reserve: a handler creates it, and it runs only when the host requests it (`ngx.on_abort`). Until then it does not keep the
//! handler from ending.

use crate::cx::CallContext;
use crate::light::create;
use crate::raise::Raise;
use crate::stack::Stack;
use crate::threads::{Core, State, Thread};

/// Keeps the function at index 1, which [`Job::wake_standby`](crate::Job::wake_standby) will run. False: there is one already.
///
/// # Errors
/// No handler runs, or no Lua function stands there.
pub fn stand_by(cx: &CallContext, stack: &mut Stack<'_>, function: &str) -> Result<bool, Raise> {
    let core = cx.core().ok_or(Raise::fixed("no request ctx found"))?;
    if core.standby_made.get() {
        return Ok(false);
    }
    let thread = create(cx, stack, &core, function, false)?;
    core.standby_made.set(true);
    core.standby.replace(Some(thread));
    Ok(true)
}

/// Makes the thread in reserve one of the job's, queued to run.
pub(crate) fn wake_standby(core: &Core) -> bool {
    let Some(thread) = core.standby.take() else { return false };
    core.queue.borrow_mut().push_back((thread.id, 0));
    core.threads.borrow_mut().push(Thread { state: State::Ready, ..thread });
    true
}
