//! `ngx.ssl`: certificates and keys, parsed and set (`ngx_http_lua_ssl_certby.c`, lua-resty-core's `ngx/ssl.md`).

use super::{handshake_state, push_result, push_success, refused};
use crate::host::Host;
use crate::protocol::Protocol;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use lua_lib::socket::secure::objects::{Object, Objects};
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::{Chain, Key};
use tls::verify::{ClientVerifier, Trust};

const ALL: PhaseSet = PhaseSet::EVERYWHERE;
/// `ssl_verify_depth`
const DEPTH: usize = 1;

/// The part's rows and glue.
pub(super) fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.ssl",
        rows: vec![
            Row::calls("ssl_clear_certs", ALL, clear_certs::<P>),
            Row::calls("ssl_set_der_cert", ALL, set_der_cert::<P>),
            Row::calls("ssl_set_der_priv_key", ALL, set_der_priv_key::<P>),
            Row::calls("ssl_cert_pem_to_der", ALL, cert_pem_to_der),
            Row::calls("ssl_priv_key_pem_to_der", ALL, priv_key_pem_to_der),
            Row::calls("ssl_parse_pem_cert", ALL, parse_pem_cert::<P>),
            Row::calls("ssl_parse_der_cert", ALL, parse_der_cert::<P>),
            Row::calls("ssl_parse_pem_priv_key", ALL, parse_pem_priv_key::<P>),
            Row::calls("ssl_parse_der_priv_key", ALL, parse_der_priv_key::<P>),
            Row::calls("ssl_set_cert", ALL, set_cert::<P>),
            Row::calls("ssl_set_priv_key", ALL, set_priv_key::<P>),
            Row::calls("ssl_verify_client", ALL, verify_client::<P>),
        ],
        glue: include_str!("certificates.lua"),
    }
}

fn objects<P: Protocol>(cx: &CallContext) -> Result<Rc<Objects>, Raise> {
    Ok(cx.host::<Host<P>>().ok_or("no request found")?.runtime.state::<Objects>())
}

fn clear_certs<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let result = handshake_state::<P>(cx)?.map(|shake| {
        let mut chosen = shake.certificates.borrow_mut();
        chosen.cleared = true;
        chosen.chains.clear();
        chosen.keys.clear();
    });
    Ok(push_success(stack, result))
}

/// Takes a chain for the handshake under way.
fn use_chain<P: Protocol>(cx: &CallContext, chain: Chain) -> Result<Result<(), &'static str>, Raise> {
    Ok(handshake_state::<P>(cx)?.map(|shake| shake.certificates.borrow_mut().chains.push(chain)))
}

/// Takes a key for the handshake under way.
fn use_key<P: Protocol>(cx: &CallContext, key: Key) -> Result<Result<(), &'static str>, Raise> {
    Ok(handshake_state::<P>(cx)?.and_then(|shake| {
        let mut chosen = shake.certificates.borrow_mut();
        if !chosen.accepts_key(&key) {
            return Err("SSL_use_PrivateKey() failed");
        }
        chosen.keys.push(key);
        Ok(())
    }))
}

fn set_der_cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let result = match Chain::from_der(stack.check_bytes(1, "set_der_cert")?) {
        Ok(chain) => use_chain::<P>(cx, chain)?,
        Err(_) => handshake_state::<P>(cx)?.and(Err("d2i_X509_bio() failed")),
    };
    Ok(push_success(stack, result))
}

fn set_der_priv_key<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let result = match Key::from_der(stack.check_bytes(1, "set_der_priv_key")?) {
        Ok(key) => use_key::<P>(cx, key)?,
        Err(_) => handshake_state::<P>(cx)?.and(Err("d2i_PrivateKey_bio() failed")),
    };
    Ok(push_success(stack, result))
}

fn set_cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = objects::<P>(cx)?.chain(stack.number(1).unwrap_or_default());
    let result = match chain {
        Some(chain) => use_chain::<P>(cx, (*chain).clone())?,
        None => handshake_state::<P>(cx)?.and(Err("invalid certificate chain")),
    };
    Ok(push_success(stack, result))
}

