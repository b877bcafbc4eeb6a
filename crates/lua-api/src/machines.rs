//! The machine that runs a request's code.

use crate::host::Host;
use crate::process_code::ProcessCode;
use crate::state::State;
use http::Request;
use lua::{LuaError, LuaPhase};
use lua_lib::{Machine, Runtime, machines};
use std::rc::Rc;

/// The machine for a request: the process's, or one of its own that has run `init_by_lua*`.
///
/// # Errors
/// Making one fails, or `init_by_lua*` does.
pub fn machine_for(runtime: &Rc<Runtime>, request: &Rc<Request>, state: &State, cached: bool) -> Result<Rc<Machine>, LuaError> {
    if cached {
        return machines::common(runtime).cloned();
    }
    if let Some(machine) = state.machine.get() {
        return Ok(machine.clone());
    }
    let machine = machines::fresh(runtime)?;
    // A new machine has none yet.
    let _ = machine.log.set(request.error_log());
    machines::watch(runtime, &machine, &request.worker.log);
    let code = request.http.main.share::<ProcessCode>().and_then(|codes| codes.init.borrow().clone());
    if let Some(code) = code {
        let host = Host::without_request(runtime.clone(), machine.clone(), None, request.error_log());
        code.run_init(&machine, LuaPhase::INIT, Rc::new(host), &request.http.paths)?;
    }
    Ok(state.machine.get_or_init(|| machine).clone())
}
