//! The list of protocols, as `registry` is that of modules.

use front::protocol::{Protocol, Table};
use http::protocols::{ListenProtocol, Protocols};

/// What may be spoken on connections, best first. The last one takes whatever the others do not recognise.
pub(crate) fn protocols() -> Vec<Protocol> {
    vec![
        #[cfg(test)]
        crate::echo::PROTOCOL,
        front::h2::serve::PROTOCOL,
        front::h1::serve::PROTOCOL,
    ]
}

/// What may be spoken over QUIC, best first.
fn over_quic() -> Vec<front::quic::Protocol> {
    vec![
        #[cfg(test)]
        crate::echo::OVER_QUIC,
        front::h3::serve::PROTOCOL,
        front::h3::serve::HQ,
    ]
}

/// Both lists.
pub(crate) fn table() -> Table {
    Table { connections: protocols(), quic: over_quic() }
}

/// The same as `listen` sees them.
pub(crate) fn listen_protocols() -> Protocols {
    let seen = |protocol: &Protocol| ListenProtocol {
        name: protocol.name,
        parameter: protocol.parameter,
        alone: protocol.alone,
        instead: protocol.instead,
    };
    Protocols(protocols().iter().map(seen).collect())
}
