//! Certificates that a server gets by itself, from an ACME server of this test (RFC 8555), which looks for the proofs as a real one does.

use crate::client::Client;
use crate::rig::{Prefix, exchange, free_port, parse, signal, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateSigningRequestDer;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// An ACME server for one account and one order at a time. Each authorization is checked when the client says that the proof is there.
struct Issuer {
    port: u16,
    /// Where proofs are looked for.
    files: u16,
    handshakes: u16,
    kind: &'static str,
    authority: CertifiedIssuer<'static, KeyPair>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nonces: usize,
    /// The thumbprint of the account's key.
    thumbprint: String,
    /// The names of the order, and whether each has been shown to be the client's.
    names: Vec<(String, bool)>,
    certificate: Option<String>,
    /// Paths of requests, in order.
    asked: Vec<String>,
    /// The next request is refused with this problem.
    refusal: Option<&'static str>,
    /// The next request for an order waits for its answer here, in vain.
    silent: Option<Vec<TcpStream>>,
}

impl Issuer {
    fn start(kind: &'static str, files: u16, handshakes: u16) -> Arc<Issuer> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "issuer");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = Arc::new(Issuer { port, files, handshakes, kind, authority, state: Mutex::default() });
        let own = issuer.clone();
        std::thread::spawn(move || listener.incoming().for_each(|stream| own.serve(stream.unwrap())));
        issuer
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((path, body)) = request(&mut stream) else { return };
        if let Some(waiting) = self.state.lock().unwrap().silent.as_mut().filter(|waiting| path == "order" && waiting.is_empty()) {
            return waiting.push(stream);
        }
        let (status, headers, body) = self.answer(&path, &body);
        let nonce = {
            let mut state = self.state.lock().unwrap();
            state.nonces += 1;
            format!("nonce{}", state.nonces)
        };
        let head = format!("HTTP/1.1 {status} Some\r\nReplay-Nonce: {nonce}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }

    fn answer(&self, path: &str, body: &str) -> (u16, String, String) {
        let signed = (!body.is_empty()).then(|| serde_json::from_str::<Value>(body).unwrap());
        let part = |name: &str| signed.as_ref().map(|signed| decode(signed[name].as_str().unwrap())).unwrap_or_default();
        let (header, payload) = (part("protected"), part("payload"));
        let mut state = self.state.lock().unwrap();
        state.asked.push(path.to_owned());
        if let Some(kind) = state.refusal.take_if(|_| path == "order") {
            return (400, String::new(), json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "so"}).to_string());
        }
        if let Some(header) = header.as_object() {
            assert_eq!(header["url"], self.url(path), "a request is signed for its place");
            assert!(header["nonce"].as_str().unwrap().starts_with("nonce"));
        }
        match path {
            "directory" => {
                let found = json!({"newNonce": self.url("nonce"), "newAccount": self.url("account"), "newOrder": self.url("order")});
                (200, String::new(), found.to_string())
            }
            "nonce" => (200, String::new(), String::new()),
            "account" => {
                state.thumbprint = thumbprint(&header["jwk"]);
                assert_eq!((&payload["contact"], &payload["termsOfServiceAgreed"]), (&json!(["mailto:admin@example.test"]), &json!(true)));
                (201, format!("Location: {}\r\n", self.url("account/1")), json!({"status": "valid"}).to_string())
            }
            "order" => {
                assert_eq!(header["kid"], self.url("account/1"));
                let names = payload["identifiers"].as_array().unwrap().iter();
                state.names = names.map(|name| (name["value"].as_str().unwrap().to_owned(), false)).collect();
                state.certificate = None;
                (201, format!("Location: {}\r\n", self.url("order/1")), self.order(&state))
            }
            "order/1" => (200, String::new(), self.order(&state)),
            "finalize" => {
                assert!(state.names.iter().all(|(_, shown)| *shown));
                let csr = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap()).unwrap();
                let mut csr = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr)).unwrap();
                csr.params.distinguished_name.push(DnType::CommonName, format!("number {}", state.asked.len()));
                state.certificate = Some(csr.signed_by(&self.authority).unwrap().pem() + &self.authority.pem());
                (200, String::new(), self.order(&state))
            }
            "certificate" => (200, String::new(), state.certificate.clone().unwrap()),
            _ => {
                let (what, number) = path.split_once('/').unwrap();
                let number: usize = number.parse().unwrap();
                if what == "proof" {
                    let (name, thumbprint) = (state.names[number].0.clone(), state.thumbprint.clone());
                    drop(state);
                    let shown = self.is_shown(&name, number, &thumbprint);
                    state = self.state.lock().unwrap();
                    state.names[number].1 = shown;
                }
                let (name, shown) = &state.names[number];
                let status = if *shown {
                    "valid"
                } else if what == "proof" {
                    "invalid"
                } else {
                    "pending"
                };
                let proof = json!({"type": self.kind, "url": self.url(&format!("proof/{number}")), "status": status, "token": format!("token{number}")});
                let found = match what {
                    "proof" => proof,
                    _ => json!({"identifier": {"type": "dns", "value": name}, "status": status, "challenges": [proof]}),
                };
                (200, "Retry-After: 0\r\n".to_owned(), found.to_string())
            }
        }
    }

    fn order(&self, state: &State) -> String {
        let status = match &state.certificate {
            Some(_) => "valid",
            None if state.names.iter().all(|(_, shown)| *shown) => "ready",
            None => "pending",
        };
        let authorizations: Vec<String> = (0..state.names.len()).map(|number| self.url(&format!("authorization/{number}"))).collect();
        let certificate = state.certificate.as_ref().map(|_| self.url("certificate"));
        json!({"status": status, "authorizations": authorizations, "finalize": self.url("finalize"), "certificate": certificate})
            .to_string()
    }

    /// Looks for the proof.
    fn is_shown(&self, name: &str, number: usize, thumbprint: &str) -> bool {
        let expected = format!("token{number}.{thumbprint}");
        if self.kind == "http-01" {
            let asked = format!("GET /.well-known/acme-challenge/token{number} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            let found = exchange(self.files, asked.as_bytes()).unwrap();
            return parse(&found).is_ok_and(|answer| answer.status == 200 && answer.text() == expected);
        }
        let Ok(connection) = Client::speaking(b"acme-tls/1").connect(self.handshakes, name, None) else { return false };
        let digest = sha256(expected.as_bytes());
        connection.certificate_bytes().windows(digest.len()).any(|window| window == digest)
    }
}

