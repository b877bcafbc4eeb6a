//! What a request can say of its connection's TLS (`ngx_event_openssl.c`, the functions behind the variables).

use session::tls::TlsInfo;
use session::variable::NO_CACHE;
use session::{Configured, Variables};
use std::rc::Rc;
use tls::ciphers::suites;
use tls::names::Certificate;
use tls::signatures;
use wire::uri::escape::{Class, escape};

/// Groups of GREASE (RFC 8701) and the like have no name; nginx shows their number.
fn push_number(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(format!("0x{number:04x}").as_bytes());
}

fn list(out: &mut Vec<u8>, numbers: &[u16], name: fn(u16) -> Option<&'static str>) {
    for (i, number) in numbers.iter().enumerate() {
        if i > 0 {
            out.push(b':');
        }
        match name(*number) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => push_number(out, *number),
        }
    }
}

/// Calls `f` with the client's certificate, if it sent one.
fn peer<V>(info: &TlsInfo<V>, out: &mut Vec<u8>, f: impl FnOnce(&Certificate<'_>, &mut Vec<u8>)) {
    let Some(der) = info.peer.first() else { return };
    let der = tls::certificate::der(der);
    if let Some(certificate) = Certificate::new(&der) {
        f(&certificate, out);
    }
}

fn text(out: &mut Vec<u8>, value: impl AsRef<str>) {
    out.extend_from_slice(value.as_ref().as_bytes());
}

fn signature(number: Option<u16>, out: &mut Vec<u8>) {
    list(out, number.as_slice(), signatures::name_of_number);
}

fn verify<V>(info: &TlsInfo<V>, out: &mut Vec<u8>) {
    match info.verdict {
        _ if info.peer.is_empty() => text(out, "NONE"),
        (0, _) if info.revocation.is_none() => text(out, "SUCCESS"),
        (_, words) => {
            text(out, "FAILED:");
            text(out, info.revocation.unwrap_or(words));
        }
    }
}

/// The certificate in PEM with tabs before all lines but the first, for use in a header.
fn folded(pem: &str, out: &mut Vec<u8>) {
    for (i, line) in pem.trim_end().lines().enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\n\t");
        }
        out.extend_from_slice(line.as_bytes());
    }
}

/// Appends a value.
type Write<V> = fn(&TlsInfo<V>, &mut Vec<u8>);

/// The variables of both protocols.
// tidy: table
fn all<V>() -> [(&'static str, Write<V>); 23] {
    [
        ("ssl_protocol", |info, out| text(out, info.protocol)),
        ("ssl_cipher", |info, out| text(out, info.cipher)),
        ("ssl_ciphers", |info, out| list(out, &info.suites, suites::name_of_number)),
        ("ssl_curve", |info, out| text(out, info.group.unwrap_or_default())),
        ("ssl_curves", |info, out| list(out, &info.groups, suites::group_name_of_number)),
        ("ssl_sigalg", |info, out| signature(info.signed.local, out)),
        ("ssl_client_sigalg", |info, out| signature(info.signed.peer, out)),
        ("ssl_sigalgs", |info, out| list(out, &info.signatures, signatures::name_of_number)),
        ("ssl_session_id", |info, out| info.session_id.iter().for_each(|byte| out.extend_from_slice(format!("{byte:02x}").as_bytes()))),
        ("ssl_session_reused", |info, out| text(out, if info.resumed { "r" } else { "." })),
        ("ssl_server_name", |info, out| out.extend_from_slice(info.server_name.as_deref().unwrap_or_default())),
        ("ssl_alpn_protocol", |info, out| out.extend_from_slice(info.alpn.as_deref().unwrap_or_default())),
        ("ssl_client_raw_cert", |info, out| {
            let pem = info.peer.first().map(|der| tls::names::pem(der)).unwrap_or_default();
            text(out, pem);
        }),
        ("ssl_client_cert", |info, out| {
            let pem = info.peer.first().map(|der| tls::names::pem(der)).unwrap_or_default();
            folded(&pem, out);
        }),
        ("ssl_client_escaped_cert", |info, out| {
            let pem = info.peer.first().map(|der| tls::names::pem(der)).unwrap_or_default();
            escape(pem.as_bytes(), Class::UriComponent, out);
        }),
        ("ssl_client_s_dn", |info, out| peer(info, out, |certificate, out| text(out, certificate.subject()))),
        ("ssl_client_i_dn", |info, out| peer(info, out, |certificate, out| text(out, certificate.issuer()))),
        ("ssl_client_serial", |info, out| peer(info, out, |certificate, out| text(out, certificate.serial()))),
        ("ssl_client_fingerprint", |info, out| peer(info, out, |certificate, out| text(out, certificate.fingerprint()))),
        ("ssl_client_verify", verify),
        ("ssl_client_v_start", |info, out| peer(info, out, |certificate, out| text(out, certificate.start()))),
        ("ssl_client_v_end", |info, out| peer(info, out, |certificate, out| text(out, certificate.end()))),
        ("ssl_client_v_remain", |info, out| {
            peer(info, out, |certificate, out| text(out, certificate.remaining_days(base::clock::now().sec).to_string()));
        }),
    ]
}

/// Those that `http` has beside them.
fn http_only<V>() -> [(&'static str, Write<V>); 3] {
    [
        ("ssl_early_data", |info, out| text(out, if info.early.get() { "1" } else { "" })),
        ("ssl_client_s_dn_legacy", |info, out| peer(info, out, |certificate, out| text(out, certificate.subject_legacy()))),
        ("ssl_client_i_dn_legacy", |info, out| peer(info, out, |certificate, out| text(out, certificate.issuer_legacy()))),
    ]
}

/// Defines the variables. Without TLS all are "not found".
pub(super) fn define<S: Configured>(variables: &mut Variables<S>) {
    define_all(variables, all());
}

/// Defines those of HTTP alone.
pub(super) fn define_http(variables: &mut http::Variables) {
    define_all(variables, http_only());
}

fn define_all<S: Configured>(variables: &mut Variables<S>, list: impl IntoIterator<Item = (&'static str, Write<S::Server>)>) {
    for (name, tell) in list {
        let flags = if name == "ssl_early_data" { NO_CACHE } else { 0 };
        let get = move |session: &S, out: &mut Vec<u8>| {
            let Some(info) = session.connection().tls_info() else { return false };
            let before = out.len();
            tell(&info, out);
            out.len() > before
        };
        variables.define(name, flags, Rc::new(get));
    }
}
