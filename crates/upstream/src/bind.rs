//! `*_bind`: the local address of connections to upstream servers.

use base::authority::parse_socket_address;
use base::log::Level;
use conf::row::Cx;
use conf::tree::Error;
use session::{Client, Complex, Session, Variables, log_client};
use std::net::SocketAddr;

/// The local address of connections to upstream servers (`proxy_bind`).
pub struct Bind<S> {
    /// The address, `ADDRESS` or `ADDRESS:PORT`; an empty value binds nothing.
    pub address: Complex<S>,
    /// It may be an address of another machine.
    pub transparent: bool,
}

impl<S> Clone for Bind<S> {
    fn clone(&self) -> Self {
        Bind { address: self.address.clone(), transparent: self.transparent }
    }
}

/// Whether some directive of the configuration is `transparent`, which workers need a privilege for; kept in the global scope.
#[derive(Default)]
pub struct Transparent(pub bool);

/// Reads the directive; `None` is `off`.
///
/// # Errors
/// nginx's texts for what is no address.
pub fn read<S: Session>(cx: &Cx<'_>) -> Result<Option<Bind<S>>, Error> {
    if cx.args().len() == 1 && cx.arg(0) == b"off" {
        return Ok(None);
    }
    let transparent = match cx.args().len() {
        1 => false,
        _ if cx.arg(1) == b"transparent" => true,
        _ => return Err(cx.invalid_parameter(1)),
    };
    let address = Complex::compile(cx.arg(0), &mut cx.global::<Variables<S>>()).map_err(|e| cx.error(e))?;
    if let Some(text) = address.literal()
        && parse_socket_address(text).is_none()
    {
        return Err(cx.error(format!("invalid address \"{}\"", cx.text(0))));
    }
    if transparent {
        cx.global::<Transparent>().0 = true;
    }
    Ok(Some(Bind { address, transparent }))
}

impl<S: Client> Bind<S> {
    /// The address for this session, if it has one.
    pub fn local(&self, session: &S) -> Option<SocketAddr> {
        let text = self.address.to_vec(session);
        if text.is_empty() {
            return None;
        }
        let local = parse_socket_address(&text);
        if local.is_none() {
            log_client!(session, Level::Error, "invalid local address \"{}\"", String::from_utf8_lossy(&text));
        }
        local
    }
}
