//! The modules, in THE order: order is behaviour.
//!
//! Handlers of one phase run in this order, and so do header filters and body filters; the log phase too. The list
//! therefore goes through a request's life: what only defines
//! variables, then server-rewrite and rewrite, preaccess, access, precontent, content, the filters, and last the log.

use http::Module;
use lua_api::phase as lua;
use modules as m;
use std::rc::Rc;
use stream_lua::phase as sl;
use stream_proxy as sp;

/// One module of nginx that `-V` names when it is here: `--with-http_NAME_module`.
struct Optional {
    module: &'static str,
    flag: &'static str,
}

/// Which of nginx's optional modules answer to which name of ours.
const OPTIONAL: [Optional; 19] = [
    Optional { module: "realip", flag: "realip" },
    Optional { module: "auth_request", flag: "auth_request" },
    Optional { module: "stub_status", flag: "stub_status" },
    Optional { module: "dav", flag: "dav" },
    Optional { module: "sub_filter", flag: "sub" },
    Optional { module: "addition", flag: "addition" },
    Optional { module: "gunzip", flag: "gunzip" },
    Optional { module: "gzip_static", flag: "gzip_static" },
    Optional { module: "slice", flag: "slice" },
    Optional { module: "secure_link", flag: "secure_link" },
    Optional { module: "random_index", flag: "random_index" },
    Optional { module: "mp4", flag: "mp4" },
    Optional { module: "flv", flag: "flv" },
    Optional { module: "geoip", flag: "geoip" },
    Optional { module: "image_filter", flag: "image_filter" },
    Optional { module: "degradation", flag: "degradation" },
    Optional { module: "ssl", flag: "ssl" },
    Optional { module: "v2", flag: "v2" },
    Optional { module: "v3", flag: "v3" },
];

/// Modules that nginx has unless it is built without them: `--without-http_NAME_module` when ours is not here.
const USUAL: [&str; 32] = [
    "charset",
    "gzip",
    "ssi",
    "userid",
    "access",
    "auth_basic",
    "mirror",
    "autoindex",
    "geo",
    "map",
    "split_clients",
    "referer",
    "rewrite",
    "proxy",
    "fastcgi",
    "uwsgi",
    "scgi",
    "grpc",
    "tunnel",
    "memcached",
    "limit_conn",
    "limit_req",
    "empty_gif",
    "browser",
    "upstream_hash",
    "upstream_ip_hash",
    "upstream_least_conn",
    "upstream_least_time",
    "upstream_random",
    "upstream_keepalive",
    "upstream_zone",
    "upstream_sticky",
];

/// The same of `stream`: `--with-stream_NAME_module`.
const STREAM_OPTIONAL: [&str; 4] = ["ssl", "realip", "geoip", "ssl_preread"];

/// The same of `stream`: `--without-stream_NAME_module`.
const STREAM_USUAL: [&str; 13] = [
    "limit_conn",
    "access",
    "geo",
    "map",
    "split_clients",
    "return",
    "pass",
    "set",
    "upstream_hash",
    "upstream_least_conn",
    "upstream_least_time",
    "upstream_random",
    "upstream_zone",
];

/// All modules in their order.
// tidy: table
pub(crate) fn modules() -> Rc<[Module]> {
    Rc::from([
        // Lua's own settings, the start of its machine in each worker; then what only defines variables.
        lua::settings::MODULE,
        lua::settings::SOCKETS,
        lua::settings::SECURE,
        lua::start::MODULE,
        // Its handlers come first: what the others refuse is counted too.
        m::status_zone::MODULE,
        m::resolver::MODULE,
        m::variables::MODULE,
        m::http2::MODULE,
        m::http3::MODULE,
        // Where an ACME server looks comes before all other handlers of requests and handshakes.
        acme::MODULE,
        m::ssl::MODULE,
        m::quic::MODULE,
        lua::ssl::MODULE,
        m::map::MODULE,
        m::keyval::MODULE,
        m::geo::MODULE,
        m::geoip::MODULE,
        m::geoip2::MODULE,
        m::split_clients::MODULE,
        m::referer::MODULE,
        m::browser::MODULE,
        m::secure_link::MODULE,
        // Post-read: the body before all others look at the request; the client, and again before access.
        m::early_body::MODULE,
        m::realip::MODULE,
        // Server-rewrite: Lua before the configuration's program; rewrite: after it, and after the fields of `more_set_*`.
        lua::server_rewrite::MODULE,
        lua::set::MODULE,
        // Forms are read before the directives that look at them.
        m::form_input::MODULE,
        m::coolkit::MODULE,
        m::rewrite::MODULE,
        m::set_misc::MODULE,
        m::array_var::MODULE,
        m::encrypted_session::MODULE,
        m::headers_more::MODULE,
        lua::handler::REWRITE,
        // Preaccess.
        m::limit_req::MODULE,
        m::limit_conn::MODULE,
        // Access.
        m::access::MODULE,
        m::auth_basic::MODULE,
        m::auth_request::MODULE,
        lua::handler::ACCESS,
        // Precontent.
        m::try_files::MODULE,
        m::mirror::MODULE,
        lua::handler::PRECONTENT,
        // Content: handlers that own their location.
        lua::content::MODULE,
        m::empty_gif::MODULE,
        m::flv::MODULE,
        m::mp4::MODULE,
        m::stub_status::MODULE,
        m::metrics::MODULE,
        m::api::MODULE,
        proxy::upstream::MODULE,
        proxy::upstream::HASH,
        proxy::upstream::IP_HASH,
        proxy::upstream::LEAST_CONN,
        proxy::upstream::LEAST_TIME,
        proxy::upstream::RANDOM,
        proxy::upstream::keepalive::MODULE,
        proxy::upstream::ZONE,
        proxy::upstream::sticky::MODULE,
        proxy::upstream::queue::MODULE,
        lua::balancer::MODULE,
        proxy::upstream::FOLLOWING,
        proxy::caching::maintenance::MODULE,
        proxy::proxy::MODULE,
        lua::upstream_ssl::MODULE,
        proxy::fastcgi::MODULE,
        proxy::grpc::MODULE,
        proxy::tunnel_pass::MODULE,
        proxy::uwsgi::MODULE,
        proxy::scgi::MODULE,
        proxy::memcached::MODULE,
        proxy::memc::MODULE,
        proxy::redis2::MODULE,
        proxy::redis::MODULE,
        // Behind all that pass requests on.
        proxy::check::MODULE,
        // Content, where no handler owns the location: the first that has a response gives it.
        m::random_index::MODULE,
        m::index::MODULE,
        m::autoindex::MODULE,
        m::dav::MODULE,
        m::precompressed::BROTLI,
        m::precompressed::GZIP,
        m::static_files::MODULE,
        // Header and body filters.
        m::slice::MODULE,
        m::not_modified::MODULE,
        lua::header_filter::MODULE,
        lua::body_filter::MODULE,
        // Its look comes behind all that decides about access.
        m::srcache::MODULE,
        // What Lua captures is what the application says; the filters from here on are for clients.
        lua::capture::MODULE,
        m::iconv::MODULE,
        m::xss::MODULE,
        m::echo::MODULE,
        m::headers::MODULE,
        m::userid::MODULE,
        m::accept_gzip::MODULE,
        m::gunzip::MODULE,
        m::sub_filter::MODULE,
        m::image_filter::MODULE,
        m::charset::MODULE,
        m::ssi::MODULE,
        // What is added to a body is not searched by the filters above, only packed.
        m::addition::MODULE,
        m::brotli::MODULE,
        m::gzip::MODULE,
        // Ranges are cut from what is final.
        m::range::MODULE,
        lua::log::MODULE,
        m::log::MODULE,
    ])
}

