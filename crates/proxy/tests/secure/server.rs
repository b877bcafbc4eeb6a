//! An upstream that speaks TLS, and certificates for it.

#![allow(clippy::unwrap_used, reason = "a harness is a test, whatever its functions are called")]

use crate::harness::in_thread;
use net::stream::Stream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{CipherConf, Offer};
use tls::names::Certificate;
use tls::server::{Options, Settings, StoresServerSessions};
use tls::verify::{ClientVerifier, Trust};
use wire::tls::hello::{Hello, Status};

/// An authority, and the files of what it signs.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = std::env::temp_dir().join(format!("lunette-upstream-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("root.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    /// A file of this name.
    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Signs a certificate for `name`, writes `NAME.crt` and `NAME.key` and returns what is in them.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(self.file(&format!("{name}.crt")), &certificate).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate, key.serialize_pem())
    }

    /// A server's settings with a certificate for `name`; it asks clients for theirs.
    pub(crate) fn settings(&self, name: &str, version: &str) -> Settings {
        let (certificate, key) = self.sign(name);
        let chain = Chain::from_pem(certificate.as_bytes()).unwrap();
        let pair = Pair::new(&chain, &Key::from_pem(key.as_bytes(), &[]).unwrap()).unwrap();
        let offer = Offer::new(&CipherConf { protocols: Some(&[version]), ..CipherConf::default() }).unwrap();
        let mut options = Options::new(offer, vec![pair]);
        options.store = Some(Arc::new(Store::default()));
        options.clients = Some(Arc::new(ClientVerifier::new(Arc::new(Trust::default()), &[])));
        Settings::new(options).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left over is in a directory for such things.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[derive(Debug, Default)]
struct Store(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl StoresServerSessions for Store {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.lock().unwrap().insert(key, value);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// What the server saw of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// The server that was meant.
    pub(crate) name: Option<String>,
    /// The session was resumed.
    pub(crate) resumed: bool,
    /// The client's name in its certificate.
    pub(crate) client: String,
    /// Requests on it.
    pub(crate) requests: usize,
    /// It ended without close_notify.
    pub(crate) cut: bool,
}

/// A server that takes so many connections, each until the client closes it.
pub(crate) struct Server {
    pub(crate) port: u16,
    thread: JoinHandle<Vec<Received>>,
}

impl Server {
    pub(crate) fn start(settings: Settings, connections: usize, answer: &'static str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let thread = in_thread(move || async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut served = Vec::new();
            for _ in 0..connections {
                let (socket, _) = listener.accept().await.unwrap();
                served.push(tokio::task::spawn_local(serve(Stream::Tcp(socket), settings.clone(), answer)));
            }
            let mut seen = Vec::new();
            for one in served {
                seen.push(one.await.unwrap());
            }
            seen
        });
        Server { port, thread }
    }

    /// What it saw, once the clients of all connections have left.
    pub(crate) fn seen(self) -> Vec<Received> {
        self.thread.join().unwrap()
    }
}

async fn serve(mut stream: Stream, settings: Settings, answer: &'static str) -> Received {
    let (mut first, mut hello) = (Vec::new(), Hello::new());
    let mut seen = Received::default();
    while hello.parse(&first).unwrap() == Status::Partial {
        if stream.read(&mut first).await.unwrap() == 0 {
            return seen;
        }
    }
    seen.name = hello.server_name().map(|name| String::from_utf8_lossy(name).into_owned());
    let Ok(accepted) = net::tls::accept(stream, settings.session().unwrap(), &first).await else { return seen };
    {
        let session = accepted.server().unwrap();
        seen.resumed = session.is_resumed();
        seen.client = session.peer_chain().first().map(|own| Certificate::new(own).unwrap().subject()).unwrap_or_default();
    }
    let mut stream = Stream::Tls(Box::new(accepted));
    let mut input = Vec::new();
    loop {
        match stream.read(&mut input).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        while let Some(end) = input.windows(4).position(|end| end == b"\r\n\r\n") {
            input.drain(..end + 4);
            seen.requests += 1;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
    seen.cut = stream.tls().is_some_and(net::tls::TlsStream::is_cut);
    seen
}
