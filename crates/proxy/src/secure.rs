//! TLS to upstream servers: `proxy_ssl_*` and what other protocols call alike ([`upstream::secure`]).

use ::conf::tree::SettingError;
use base::log::ErrorLog;
use http::Request;
use http::module::Attach;
use std::rc::Rc;
use upstream::secure::hooks::UpstreamTls;
use upstream::secure::{conf, plan};
use upstream::url::Url;

/// A location's way to speak TLS with its upstream.
pub type Secured = plan::Secured<Request>;
/// The plans of a configuration.
pub type Plans = plan::Plans<Request>;
/// What a block says.
pub type TlsConf = conf::TlsConf<Request>;

/// The TLS of a location whose pass has this URL, or one with variables, unless it has none. `alpn` is what is offered to speak.
///
/// # Errors
/// nginx's texts for what is missing or cannot be loaded.
pub fn secured(
    at: &Attach<'_>,
    url: Option<&Url>,
    conf: &TlsConf,
    prefix: &str,
    alpn: &[&'static [u8]],
) -> Result<Option<Secured>, SettingError> {
    // Code runs in the handshakes of `proxy_pass` only.
    let hooks: Rc<UpstreamTls<Request>> = if prefix == "proxy" { at.conf::<UpstreamTls<Request>>() } else { Rc::default() };
    let log: &ErrorLog = at.log;
    at.main_conf::<Plans>().secured(url, conf, prefix, alpn, hooks, log)
}
