//! What variables and logs need of a request's attempts, and the buffers that a worker reuses.

use crate::dialect::{Dialect, Unwrapped};
use crate::limits::{MAX_ADDRESSES, MAX_INPUTS, MAX_SPARE, MAX_SPARE_SIZE, default};
use crate::upstream::Upstream;
use balance::Selection;
use foldhash::HashMap;
use http::Headers;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wire::h1::header::{HeaderSpan, Rules, parse_section};
use wire::h1::response::ResponseHead;

/// One try of one server. Times are in milliseconds from the start of the try.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Address, or name of the group when no server was left.
    pub peer: Rc<str>,
    /// Status of the response, or 502 or 504; 0 for none.
    pub status: u16,
    /// Until the connection stood.
    pub connect: Option<u64>,
    /// Until the head was here.
    pub header: Option<u64>,
    /// Until all was here.
    pub response: Option<u64>,
    /// Body bytes.
    pub length: u64,
    /// Bytes read.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// The first try of another exchange, after an internal redirect.
    pub first: bool,
}

/// The tries of a request and its last response's head. Outlives internal redirects.
#[derive(Default)]
pub struct Record {
    /// In order.
    pub tries: RefCell<Vec<Attempt>>,
    /// Bytes of the last response's head.
    pub head: RefCell<Vec<u8>>,
    /// Its header lines, ranges of `head`.
    pub lines: RefCell<Vec<HeaderSpan>>,
    /// The last response's trailers.
    pub trailers: RefCell<Headers>,
    /// The last response is of a protocol with [`crate::dialect::Dialect::has_empty_fields`].
    pub has_empty_fields: Cell<bool>,
    /// `$proxy_host` of a URL with variables.
    pub host: RefCell<Vec<u8>>,
    /// `$proxy_port` of a URL with variables.
    pub port: RefCell<Vec<u8>>,
    started: Cell<u64>,
    /// It lies among those that are given out again.
    is_spare: Cell<bool>,
}

impl Record {
    /// Begins a try at `now_ms`.
    pub fn begin(&self, peer: &Rc<str>, first: bool, now_ms: u64) {
        self.started.set(now_ms);
        let first = first && !self.tries.borrow().is_empty();
        self.tries.borrow_mut().push(Attempt {
            peer: peer.clone(),
            status: 0,
            connect: None,
            header: None,
            response: None,
            length: 0,
            received: 0,
            sent: 0,
            first,
        });
    }

    /// Changes the current try; `f` gets it and the milliseconds since it began.
    pub fn update(&self, now_ms: u64, f: impl FnOnce(&mut Attempt, u64)) {
        if let Some(last) = self.tries.borrow_mut().last_mut() {
            f(last, now_ms.saturating_sub(self.started.get()));
        }
    }

    /// How long the head of the current try took, milliseconds.
    #[must_use]
    pub fn header_time(&self) -> u64 {
        self.tries.borrow().last().and_then(|last| last.header).unwrap_or(0)
    }

    /// Keeps the head of a response of `dialect`.
    pub fn set_head(&self, dialect: &dyn Dialect, head: &[u8], lines: &[HeaderSpan]) {
        self.has_empty_fields.set(dialect.has_empty_fields());
        let mut bytes = self.head.borrow_mut();
        bytes.clear();
        bytes.extend_from_slice(head);
        let mut kept = self.lines.borrow_mut();
        kept.clear();
        kept.extend_from_slice(lines);
    }

    /// Keeps the trailers, and shows each to `also`; false: they are none.
    #[must_use]
    pub fn store_trailers(&self, raw: &[u8], mut also: impl FnMut(&[u8], &[u8])) -> bool {
        let mut lines = Vec::new();
        if parse_section(raw, Rules { underscores: true, upstream: true }, &mut lines).is_err() {
            return false;
        }
        for line in &lines {
            let (name, value) = (line.name.of(raw), line.value.of(raw));
            self.trailers.borrow_mut().push(name, value);
            also(name, value);
        }
        true
    }

    /// Forgets everything, for another request.
    fn clear(&self) {
        self.tries.borrow_mut().clear();
        self.clear_head();
        self.head.borrow_mut().shrink_to(MAX_SPARE_SIZE);
        self.host.borrow_mut().clear();
        self.port.borrow_mut().clear();
    }

    /// Forgets the last response's head and trailers.
    pub(crate) fn clear_head(&self) {
        self.has_empty_fields.set(false);
        self.head.borrow_mut().clear();
        self.lines.borrow_mut().clear();
        self.trailers.borrow_mut().clear();
    }
}

/// Buffers of one exchange.
#[derive(Default)]
pub struct Scratch {
    /// The request as it goes out.
    pub out: Vec<u8>,
    /// Received bytes of the response.
    pub input: Vec<u8>,
    /// The head's parser.
    pub parser: ResponseHead,
    /// What has been taken out of records.
    pub unwrapped: Unwrapped,
    /// Servers tried.
    pub selection: Selection,
}

impl Scratch {
    /// The response's head, which has `length` bytes.
    #[must_use]
    pub fn head(&self, length: usize) -> &[u8] {
        self.input.get(self.unwrapped.start..self.end_of(length)).unwrap_or_default()
    }

    /// Where in the input a head of `length` bytes ends.
    #[must_use]
    pub fn end_of(&self, length: usize) -> usize {
        self.unwrapped.start + length
    }

