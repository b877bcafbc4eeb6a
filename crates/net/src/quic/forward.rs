//! Datagrams that came to the wrong process, such as one that takes over behind a reload, go to the right one over sockets in the unix
//! domain. Their names follow from the key that all processes of a listener share, and from the process that a connection ID names; each
//! message begins with what only they know.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as Name, UnixDatagram as Blocking};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use sys::udp::ReceivedDatagrams;
use tls::quic::HostKey;
use tokio::io::ReadBuf;
use tokio::net::UnixDatagram;

/// The longest message: a datagram, and what stands before it.
const LONGEST: usize = 65_536 + 64;

/// Messages that are taken in a turn.
const TURN: usize = 64;

/// How a process gets what is its own, and where the rest goes.
pub(super) struct Forwarder {
    key: HostKey,
    listener: SocketAddr,
    secret: [u8; 16],
    process: u32,
    slot: u8,
    out: Blocking,
    /// What is for connections of this process.
    socket: UnixDatagram,
    /// Datagrams for the process that accepts new clients in this slot.
    successor: RefCell<Option<UnixDatagram>>,
    buffer: RefCell<Vec<u8>>,
    waker: Arc<TaskWaker>,
    /// Nobody has looked at the sockets since they or the task that does have changed.
    is_new: Cell<bool>,
}

/// Wakes the endpoint's task, and remembers that the sockets are why: messages are rare, and looking for them costs more than most turns.
#[derive(Default)]
struct TaskWaker {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Relaxed);
        if let Ok(task) = self.task.lock()
            && let Some(task) = &*task
        {
            task.wake_by_ref();
        }
    }
}

impl Forwarder {
    pub(super) fn new(key: &HostKey, listener: SocketAddr, process: u32, slot: u8) -> io::Result<Self> {
        let out = Blocking::unbound()?;
        out.set_nonblocking(true)?;
        let own = bound(&name(key, listener, &process.to_be_bytes())?)?;
        let secret = key.name(b"pass on");
        let buffer = RefCell::new(Vec::new());
        let (place, bell, is_new) = (RefCell::default(), Arc::default(), Cell::new(true));
        let passing =
            Self { key: key.clone(), listener, secret, process, slot, out, socket: own, successor: place, buffer, waker: bell, is_new };
        // Whom this process relieves may still have the place.
        let _ = passing.take_place();
        Ok(passing)
    }

    /// Takes new clients that others pass on. False: another process still does.
    pub(super) fn take_place(&self) -> bool {
        let mut place = self.successor.borrow_mut();
        if place.is_none() {
            *place = name(&self.key, self.listener, &[self.slot]).and_then(|name| bound(&name)).ok();
            self.look_again();
        }
        place.is_some()
    }

    /// Leaves new clients to another process.
    pub(super) fn leave_place(&self) {
        self.successor.take();
    }

    /// Passes a datagram on to a process. False: that is gone, or cannot take it.
    pub(super) fn to_process(&self, process: u32, datagram: &[u8], arrived: &ReceivedDatagrams<'_>) -> bool {
        process != self.process && self.send(&process.to_be_bytes(), datagram, arrived)
    }

    /// Passes a new client's datagram on to who takes new clients now.
    pub(super) fn to_successor(&self, datagram: &[u8], arrived: &ReceivedDatagrams<'_>) -> bool {
        self.send(&[self.slot], datagram, arrived) || (self.slot != 0 && self.send(&[0], datagram, arrived))
    }

