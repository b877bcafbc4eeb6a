//! The virtual machine: creation, libraries, code, and runs that do not suspend.

mod slots;

use crate::boot::{self, Prelude, protected, push_native};
use crate::chunk::{self, ChunkId, Chunks};
use crate::constants;
use crate::cpu::Watchdog;
use crate::cx::{CallContext, Hooks};
use crate::host::Host;
use crate::memory::Meter;
use crate::phase::LuaPhase;
use crate::raise::{ErrorKind, LuaError};
use crate::raw;
use crate::reference::Ref;
use crate::row::{Group, Kind, Row};
use crate::scheduler::limited;
use crate::slot::{Shared, Slot};
use crate::stack::{Stack, Type, lua_index};
use mlua_sys as sys;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;

/// How many idle slots a VM keeps unless its host says otherwise.
const IDLE_SLOTS: usize = 1024;

/// What a VM is made with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `package.path`; `;;` stands for the default path. None: the default path.
    pub path: Option<String>,
    /// `package.cpath`, likewise.
    pub cpath: Option<String>,
}

/// A Lua virtual machine. A clone is another handle of the same one; it belongs to one thread.
#[derive(Clone)]
pub struct Vm {
    inner: Rc<Inner>,
}

#[allow(clippy::vec_box, reason = "a slot is handed on several times per handler: a pointer moves faster than its fields")]
struct Inner {
    shared: Shared,
    cx: Rc<CallContext>,
    prelude: Prelude,
    slots: RefCell<Vec<Box<Slot>>>,
    /// How many of them are kept.
    idle: Cell<usize>,
    chunks: RefCell<Chunks>,
    /// Slots of jobs that were dropped where Lua could not be entered.
    late: RefCell<Vec<Box<Slot>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: this is the last handle; every job holds one, so nothing runs. The context that finalizers may
        // still reach is dropped after this.
        unsafe {
            if let Some(stretches) = self.cx.stretches.get() {
                stretches.forget_machine();
            }
            if let Some(meter) = self.cx.meter.get() {
                meter.remove();
            }
            sys::lua_close(self.shared.main)
        }
    }
}

impl Vm {
    /// Makes a VM with LuaJIT's libraries, OpenResty's compiler limits and an empty `ngx` table.
    ///
    /// # Errors
    /// Memory is exhausted, or a path contains what Lua cannot take.
    pub fn new(options: &Options) -> Result<Self, LuaError> {
        let main = crate::heap::new_state();
        if main.is_null() {
            return Err(LuaError::plain(ErrorKind::Memory, "not enough memory"));
        }
        // SAFETY: a fresh state; until it is wrapped below nobody else uses it. Opening the libraries fails only for want of memory.
        unsafe { sys::luaL_openlibs(main) };
        let cx = Rc::new(CallContext::new());
        // SAFETY: as above; `Inner` drops the context after it closed the state.
        let prelude = unsafe { boot::run_prelude(main, &cx) }.inspect_err(|_| {
            // SAFETY: nothing else was made of this state.
            unsafe { sys::lua_close(main) }
        })?;
        let shared = Shared { main, meta: prelude.meta.0, meta_at: prelude.meta.1 };
        let inner = Inner {
            shared,
            cx,
            prelude,
            slots: RefCell::new(Vec::new()),
            idle: Cell::new(IDLE_SLOTS),
            chunks: RefCell::new(Chunks::default()),
            late: RefCell::new(Vec::new()),
        };
        let vm = Self { inner: Rc::new(inner) };
        for (field, value) in [("path", &options.path), ("cpath", &options.cpath)] {
            if let Some(value) = value {
                vm.prelude_call(vm.inner.prelude.set_path, &[field.as_bytes(), value.as_bytes()])?;
            }
        }
        Ok(vm)
    }

    /// Sets how many idle slots (coroutines of handlers) are kept, 1024 unless said.
    pub fn keep_idle(&self, count: usize) {
        self.inner.idle.set(count);
    }

    /// Has the processor time of each stretch of code watched; each must be the first of its kind.
    pub fn watch(&self, watchdog: &Watchdog) {
        // SAFETY: the context, which is dropped after the state is closed, holds the result.
        self.inner.cx.set_stretches(unsafe { watchdog.add(self.inner.shared.main) });
    }

