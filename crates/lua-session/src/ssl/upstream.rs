//! `ngx.ssl.proxysslcert`, `ngx.ssl.proxysslverify`, `ngx.proxyssl`: what code in a handshake with an upstream server reads and
//! changes (lua-resty-core's `ngx/ssl/proxysslcert.md`, `ngx/ssl/proxysslverify.md`, `ngx/proxyssl.md`).

use super::upstream_handshake::UpstreamHandshake;
use super::{PLAIN, push_result, push_success, refused, session};
use crate::host::Host;
use crate::protocol::Protocol;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use lua_lib::socket::secure::objects::Objects;
use std::rc::Rc;
use tls::certificate::{Chain, Key};

const ALL: PhaseSet = PhaseSet::EVERYWHERE;

/// The part's rows and glue.
pub(super) fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.proxyssl",
        rows: vec![
            Row::calls("toward_version", ALL, version::<P>),
            Row::calls("toward_clear_certs", ALL, clear_certs::<P>),
            Row::calls("toward_set_der_cert", ALL, set_der_cert::<P>),
            Row::calls("toward_set_der_priv_key", ALL, set_der_priv_key::<P>),
            Row::calls("toward_set_cert", ALL, set_cert::<P>),
            Row::calls("toward_set_priv_key", ALL, set_priv_key::<P>),
            Row::calls("toward_set_verdict", ALL, set_verdict::<P>),
            Row::calls("toward_verdict", ALL, verdict::<P>),
            Row::calls("toward_cert", ALL, cert::<P>),
        ],
        glue: include_str!("upstream.lua"),
    }
}

/// The handshake that the code runs in; without one the words of lua-nginx-module.
fn upstream_handshake<P: Protocol>(cx: &CallContext) -> Result<Result<Rc<UpstreamHandshake>, &'static str>, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(Err(PLAIN)) };
    let Some(toward) = P::find_context::<UpstreamHandshake>(&session) else { return Ok(Err(PLAIN)) };
    Ok(if toward.version.get() == 0 { Err("bad upstream connection") } else { Ok(toward) })
}

fn version<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    match upstream_handshake::<P>(cx)? {
        Ok(toward) => {
            stack.push_number(toward.version.get().into());
            Ok(1)
        }
        Err(text) => Ok(refused(stack, text)),
    }
}

fn clear_certs<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let result = upstream_handshake::<P>(cx)?.map(|toward| {
        let mut chosen = toward.certificates.borrow_mut();
        chosen.cleared = true;
        chosen.chains.clear();
        chosen.keys.clear();
    });
    Ok(push_success(stack, result))
}

/// Takes a chain; without one, answers `text`.
fn use_chain<P: Protocol>(cx: &CallContext, chain: Option<Chain>, text: &'static str) -> Result<Result<(), &'static str>, Raise> {
    Ok(upstream_handshake::<P>(cx)?.and_then(|toward| {
        toward.certificates.borrow_mut().chains.push(chain.ok_or(text)?);
        Ok(())
    }))
}

/// Takes a key; without one, answers `text`.
fn use_key<P: Protocol>(cx: &CallContext, key: Option<Key>, text: &'static str) -> Result<Result<(), &'static str>, Raise> {
    Ok(upstream_handshake::<P>(cx)?.and_then(|toward| {
        let mut chosen = toward.certificates.borrow_mut();
        let key = key.ok_or(text)?;
        if !chosen.accepts_key(&key) {
            return Err("SSL_use_PrivateKey() failed");
        }
        chosen.keys.push(key);
        Ok(())
    }))
}

fn set_der_cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = Chain::from_der(stack.check_bytes(1, "set_der_cert")?).ok();
    let result = use_chain::<P>(cx, chain, "d2i_X509_bio() failed")?;
    Ok(push_success(stack, result))
}

fn set_der_priv_key<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let key = Key::from_der(stack.check_bytes(1, "set_der_priv_key")?).ok();
    let result = use_key::<P>(cx, key, "d2i_PrivateKey_bio() failed")?;
    Ok(push_success(stack, result))
}

fn objects<P: Protocol>(cx: &CallContext) -> Result<Rc<Objects>, Raise> {
    Ok(cx.host::<Host<P>>().ok_or("no request found")?.runtime.state::<Objects>())
}

fn set_cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = objects::<P>(cx)?.chain(stack.number(1).unwrap_or_default());
    let result = use_chain::<P>(cx, chain.map(|chain| (*chain).clone()), "invalid certificate chain")?;
    Ok(push_success(stack, result))
}

fn set_priv_key<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let key = objects::<P>(cx)?.key(stack.number(1).unwrap_or_default());
    let result = use_key::<P>(cx, key.map(|key| (*key).clone()), "invalid private key")?;
    Ok(push_success(stack, result))
}

fn set_verdict<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let code = stack.number(1).filter(|code| (0.0..=65_535.0).contains(code));
    let result = upstream_handshake::<P>(cx)?.map(|toward| {
        // What is no code at all must not pass for a good one.
        toward.verdict.set(code.map_or(1, u16::saturated));
    });
    Ok(push_success(stack, result))
}

fn verdict<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    match upstream_handshake::<P>(cx)? {
        Ok(toward) => {
            stack.push_number(toward.verdict.get().into());
            Ok(1)
        }
        Err(text) => Ok(refused(stack, text)),
    }
}

fn cert<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let der = upstream_handshake::<P>(cx)?.and_then(|toward| toward.peer_certificate.borrow().clone().ok_or("get verify result failed"));
    Ok(push_result(stack, der))
}