/// All modules of `stream` in their order: settings and what only defines variables, then by phase, from the first look at a client to the log.
// tidy: table
pub(crate) fn stream_modules() -> Rc<[stream::Module]> {
    Rc::from([
        // Lua's own settings, the start of its machine in each worker; then what only defines variables.
        sl::settings::MODULE,
        sl::settings::SOCKETS,
        sl::settings::SECURE,
        sl::start::MODULE,
        sl::variable::MODULE,
        m::status_zone::STREAM,
        m::resolver::STREAM,
        m::variables::STREAM,
        m::map::STREAM,
        m::keyval::STREAM,
        m::geo::STREAM,
        m::geoip::STREAM,
        m::geoip2::STREAM,
        m::split_clients::STREAM,
        // Post-accept.
        m::realip::STREAM,
        // Preaccess: limits may count by what was set.
        m::set::STREAM,
        m::limit_conn::STREAM,
        m::access::STREAM,
        // The phase of TLS, then the look at what comes out of it.
        m::ssl::STREAM,
        sl::ssl::MODULE,
        m::ssl_preread::STREAM,
        sl::preread::MODULE,
        // Content: the one that a server has.
        sp::groups::MODULE,
        sp::groups::HASH,
        sp::groups::LEAST_CONN,
        sp::groups::LEAST_TIME,
        sp::groups::RANDOM,
        sp::groups::ZONE,
        sl::balancer::MODULE,
        sp::MODULE,
        sp::check::MODULE,
        sl::upstream_ssl::MODULE,
        m::stream_return::MODULE,
        m::pass::STREAM,
        sl::content::MODULE,
        m::api::STREAM,
        sl::log::MODULE,
        m::log::STREAM,
    ])
}

/// What `-V` prints behind `configure arguments:`: exactly what is here.
pub(crate) fn configure_arguments() -> String {
    let modules = modules();
    let has = |name: &str| modules.iter().any(|module| module.name == name);
    let mut all = vec!["--with-threads".to_owned(), "--with-pcre-jit".to_owned()];
    all.extend(OPTIONAL.iter().filter(|o| has(o.module)).map(|o| format!("--with-http_{}_module", o.flag)));
    all.extend(USUAL.iter().filter(|name| !has(name)).map(|name| format!("--without-http_{name}_module")));
    if !has("proxy_cache") {
        all.push("--without-http-cache".to_owned());
    }
    let streams = stream_modules();
    let has = |name: &&str| streams.iter().any(|module| module.name == *name);
    all.push("--with-stream".to_owned());
    all.extend(STREAM_OPTIONAL.iter().filter(|name| has(name)).map(|name| format!("--with-stream_{name}_module")));
    all.extend(STREAM_USUAL.iter().filter(|name| !has(name)).map(|name| format!("--without-stream_{name}_module")));
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_only_what_is_here_is_claimed() {
        let modules = modules();
        let names: BTreeSet<_> = modules.iter().map(|module| module.name).collect();
        assert_eq!(names.len(), modules.len());
        let streams = stream_modules();
        assert_eq!(streams.iter().map(|module| module.name).collect::<BTreeSet<_>>().len(), streams.len());
        let arguments = configure_arguments();
        assert!(!arguments.contains("--without-http_rewrite_module"));
        assert!(!arguments.contains("--with-debug") && !arguments.contains('\n'));
        for optional in &OPTIONAL {
            let claimed = arguments.contains(&format!("--with-http_{}_module", optional.flag));
            assert_eq!(claimed, names.contains(optional.module), "{}", optional.flag);
        }
    }
}
