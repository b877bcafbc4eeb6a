//! Datagrams that are sent in one batch.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use quinn_proto::{EcnCodepoint, Transmit};
use sys::udp::{self, MOST, Sender};

/// Up to [`MOST`] transmissions and their buffers, which are used again.
#[derive(Default)]
pub(super) struct TransmitQueue {
    buffers: Vec<Vec<u8>>,
    packets: Vec<(Vec<u8>, Transmit)>,
    /// How many of them have been sent.
    sent: usize,
    sender: Sender,
}

/// Why the socket did not take a transmission.
#[derive(Debug)]
pub(super) enum TransmitError {
    /// The socket takes nothing now.
    Full,
    /// It could not be sent and is lost, as packets may be.
    Lost(io::Error),
}

impl fmt::Display for TransmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransmitError::Full => f.write_str("the socket takes nothing now"),
            TransmitError::Lost(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TransmitError {}

impl TransmitQueue {
    /// A buffer for the next transmission; empty.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Gives a buffer back that was not needed.
    pub(super) fn put_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.buffers.len() < MOST {
            self.buffers.push(buffer);
        }
    }

    /// Queues a transmission; the buffer may only be larger than it says.
    pub(super) fn push(&mut self, buffer: Vec<u8>, transmit: Transmit) {
        self.packets.push((buffer, transmit));
    }

    /// Whether no more should be queued before some have been sent.
    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= MOST
    }

    /// Sends all, if there is any.
    ///
    /// # Errors
    /// With the first that could not be sent; call again to go on.
    pub(super) fn send(&mut self, socket: &impl AsFd) -> Result<(), TransmitError> {
        while self.sent < self.packets.len() {
            let waiting = self.packets.get(self.sent..).unwrap_or_default();
            match self.sender.send(socket, waiting.iter().map(|(bytes, transmit)| packet(bytes, transmit))) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(TransmitError::Full),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.sent += 1;
                    return Err(TransmitError::Lost(error));
                }
            }
        }
        self.sent = 0;
        let mut done = std::mem::take(&mut self.packets);
        done.drain(..).for_each(|(buffer, _)| self.put_back(buffer));
        self.packets = done;
        Ok(())
    }
}

fn packet<'a>(bytes: &'a [u8], transmit: &Transmit) -> udp::Transmit<'a> {
    udp::Transmit {
        bytes: bytes.get(..transmit.size).unwrap_or(bytes),
        segment: transmit.segment_size.and_then(|size| u16::try_from(size).ok()),
        to: transmit.destination,
        local: transmit.src_ip,
        ecn: transmit.ecn.map_or(0, |mark: EcnCodepoint| mark as u8),
    }
}
