//! A small client.

use super::peer::code;
use super::*;
use bytes::BytesMut;
use quinn_proto::{ClientConfig, ConnectionError, ConnectionHandle, DatagramEvent, Dir, EndpointConfig, StreamEvent};
use rustls;

/// One connection to a server.
pub(super) struct Client {
    socket: tokio::net::UdpSocket,
    endpoint: quinn_proto::Endpoint,
    handle: ConnectionHandle,
    connection: quinn_proto::Connection,
    lost: Option<ConnectionError>,
    connected: bool,
    server: SocketAddr,
}

impl Client {
    /// Connects; the code with which the server refuses otherwise.
    pub(super) async fn connect(address: SocketAddr, trusted: &[u8], alpn: &[&[u8]]) -> Result<Client, Option<u64>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted.to_vec().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let crypto = quinn_proto::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        let key = Arc::new(HostKey::new(b"client").reset());
        let mut endpoint = quinn_proto::Endpoint::new(Arc::new(EndpointConfig::new(key)), None, true, None);
        let config = ClientConfig::new(Arc::new(crypto));
        let (handle, connection) = endpoint.connect(Instant::now(), config, address, "localhost").unwrap();
        let socket = tokio::net::UdpSocket::bind(if address.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" }).await.unwrap();
        let mut client = Client { socket, endpoint, handle, connection, lost: None, connected: false, server: address };
        while !client.connected {
            client.turn().await;
            if let Some(error) = &client.lost {
                return Err(code(error));
            }
        }
        Ok(client)
    }

    async fn flush(&mut self) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.connection.poll_transmit(Instant::now(), 1, &mut buffer) {
            self.socket.send_to(&buffer[..transmit.size], transmit.destination).await.unwrap();
            buffer.clear();
        }
    }

    /// Sends what is to be sent, and takes what comes next or lets time pass.
    async fn turn(&mut self) {
        self.flush().await;
        let mut buffer = vec![0; 65_536];
        let timer = self.connection.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        match crate::time::timeout_at(timer, self.socket.recv_from(&mut buffer)).await {
            Ok(received) => {
                let (length, from) = received.unwrap();
                assert_eq!(from, self.server);
                let data = BytesMut::from(&buffer[..length]);
                let event = self.endpoint.handle(Instant::now(), from, None, None, data, &mut Vec::new());
                if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                    self.connection.handle_event(event);
                }
            }
            Err(_) => self.connection.handle_timeout(Instant::now()),
        }
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.poll() {
            match event {
                quinn_proto::Event::Connected => self.connected = true,
                quinn_proto::Event::ConnectionLost { reason } => self.lost = Some(reason),
                quinn_proto::Event::Stream(StreamEvent::Readable { .. }) => {}
                _ => {}
            }
        }
    }

    /// Sends `message` on a new stream and returns what comes back on it.
    pub(super) async fn exchange(&mut self, message: &[u8]) -> Result<Vec<u8>, Option<u64>> {
        let id = loop {
            match self.connection.streams().open(Dir::Bi) {
                Some(id) => break id,
                None => self.turn().await,
            }
        };
        let (mut sent, mut got) = (0, Vec::new());
        loop {
            if sent < message.len() {
                sent += self.connection.send_stream(id).write(&message[sent..]).unwrap_or(0);
                if sent == message.len() {
                    self.connection.send_stream(id).finish().unwrap();
                }
            }
            let mut stream = self.connection.recv_stream(id);
            let mut chunks = stream.read(true).unwrap();
            let ended = loop {
                match chunks.next(usize::MAX) {
                    Ok(Some(chunk)) => got.extend_from_slice(&chunk.bytes),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            let _ = chunks.finalize();
            if ended {
                self.flush().await;
                return Ok(got);
            }
            self.turn().await;
            if let Some(error) = &self.lost {
                return Err(code(error));
            }
        }
    }

    /// Closes the connection.
    pub(super) async fn close(mut self, code: u32) {
        self.connection.close(Instant::now(), code.into(), Default::default());
        self.flush().await;
    }
}
