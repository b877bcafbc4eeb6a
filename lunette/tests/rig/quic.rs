//! A client over QUIC: streams, without a protocol on them.

#[path = "../../../crates/net/src/quic/tests/peer.rs"]
pub(crate) mod peer;

use super::PATIENCE;
use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, Side, StreamEvent,
    StreamId, TransportConfig,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::code;

/// What a client says of itself.
#[derive(Clone)]
pub(crate) struct Wishes {
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) name: String,
    /// Data is sent before the handshake is over, where a session allows it.
    pub(crate) early: bool,
    /// Unidirectional streams of the server.
    pub(crate) uni: u32,
    /// Bytes of a stream that the server may send before they are read.
    pub(crate) window: u32,
    /// Where the server is.
    pub(crate) ip: IpAddr,
    /// Made of these at the first handshake. Sessions are resumed that an earlier client with it had.
    pub(crate) config: OnceCell<Arc<rustls::ClientConfig>>,
}

impl Wishes {
    pub(crate) fn new(alpn: &[u8]) -> Wishes {
        let config = OnceCell::new();
        Wishes {
            alpn: vec![alpn.to_vec()],
            name: "localhost".to_owned(),
            early: false,
            uni: 16,
            window: 1 << 20,
            ip: Ipv4Addr::LOCALHOST.into(),
            config,
        }
    }
}

/// What has come on a stream.
#[derive(Debug, Default, Clone)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ended: bool,
    /// The server's code.
    pub(crate) reset: Option<u64>,
    /// The server wants no more, with this code.
    pub(crate) stopped: Option<u64>,
}

/// A connection.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    /// The connection ID that the server is known by.
    pub(crate) to: Vec<u8>,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    pub(crate) connection: Connection,
    pub(crate) server: SocketAddr,
    pub(crate) connected: bool,
    pub(crate) lost: Option<ConnectionError>,
    pub(crate) streams: BTreeMap<StreamId, Received>,
    /// Data that a stream did not take yet, and whether its end follows.
    unsent: BTreeMap<StreamId, (Vec<u8>, bool)>,
    /// Nothing is read from streams.
    pub(crate) idle: bool,
    /// Datagrams that were sent and received.
    pub(crate) datagrams: (usize, usize),
}

/// A key for what only this client knows.
pub(crate) fn key() -> Arc<dyn quinn_proto::crypto::HmacKey> {
    Arc::new(tls::quic::HostKey::new(b"client").reset())
}

fn config(wishes: &Wishes) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.alpn_protocols.clone_from(&wishes.alpn);
    config.enable_early_data = wishes.early;
    Arc::new(config)
}

/// How a client with these wishes behaves.
pub(crate) fn client_config(wishes: &Wishes) -> ClientConfig {
    config_with(wishes, Arc::new(crypto_config(wishes)))
}

/// TLS as the state machine wants it.
pub(crate) fn crypto_config(wishes: &Wishes) -> QuicClientConfig {
    QuicClientConfig::try_from(wishes.config.get_or_init(|| config(wishes)).clone()).unwrap()
}

/// ... with other TLS.
pub(crate) fn config_with(wishes: &Wishes, crypto: Arc<dyn quinn_proto::crypto::ClientConfig>) -> ClientConfig {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_uni_streams(wishes.uni.into()).stream_receive_window(wishes.window.into());
    let mut config = ClientConfig::new(crypto);
    config.transport_config(Arc::new(transport));
    config
}

impl Client {
    /// Begins a handshake with a server at a port of this machine.
    pub(crate) fn begin(port: u16, wishes: &Wishes) -> Client {
        Client::begin_with(port, wishes, client_config(wishes))
    }

