//! A table's fingerprint: detects in a few loads whether a table with one field has changed.
//!
//! Walking a table through Lua's interface costs several hundred instructions, and every handler's end asks whether
//! its globals are clean. A small table keeps its fields in two places and cannot get more without changing the
//! sizes in its header, so comparing header and places with how they were answers the question. The layout is that of LuaJIT with
//! 64-bit references, which this crate builds and links itself; a fresh table that does not look as expected has no
//! print and is walked.

use std::ffi::c_void;

/// The header of LuaJIT's table.
#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    next: u64,
    marks: u64,
    array: u64,
    gray: u64,
    meta: u64,
    nodes: *const Nodes,
    array_size: u32,
    node_mask: u32,
}

/// A field's place.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Node {
    value: u64,
    key: u64,
    next: u64,
}

/// The fewest places that a table with fields has: two, of which one is free here.
type Nodes = [Node; 2];

/// The mask that goes with two places.
const MASK: u32 = 1;

/// The bits of a value that hold its address.
const ADDRESS: u64 = (1 << 47) - 1;

/// How a table was when it was fresh.
#[derive(Clone, Copy)]
pub(crate) struct Fingerprint {
    array: u64,
    meta: u64,
    nodes_at: *const Nodes,
    nodes: Nodes,
}

impl Fingerprint {
    /// The print of a fresh table whose one field holds the table itself; none where the memory does not look so.
    ///
    /// # Safety
    /// `table` is the address of a live table made with room for one field, which has that field, of LuaJIT with
    /// 64-bit references.
    pub(crate) unsafe fn of_fresh(table: *const c_void, meta: *const c_void) -> Option<Fingerprint> {
        if !cfg!(target_pointer_width = "64") {
            return None;
        }
        // SAFETY: the caller's contract; the node is looked at only when the header is as expected.
        unsafe {
            let head = *table.cast::<Head>();
            if head.meta != meta.addr() as u64 || head.array_size != 0 || head.node_mask != MASK || head.nodes.is_null() {
                return None;
            }
            let nodes = *head.nodes;
            let own = nodes.iter().any(|node| node.value & ADDRESS == table.addr() as u64);
            own.then_some(Fingerprint { array: head.array, meta: head.meta, nodes_at: head.nodes, nodes })
        }
    }

    /// Whether the table is as it was.
    ///
    /// # Safety
    /// `table` is the live table that this print was made of.
    pub(crate) unsafe fn is_of(&self, table: *const c_void) -> bool {
        // SAFETY: the caller's contract; `of_fresh` found the layout to hold. The node is read only where it was, which
        // the header says is still the table's.
        unsafe {
            let head = table.cast::<Head>();
            (*head).array_size == 0
                && (*head).node_mask == MASK
                && (*head).array == self.array
                && (*head).meta == self.meta
                && (*head).nodes == self.nodes_at
                && *self.nodes_at == self.nodes
        }
    }
}
/// Where a function or coroutine keeps its globals, found by the table that is known to stand there.
#[derive(Clone, Copy)]
pub(crate) struct EnvAt(*const u64);

impl EnvAt {
    /// Bytes before it in a function: header of 12 bytes, padding.
    const IN_FUNCTION: usize = 16;
    /// Bytes before it in a coroutine: header, and seven words from the global state to the open upvalues.
    const IN_THREAD: usize = 72;

    /// Of a function whose globals are the table `env`; none where the memory does not look so.
    ///
    /// # Safety
    /// `function` is the address of a live Lua function of LuaJIT.
    pub(crate) unsafe fn of_function(function: *const c_void, env: *const c_void) -> Option<EnvAt> {
        // SAFETY: the caller's contract: a function is longer than this.
        unsafe { Self::checked(function, Self::IN_FUNCTION, env) }
    }

    /// Of a coroutine whose globals are the table `env`; none where the memory does not look so.
    ///
    /// # Safety
    /// `thread` is the address of a live coroutine of LuaJIT.
    pub(crate) unsafe fn of_thread(thread: *const c_void, env: *const c_void) -> Option<EnvAt> {
        // SAFETY: the caller's contract: a coroutine is longer than this.
        unsafe { Self::checked(thread, Self::IN_THREAD, env) }
    }

    /// # Safety
    /// `object` is the address of a live object of more than `offset` + 8 bytes.
    unsafe fn checked(object: *const c_void, offset: usize, env: *const c_void) -> Option<EnvAt> {
        if !cfg!(target_pointer_width = "64") {
            return None;
        }
        // SAFETY: the caller's contract; the offset is a multiple of 8, and so is the address of an object of Lua.
        unsafe {
            let place = object.byte_add(offset).cast::<u64>();
            (*place == env.addr() as u64).then_some(EnvAt(place))
        }
    }

    /// Whether these globals are the table `env`.
    ///
    /// # Safety
    /// The function or coroutine is alive.
    pub(crate) unsafe fn holds(self, env: *const c_void) -> bool {
        // SAFETY: the caller's contract; the place was found to be the right one when this was made.
        unsafe { *self.0 == env.addr() as u64 }
    }
}
