//! Frames that no proper client sends: behind a handshake, packets are made by hand with the connection's keys.

use super::quic::{Client, Wishes, config_with, crypto_config};
use bytes::BytesMut;
use quinn_proto::crypto::{self, ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};
use std::any::Any;
use std::sync::{Arc, Mutex};

type Shared = (Arc<dyn HeaderKey>, Arc<dyn PacketKey>);
type Place = Arc<Mutex<Option<Shared>>>;

/// Far behind the numbers of the packets that the client itself sends.
const FIRST: u32 = 1 << 16;

/// A connection that says what it is told to. What the server says to it is not heard any more.
pub(crate) struct Cannon {
    client: Client,
    keys: Shared,
    next: u32,
}

impl Cannon {
    /// A client with a connection that has been of use once.
    pub(crate) fn new(port: u16, wishes: &Wishes, once: impl FnOnce(&mut Client)) -> Cannon {
        let place = Place::default();
        let tap = Tap { inner: Arc::new(crypto_config(wishes)), place: place.clone() };
        let mut client = Client::begin_with(port, wishes, config_with(wishes, Arc::new(tap)));
        client.until(|client| client.connected);
        once(&mut client);
        let keys = place.lock().unwrap().take().unwrap();
        Cannon { client, keys, next: FIRST }
    }

    /// Sends a packet with these frames.
    pub(crate) fn fire(&mut self, frames: &[u8]) {
        self.next += 1;
        let number_at = 1 + self.client.to.len();
        let mut packet = [&[0x43][..], &self.client.to, &self.next.to_be_bytes(), frames].concat();
        // Room for the sample.
        packet.resize(packet.len().max(number_at + 8) + self.keys.1.tag_len(), 0);
        self.keys.1.encrypt(self.next.into(), &mut packet, number_at + 4);
        self.keys.0.encrypt(number_at, &mut packet);
        let _ = self.client.socket.send_to(&packet, self.client.server);
    }

    /// Leaves out packet numbers.
    pub(crate) fn skip(&mut self, count: u32) {
        self.next += count;
    }
}

struct Tap {
    inner: Arc<dyn ClientConfig>,
    place: Place,
}

impl ClientConfig for Tap {
    fn start_session(self: Arc<Self>, version: u32, name: &str, own: &TransportParameters) -> Result<Box<dyn Session>, ConnectError> {
        let inner = self.inner.clone().start_session(version, name, own)?;
        Ok(Box::new(Tapped { inner, place: self.place.clone() }))
    }
}

/// A session whose last keys are known to others too.
struct Tapped {
    inner: Box<dyn Session>,
    place: Place,
}

impl Session for Tapped {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(id, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(bytes)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let keys = self.inner.write_handshake(out)?;
        let (header, packet): Shared = (Arc::from(keys.header.local), Arc::from(keys.packet.local));
        *self.place.lock().unwrap() = Some((header.clone(), packet.clone()));
        Some(Keys {
            header: KeyPair { local: Box::new(Known(header)), remote: keys.header.remote },
            packet: KeyPair { local: Box::new(Known(packet)), remote: keys.packet.remote },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(id, header, payload)
    }

    fn export_keying_material(&self, out: &mut [u8], label: &[u8], context: &[u8]) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(out, label, context)
    }
}

struct Known<T: ?Sized>(Arc<T>);

impl crypto::HeaderKey for Known<dyn HeaderKey> {
    fn decrypt(&self, at: usize, packet: &mut [u8]) {
        self.0.decrypt(at, packet);
    }

    fn encrypt(&self, at: usize, packet: &mut [u8]) {
        self.0.encrypt(at, packet);
    }

    fn sample_size(&self) -> usize {
        self.0.sample_size()
    }
}

impl crypto::PacketKey for Known<dyn PacketKey> {
    fn encrypt(&self, number: u64, packet: &mut [u8], header: usize) {
        self.0.encrypt(number, packet, header);
    }

    fn decrypt(&self, number: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.0.decrypt(number, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}