    /// The same with other means.
    pub(crate) fn begin_with(port: u16, wishes: &Wishes, config: ClientConfig) -> Client {
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::new(key())), None, true, None);
        let server = SocketAddr::from((wishes.ip, port));
        let (handle, connection) = endpoint.connect(Instant::now(), config, server, &wishes.name).unwrap();
        Client {
            socket: socket(wishes.ip),
            to: Vec::new(),
            endpoint,
            handle,
            connection,
            server,
            connected: false,
            lost: None,
            streams: BTreeMap::new(),
            unsent: BTreeMap::new(),
            idle: false,
            datagrams: (0, 0),
        }
    }

    /// A connection that stands; how it was lost otherwise.
    pub(crate) fn connect(port: u16, wishes: &Wishes) -> Result<Client, ConnectionError> {
        let mut client = Client::begin(port, wishes);
        client.until(|client| client.connected || client.lost.is_some());
        match client.lost.take() {
            Some(error) => Err(error),
            None => Ok(client),
        }
    }

    /// From now on it has another address.
    pub(crate) fn move_away(&mut self) {
        self.socket = socket(self.server.ip());
    }

    /// Opens a stream.
    pub(crate) fn open(&mut self, dir: Dir) -> StreamId {
        self.try_open(dir).unwrap_or_else(|| panic!("lost: {:?}", self.lost))
    }

    /// Opens a stream as soon as the server has room for it; none once the connection is lost.
    pub(crate) fn try_open(&mut self, dir: Dir) -> Option<StreamId> {
        let mut found = None;
        self.until(|client| {
            found = client.connection.streams().open(dir);
            found.is_some() || client.lost.is_some()
        });
        self.streams.entry(found?).or_default();
        found
    }

    /// Sends on a stream, and its end if `end`.
    pub(crate) fn send(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let unsent = self.unsent.entry(id).or_default();
        unsent.0.extend_from_slice(bytes);
        unsent.1 |= end;
        self.write();
        self.flush();
    }

    /// Gives up what is sent on a stream.
    pub(crate) fn reset(&mut self, id: StreamId, code: u32) {
        self.unsent.remove(&id);
        let _ = self.connection.send_stream(id).reset(code.into());
        self.flush();
    }

    /// Wants no more of a stream.
    pub(crate) fn stop(&mut self, id: StreamId, code: u32) {
        let _ = self.connection.recv_stream(id).stop(code.into());
        self.flush();
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self, code: u32) {
        self.connection.close(Instant::now(), code.into(), Bytes::new());
        self.flush();
    }

    /// What has come on a stream so far.
    pub(crate) fn received(&self, id: StreamId) -> Received {
        self.streams.get(&id).cloned().unwrap_or_default()
    }

    /// Sends `bytes` on a stream of its own, and answers what comes back to its end.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Received {
        let id = self.open(Dir::Bi);
        self.send(id, bytes, true);
        self.until(|client| {
            let got = client.received(id);
            got.ended || got.reset.is_some() || client.lost.is_some()
        });
        self.received(id)
    }

    /// The code with which the server closed the connection.
    pub(crate) fn code(&self) -> Option<u64> {
        self.lost.as_ref().and_then(code)
    }

    /// Goes on until something is so.
    pub(crate) fn until(&mut self, mut so: impl FnMut(&mut Client) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so(self) {
            assert!(Instant::now() < end, "nothing more comes; lost: {:?}", self.lost);
            self.turn(Duration::from_millis(20));
        }
    }

    /// Sends what is to be sent, and takes what comes within `patience`.
    pub(crate) fn turn(&mut self, patience: Duration) {
        self.write();
        self.flush();
        let now = Instant::now();
        let timer = self.connection.poll_timeout().map_or(patience, |at| at.saturating_duration_since(now));
        self.socket.set_read_timeout(Some(timer.min(patience).max(Duration::from_millis(1)))).unwrap();
        let mut buffer = vec![0; 65_536];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                self.datagrams.1 += 1;
                let data = BytesMut::from(&buffer[..length]);
                if let Some(DatagramEvent::ConnectionEvent(_, event)) =
                    self.endpoint.handle(Instant::now(), from, None, None, data, &mut Vec::new())
                {
                    self.connection.handle_event(event);
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted | ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => panic!("{error}"),
        }
        if self.connection.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            self.connection.handle_timeout(Instant::now());
        }
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        self.take_events();
        self.flush();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => self.lost = Some(reason),
                Event::Stream(StreamEvent::Opened { dir }) => {
                    while let Some(id) = self.connection.streams().accept(dir) {
                        self.streams.entry(id).or_default();
                    }
                }
                Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                    self.streams.entry(id).or_default().stopped = Some(error_code.into_inner());
                    self.unsent.remove(&id);
                }
                _ => {}
            }
        }
        if !self.idle {
            let open: Vec<_> = self.streams.iter().filter(|(_, got)| !got.ended && got.reset.is_none()).map(|(id, _)| *id).collect();
            open.into_iter().for_each(|id| self.read(id));
        }
    }

    fn read(&mut self, id: StreamId) {
        if id.dir() == Dir::Uni && id.initiator() == Side::Client {
            return;
        }
        let Some(got) = self.streams.get_mut(&id) else { return };
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => got.bytes.extend_from_slice(&chunk.bytes),
                Ok(None) => {
                    got.ended = true;
                    break;
                }
                Err(quinn_proto::ReadError::Blocked) => break,
                Err(quinn_proto::ReadError::Reset(code)) => {
                    got.reset = Some(code.into_inner());
                    break;
                }
            }
        }
        let _ = chunks.finalize();
    }

    fn write(&mut self) {
        for (id, (bytes, end)) in &mut self.unsent {
            let mut stream = self.connection.send_stream(*id);
            while !bytes.is_empty() {
                let Ok(count) = stream.write(bytes) else { break };
                bytes.drain(..count);
            }
            if bytes.is_empty() && std::mem::take(end) {
                let _ = stream.finish();
            }
        }
        self.unsent.retain(|_, (bytes, end)| !bytes.is_empty() || *end);
    }

    pub(crate) fn flush(&mut self) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.connection.poll_transmit(Instant::now(), 1, &mut buffer) {
            self.datagrams.0 += 1;
            if buffer[0] & 0x80 == 0 {
                self.to = buffer[1..21].to_vec();
            }
            // A server that is gone refuses; that is for timers to notice.
            let _ = self.socket.send_to(&buffer[..transmit.size], transmit.destination);
            buffer.clear();
        }
    }
}

fn socket(server: IpAddr) -> UdpSocket {
    UdpSocket::bind((if server.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap()
}

/// Believes any server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ED25519]
    }
}