    /// Limits the machine's memory, bytes. Code that is running when the limit is reached ends with an error. A second
    /// limit changes nothing.
    pub fn limit_memory(&self, bytes: usize) {
        if self.inner.cx.meter.get().is_none() && self.enter().is_ok() {
            // SAFETY: nothing runs; the context holds the meter, and the last handle takes it away before the state is closed.
            let meter = unsafe { Meter::install(self.inner.shared.main, bytes) };
            let _ = self.inner.cx.meter.set(meter);
        }
    }

    /// Sets who is told of global writes and of light threads' deaths.
    pub fn set_hooks(&self, hooks: Rc<dyn Hooks>) {
        self.inner.cx.set_hooks(hooks);
    }

    /// The VM's context, for hosts that prepare it outside of rows.
    pub fn cx(&self) -> &CallContext {
        &self.inner.cx
    }

    /// Makes `require(name)` run this source, whatever lies on the disk.
    ///
    /// # Errors
    /// Memory is exhausted. A syntax error shows when the module is required.
    pub fn preload(&self, name: &str, source: &str) -> Result<(), LuaError> {
        self.prelude_call(self.inner.prelude.preload, &[name.as_bytes(), source.as_bytes()])
    }

    /// Makes `require(name)` run this source unless a file of that name is found on `package.path`. A file found by one
    /// of the templates in `before`, a list as `package.path` is one, does not count.
    ///
    /// # Errors
    /// Memory is exhausted. A syntax error shows when the module is required.
    pub fn supply(&self, name: &str, source: &str, before: &str) -> Result<(), LuaError> {
        self.prelude_call(self.inner.prelude.supply, &[name.as_bytes(), source.as_bytes(), before.as_bytes()])
    }