fn set_priv_key<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let key = objects::<P>(cx)?.key(stack.number(1).unwrap_or_default());
    let result = match key {
        Some(key) => use_key::<P>(cx, (*key).clone())?,
        None => handshake_state::<P>(cx)?.and(Err("invalid private key")),
    };
    Ok(push_success(stack, result))
}

fn cert_pem_to_der(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = Chain::from_pem(stack.check_bytes(1, "cert_pem_to_der")?);
    let der = chain.map(|chain| chain.certificates().iter().flat_map(|one| one.iter().copied()).collect::<Vec<u8>>());
    Ok(push_result(stack, der.map_err(|_| "PEM_read_bio_X509_AUX() failed")))
}

/// The password behind the key, if there is one.
fn passwords(stack: &Stack<'_>) -> Vec<Vec<u8>> {
    stack.bytes(2).map(<[u8]>::to_vec).into_iter().collect()
}

const NO_KEY: &str = "PEM_read_bio_PrivateKey() failed";

fn priv_key_pem_to_der(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let found = Key::with_der(stack.check_bytes(1, "priv_key_pem_to_der")?, &passwords(stack));
    Ok(push_result(stack, found.map(|(_, der)| der).map_err(|_| NO_KEY)))
}

/// Keeps what was parsed; returns its number and its DER.
fn push_parsed<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>, parsed: Result<(Object, Vec<u8>), &str>) -> Result<usize, Raise> {
    match parsed {
        Ok((object, der)) => {
            let id = objects::<P>(cx)?.add(object);
            stack.push_number(id);
            stack.push_bytes(&der);
            Ok(2)
        }
        Err(text) => Ok(refused(stack, text)),
    }
}

fn with_der(chain: Chain) -> (Object, Vec<u8>) {
    let der = chain.certificates().iter().flat_map(|one| one.iter().copied()).collect();
    (Object::Chain(Rc::new(chain)), der)
}

fn parse_pem_cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = Chain::from_pem(stack.check_bytes(1, "parse_pem_cert")?);
    push_parsed::<P>(cx, stack, chain.map(with_der).map_err(|_| "PEM_read_bio_X509_AUX() failed"))
}

fn parse_der_cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let der = stack.check_bytes(1, "parse_der_cert")?;
    let text = if der.is_empty() { "invalid argument" } else { "d2i_X509_bio() failed" };
    let chain = Chain::from_der(der);
    push_parsed::<P>(cx, stack, chain.map(with_der).map_err(|_| text))
}

fn parse_pem_priv_key<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let key = Key::with_der(stack.check_bytes(1, "parse_pem_priv_key")?, &passwords(stack));
    push_parsed::<P>(cx, stack, key.map(|(key, der)| (Object::Key(Rc::new(key)), der)).map_err(|_| NO_KEY))
}

fn parse_der_priv_key<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let der = stack.check_bytes(1, "parse_der_priv_key")?.to_vec();
    let text = if der.is_empty() { "invalid argument" } else { "d2i_PrivateKey_bio() failed" };
    let key = Key::from_der(&der);
    push_parsed::<P>(cx, stack, key.map(|key| (Object::Key(Rc::new(key)), der)).map_err(|_| text))
}

/// `verify_client(chain, depth, trusted)`: numbers of chains, or nothing.
fn verify_client<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let objects = objects::<P>(cx)?;
    let chain = |place| stack.number(place).and_then(|id| objects.chain(id));
    let (shown, more) = (chain(1), chain(3));
    let depth = stack.number(2).filter(|depth| *depth >= 0.0);
    let result = handshake_state::<P>(cx)?.map_err(|_| "API disabled in the current context").map(|shake| {
        let certificates = |chain: Option<Rc<Chain>>| chain.map(|chain| chain.certificates().to_vec()).unwrap_or_default();
        let shown = certificates(shown);
        let mut trusted = shown.clone();
        trusted.extend(certificates(more));
        let trust = Trust::new(trusted, depth.map_or(DEPTH, usize::saturated));
        shake.certificates.borrow_mut().clients = Some(Arc::new(ClientVerifier::new(Arc::new(trust), &shown)));
    });
    Ok(push_success(stack, result))
}