    /// Whether only a head of `length` bytes was received.
    #[must_use]
    pub(crate) fn holds_only(&self, length: usize) -> bool {
        self.input.len() == self.end_of(length)
    }

    /// Forgets what came.
    pub fn clear(&mut self) {
        self.input.clear();
        self.parser.reset();
        self.unwrapped.reset();
    }
}

/// A worker's state of all upstream modules.
#[derive(Default)]
pub struct State {
    // Boxed, so that an exchange holds a pointer and its future stays small.
    #[expect(clippy::vec_box)]
    scratch: RefCell<Vec<Box<Scratch>>>,
    /// What answers are read into, the one that was used last at the end: while one is awaited, its exchange holds none of them.
    inputs: RefCell<Vec<Vec<u8>>>,
    /// Records of exchanges that have ended, the last one at the end: what it has touched is still near. Each is given out again once its
    /// request is over, too.
    records: RefCell<Vec<Rc<Record>>>,
    addresses: RefCell<HashMap<Box<[u8]>, Rc<Upstream>>>,
}

impl State {
    /// Buffers for an exchange.
    #[must_use]
    pub fn scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes buffers back.
    pub fn put_scratch(&self, mut scratch: Box<Scratch>) {
        self.take_input(&mut scratch.input);
        let mut spare = self.scratch.borrow_mut();
        if spare.len() < MAX_SPARE && scratch.out.capacity() <= MAX_SPARE_SIZE {
            scratch.out.clear();
            spare.push(scratch);
        }
    }

    /// Reserves `size` bytes if nothing was received yet.
    pub(crate) fn lend_input(&self, input: &mut Vec<u8>, size: usize) {
        if !input.is_empty() || input.capacity() >= size {
            return;
        }
        let mut inputs = self.inputs.borrow_mut();
        *input = match inputs.iter().rposition(|spare| spare.capacity() == size) {
            Some(at) => inputs.remove(at),
            None => Vec::with_capacity(size),
        };
    }

    /// What waits for more needs no room but for what it has: a server that says its head byte by byte costs no large buffer.
    pub(crate) fn release_input(&self, input: &mut Vec<u8>) {
        if input.len() < input.capacity() / 4 {
            let held = input.to_vec();
            self.take_input(input);
            *input = held;
        }
    }

    /// Takes that room back; what is in it is forgotten.
    pub fn take_input(&self, input: &mut Vec<u8>) {
        let mut input = std::mem::take(input);
        if !(default::PAGE..=default::MAX_READ).contains(&(input.capacity() as u64)) {
            return;
        }
        input.clear();
        let mut inputs = self.inputs.borrow_mut();
        if inputs.len() >= MAX_INPUTS {
            inputs.remove(0);
        }
        inputs.push(input);
    }

    /// An empty record.
    #[must_use]
    pub fn record(&self) -> Rc<Record> {
        let mut records = self.records.borrow_mut();
        let is_over = |record: &Rc<Record>| Rc::strong_count(record) == 1 && Rc::weak_count(record) == 0;
        let Some(at) = records.iter().rposition(is_over) else { return Rc::default() };
        let spare = records.remove(at);
        spare.is_spare.set(false);
        spare.clear();
        spare
    }

    /// Gives a record out again as soon as its request no longer needs it.
    pub(crate) fn put_record(&self, record: &Rc<Record>) {
        let mut records = self.records.borrow_mut();
        if records.len() < MAX_SPARE && !record.is_spare.replace(true) {
            records.push(record.clone());
        }
    }

    /// The group that stands for an address given by variables, made at its first use.
    pub fn address(&self, key: &[u8], make: impl FnOnce() -> Rc<Upstream>) -> Rc<Upstream> {
        let mut all = self.addresses.borrow_mut();
        if let Some(found) = all.get(key) {
            return found.clone();
        }
        if all.len() >= MAX_ADDRESSES {
            all.clear();
        }
        let made = make();
        all.insert(key.into(), made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_holds_no_large_buffer() {
        let state = State::default();
        let mut input = Vec::new();
        state.lend_input(&mut input, 65536);
        let lent = input.as_ptr();
        state.release_input(&mut input);
        assert_eq!(input.capacity(), 0);
        state.lend_input(&mut input, 65536);
        assert_eq!(input.as_ptr(), lent, "the same serves the next");
        input.extend_from_slice(b"HTTP/1.1 2");
        state.release_input(&mut input);
        assert!(input == b"HTTP/1.1 2" && input.capacity() < 1024);
        state.lend_input(&mut input, 65536);
        assert_eq!(input, b"HTTP/1.1 2");
        let mut another = Vec::new();
        state.lend_input(&mut another, 65536);
        assert_eq!(another.as_ptr(), lent);
    }

    #[test]
    fn a_record_serves_again_once_its_request_is_over() {
        let state = State::default();
        let (first, second) = (state.record(), state.record());
        assert!(!Rc::ptr_eq(&first, &second));
        first.begin(&Rc::from("a"), true, 0);
        let address = Rc::as_ptr(&first);
        // The exchanges have ended, one of them twice, and the second one's request has not.
        [&first, &second, &first].iter().for_each(|record| state.put_record(record));
        assert!(!Rc::ptr_eq(&state.record(), &first), "its request has not ended either");
        drop(first);
        let again = [state.record(), state.record()];
        assert_eq!(Rc::as_ptr(&again[0]), address);
        assert!(again[0].tries.borrow().is_empty());
        assert!(again.iter().all(|record| !Rc::ptr_eq(record, &second)));
    }
}
