//! The machine that runs a session's code.

use crate::host::Host;
use crate::process_code::ProcessCode;
use crate::protocol::Protocol;
use crate::state::SessionState;
use lua::{LuaError, LuaPhase};
use lua_lib::{Machine, Runtime, machines};
use session::Configured;
use std::rc::Rc;

/// The machine for a session: the process's, or one of its own that has run `init_by_lua*`.
///
/// # Errors
/// Making one fails, or `init_by_lua*` does.
pub(crate) fn machine_for<P: Protocol>(
    runtime: &Rc<Runtime>,
    session: &Rc<P::Session>,
    state: &SessionState,
    cached: bool,
) -> Result<Rc<Machine>, LuaError> {
    if cached {
        return machines::common(runtime).cloned();
    }
    if let Some(machine) = state.machine.get() {
        return Ok(machine.clone());
    }
    let machine = machines::create(runtime)?;
    // A new machine has none yet.
    let _ = machine.log.set(P::error_log(session));
    machines::watch(runtime, &machine, &session.worker().log);
    let code = session.main_conf::<ProcessCode<P::Session>>().init.borrow().clone();
    if let Some(code) = code {
        let host = Host::<P>::without_session(runtime.clone(), machine.clone(), None, P::error_log(session));
        code.run_init(&machine, LuaPhase::INIT, Rc::new(host), session.paths())?;
    }
    Ok(state.machine.get_or_init(|| machine).clone())
}
