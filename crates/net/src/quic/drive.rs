//! The task of an endpoint: datagrams in, timers, datagrams out.

use crate::time::{Sleep, sleep_until};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{ConnectionHandle, DatagramEvent, EcnCodepoint};
use sys::udp::{ReceiveBatch, ReceivedDatagrams};
use wire::quic::Header;

use super::counters::QuicEvent;
use super::ids;
use super::incoming::Incoming;
use super::shared::Shared;
use super::state::State;
use super::tokens;

/// Receptions per system call, and the room of each: what the kernel puts together.
const RECEPTIONS: usize = 16;
const ROOM: usize = 65_536;

/// System calls for receiving in a turn, so that the tasks of connections get theirs.
const CALLS: usize = 4;

/// After so many datagrams of one client in a row their events are passed on.
const TRAIN: u64 = 8;

/// Transmissions of a connection in a turn.
const TRANSMISSIONS: usize = 16;

/// How long the task sleeps where no timer runs.
const LONG: Duration = Duration::from_secs(3600);

pub(super) struct Driver<F> {
    shared: Rc<Shared>,
    came: F,
    batch: ReceiveBatch,
    sleep: Sleep,
}

impl<F: Fn(Incoming)> Driver<F> {
    pub(super) fn new(shared: Rc<Shared>, came: F) -> Self {
        shared.passing.look_again();
        let sleep = sleep_until(Instant::now() + LONG);
        Self { shared, came, batch: ReceiveBatch::new(RECEPTIONS, ROOM), sleep }
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        poll_fn(|cx| self.drive_once(cx)).await
    }

