//! A thread with a VM of its own, and the worker's pool of them.

use crate::machine::{Machine, Search};
use crate::runtime::{Runtime, ServerInfo};
use crate::threads::plain_value::PlainValue;
use crate::threads::thread_host::ThreadHost;
use lua::{ChunkId, LuaError, LuaPhase, Stack};
use shm::Zone;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// What the function answered, or why it did not.
pub(crate) type CallResult = Result<Vec<PlainValue>, Vec<u8>>;

/// One call.
pub(crate) struct Task {
    /// The Lua module and its function.
    pub module: Vec<u8>,
    /// See `module`.
    pub function: Vec<u8>,
    /// The function's arguments.
    pub arguments: Vec<PlainValue>,
    /// The waker of the caller.
    pub reply: oneshot::Sender<CallResult>,
}

/// What a new vm_thread takes along.
pub(crate) struct VmSetup {
    /// `package.path` and `package.cpath` of the caller.
    pub path: String,
    /// See `path`.
    pub cpath: String,
    /// `ngx.config.prefix()`
    pub prefix: PathBuf,
    /// `ngx.config.nginx_configure()` and the like.
    pub surroundings: ServerInfo,
    /// `ngx.shared`
    pub zones: Vec<Zone>,
}

/// The vm_threads of a worker.
#[derive(Default)]
pub(crate) struct VmThreads {
    idle: RefCell<Vec<Sender<Task>>>,
    count: Cell<u64>,
}

impl VmThreads {
    /// An idle vm_thread, or a new one while there are fewer than `max`.
    pub(crate) fn take(&self, max: u64, setup: impl FnOnce() -> VmSetup) -> Option<Sender<Task>> {
        if let Some(vm_thread) = self.idle.borrow_mut().pop() {
            return Some(vm_thread);
        }
        if self.count.get() >= max {
            return None;
        }
        let (sender, tasks) = channel();
        let setup = setup();
        let thread = std::thread::Builder::new().name("lua".to_owned()).stack_size(lua::STACK);
        thread.spawn(move || live(setup, &tasks)).ok()?;
        self.count.set(self.count.get() + 1);
        Some(sender)
    }

    /// Takes a vm_thread back whose task is done.
    pub(crate) fn put(&self, vm_thread: Sender<Task>) {
        self.idle.borrow_mut().push(vm_thread);
    }

    /// A vm_thread's thread is gone.
    pub(crate) fn thread_ended(&self) {
        self.count.set(self.count.get().saturating_sub(1));
    }
}

/// Neither request nor worker is there: only what may be called anywhere.
const PHASE: LuaPhase = LuaPhase { bit: 0, name: "worker thread", yields: false };

const CALL: &str = "local module, name = ... \
    local ok, m = pcall(require, module) \
    if not ok then return false, tostring(m) end \
    if type(m) ~= 'table' then return false, 'invalid lua module' end \
    local f = m[name] \
    if type(f) ~= 'function' then return false, 'invalid function' end \
    return pcall(f, select(3, ...))";

/// What phases and requests have to do with is not there.
const STRIP: &str = "ngx.get_phase, ngx.get_raw_phase = nil, nil";

struct VmThread {
    machine: Rc<Machine>,
    host: Rc<dyn lua::Host>,
    call: ChunkId,
    collect: ChunkId,
}

/// A vm_thread's life: until the worker drops its sender.
fn live(setup: VmSetup, tasks: &Receiver<Task>) {
    let vm_thread = make(setup);
    while let Ok(task) = tasks.recv() {
        base::clock::stale();
        let answer = match &vm_thread {
            Ok(vm_thread) => vm_thread.run(&task).unwrap_or_else(|error| Err(error.message)),
            Err(error) => Err(error.message.clone()),
        };
        // Who asked may be gone.
        let _ = task.reply.send(answer);
        if let Ok(vm_thread) = &vm_thread {
            // Garbage is not kept until the next task, which may be long in coming.
            let _ = vm_thread.machine.vm.run_now(vm_thread.collect, PHASE, None, |_| 0, |_| ());
        }
    }
}

fn make(setup: VmSetup) -> Result<VmThread, LuaError> {
    let machine = Rc::new(Machine::new(Search::new(Some(&setup.path), Some(&setup.cpath)))?);
    let vm = &machine.vm;
    for group in crate::ngx::thread_groups() {
        vm.bind(&group)?;
    }
    crate::preload(vm, setup.surroundings.debug)?;
    let runtime = Rc::new(Runtime::default());
    runtime.prefix.replace(setup.prefix);
    runtime.surroundings.replace(setup.surroundings);
    runtime.dicts.replace(setup.zones.into_iter().map(Rc::new).collect());
    crate::ngx::shared::publish(vm, &runtime)?;
    let strip = vm.load_text(STRIP.as_bytes(), "=thread")?;
    vm.run_now(strip, PHASE, None, |_| 0, |_| ())?;
    let (call, collect) = (vm.load_text(CALL.as_bytes(), "=thread")?, vm.load_text(b"collectgarbage()", "=collect")?);
    let host = Rc::new(ThreadHost::new(runtime, machine.clone()));
    Ok(VmThread { machine, host, call, collect })
}

impl VmThread {
    fn run(&self, task: &Task) -> Result<CallResult, LuaError> {
        let push = |stack: &mut Stack<'_>| {
            stack.push_bytes(&task.module);
            stack.push_bytes(&task.function);
            2 + task.arguments.iter().take_while(|argument| argument.unpack(stack)).count()
        };
        self.machine.vm.run_now(self.call, PHASE, Some(self.host.clone()), push, answer)
    }
}

fn answer(stack: &mut Stack<'_>) -> CallResult {
    if !stack.truthy(1) {
        return Err(stack.bytes(2).unwrap_or(b"unknown error").to_vec());
    }
    (2..=stack.top())
        .map(|index| PlainValue::pack(stack, index).map_err(|reason| format!("{reason} in the return value").into_bytes()))
        .collect()
}
