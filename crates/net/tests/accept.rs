//! Two forked workers on one listening socket: one connection wakes one of them, and a burst is shared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test without the usual harness is still a test")]

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use net::accept::Acceptor;
use sys::process::Fork;
use sys::shared::SharedMemory;

/// Places in the memory that the processes share, per worker: connections taken, turns of the accept task.
const TAKEN: usize = 0;
const WOKEN: usize = 8;
const WORKER: usize = 16;
/// Set once a worker waits.
const READY: usize = 64;

fn add(memory: &SharedMemory, offset: usize) {
    memory.atomic_u64(offset).unwrap().fetch_add(1, std::sync::atomic::Ordering::SeqCst);
}

fn value(memory: &SharedMemory, offset: usize) -> u64 {
    memory.atomic_u64(offset).unwrap().load(std::sync::atomic::Ordering::SeqCst)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never happened: {what}");
}

/// Accepts for ever; each polling of the accept future counts as a wake-up. Every answer costs some work, so that a
/// burst is more than one worker's share.
fn worker(listener: OwnedFd, memory: &SharedMemory, number: usize) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut acceptor = Acceptor::new(listener, true).unwrap();
        assert!(acceptor.is_exclusive());
        add(memory, READY);
        loop {
            let mut accepting = std::pin::pin!(acceptor.accept());
            let (socket, _) = std::future::poll_fn(|cx| {
                add(memory, number * WORKER + WOKEN);
                accepting.as_mut().poll(cx)
            })
            .await
            .unwrap();
            add(memory, number * WORKER + TAKEN);
            std::thread::sleep(Duration::from_millis(2));
            drop(socket);
        }
    });
    sys::process::exit_now(0)
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        println!("one_wakes_one_and_a_burst_is_shared: test");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let memory = SharedMemory::new(4096).unwrap();
    let mut children = Vec::new();
    for number in 0..2 {
        match sys::process::fork().unwrap() {
            Fork::Child => worker(listener.into(), &memory, number),
            Fork::Parent(child) => children.push(child),
        }
    }
    drop(listener);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(address, &memory)));
    for child in children {
        sys::process::kill(child, sys::signal::SIGKILL).unwrap();
    }
    if let Err(reason) = result {
        std::panic::resume_unwind(reason);
    }
    println!("test one_wakes_one_and_a_burst_is_shared ... ok");
}

fn check(address: SocketAddr, memory: &SharedMemory) {
    wait_until("both workers wait", || value(memory, READY) == 2);
    let taken = |number: usize| value(memory, number * WORKER + TAKEN);
    let woken = |number: usize| value(memory, number * WORKER + WOKEN);
    let rounds = 50;
    for round in 1..=rounds {
        let mut client = TcpStream::connect(address).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
        wait_until("the connection is taken", || taken(0) + taken(1) == round);
        // The worker is back in its loop before the next one comes.
        std::thread::sleep(Duration::from_millis(3));
    }
    // Per connection: woken for it, polled for the next, and found nothing more on the turn after. A herd would add
    // another wake-up of the other worker for every connection.
    let bystander = if taken(0) < taken(1) { 0 } else { 1 };
    assert!(woken(bystander) <= 1 + 3 * taken(bystander), "woken in vain: {} for {}", woken(bystander), taken(bystander));

    let before = [taken(0), taken(1)];
    let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait_until("the burst is taken", || taken(0) + taken(1) == rounds + 200);
    drop(clients);
    let share = (taken(0) - before[0]).min(taken(1) - before[1]);
    assert!(share >= 20, "one worker took almost all: {share} of 200 for the other");
}
