//! Lua's state of one request: a module context, forgotten at an internal redirect.

use http::contexts::Reuse;
use http::{BoxFuture, Request};
use lua_lib::Resources;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// Numbers of tables in the VM's list of `ngx.ctx` tables.
#[derive(Debug, Default)]
pub struct Slots {
    free: RefCell<Vec<i32>>,
    next: Cell<i32>,
}

impl Slots {
    fn take(&self) -> i32 {
        self.free.borrow_mut().pop().unwrap_or_else(|| {
            self.next.set(self.next.get() + 1);
            self.next.get()
        })
    }
}

/// What Lua remembers of a request from phase to phase.
#[derive(Default)]
pub struct State {
    slot: Cell<i32>,
    slots: OnceCell<Rc<Slots>>,
    /// The number is somebody else's to give back.
    slot_is_kept: Cell<bool>,
    /// The end of the body was sent.
    pub eof: Cell<bool>,
    /// Something was printed.
    pub seen_body: Cell<bool>,
    /// The answer is gathered so that its length is known (`lua_http10_buffering`).
    pub buffering: Cell<bool>,
    /// What was gathered.
    pub gathered: RefCell<Vec<u8>>,
    /// Lua set a response header: its length and ranges are the code's affair.
    pub headers_set: Cell<bool>,
    /// Lua set or removed `Content-Type`: no default takes its place.
    pub mime_set: Cell<bool>,
    /// The content handler has begun.
    pub in_content: Cell<bool>,
    /// A header filter wants this status for an answer, in place of the one that was begun.
    pub refused: Cell<u16>,
    /// `ngx.exit` in a header filter.
    pub filter_exit: Cell<Option<i32>>,
    /// `ngx.exit` in a balancer.
    pub balancer_exit: Cell<Option<i32>>,
    /// The header filter failed: it does not run again.
    pub header_failed: Cell<bool>,
    /// The page about its error, which is to be the body of the answer.
    pub page: RefCell<Option<bytes::Bytes>>,
    /// The phase of the handler that runs, as messages name it.
    pub phase: Cell<&'static str>,
    /// The last chunk has passed the Lua body filter.
    pub filter_ended: Cell<bool>,
    /// Address of a location, and whether no Lua filter sees its output.
    pub plain: Cell<(usize, bool)>,
    /// The socket was taken over by `ngx.req.socket(true)`.
    pub raw_socket: Cell<bool>,
    /// The handler knows that the client has gone, or its `ngx.on_abort` thread does.
    pub abort_known: Cell<bool>,
    /// Captured subrequests under way: the handler must not end itself meanwhile.
    pub captures: Cell<u32>,
    /// Output that must wait, begun where nothing can.
    pub pending: RefCell<Option<BoxFuture<session::Outcome>>>,
    /// The machine of this request alone, under `lua_code_cache off`.
    pub machine: OnceCell<Rc<crate::Machine>>,
    /// What libraries opened for it.
    pub resources: Rc<Resources>,
    /// The try whose server `balancer_by_lua*` is choosing.
    pub balancing: RefCell<Option<Balancing>>,
}

/// A try whose server is being chosen.
#[derive(Clone)]
pub struct Balancing {
    /// What is said to the proxy.
    pub turn: Rc<upstream::balancer::Turn>,
    /// `balancer_keepalive`
    pub pool_size: usize,
}

/// An `ngx.ctx` table that code in a handshake leaves for the requests of the connection.
pub struct LeftCtx {
    slot: i32,
    slots: Rc<Slots>,
}

impl LeftCtx {
    /// The number of the table.
    pub fn slot(&self) -> i32 {
        self.slot
    }
}

impl Drop for LeftCtx {
    fn drop(&mut self) {
        self.slots.free.borrow_mut().push(self.slot);
    }
}

impl State {
    /// Of a request, made at the first use.
    pub fn of(request: &Request) -> Rc<State> {
        request.context_reused::<State>()
    }