    /// Adds a part of the API.
    ///
    /// # Errors
    /// The glue does not compile or fails.
    pub fn bind(&self, group: &Group) -> Result<(), LuaError> {
        let constants: Vec<_> = group.rows.iter().filter_map(Row::number).collect();
        let glue = constants::resolve(group.glue, &constants)
            .map_err(|error| LuaError::plain(ErrorKind::Syntax, error.to_string().into_bytes()))?;
        let (l, cx) = (self.enter()?, &self.inner.cx);
        // SAFETY: the main state is at rest or waits below a running coroutine; its minimum of 20 slots suffices.
        unsafe {
            let base = sys::lua_gettop(l);
            sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, self.inner.prelude.glue as sys::lua_Integer);
            let mut stack = Stack::new(l, &cx.bin);
            stack.push_bytes(&glue);
            stack.push_bytes(group.name.as_bytes());
            stack.push_table(0, group.rows.len());
            stack.push_table(0, group.rows.len());
            let (fast, native) = (base as usize + 4, base as usize + 5);
            for row in &group.rows {
                match &row.kind {
                    Kind::Fast { declaration, address } => {
                        stack.push_table(2, 0);
                        let entry = stack.top();
                        stack.push_bytes(declaration.as_bytes());
                        stack.set_item(entry, 1);
                        stack.push_pointer(address.cast_mut());
                        stack.set_item(entry, 2);
                        stack.set_field(fast, row.name.as_bytes());
                    }
                    Kind::Native(function) => {
                        push_native(l, cx, *function, row.phases);
                        stack.set_field(native, row.name.as_bytes());
                    }
                    Kind::Constant(_) => {}
                }
            }
            self.finish_call(l, base, 4, 0)?;
            sys::lua_settop(l, base);
        }
        Ok(())
    }

    /// Compiles inline code, or finds it compiled. `name` is the chunk's name, such as `=content_by_lua(nginx.conf:42)`.
    ///
    /// # Errors
    /// A syntax error, with Lua's message.
    pub fn load_text(&self, source: &[u8], name: &str) -> Result<ChunkId, LuaError> {
        let key = chunk::text_key(source, name);
        if let Some(id) = self.inner.chunks.borrow().text(&key) {
            return Ok(id);
        }
        let id = self.compile(source, name.as_bytes())?;
        self.inner.chunks.borrow_mut().insert_text(key, id);
        Ok(id)
    }

    /// Compiles a file's code, or finds it compiled: as long as the VM lives when `cached`, else until the file's
    /// time or size changes.
    ///
    /// # Errors
    /// The file cannot be read (`ErrorKind::File`, with `errno`) or has a syntax error.
    pub fn load_file(&self, path: &Path, cached: bool) -> Result<ChunkId, LuaError> {
        if cached && let Some(id) = self.inner.chunks.borrow().file(path, None) {
            return Ok(id);
        }
        let stamp = chunk::stamp(path)?;
        if let Some(id) = self.inner.chunks.borrow().file(path, Some(stamp)) {
            return Ok(id);
        }
        let source = chunk::read(path)?;
        let mut name = b"@".to_vec();
        name.extend_from_slice(path.as_os_str().as_encoded_bytes());
        let id = self.compile(&source, &name)?;
        self.inner.chunks.borrow_mut().insert_file(path, stamp, id);
        Ok(id)
    }

    fn compile(&self, source: &[u8], name: &[u8]) -> Result<ChunkId, LuaError> {
        let l = self.enter()?;
        // SAFETY: as for bind.
        unsafe {
            let base = sys::lua_gettop(l);
            sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, self.inner.prelude.factory as sys::lua_Integer);
            let mut stack = Stack::new(l, &self.inner.cx.bin);
            stack.push_bytes(source);
            stack.push_bytes(name);
            self.finish_call(l, base, 2, 2)?;
            if stack.kind(base as usize + 1) != Type::Function {
                let message = stack.bytes(base as usize + 2).unwrap_or_default().to_vec();
                sys::lua_settop(l, base);
                return Err(LuaError::plain(ErrorKind::Syntax, message));
            }
            sys::lua_settop(l, base + 1);
            let entry = sys::luaL_ref(l, sys::LUA_REGISTRYINDEX);
            Ok(self.inner.chunks.borrow_mut().add(entry))
        }
    }

    /// Runs a chunk on the main state with the real globals, as `init_by_lua*` and `init_worker_by_lua*` do.
    ///
    /// # Errors
    /// The chunk failed; the message carries the traceback, as OpenResty prints it at start.
    pub fn run_init(&self, chunk: ChunkId, phase: LuaPhase, host: Option<Rc<dyn Host>>) -> Result<(), LuaError> {
        let l = self.enter()?;
        let factory = self.factory(chunk)?;
        let cx = &self.inner.cx;
        let saved = cx.enter(host, Some(phase), None, None);
        // SAFETY: as for bind; the chunk's factory runs one instruction.
        let result = unsafe {
            let base = sys::lua_gettop(l);
            sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, self.inner.prelude.explain as sys::lua_Integer);
            sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, factory as sys::lua_Integer);
            sys::lua_call(l, 0, 1);
            let code = limited(cx, || sys::lua_pcall(l, 0, 0, base + 1));
            let stack = Stack::new(l, &cx.bin);
            let message = (code != 0).then(|| stack.bytes(stack.top()).unwrap_or(b"unknown reason").to_vec());
            sys::lua_settop(l, base);
            message.map_or(Ok(()), |m| Err(LuaError::plain(ErrorKind::Runtime, m)))
        };
        drop(cx.restore(saved));
        result
    }

    /// Runs a chunk that must not suspend (filters, `set_by_lua*`, logging): `push` puts its arguments on the stack
    /// and says how many, `read` gets its results from index 1 on.
    ///
    /// # Errors
    /// The chunk failed or tried to yield.
    pub fn run_now<T>(
        &self,
        chunk: ChunkId,
        phase: LuaPhase,
        host: Option<Rc<dyn Host>>,
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        read: impl FnOnce(&mut Stack<'_>) -> T,
    ) -> Result<T, LuaError> {
        let mut slot = self.take_slot(chunk)?;
        let cx = &self.inner.cx;
        let saved = cx.enter(host, Some(LuaPhase { yields: false, ..phase }), None, None);
        // SAFETY: the slot is this run's alone, with the chunk's closure on its stack.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { run_to_end(cx, slot.lua, self.inner.prelude.explain, push, read) }));
        slot.detached = cx.detached.get();
        drop(cx.restore(saved));
        self.release_slot(&mut slot);
        self.pool_slot(slot);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Where a kept function was defined, `SOURCE:LINE`; a source that is a file begins with `@`, a named one with `=`.
    pub fn place_of(&self, function: &Ref) -> Option<String> {
        let l = self.enter().ok()?;
        // SAFETY: a live state with room; an all-zero lua_Debug is valid, and lua_getinfo pops the function it looks at.
        unsafe {
            let mut stack = Stack::new(l, &self.inner.cx.bin);
            stack.push_ref(function);
            if stack.kind(stack.top()) != Type::Function {
                sys::lua_settop(l, -2);
                return None;
            }
            let mut record: sys::lua_Debug = std::mem::zeroed();
            sys::lua_getinfo(l, c">S".as_ptr(), &raw mut record);
            let source = CStr::from_ptr(record.source.cast::<c_char>()).to_string_lossy();
            Some(format!("{source}:{}", record.linedefined))
        }
    }

    /// The main state, when Lua may be entered.
    fn enter(&self) -> Result<*mut sys::lua_State, LuaError> {
        let l = self.inner.shared.main;
        // SAFETY: a live state.
        if !self.inner.cx.enterable() || unsafe { sys::lua_checkstack(l, 40) } == 0 {
            return Err(LuaError::plain(ErrorKind::Runtime, "Lua cannot be entered from here"));
        }
        Ok(l)
    }

    fn factory(&self, chunk: ChunkId) -> Result<c_int, LuaError> {
        let known = self.inner.chunks.borrow().factory(chunk);
        known.ok_or_else(|| LuaError::plain(ErrorKind::Runtime, "no such chunk"))
    }

    pub(crate) fn main(&self) -> *mut sys::lua_State {
        self.inner.shared.main
    }

    fn prelude_call(&self, function: c_int, arguments: &[&[u8]]) -> Result<(), LuaError> {
        let l = self.enter()?;
        // SAFETY: as for bind.
        unsafe {
            let base = sys::lua_gettop(l);
            sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, function as sys::lua_Integer);
            let mut stack = Stack::new(l, &self.inner.cx.bin);
            arguments.iter().for_each(|a| stack.push_bytes(a));
            self.finish_call(l, base, lua_index(arguments.len()), 0)
        }
    }

    /// Calls what stands on the stack above `base`.
    ///
    /// # Safety
    /// A function and `nargs` arguments stand on `l`'s stack.
    unsafe fn finish_call(&self, l: *mut sys::lua_State, base: c_int, nargs: c_int, results: c_int) -> Result<(), LuaError> {
        // SAFETY: the caller's contract.
        unsafe { protected(l, &self.inner.cx, base, nargs, results) }
    }
}

