//! A client of TLS for tests, and the authority whose certificates it is shown.

use crate::rig::Prefix;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tls::buffer::Buffers;
use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{CipherConf, Offer};
use tls::client::{Options, Settings};
use tls::names::Certificate;
use tls::resume::Slot;
use tls::session::ClientSession;

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name`, with its chain, and the key, in PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem() + &self.pem(), key.serialize_pem())
    }

    /// The same in files below `conf/`.
    pub(crate) fn write(&self, prefix: &Prefix, name: &str) {
        let (certificate, key) = self.issue(name);
        prefix.write(&format!("conf/{name}.crt"), &certificate);
        prefix.write(&format!("conf/{name}.key"), &key);
    }
}

/// What clients have in common.
pub(crate) struct Client(Settings);

/// What a request over TLS came to.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The body of the answer.
    pub(crate) text: String,
    /// `CN=...` of the server's certificate.
    pub(crate) certificate: String,
    pub(crate) resumed: bool,
}

impl Client {
    /// Speaks these versions, and shows `pair` who asks for it.
    pub(crate) fn new(versions: &[&str], pair: Option<&(String, String)>) -> Client {
        let offer = Offer::new(&CipherConf { protocols: Some(versions), ..CipherConf::default() }).unwrap();
        let mut options = Options::new(offer);
        options.pair = pair.map(|(certificate, key)| {
            let chain = Chain::from_pem(certificate.as_bytes()).unwrap();
            Pair::new(&chain, &Key::from_pem(key.as_bytes(), &[]).unwrap()).unwrap()
        });
        Client(Settings::new(options).unwrap())
    }

    /// Speaks only this protocol.
    pub(crate) fn speaking(protocol: &[u8]) -> Client {
        let mut options = Options::new(Offer::new(&CipherConf::default()).unwrap());
        options.alpn = vec![protocol.to_vec()];
        Client(Settings::new(options).unwrap())
    }

    /// Performs the handshake on a new connection.
    pub(crate) fn connect(&self, port: u16, name: &str, slot: Option<Arc<Slot>>) -> Result<Connection, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        self.begin(stream, name, slot)
    }

    /// Performs the handshake on a connection that is there.
    pub(crate) fn begin(&self, mut stream: TcpStream, name: &str, slot: Option<Arc<Slot>>) -> Result<Connection, String> {
        let mut session = self.0.session(Some(name), slot).unwrap();
        let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
        session.receive(&mut buffers, &mut plain).map_err(|error| error.to_string())?;
        while session.is_handshaking() {
            send(&mut stream, &mut buffers);
            hear(&mut stream, &mut session, &mut buffers, &mut plain)?;
        }
        send(&mut stream, &mut buffers);
        Ok(Connection { stream, session, buffers, plain })
    }

    /// Asks for `/` on a connection of its own.
    pub(crate) fn get(&self, port: u16, name: &str, slot: Option<Arc<Slot>>) -> Result<Heard, String> {
        let connection = self.connect(port, name, slot)?;
        let certificate = connection.certificate();
        let Connection { mut stream, mut session, mut buffers, mut plain } = connection;
        let request = format!("GET / HTTP/1.0\r\nHost: {name}\r\n\r\n");
        session.seal(&[IoSlice::new(request.as_bytes())], usize::MAX, &mut buffers).unwrap();
        send(&mut stream, &mut buffers);
        while hear(&mut stream, &mut session, &mut buffers, &mut plain)? {}
        let text = String::from_utf8_lossy(&plain).into_owned();
        let text = text.split_once("\r\n\r\n").ok_or(format!("no answer: {text}"))?.1.to_owned();
        Ok(Heard { text, certificate, resumed: session.is_resumed() })
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    session: ClientSession,
    buffers: Buffers,
    /// What has come and nobody has looked at; the last message of a handshake may bring some.
    plain: Vec<u8>,
}

impl Connection {
    /// `CN=...` of the server's certificate.
    pub(crate) fn certificate(&self) -> String {
        self.session.peer_chain().first().and_then(|own| Some(Certificate::new(own)?.subject())).unwrap_or_default()
    }

    /// The server's certificate in DER.
    pub(crate) fn certificate_bytes(&self) -> &[u8] {
        self.session.peer_chain().first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// Asks for `/` and reads until the answer ends with `end`.
    pub(crate) fn ask(&mut self, end: &str) -> Result<(), String> {
        self.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", end.as_bytes())
    }

    /// Says something and reads until what has come ends with `end`.
    pub(crate) fn exchange(&mut self, words: &[u8], end: &[u8]) -> Result<(), String> {
        self.session.seal(&[IoSlice::new(words)], usize::MAX, &mut self.buffers).unwrap();
        send(&mut self.stream, &mut self.buffers);
        while !self.plain.ends_with(end) {
            if !self.hear()? {
                return Err(format!("closed behind {}", String::from_utf8_lossy(&self.plain)));
            }
        }
        self.plain.clear();
        Ok(())
    }

    fn hear(&mut self) -> Result<bool, String> {
        hear(&mut self.stream, &mut self.session, &mut self.buffers, &mut self.plain)
    }

    /// All that the server sends until it closes.
    pub(crate) fn rest(mut self) -> Result<String, String> {
        while self.hear()? {}
        Ok(String::from_utf8_lossy(&self.plain).into_owned())
    }

    /// Sends the beginning of a record, and nothing behind it.
    pub(crate) fn begin_record(&mut self) {
        self.stream.write_all(&[0x17, 3, 3, 0, 100, 1, 2]).unwrap();
    }

    /// Reads until the server closes.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        while self.hear()? {}
        Ok(())
    }
}

fn send(stream: &mut TcpStream, buffers: &mut Buffers) {
    // Who refuses us closes; what it said before is read next.
    let _ = stream.write_all(buffers.records.pending());
    buffers.records.clear();
}

/// False at the end.
fn hear(stream: &mut TcpStream, session: &mut ClientSession, buffers: &mut Buffers, plain: &mut Vec<u8>) -> Result<bool, String> {
    let mut bytes = [0; 16 * 1024];
    let count = loop {
        match stream.read(&mut bytes) {
            // A read with a time limit is not begun again behind a signal.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read.map_err(|error| error.to_string())?,
        }
    };
    buffers.incoming.extend_from_slice(&bytes[..count]);
    session.receive(buffers, plain).map_err(|error| error.to_string())?;
    if count == 0 && session.is_handshaking() {
        return Err("closed".to_owned());
    }
    Ok(count > 0)
}
