//! `settrustedstore`: the trusted certificates of one connection.

use crate::socket::call::{self, fail};
use crate::socket::secure::handshake;
use lua::{CallContext, Raise, Stack};
use std::sync::Arc;
use tls::certificate::Chain;
use tls::verify::{ServerVerifier, Trust};

/// `settrustedstore(sock, der)`: the certificates one behind the other, or nothing for those of `lua_ssl_trusted_certificate`.
///
/// # Errors
/// The socket was never connected.
pub fn set(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let call = call::begin(cx, stack, "settrustedstore")?;
    let socket = match handshake::socket(&call, stack)? {
        Ok(socket) => socket,
        Err(text) => return Ok(call::now(fail(stack, text))),
    };
    let mut inner = socket.inner.borrow_mut();
    if inner.stream.as_ref().is_some_and(|stream| stream.tls().is_some()) {
        let text = "ssl handshake already done; trusted store cannot be changed on an established TLS connection";
        return Ok(call::now(fail(stack, text)));
    }
    let trusted = match stack.bytes(2) {
        None => None,
        Some([]) => Some(Vec::new()),
        Some(der) => match Chain::from_der(der) {
            Ok(chain) => Some(chain.certificates().to_vec()),
            Err(text) => return Ok(call::now(fail(stack, text))),
        },
    };
    let depth = call.host.secure_options().depth();
    inner.servers = trusted.map(|trusted| Arc::new(ServerVerifier::new(Arc::new(Trust::new(trusted, depth)))));
    stack.push_bool(true);
    Ok(1)
}
