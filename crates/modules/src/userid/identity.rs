//! The four numbers of a client: read from its cookie, or generated.

use super::{Mode, UserId};
use crate::variables::cookie_value;
use base::log::Level;
use base::text::push_hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::connection::Address;
use http::{Request, log_request};
use session::variable;
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The numbers as the bytes of the cookie.
pub(super) type Uid = [u8; 16];

/// What one request's cookie says, and the numbers that it gets.
#[derive(Default)]
pub(super) struct Identity {
    /// From the cookie.
    pub(super) received: Option<Uid>,
    cookie: Vec<u8>,
    set: Cell<Option<Option<Uid>>>,
    reset: Cell<bool>,
}

/// Cookies end in anything: nginx counts 22 characters and does not look at the rest.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone).with_decode_allow_trailing_bits(true),
);

impl Identity {
    /// The identity of a request, read from its cookie on first use.
    pub(super) fn of(request: &Request, own: &UserId) -> Rc<Identity> {
        if let Some(found) = request.find_context::<Identity>() {
            return found;
        }
        let made = Rc::new(read(request, own));
        request.set_context(made.clone());
        made
    }

    /// The numbers to send; `None` if the client's own will do.
    pub(super) fn to_set(&self, request: &Request, own: &UserId) -> Option<Uid> {
        if let Some(known) = self.set.get() {
            return known;
        }
        let made = self.decide(request, own);
        self.set.set(Some(made));
        made
    }

    fn decide(&self, request: &Request, own: &UserId) -> Option<Uid> {
        let Some(got) = self.received else { return Some(make(request, own)) };
        let mut wish = Vec::new();
        variable::by_name::get_by_name(request, "uid_reset", &mut wish);
        if wish.is_empty() || wish == b"0" {
            let mark = own.mark.unwrap_or(0);
            let marked = self.cookie.len() > 23 && self.cookie.get(22..24) == Some(&[mark, b'=']);
            return if mark == 0 || marked { None } else { Some(got) };
        }
        self.reset.set(true);
        if wish == b"log" {
            let mut text = Vec::new();
            own.write(got, &mut text);
            log_request!(request, Level::Notice, "userid cookie \"{}\" was reset", String::from_utf8_lossy(&text));
        }
        Some(make(request, own))
    }

    /// Appends the cookie's value.
    pub(super) fn push_cookie(&self, uid: Uid, mark: u8, out: &mut Vec<u8>) {
        if self.received.is_some() && !self.reset.get() {
            out.extend_from_slice(self.cookie.get(..22).unwrap_or_default());
            out.extend_from_slice(&[mark, b'=']);
            return;
        }
        let mut text = STANDARD.encode(uid).into_bytes();
        if let Some(place) = text.len().checked_sub(2).and_then(|at| text.get_mut(at)).filter(|_| mark != 0) {
            *place = mark;
        }
        out.extend_from_slice(&text);
    }
}

impl UserId {
    /// Appends `name=` and the numbers in hexadecimal, each as the machine reads it.
    pub(super) fn write(&self, uid: Uid, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.name.as_deref().unwrap_or(b"uid"));
        out.push(b'=');
        for word in uid.chunks_exact(4) {
            for byte in word.iter().rev() {
                let start = out.len();
                push_hex(out, u64::from(byte >> 4));
                push_hex(out, u64::from(byte & 15));
                out.get_mut(start..).unwrap_or_default().make_ascii_uppercase();
            }
        }
        true
    }
}

fn read(request: &Request, own: &UserId) -> Identity {
    let headers = request.headers.borrow();
    let name = own.name.as_deref().unwrap_or(b"uid");
    let found = headers.get_all(b"cookie").find_map(|line| cookie_value(line, name).map(|value| (line, value)));
    let Some((line, value)) = found else { return Identity::default() };
    let cookie = value.to_vec();
    let decoded = cookie.get(..22).map(|head| DECODER.decode(head).ok().and_then(|bytes| Uid::try_from(bytes).ok()));
    let fault = match decoded {
        None => "too short",
        Some(None) => "invalid",
        // The last number is never 0 in a cookie of ours.
        Some(Some(uid)) => {
            let got = Some(uid).filter(|uid| uid.get(12..) != Some(&[0; 4]));
            return Identity { received: got, cookie, ..Identity::default() };
        }
    };
    log_request!(request, Level::Error, "client sent {fault} userid cookie \"{}\"", String::from_utf8_lossy(line));
    Identity { cookie, ..Identity::default() }
}

/// Makes numbers that no other request has: server, time, process, sequence.
fn make(request: &Request, own: &UserId) -> Uid {
    thread_local! {
        static FIRST: Cell<u32> = const { Cell::new(1) };
        static SECOND: Cell<u32> = const { Cell::new(0x0303_0302) };
        static START: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    }
    let pid = std::process::id();
    if START.get().0 != pid {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_micros();
        START.set((pid, (micros / 20) << 16 | (pid & 0xffff)));
    }
    let start = START.get().1;
    // Four bytes of it, as in nginx: they begin anew in 2106.
    let [.., a, b, c, d] = base::clock::now().sec.to_be_bytes();
    let now = u32::from_be_bytes([a, b, c, d]);
    let words: [[u8; 4]; 4] = if own.mode == Some(Mode::V1) {
        let sequence = FIRST.get();
        FIRST.set(sequence.wrapping_add(0x100));
        [own.service.unwrap_or(0).to_ne_bytes(), now.to_ne_bytes(), start.to_ne_bytes(), sequence.to_ne_bytes()]
    } else {
        let sequence = SECOND.get();
        SECOND.set(sequence.wrapping_add(0x100).max(0x0303_0302));
        let server = own.service.map_or_else(|| server_bytes(&request.connection.local), u32::to_be_bytes);
        [server, now.to_be_bytes(), start.to_be_bytes(), sequence.to_be_bytes()]
    };
    let mut uid = Uid::default();
    for (to, from) in uid.iter_mut().zip(words.iter().flatten()) {
        *to = *from;
    }
    uid
}

/// The last four bytes of the server's address.
fn server_bytes(local: &Address) -> [u8; 4] {
    match local {
        Address::Ip(address) => match address.ip() {
            IpAddr::V4(v4) => v4.octets(),
            IpAddr::V6(v6) => {
                let [.., a, b, c, d] = v6.octets();
                [a, b, c, d]
            }
        },
        Address::Unix(_) => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_their_marks() {
        let identity = Identity::default();
        let mut out = Vec::new();
        identity.push_cookie([1; 16], 0, &mut out);
        assert_eq!(out, STANDARD.encode([1; 16]).as_bytes());
        out.clear();
        identity.push_cookie([1; 16], b't', &mut out);
        assert_eq!(out.get(22..), Some(&b"t="[..]));
        let old = Identity { received: Some([1; 16]), cookie: b"AQEBAQEBAQEBAQEBAQEBAQ==".to_vec(), ..Identity::default() };
        out.clear();
        old.push_cookie([1; 16], b'x', &mut out);
        assert_eq!(out, b"AQEBAQEBAQEBAQEBAQEBAQx=");
    }

    #[test]
    fn numbers_are_shown_as_words() {
        let mut uid = Uid::default();
        uid[..4].copy_from_slice(&[0x0f, 0, 0, 0x10]);
        let mut out = Vec::new();
        UserId::default().write(uid, &mut out);
        assert_eq!(out, b"uid=1000000F000000000000000000000000");
    }
}
