//! A name server of a test's own, that says the same of every name, for a second.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;

/// What it says now.
#[derive(Default)]
struct Says {
    /// Last octets of 127.0.0.x; none is no such name.
    addresses: Vec<u8>,
    /// Priorities and ports for `SRV` questions; the host is `h`.
    services: Vec<(u8, u16)>,
    silent: bool,
}

/// The server; it ends with the test's process.
pub(crate) struct NameServer {
    pub(crate) port: u16,
    says: Arc<Mutex<Says>>,
}

impl NameServer {
    pub(crate) fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let says = Arc::<Mutex<Says>>::default();
        let said = says.clone();
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                if let Some(answer) = answer(&packet[..length], &said.lock().unwrap()) {
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        NameServer { port, says }
    }

    pub(crate) fn say(&self, addresses: &[u8]) {
        self.says.lock().unwrap().addresses = addresses.to_vec();
    }

    pub(crate) fn say_services(&self, services: &[(u8, u16)]) {
        self.says.lock().unwrap().services = services.to_vec();
    }

    /// Questions get no answer, or get one again.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.says.lock().unwrap().silent = silent;
    }
}

fn answer(query: &[u8], says: &Says) -> Option<Vec<u8>> {
    if says.silent {
        return None;
    }
    let mut answer = query.to_vec();
    answer[2] = 0x81;
    let kind = query[query.len() - 3];
    let mut record = |data: &[u8]| {
        answer.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 1, 0, data.len() as u8]);
        answer.extend_from_slice(data);
        answer[7] += 1;
    };
    match kind {
        1 => says.addresses.iter().for_each(|last| record(&[127, 0, 0, *last])),
        33 => says.services.iter().for_each(|(priority, port)| {
            let [high, low] = port.to_be_bytes();
            record(&[0, *priority, 0, 1, high, low, 1, b'h', 0]);
        }),
        _ => {}
    }
    if answer[7] == 0 {
        answer[3] = 0x83;
    }
    Some(answer)
}