    /// The number of the `ngx.ctx` table; negative when it has just been given and the table must be made.
    pub fn ctx_slot(&self, slots: &Rc<Slots>) -> i32 {
        let slot = self.slot.get();
        if slot != 0 {
            return slot;
        }
        let slot = slots.take();
        self.slot.set(slot);
        // The first list stays; there is one in a worker.
        let _ = self.slots.set(slots.clone());
        -slot
    }

    /// Hands the `ngx.ctx` table on, if there is one.
    pub fn leave_ctx(&self) -> Option<LeftCtx> {
        let slots = self.slots.get()?.clone();
        let slot = self.slot.take();
        (slot != 0).then_some(LeftCtx { slot, slots })
    }

    /// The `ngx.ctx` table, for those who keep it beyond this state; `None` if there is none, or if somebody has it.
    pub fn keep_ctx(&self) -> Option<LeftCtx> {
        let slots = self.slots.get().filter(|_| self.has_ctx() && !self.slot_is_kept.replace(true))?;
        Some(LeftCtx { slot: self.slot.get(), slots: slots.clone() })
    }

    /// Whether there is an `ngx.ctx` table.
    pub fn has_ctx(&self) -> bool {
        self.slot.get() != 0
    }
}

impl Reuse for State {
    fn reset(&mut self) {
        self.give_slot();
        let State {
            slot: _,
            slots: _,
            slot_is_kept: _,
            eof,
            seen_body,
            buffering,
            gathered,
            headers_set,
            mime_set,
            in_content,
            refused,
            filter_exit,
            balancer_exit,
            header_failed,
            page,
            phase: _,
            filter_ended,
            plain: _,
            raw_socket,
            abort_known,
            captures,
            pending,
            machine,
            resources,
            balancing,
        } = self;
        page.take();
        for mark in [header_failed, eof, seen_body, buffering, headers_set, mime_set, in_content, filter_ended, raw_socket, abort_known] {
            mark.set(false);
        }
        gathered.get_mut().clear();
        refused.set(0);
        filter_exit.set(None);
        balancer_exit.set(None);
        captures.set(0);
        drop((pending.take(), balancing.take()));
        drop(machine.take());
        resources.close();
        if Rc::get_mut(resources).is_none() {
            // Something of this request still asks whose it is.
            *resources = Rc::default();
        }
    }
}

impl State {
    fn give_slot(&self) {
        let slot = self.slot.take();
        let kept = self.slot_is_kept.take();
        if let Some(slots) = self.slots.get().filter(|_| slot != 0 && !kept) {
            slots.free.borrow_mut().push(slot);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.give_slot();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_tables_are_given_again() {
        let slots = Rc::new(Slots::default());
        let (one, two) = (State::default(), State::default());
        assert_eq!((one.ctx_slot(&slots), two.ctx_slot(&slots)), (-1, -2));
        assert_eq!(one.ctx_slot(&slots), 1);
        assert!(one.has_ctx() && !State::default().has_ctx());
        drop(one);
        assert_eq!(State::default().ctx_slot(&slots), -1);
    }

    #[test]
    fn a_place_that_somebody_keeps_is_his_to_give() {
        let slots = Rc::new(Slots::default());
        let mut state = State::default();
        assert!(state.keep_ctx().is_none(), "there is no table yet");
        state.ctx_slot(&slots);
        let kept = state.keep_ctx().unwrap();
        assert!(kept.slot() == 1 && state.keep_ctx().is_none());
        state.reset();
        assert_eq!(state.ctx_slot(&slots), -2, "the first is in use");
        drop(kept);
        drop(state);
        let (one, two, three) = (State::default(), State::default(), State::default());
        let mut places = [one.ctx_slot(&slots), two.ctx_slot(&slots), three.ctx_slot(&slots)];
        places.sort_unstable();
        assert_eq!(places, [-3, -2, -1], "each once");
    }
}
