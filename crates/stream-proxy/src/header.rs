//! The PROXY protocol header that is sent to a server: `proxy_protocol`.

use crate::settings::Header;
use session::address::Address;
use std::net::SocketAddr;
use stream::Session;
use tls::certificate::CertificateDer;
use tls::names::Certificate;
use wire::proxy_protocol::write::{TlsClientCertificate, TlsRecords, version_1, version_2};

/// "Certificate revoked", OpenSSL's code.
const REVOKED: u32 = 23;

/// Appends the header for a session's client.
pub fn push(kind: Header, session: &Session, out: &mut Vec<u8>) {
    let ends = match (&*session.client.borrow(), &session.connection.local) {
        (Address::Ip(client), Address::Ip(local)) => Some((*client, *local)),
        _ => None,
    };
    match kind {
        Header::Line => {
            let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
            version_1(ends.map(|(client, _)| client), ends.map_or(nowhere, |(_, local)| local), out);
        }
        Header::Binary => push_binary(session, ends, out),
    }
}

fn push_binary(session: &Session, ends: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    let Some(info) = session.connection.tls_info() else { return version_2(ends, session.is_udp(), None, out) };
    let own = info.peer.first().map(|der| CertificateDer::from(&**der));
    let certificate = own.as_ref().and_then(Certificate::new);
    let verdict = match u32::from(info.verdict.0) {
        0 if info.revocation.is_some() => REVOKED,
        verdict => verdict,
    };
    let tls = TlsRecords {
        authority: info.server_name.as_deref(),
        alpn: info.alpn.as_deref(),
        version: info.protocol,
        cipher: info.cipher,
        common_name: certificate.as_ref().and_then(|certificate| certificate.common_name()),
        certificate: own.as_ref().map(|_| TlsClientCertificate { resumed: info.resumed, verdict }),
    };
    version_2(ends, session.is_udp(), Some(&tls), out);
}
