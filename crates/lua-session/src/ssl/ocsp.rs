//! `ngx.ocsp`: questions to responders and what their answers are worth (lua-resty-core's `ngx/ocsp.md`).

use super::{handshake_state, push_result, push_success, refused};
use crate::protocol::Protocol;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use tls::certificate::{CertificateDer, Chain};
use tls::ocsp::{self, Status};

const ALL: PhaseSet = PhaseSet::EVERYWHERE;
/// The extension by which clients ask for a response of OCSP.
const STATUS_REQUEST: u16 = 5;

/// The part's rows and glue.
pub(super) fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.ocsp",
        rows: vec![
            Row::calls("ocsp_responder", ALL, responder),
            Row::calls("ocsp_request", ALL, request),
            Row::calls("ocsp_validate", ALL, validate),
            Row::calls("ocsp_staple", ALL, staple::<P>),
        ],
        glue: include_str!("ocsp.lua"),
    }
}

/// The certificate and its issuer in a chain in DER.
fn two(chain: &Chain) -> Result<(&CertificateDer<'static>, &CertificateDer<'static>), &'static str> {
    match chain.certificates() {
        [own, issuer, ..] => Ok((own, issuer)),
        _ => Err("no issuer certificate in chain"),
    }
}

fn chain(stack: &Stack<'_>, place: usize, function: &str) -> Result<Result<Chain, &'static str>, Raise> {
    Ok(Chain::from_der(stack.check_bytes(place, function)?).map_err(|_| "d2i_X509_bio() failed"))
}

fn responder(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = match chain(stack, 1, "get_ocsp_responder_from_der_chain")? {
        Ok(chain) => chain,
        Err(text) => return Ok(refused(stack, text)),
    };
    let Some(url) = chain.certificates().first().and_then(ocsp::responder) else {
        stack.push_nil();
        return Ok(1);
    };
    let issued = |(own, issuer): (_, &CertificateDer<'static>)| {
        ocsp::is_issuer(issuer, own).then_some(url).ok_or("issuer certificate not next to leaf")
    };
    Ok(push_result(stack, two(&chain).and_then(issued)))
}

fn request(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = chain(stack, 1, "create_ocsp_request")?;
    let made = chain.and_then(|chain| {
        let (own, issuer) = two(&chain)?;
        ocsp::request(own, issuer).ok_or("OCSP_cert_to_id() failed")
    });
    Ok(push_result(stack, made))
}

/// `validate(answer, chain)`: `true` and until when it is good, or `nil` and why not.
fn validate(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let response = stack.check_bytes(1, "validate_ocsp_response")?.to_vec();
    let chain = chain(stack, 2, "validate_ocsp_response")?;
    let judged = chain.as_ref().map_err(|text| (*text).to_owned()).and_then(|chain| {
        let (own, issuer) = two(chain)?;
        let found = ocsp::verify(&response, own, issuer, true, base::clock::now().sec).map_err(|error| error.to_string())?;
        match found.status {
            Status::Good => Ok(found.until),
            other => Err(format!("certificate status \"{}\" in the OCSP response", other.text())),
        }
    });
    Ok(match judged {
        Ok(until) => {
            stack.push_bool(true);
            match until {
                Some(time) => stack.push_number(time as f64),
                None => stack.push_nil(),
            }
            2
        }
        Err(text) => refused(stack, &text),
    })
}

fn staple<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let response = stack.check_bytes(1, "set_ocsp_status_resp")?.to_vec();
    let asked = handshake_state::<P>(cx)?.and_then(|shake| {
        let asked = shake.client_hello()?.hello.extension(STATUS_REQUEST).is_some();
        if asked {
            shake.certificates.borrow_mut().staple = Some(response);
        }
        Ok(asked)
    });
    Ok(match asked {
        Ok(true) => push_success(stack, Ok(())),
        Ok(false) => {
            stack.push_bool(true);
            stack.push_bytes(b"no status req");
            2
        }
        Err(text) => refused(stack, text),
    })
}
