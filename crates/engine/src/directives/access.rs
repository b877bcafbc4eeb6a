//! Access: `internal`, `satisfy`, `auth_delay`.

use super::slots::choice;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use http::core::Core;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("internal", Context::LOCATION, Arity::exactly(0), "Only internal redirects and subrequests may come here.", |cx| {
            if std::mem::replace(&mut cx.location::<Core>().internal, true) {
                return Err(cx.duplicate());
            }
            Ok(())
        }),
        choice("satisfy", "Whether all access checks must allow a request, or any one.", &[("all", false), ("any", true)], |core| {
            &mut core.satisfy_any
        }),
        row::time_ms("auth_delay", Context::HTTP_ALL, "How long a response 401 is held back.", |core: &mut Core| &mut core.auth_delay),
    ]
}