fn decode(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap_or(Value::Null)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

fn thumbprint(jwk: &Value) -> String {
    let members: HashMap<&str, &Value> = jwk.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let text = format!("{{\"crv\":{},\"kty\":{},\"x\":{},\"y\":{}}}", members["crv"], members["kty"], members["x"], members["y"]);
    URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()))
}

/// The path of a request without its slash, and its body.
fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            return Some((head.split(' ').nth(1)?.trim_start_matches('/').to_owned(), body.to_owned()));
        }
    }
}

/// A server that wants a certificate of the issuer, whose directives are `more`.
fn configure(prefix: &Prefix, issuer: &Issuer, more: &str) {
    let Issuer { files, handshakes, kind, .. } = issuer;
    let text = format!(
        "worker_processes 2;\nerror_log logs/error.log info;\nevents {{}}\nhttp {{\nresolver 127.0.0.1:1;\n\
         acme_issuer test {{\nuri {};\nchallenge {kind};\ncontact admin@example.test;\naccept_terms_of_service;\n{more}\n}}\n\
         server {{ listen {files}; return 404; }}\n\
         server {{ listen {handshakes} ssl; server_name .example.test; acme_certificate test; ssl_certificate $acme_certificate;\n\
         ssl_certificate_key $acme_certificate_key; return 200 answer; }}\n}}\n",
        issuer.url("directory")
    );
    prefix.write("conf/nginx.conf", &text);
}

