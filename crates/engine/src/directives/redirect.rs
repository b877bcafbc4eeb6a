//! `Location` headers of the server's own redirects.

use conf::context::Context;
use conf::row::{self, Row};
use http::core::Core;

const ALL: Context = Context::HTTP_ALL;

pub(super) fn rows() -> Vec<Row> {
    vec![
        row::flag("absolute_redirect", ALL, "Redirects name scheme and host.", |core: &mut Core| &mut core.absolute_redirect),
        row::flag("server_name_in_redirect", ALL, "Redirects name the server's first name.", |core: &mut Core| {
            &mut core.server_name_in_redirect
        }),
        row::flag("port_in_redirect", ALL, "Redirects name the port.", |core: &mut Core| &mut core.port_in_redirect),
        row::flag("msie_refresh", ALL, "Old MSIE gets a page instead of a redirect.", |core: &mut Core| &mut core.msie_refresh),
    ]
}
