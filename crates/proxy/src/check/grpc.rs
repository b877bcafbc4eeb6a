//! gRPC's own protocol of health checks (`grpc.health.v1.Health/Check`): a message in, a message out.

use base::saturated::Saturated;
use http::Headers;

/// The method that is called.
pub(super) const PATH: &[u8] = b"/grpc.health.v1.Health/Check";
/// Bytes of the response that are looked at.
pub(super) const BODY: usize = 1024;
/// What precedes a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// `HealthCheckResponse.ServingStatus.SERVING`
const SERVING: u8 = 1;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthCheckRequest {
    /// `grpc_service`; empty is the whole server.
    pub(crate) service: Box<[u8]>,
    /// `grpc_status`: a server that answers with this one is healthy too.
    pub(crate) status: Option<u64>,
}

impl HealthCheckRequest {
    /// The request's body: one message, whose first field is the service's name.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut message = Vec::new();
        if !self.service.is_empty() {
            message.push(0x0a);
            let mut length = self.service.len();
            while length > 0x7f {
                message.push(u8::saturated(length & 0x7f) | 0x80);
                length >>= 7;
            }
            message.push(u8::saturated(length));
            message.extend_from_slice(&self.service);
        }
        let mut body = vec![0];
        body.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(&message);
        body
    }

    /// Whether a response says that the server is well; `status` is what its header or its trailers say.
    pub(super) fn accepts(&self, body: &[u8], status: Option<u64>) -> bool {
        match (status, self.status) {
            (Some(0) | None, None) => body.first() == Some(&0) && says_serving(body.get(PREFIX..).unwrap_or_default()),
            (Some(status), Some(wanted)) => status == wanted,
            _ => false,
        }
    }
}

/// `grpc-status` of a header or of trailers.
pub(super) fn status(fields: &Headers) -> Option<u64> {
    fields.get(b"grpc-status").and_then(base::text::parse_number)
}

/// Whether the message's first field, a number, is `SERVING`. Fields that are not known are passed by only where they are numbers, as
/// nothing else is defined.
fn says_serving(message: &[u8]) -> bool {
    let (mut rest, mut serving) = (message, false);
    while let [tag, value, others @ ..] = rest {
        if tag & 7 != 0 || value & 0x80 != 0 {
            return false;
        }
        if tag >> 3 == 1 {
            serving = *value == SERVING;
        }
        rest = others;
    }
    serving && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let whole = HealthCheckRequest::default();
        assert_eq!(whole.body(), [0, 0, 0, 0, 0]);
        let one = HealthCheckRequest { service: b"ab"[..].into(), status: None };
        assert_eq!(one.body(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = HealthCheckRequest { service: vec![b'x'; 300].into(), status: None };
        assert_eq!(long.body().get(..8), Some(&[0, 0, 0, 1, 47, 0x0a, 0xac, 2][..]));
        for (body, status, good) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(0), true),
            (&[0, 0, 0, 0, 2, 8, 2], Some(0), false),
            (&[0, 0, 0, 0, 2, 8, 1], Some(12), false),
            (&[1, 0, 0, 0, 2, 8, 1], Some(0), false),
            (&[0, 0, 0, 0, 3, 8, 1, 9], Some(0), false),
            (&[], Some(0), false),
        ] {
            assert_eq!(whole.accepts(body, status), good, "{body:?} {status:?}");
        }
        let unimplemented = HealthCheckRequest { status: Some(12), ..HealthCheckRequest::default() };
        assert!(unimplemented.accepts(&[], Some(12)) && !unimplemented.accepts(&[0, 0, 0, 0, 2, 8, 1], Some(0)));
    }
}
