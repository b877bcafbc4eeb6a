//! `ngx.ssl.clienthello`: the client's first message (lua-resty-core's `ngx/ssl/clienthello.md`).

use super::{handshake_state, push_success, refused};
use crate::protocol::Protocol;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use wire::tls::hello::{Hello, extension};

const ALL: PhaseSet = PhaseSet::EVERYWHERE;

/// The part's rows and glue.
pub(super) fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.ssl.clienthello",
        rows: vec![
            Row::calls("hello_server_name", ALL, |cx, stack| with::<P>(cx, stack, server_name)),
            Row::calls("hello_ext", ALL, |cx, stack| with::<P>(cx, stack, ext)),
            Row::calls("hello_ext_present", ALL, |cx, stack| with::<P>(cx, stack, ext_present)),
            Row::calls("hello_ciphers", ALL, |cx, stack| with::<P>(cx, stack, ciphers)),
            Row::calls("hello_set_versions", ALL, set_versions::<P>),
        ],
        glue: include_str!("hello.lua"),
    }
}

fn with<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>, f: impl FnOnce(&Hello, &mut Stack<'_>) -> usize) -> Result<usize, Raise> {
    let client_hello = handshake_state::<P>(cx)?.and_then(|shake| shake.client_hello());
    Ok(match client_hello {
        Ok(client_hello) => f(&client_hello.hello, stack),
        Err(text) => refused(stack, text),
    })
}

/// Numbers that clients mix in so that servers learn to pass over what they do not know (RFC 8701).
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn server_name(hello: &Hello, stack: &mut Stack<'_>) -> usize {
    match (hello.extension(extension::SERVER_NAME), hello.server_name()) {
        (_, Some(name)) => stack.push_bytes(name),
        (None, None) => stack.push_nil(),
        (Some(_), None) => return refused(stack, "Bad SSL Client Hello Extension"),
    }
    1
}

fn ext(hello: &Hello, stack: &mut Stack<'_>) -> usize {
    let number = stack.number(1).filter(|number| (0.0..=65_535.0).contains(number));
    match number.and_then(|number| hello.extension(u16::saturated(number))) {
        Some(content) => stack.push_bytes(content),
        None => stack.push_nil(),
    }
    1
}

fn list(stack: &mut Stack<'_>, numbers: impl Iterator<Item = u16>) -> usize {
    stack.push_table(16, 0);
    let table = stack.top();
    for (place, number) in numbers.filter(|number| !is_grease(*number)).enumerate() {
        stack.push_number(number.into());
        stack.set_item(table, place + 1);
    }
    1
}

fn ext_present(hello: &Hello, stack: &mut Stack<'_>) -> usize {
    if hello.extensions.is_empty() {
        return refused(stack, "failed SSL_client_hello_get1_extensions_present()");
    }
    list(stack, hello.extensions.iter().map(|extension| extension.number))
}

fn ciphers(hello: &Hello, stack: &mut Stack<'_>) -> usize {
    list(stack, hello.suites())
}

/// `set_versions(number...)`
fn set_versions<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let numbers = (1..=stack.top()).filter_map(|place| stack.number(place)).map(u16::saturated).collect();
    let result = handshake_state::<P>(cx)?.map(|shake| {
        shake.versions.replace(Some(numbers));
    });
    Ok(push_success(stack, result))
}

#[cfg(test)]
mod tests {
    use super::is_grease;

    #[test]
    fn grease_is_every_number_of_its_pattern() {
        assert!([2570, 6682, 35466, 64250].into_iter().all(is_grease));
        assert!(![0, 43, 0x0a1a, 0x1301, 0x0b0b].into_iter().any(is_grease));
    }
}
