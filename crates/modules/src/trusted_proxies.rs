//! `NAME_proxy`, `NAME_proxy_recursive`: proxies that are trusted to name the client's address.

use crate::cidr::{Cidr, forwarded, numeric};
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use session::{Address, Configured};
use std::marker::PhantomData;
use std::net::IpAddr;

/// The proxies that a module trusts. `M` tells those of one module from another's.
pub(crate) struct TrustedProxies<M> {
    proxies: Vec<Cidr>,
    recursive: Option<bool>,
    module: PhantomData<M>,
}

impl<M> Default for TrustedProxies<M> {
    fn default() -> Self {
        TrustedProxies { proxies: Vec::new(), recursive: None, module: PhantomData }
    }
}

impl<M: 'static> Config for TrustedProxies<M> {
    fn inherit(&mut self, _: &Self) {}
}

/// The two directives; protocols without `X-Forwarded-For` have none.
pub(crate) fn rows<M: 'static>(proxy: &'static str, recursive: &'static str) -> Vec<Row> {
    let at = Context::HTTP;
    vec![
        Row::new(proxy, at, Arity::exactly(1), "Takes the address from X-Forwarded-For if a client of this network sends it.", |cx| {
            let network = match cx.arg(0) {
                b"255.255.255.255" => Some(Cidr::V4(u32::MAX, 32)),
                text => Cidr::read(text, |warning| cx.warn(warning)),
            };
            let network = network.ok_or_else(|| cx.error_at(0, format!("invalid network \"{}\"", cx.text(0))))?;
            cx.main::<TrustedProxies<M>>().proxies.push(network);
            Ok(())
        }),
        Row::new(recursive, at, Arity::exactly(1), "Passes by trusted addresses in X-Forwarded-For.", |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.main::<TrustedProxies<M>>().recursive, value)
        }),
    ]
}

/// The client's address as a number, or that of the client behind proxies which `M` trusts.
pub(crate) fn client<M: 'static, S: Configured>(session: &S) -> Option<IpAddr> {
    let direct = session.client().clone();
    let address: Option<Address> = if S::FORWARDS {
        let trusted = session.main_conf::<TrustedProxies<M>>();
        match trusted.proxies.is_empty() {
            true => None,
            false => forwarded(&direct, &session.forwarded_for(), &trusted.proxies, trusted.recursive == Some(true)),
        }
    } else {
        None
    };
    numeric(&address.unwrap_or(direct))
}