    fn drive_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.queue.register_waker(cx);
        let now = Instant::now();
        let writable = self.flush(now, cx)?;
        let more = self.receive(now, cx)?;
        self.shared.passing.receive(cx, |datagram, arrived| self.datagram(now, datagram, arrived));
        self.attend_to_all();
        self.handle_timers(now);
        // The connections' tasks have been woken by now and run before the next turn, which sends what they have to say.
        if more || (writable && self.shared.queue.len() > 0) {
            cx.waker().wake_by_ref();
        }
        self.arm_timer(cx);
        Poll::Pending
    }

    /// Sends what connections have to say. False: the socket takes nothing now, and wakes the task when it does.
    fn flush(&self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            if self.send_all(now) {
                return Ok(true);
            }
            match self.shared.socket.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?.clear_ready(),
                Poll::Pending => return Ok(false),
            }
        }
    }

    /// False: the socket does not take all.
    fn send_all(&self, now: Instant) -> bool {
        let shared = &self.shared;
        // Those that have more to send than a turn allows stand behind all others.
        let waiting = shared.queue.len();
        for _ in 0..waiting {
            if !shared.has_room() {
                return false;
            }
            let Some(state) = shared.queue.pop() else { break };
            if !self.transmit(&state, now) {
                return false;
            }
        }
        shared.send()
    }

    /// False: the socket does not take all, and the connection is queued again.
    fn transmit(&self, state: &Rc<State>, now: Instant) -> bool {
        let shared = &self.shared;
        let (mut count, mut room) = (0, true);
        while room {
            let mut buffer = shared.outbox.borrow_mut().buffer();
            let transmit = state.quic.borrow_mut().poll_transmit(now, shared.segments.get(), &mut buffer);
            let Some(transmit) = transmit else {
                shared.outbox.borrow_mut().put_back(buffer);
                break;
            };
            shared.outbox.borrow_mut().push(buffer, transmit);
            count += 1;
            room = shared.has_room();
            if count == TRANSMISSIONS {
                shared.queue.push(state);
                break;
            }
        }
        if !room {
            shared.queue.push(state);
        }
        shared.service(state);
        room
    }

    /// Takes what has arrived. True: there may be more.
    fn receive(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut more = false;
        for _ in 0..CALLS {
            let Poll::Ready(ready) = self.shared.socket.poll_read_ready(cx) else {
                more = false;
                break;
            };
            let mut ready = ready?;
            match self.batch.receive(self.shared.socket.get_ref()) {
                // With room left there was no more, and what comes now is told anew.
                Ok(count) if count < self.batch.capacity() => ready.clear_ready(),
                Ok(_) => more = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            drop(ready);
            let count = (0..self.batch.capacity()).map_while(|index| self.batch.get(index)).map(|arrived| self.take(now, &arrived)).sum();
            (self.shared.count)(QuicEvent::Received, count);
        }
        Ok(more)
    }

    /// Passes on what the datagrams of this turn have told.
    fn attend_to_all(&self) {
        let mut place = 0;
        loop {
            let state = self.shared.queue.dirty.borrow().get(place).cloned();
            let Some(state) = state else { return };
            self.shared.service(&state);
            place += 1;
        }
    }

    /// Takes datagrams of one client; how many they are.
    fn take(&self, now: Instant, arrived: &ReceivedDatagrams<'_>) -> u64 {
        let mut count = 0_u64;
        for datagram in arrived.bytes.chunks(arrived.segment.max(1)) {
            count += 1;
            if self.is_foreign(datagram, arrived) {
                (self.shared.count)(QuicEvent::Passed, 1);
            } else {
                self.datagram(now, datagram, arrived);
            }
            if count.is_multiple_of(TRAIN) {
                self.attend_to_all();
            }
        }
        count
    }

    /// Passes a datagram on if it is for a connection that another process has.
    fn is_foreign(&self, datagram: &[u8], arrived: &ReceivedDatagrams<'_>) -> bool {
        let Some(header) = Header::parse(datagram, ids::LENGTH.into()) else { return false };
        let process = self.shared.ids.process_of(header.destination());
        process.is_some_and(|process| self.shared.passing.to_process(process, datagram, arrived))
    }

    fn datagram(&self, now: Instant, datagram: &[u8], arrived: &ReceivedDatagrams<'_>) {
        let shared = &self.shared;
        let held = Incoming::feed(shared, datagram);
        let mut answer = shared.outbox.borrow_mut().buffer();
        let ecn = EcnCodepoint::from_bits(arrived.ecn);
        tokens::take_forged();
        let event = shared.quic.borrow_mut().handle(now, arrived.from, arrived.local, ecn, BytesMut::from(datagram), &mut answer);
        match event {
            Some(DatagramEvent::Response(transmit)) if shared.has_room() => {
                shared.outbox.borrow_mut().push(answer, transmit);
                return shared.queue.wake();
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(state) = shared.connection(handle) {
                    state.take(event, arrived.from);
                    shared.queue.push(&state);
                    // A datagram may tell hundreds of things, and they must not gather.
                    shared.exchange(&state);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if shared.leaving.get() => {
                shared.quic.borrow_mut().ignore(incoming);
                // If nobody takes over, the client is told nothing, as if nobody listened.
                let passed = shared.passing.to_successor(datagram, arrived);
                (shared.count)(if passed { QuicEvent::Passed } else { QuicEvent::Dropped }, 1);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                (self.came)(Incoming::new(shared.clone(), incoming, datagram, tokens::take_forged()));
            }
            None if held => {}
            Some(DatagramEvent::Response(_)) | None => (shared.count)(QuicEvent::Dropped, 1),
        }
        shared.outbox.borrow_mut().put_back(answer);
    }

    /// Looks at timers that may be due.
    fn handle_timers(&self, now: Instant) {
        let shared = &self.shared;
        loop {
            let due = shared.timers.borrow().first().filter(|(at, _)| *at <= now).copied();
            let Some(due) = due else { return };
            shared.timers.borrow_mut().remove(&due);
            let Some(state) = shared.connection(ConnectionHandle(due.1)) else { continue };
            state.timer.set(None);
            let expired = state.quic.borrow_mut().poll_timeout().is_some_and(|at| at <= now);
            if expired {
                state.quic.borrow_mut().handle_timeout(now);
                shared.queue.push(&state);
                shared.service(&state);
            } else {
                shared.schedule(&state);
            }
        }
    }

    /// Sees to it that the task is woken for the next timer.
    fn arm_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let next = self.shared.timers.borrow().first().map(|(at, _)| *at);
            let Some(next) = next else { return };
            if next != self.sleep.deadline() {
                self.sleep.reset(next);
            }
            if Pin::new(&mut self.sleep).poll(cx).is_pending() {
                return;
            }
            self.handle_timers(Instant::now());
            if self.shared.queue.len() > 0 {
                cx.waker().wake_by_ref();
                return;
            }
        }
    }
}