fn start(prefix: &Prefix) {
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whose certificate the server shows.
fn shown(issuer: &Issuer) -> Option<String> {
    Client::new(&["TLSv1.3"], None).get(issuer.handshakes, "example.test", None).ok().map(|heard| heard.certificate)
}

fn stop(prefix: &Prefix) {
    signal("-QUIT", prefix.master());
    until("the end", || prefix.is_down());
}

#[test]
fn a_certificate_is_got_shown_and_kept() {
    for kind in ["http-01", "tls-alpn-01"] {
        let (prefix, issuer) = (Prefix::new(), Issuer::start(kind, free_port(), free_port()));
        configure(&prefix, &issuer, "");
        start(&prefix);
        until("a certificate", || shown(&issuer).is_some());
        let first = shown(&issuer).unwrap();
        assert_eq!((issuer.asked("proof/0"), issuer.asked("proof/1")), (1, 1), "{kind}");
        // A reload has it still, and a new start finds it in the files.
        signal("-HUP", prefix.master());
        until("the second generation", || prefix.read("logs/error.log").contains("gracefully shutting down"));
        assert_eq!(shown(&issuer).as_ref(), Some(&first));
        stop(&prefix);
        start(&prefix);
        assert_eq!(shown(&issuer), Some(first));
        assert_eq!(issuer.asked("order"), 1);
        let log = prefix.read("logs/error.log");
        for line in ["account \"http://127.0.0.1:", "certificate issued, renewal scheduled at ", "order: \"www.example.test-"] {
            assert!(log.contains(line), "{line} in {log}");
        }
        assert!(!log.contains("[alert]"), "{log}");
        stop(&prefix);
    }
}

#[test]
fn what_an_issuer_refuses_is_logged_and_not_asked_for_again() {
    let (prefix, issuer) = (Prefix::new(), Issuer::start("http-01", free_port(), free_port()));
    issuer.state.lock().unwrap().refusal = Some("rejectedIdentifier");
    configure(&prefix, &issuer, "state_path off;");
    start(&prefix);
    let line = "urn:ietf:params:acme:error:rejectedIdentifier: so while updating certificate, acme issuer: \"test\"";
    until("a line about it", || prefix.read("logs/error.log").contains(line));
    assert_eq!(shown(&issuer), None);
    // After a reload it is.
    signal("-HUP", prefix.master());
    until("a certificate", || shown(&issuer).is_some());
    assert!(!std::fs::exists(prefix.path.join("acme_test")).unwrap());
    stop(&prefix);
}

#[test]
fn a_worker_that_dies_at_it_keeps_nobody_from_it() {
    let (prefix, issuer) = (Prefix::new(), Issuer::start("http-01", free_port(), free_port()));
    issuer.state.lock().unwrap().silent = Some(Vec::new());
    configure(&prefix, &issuer, "state_path off;");
    start(&prefix);
    until("a request for an order", || issuer.state.lock().unwrap().silent.as_ref().is_some_and(|waiting| !waiting.is_empty()));
    let master = prefix.master();
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    children.split_whitespace().for_each(|worker| signal("-KILL", worker));
    until("a certificate", || shown(&issuer).is_some());
    stop(&prefix);
}

#[test]
fn a_token_of_nobody_is_not_answered() {
    let (prefix, issuer) = (Prefix::new(), Issuer::start("http-01", free_port(), free_port()));
    configure(&prefix, &issuer, "state_path off;");
    start(&prefix);
    until("a certificate", || shown(&issuer).is_some());
    let found = exchange(issuer.files, b"GET /.well-known/acme-challenge/token0 HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(parse(&found).unwrap().status, 404);
    stop(&prefix);
}
