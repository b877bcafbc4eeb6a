//! A bad network: a relay of datagrams that loses, doubles and reorders some, always the same for a seed.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// In a hundred datagrams.
const LOST: u64 = 5;
const DOUBLED: u64 = 3;
const LATE: u64 = 5;

/// Between one client and a server of this machine, until it is dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    /// What was lost.
    pub(crate) lost: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn start(server: u16, seed: u64) -> Relay {
        let (near, far) = (socket(), socket());
        let port = near.local_addr().unwrap().port();
        far.connect(("127.0.0.1", server)).unwrap();
        let client: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let (lost, enough): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let (to_server, from_server) = ((near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near));
        let (known, seen) = (client.clone(), client);
        let one = Direction::new(seed, &lost, &enough);
        let other = Direction::new(seed ^ 0x5555_5555, &lost, &enough);
        let threads = vec![
            std::thread::spawn(move || {
                one.run(&to_server.0, |from| *seen.lock().unwrap() = Some(from), |bytes| drop(to_server.1.send(bytes)));
            }),
            std::thread::spawn(move || {
                let send = |bytes: &[u8]| {
                    let to = *known.lock().unwrap();
                    to.into_iter().for_each(|to| drop(from_server.1.send_to(bytes, to)));
                };
                other.run(&from_server.0, |_| (), send);
            }),
        ];
        Relay { port, lost, enough, threads }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    socket
}

struct Direction {
    random: u64,
    lost: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Direction {
    fn new(seed: u64, lost: &Arc<AtomicUsize>, enough: &Arc<AtomicBool>) -> Direction {
        Direction { random: seed | 1, lost: lost.clone(), enough: enough.clone() }
    }

    /// Below a hundred.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100
    }

    fn run(mut self, from: &UdpSocket, came: impl Fn(SocketAddr), send: impl Fn(&[u8])) {
        let mut buffer = vec![0; 65_536];
        let mut late: Option<Vec<u8>> = None;
        while !self.enough.load(Ordering::Relaxed) {
            let Ok((length, sender)) = from.recv_from(&mut buffer) else {
                late.take().into_iter().for_each(|bytes| send(&bytes));
                continue;
            };
            came(sender);
            let bytes = &buffer[..length];
            match self.next() {
                chance if chance < LOST => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
                chance if chance < LOST + DOUBLED => {
                    send(bytes);
                    send(bytes);
                }
                // It goes behind the next one.
                chance if chance < LOST + DOUBLED + LATE && late.is_none() => {
                    late = Some(bytes.to_vec());
                    continue;
                }
                _ => send(bytes),
            }
            late.take().into_iter().for_each(|bytes| send(&bytes));
        }
    }
}
