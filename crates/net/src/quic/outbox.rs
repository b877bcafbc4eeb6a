//! Datagrams that leave together.

use std::io;
use std::os::fd::AsFd;

use quinn_proto::{EcnCodepoint, Transmit};
use sys::udp::{MOST, Parcel, Sender};

/// Up to [`MOST`] transmissions and their buffers, which are used again.
#[derive(Default)]
pub(super) struct Outbox {
    buffers: Vec<Vec<u8>>,
    parcels: Vec<(Vec<u8>, Transmit)>,
    /// How many of them have been sent.
    sent: usize,
    sender: Sender,
}

/// What became of a transmission that the socket did not take.
pub(super) enum Trouble {
    /// The socket takes nothing now.
    Full,
    /// It could not be sent and is lost, as packets may be.
    Lost(io::Error),
}

impl Outbox {
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
        self.parcels.push((buffer, transmit));
    }

    /// Whether no more should be queued before some have been sent.
    pub(super) fn is_full(&self) -> bool {
        self.parcels.len() >= MOST
    }

    /// Sends all, if there is any.
    ///
    /// # Errors
    /// With the first that could not be sent; call again to go on.
    pub(super) fn send(&mut self, socket: &impl AsFd) -> Result<(), Trouble> {
        while self.sent < self.parcels.len() {
            let waiting = self.parcels.get(self.sent..).unwrap_or_default();
            match self.sender.send(socket, waiting.iter().map(|(bytes, transmit)| parcel(bytes, transmit))) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Trouble::Full),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.sent += 1;
                    return Err(Trouble::Lost(error));
                }
            }
        }
        self.sent = 0;
        let mut done = std::mem::take(&mut self.parcels);
        done.drain(..).for_each(|(buffer, _)| self.put_back(buffer));
        self.parcels = done;
        Ok(())
    }
}

fn parcel<'a>(bytes: &'a [u8], transmit: &Transmit) -> Parcel<'a> {
    Parcel {
        bytes: bytes.get(..transmit.size).unwrap_or(bytes),
        segment: transmit.segment_size.and_then(|size| u16::try_from(size).ok()),
        to: transmit.destination,
        local: transmit.src_ip,
        ecn: transmit.ecn.map_or(0, |mark: EcnCodepoint| mark as u8),
    }
}
