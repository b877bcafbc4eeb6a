//! Forked workers on a listening socket: one connection or datagram wakes one of them, a burst is shared, and a worker without
//! descriptors rests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test without the usual harness is still a test")]

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use net::accept::Acceptor;
use net::shared_datagrams::SharedDatagrams;
use sys::process::Fork;
use sys::shared::SharedMemory;

/// Size of a worker's place in the memory that the processes share: how many connections it has taken.
const TAKEN: usize = 8;
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

/// How often a process has gone to sleep. The kernel wakes a herd inside epoll_wait, so only this shows it: a process
/// that is woken in vain goes back to sleep without returning to its program.
fn sleeps(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// Waits until a process waits in its event loop, by whatever name the kernel calls that. Where it does not tell what a process waits for,
/// that it sleeps must do.
fn wait_until_idle(pid: i32) {
    wait_until("the worker waits for events", || {
        let waits_in = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let sleeps = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
        let is_polling = waits_in == "ep_poll" || waits_in.contains("epoll_wait");
        sleeps && (is_polling || matches!(&*waits_in, "" | "0"))
    });
}

/// Accepts for ever. Every connection costs some time, so that a burst is more than one worker's share.
fn worker(listener: OwnedFd, memory: &SharedMemory, number: usize) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let acceptor = Acceptor::new(listener, true).unwrap();
        assert!(acceptor.is_exclusive());
        add(memory, READY);
        loop {
            let (socket, _) = acceptor.accept().await.unwrap();
            add(memory, number * TAKEN);
            std::thread::sleep(Duration::from_millis(2));
            drop(socket);
        }
    });
    sys::process::exit_now(0)
}

const CASES: [(&str, fn()); 3] = [
    ("one_wakes_one_and_a_burst_is_shared", sharing),
    ("a_datagram_wakes_one_and_so_does_its_answer", datagrams),
    ("a_worker_without_descriptors_rests", exhaustion),
];

fn main() {
    let list = std::env::args().any(|argument| argument == "--list");
    for (name, case) in CASES {
        if list {
            println!("{name}: test");
        } else {
            case();
            println!("test {name} ... ok");
        }
    }
    if !list {
        // In the words of the usual harness, so that the total counts these too. A case that fails ends the program.
        println!("test result: ok. {} passed; 0 failed; 0 ignored", CASES.len());
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn sharing() {
    let (listener, address) = listen();
    let memory = SharedMemory::new(4096).unwrap();
    let mut children = Vec::new();
    for number in 0..2 {
        match sys::process::fork().unwrap() {
            Fork::Child => worker(listener.into(), &memory, number),
            Fork::Parent(child) => children.push(child),
        }
    }
    drop(listener);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(address, &memory, &children)));
    for child in children {
        sys::process::kill(child, sys::signal::SIGKILL).unwrap();
    }
    if let Err(reason) = result {
        std::panic::resume_unwind(reason);
    }
}

/// Answers datagrams for ever.
fn answer(socket: OwnedFd, memory: &SharedMemory) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = SharedDatagrams::new(socket, true).unwrap();
        let mut buffer = [0; 64];
        add(memory, READY);
        loop {
            let received = socket.receive(&mut buffer).await.unwrap();
            std::future::poll_fn(|cx| socket.poll_send(cx, &buffer[..received.len], &received.sender, None)).await.unwrap();
        }
    });
    sys::process::exit_now(0)
}

fn datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let memory = SharedMemory::new(4096).unwrap();
    let mut children = Vec::new();
    for _ in 0..3 {
        match sys::process::fork().unwrap() {
            Fork::Child => answer(socket.into(), &memory),
            Fork::Parent(child) => children.push(child),
        }
    }
    drop(socket);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("the workers start", || value(&memory, READY) == 3);
        children.iter().copied().for_each(wait_until_idle);
        let before: u64 = children.iter().map(|worker| sleeps(*worker)).sum();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.connect(address).unwrap();
        let rounds = 50;
        for _ in 0..rounds {
            client.send(b"ping").unwrap();
            assert_eq!(client.recv(&mut [0; 64]).unwrap(), 4);
            children.iter().copied().for_each(wait_until_idle);
        }
        let slept = children.iter().map(|worker| sleeps(*worker)).sum::<u64>() - before;
        assert!(slept < rounds * 5 / 2, "workers were woken in vain: {slept} sleeps for {rounds} datagrams");
    }));
    for child in children {
        sys::process::kill(child, sys::signal::SIGKILL).unwrap();
    }
    if let Err(reason) = result {
        std::panic::resume_unwind(reason);
    }
}

fn exhaustion() {
    let (listener, address) = listen();
    let child = match sys::process::fork().unwrap() {
        Fork::Child => starve(listener, address),
        Fork::Parent(child) => child,
    };
    let mut ending = None;
    wait_until("the child ends", || {
        // The workers of the other case may be reaped here too.
        ending = sys::process::reap().unwrap().filter(|(pid, _)| *pid == child);
        ending.is_some()
    });
    assert_eq!(ending, Some((child, sys::process::ExitStatus::Code(0))));
}

fn starve(listener: TcpListener, address: SocketAddr) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fine = runtime.block_on(async {
        // As workers do: what rests must not take the last descriptor for its timer.
        net::time::prepare().unwrap();
        let _clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        let acceptor = Acceptor::new(listener.into(), true).unwrap();
        let (first, _) = acceptor.accept().await.unwrap();
        sys::limits::set_open_files(u64::try_from(first.as_raw_fd()).unwrap() + 1).unwrap();
        let error = acceptor.accept().await.unwrap_err();
        let told = error.raw_os_error() == Some(24) && net::accept::severity(&error) == base::log::Level::Crit;
        drop(first);
        told && acceptor.accept().await.is_ok()
    });
    sys::process::exit_now(i32::from(!fine))
}

fn check(address: SocketAddr, memory: &SharedMemory, workers: &[i32]) {
    wait_until("both workers start", || value(memory, READY) == 2);
    let taken = |number: usize| value(memory, number * TAKEN);
    workers.iter().copied().for_each(wait_until_idle);
    let before: u64 = workers.iter().map(|worker| sleeps(*worker)).sum();
    let rounds = 50;
    for round in 1..=rounds {
        let mut client = TcpStream::connect(address).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
        wait_until("the connection is taken", || taken(0) + taken(1) == round);
        workers.iter().copied().for_each(wait_until_idle);
    }
    let slept = workers.iter().map(|worker| sleeps(*worker)).sum::<u64>() - before;
    // One sleep for the work and one until the next event; a herd adds the other worker's to each connection.
    assert!(slept < rounds * 5 / 2, "workers were woken in vain: {slept} sleeps for {rounds} connections");

    let before = [taken(0), taken(1)];
    let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait_until("the burst is taken", || taken(0) + taken(1) == rounds + 200);
    drop(clients);
    let share = (taken(0) - before[0]).min(taken(1) - before[1]);
    assert!(share >= 20, "one worker took almost all: {share} of 200 for the other");
}
