//! The list of protocols, as `registry` is that of modules.

use front::door::Protocol;
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