/// Runs the function on a coroutine's stack as a plain call, in which nothing can yield. `explain` is the registry entry of the
/// function that adds a traceback to an error.
///
/// # Safety
/// `lua` is a coroutine at rest with nothing but a function on its stack, which nobody else uses.
unsafe fn run_to_end<T>(
    cx: &CallContext,
    lua: *mut sys::lua_State,
    explain: c_int,
    push: impl FnOnce(&mut Stack<'_>) -> usize,
    read: impl FnOnce(&mut Stack<'_>) -> T,
) -> Result<T, LuaError> {
    // SAFETY: the caller's contract; a coroutine at rest has at least 20 slots, and `push` asks for those that it needs.
    unsafe {
        let mut stack = Stack::new(lua, &cx.bin);
        raw::push_item(lua, sys::LUA_REGISTRYINDEX, explain);
        sys::lua_insert(lua, 1);
        let nargs = push(&mut stack).min(stack.top().saturating_sub(2));
        let code = limited(cx, || sys::lua_pcall(lua, lua_index(nargs), sys::LUA_MULTRET, 1));
        sys::lua_remove(lua, 1);
        if code == 0 {
            return Ok(read(&mut stack));
        }
        let kind = ErrorKind::of(code);
        Err(match stack.bytes(stack.top()) {
            Some(text) => LuaError::explained(kind, text),
            None => LuaError::plain(kind, "unknown reason"),
        })
    }
}