    fn send(&self, whom: &[u8], datagram: &[u8], arrived: &ReceivedDatagrams<'_>) -> bool {
        let Ok(name) = name(&self.key, self.listener, whom) else { return false };
        let mut message = self.buffer.borrow_mut();
        message.clear();
        message.extend_from_slice(&self.secret);
        message.push(arrived.ecn);
        put_address(&mut message, arrived.from.ip());
        message.extend_from_slice(&arrived.from.port().to_be_bytes());
        message.extend_from_slice(&if let SocketAddr::V6(from) = arrived.from { from.scope_id() } else { 0 }.to_be_bytes());
        match arrived.local {
            Some(local) => put_address(&mut message, local),
            None => message.push(0),
        }
        message.extend_from_slice(datagram);
        match self.out.send_to_addr(&message, &name) {
            Ok(_) => true,
            // It is there and has much to do: the datagram is lost, as datagrams may be.
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Has the sockets looked at in the next turn, whether or not they tell of messages.
    pub(super) fn look_again(&self) {
        self.is_new.set(true);
    }

    /// Takes messages from others; `take` gets each datagram. One task receives.
    pub(super) fn receive(&self, cx: &Context<'_>, mut take: impl FnMut(&[u8], &ReceivedDatagrams<'_>)) {
        if self.is_new.replace(false)
            && let Ok(mut task) = self.waker.task.lock()
        {
            *task = Some(cx.waker().clone());
        } else if !self.waker.rung.swap(false, Ordering::Relaxed) {
            return;
        }
        let waker = Waker::from(self.waker.clone());
        let cx = &mut Context::from_waker(&waker);
        let place = self.successor.borrow();
        let mut room = Vec::new();
        for socket in [Some(&self.socket), place.as_ref()].into_iter().flatten() {
            for turn in 0..=TURN {
                if socket.poll_recv_ready(cx).is_pending() {
                    break;
                }
                if turn == TURN {
                    cx.waker().wake_by_ref();
                    break;
                }
                room.resize(LONGEST, 0);
                let mut buffer = ReadBuf::new(&mut room);
                let Poll::Ready(Ok(())) = socket.poll_recv(cx, &mut buffer) else { break };
                if let Some(arrived) = parse(buffer.filled(), &self.secret) {
                    take(arrived.bytes, &arrived);
                }
            }
        }
    }
}

/// The name of a process's socket, or of a place's; in the abstract namespace, which leaves no files behind (unix(7)).
fn name(key: &HostKey, listener: SocketAddr, whom: &[u8]) -> io::Result<Name> {
    let digest = key.name(&[format!("{listener} ").as_bytes(), whom].concat());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Name::from_abstract_name(format!("lunette-quic-{hex}"))
}

fn bound(name: &Name) -> io::Result<UnixDatagram> {
    let socket = Blocking::bind_addr(name)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

fn put_address(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
}

fn take_address(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        0 => Some((None, rest)),
        4 => rest.split_first_chunk::<4>().map(|(ip, rest)| (Some(Ipv4Addr::from(*ip).into()), rest)),
        _ => rest.split_first_chunk::<16>().map(|(ip, rest)| (Some(Ipv6Addr::from(*ip).into()), rest)),
    }
}

/// A message; `None`: it is not one of ours.
fn parse<'a>(message: &'a [u8], secret: &[u8; 16]) -> Option<ReceivedDatagrams<'a>> {
    let (found, rest) = message.split_first_chunk::<16>()?;
    if found != secret {
        return None;
    }
    let (ecn, rest) = rest.split_first()?;
    let (ip, rest) = take_address(rest)?;
    let (port, rest) = rest.split_first_chunk()?;
    let (scope, rest) = rest.split_first_chunk()?;
    let (local, bytes) = take_address(rest)?;
    let port = u16::from_be_bytes(*port);
    let from = match ip? {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, u32::from_be_bytes(*scope)).into(),
    };
    Some(ReceivedDatagrams { bytes, segment: bytes.len(), from, local, ecn: *ecn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_datagram_reaches_its_process_or_its_place() {
        let key = HostKey::new(b"passing");
        let listener = SocketAddr::from(([127, 0, 0, 9], u16::try_from(std::process::id() % 60_000).unwrap_or(1)));
        let (old, new) = (Forwarder::new(&key, listener, 1, 3).unwrap(), Forwarder::new(&key, listener, 2, 3).unwrap());
        let arrived = ReceivedDatagrams {
            bytes: b"",
            segment: 0,
            from: "[fe80::1%7]:99".parse().unwrap_or_else(|_| SocketAddrV6::new("fe80::1".parse().unwrap(), 99, 0, 7).into()),
            local: Some([192, 0, 2, 1].into()),
            ecn: 2,
        };
        assert!(!old.to_process(1, b"own", &arrived) && !old.to_process(9, b"nobody", &arrived));
        assert!(old.to_process(2, b"for the new one", &arrived));
        old.leave_place();
        assert!(!old.to_successor(b"lost", &arrived));
        assert!(new.take_place() && old.to_successor(b"a client", &arrived));
        let mut got = Vec::new();
        poll_fn(|cx| {
            new.receive(cx, |datagram, one| got.push((datagram.to_vec(), one.from, one.local, one.ecn)));
            if got.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let ends = (arrived.from, arrived.local, 2);
        assert_eq!(got, [(b"for the new one".to_vec(), ends.0, ends.1, ends.2), (b"a client".to_vec(), ends.0, ends.1, ends.2)]);
    }

    #[test]
    fn what_others_say_is_not_believed() {
        assert!(parse(&[0; 64], &[7; 16]).is_none());
        assert!(parse(&[7; 17], &[7; 16]).is_none());
    }
}
