//! The directives.

use crate::challenge::ChallengeKind;
use crate::identifier;
use crate::issuer::{AccountKeySource, Issuer, IssuerConf, Profile};
use crate::jws::AccountKey;
use crate::key::KeyKind;
use crate::registry::{CertificateConf, Registry, ServerConf};
use crate::state::StateDirectory;
use crate::url::Url;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Warnings};
use conf::switch::Switch;
use conf::tree::Error;
use session::directories::{Directories, Layout};
use session::paths::MainContext;
use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use tls::certificate::Key;
use tls::files::Files;
use tls::profile::{Profile as TlsProfile, Trusted};

/// Where Linux distributions keep the certificates that they trust.
const SYSTEM_BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];
/// How many certificates may stand between a server's and one that is trusted.
const DEPTH: usize = 100;

// tidy: table
pub(crate) fn rows() -> Vec<Row> {
    let (inside, one) = (Context::ACME_ISSUER, Arity::exactly(1));
    vec![
        Row::new("acme_issuer", Context::HTTP, one, "A server that issues certificates.", acme_issuer).with_block(),
        Row::new("acme_shared_zone", Context::HTTP, one, "Where certificates are shared.", acme_shared_zone),
        Row::new("acme_certificate", Context::SERVER, Arity::AtLeast(1), "A certificate that is got for the server.", acme_certificate),
        Row::new("uri", inside, one, "The directory of the ACME server.", |cx| {
            let uri = Url::parse(&cx.text(0)).ok_or_else(|| cx.invalid_value(0))?;
            cx.once(&mut cx.location::<IssuerConf>().uri, uri)
        }),
        Row::new("account_key", inside, one, "The key of the account.", |cx| {
            let source = account_key(cx)?;
            cx.once(&mut cx.location::<IssuerConf>().account_key, source)
        }),
        Row::new("challenge", inside, one, "How control of names is shown.", |cx| {
            let kind = ChallengeKind::named(cx.arg(0)).ok_or_else(|| cx.error_at(0, format!("unsupported challenge: {}", cx.text(0))))?;
            cx.once(&mut cx.location::<IssuerConf>().challenge, kind)
        }),
        Row::new("common_name_in_csr", inside, Arity::Flag, "Requests have a common name.", |cx| {
            let flag = cx.flag(0)?;
            cx.once(&mut cx.location::<IssuerConf>().common_name_in_csr, flag)
        }),
        Row::new("contact", inside, one, "Where the server can reach the account's owner.", contact),
        Row::new("external_account_key", inside, Arity::exactly(2), "Binds the account to another one.", external_account_key),
        Row::new("preferred_chain", inside, one, "The chain that is taken if there are several.", |cx| {
            let name = cx.text(0).into_owned();
            cx.once(&mut cx.location::<IssuerConf>().preferred_chain, name)
        }),
        Row::new("profile", inside, Arity::Between(1, 2), "The profile of certificates.", |cx| {
            let required = cx.args().len() == 2;
            if required && cx.arg(1) != b"require" {
                return Err(cx.invalid_value(1));
            }
            cx.once(&mut cx.location::<IssuerConf>().profile, Profile { name: cx.text(0).into_owned(), required })
        }),
        Row::new("ssl_trusted_certificate", inside, one, "Who may vouch for the ACME server.", |cx| {
            let path = cx.global::<MainContext>().paths.resolve_conf(cx.arg(0)).display().to_string();
            cx.once(&mut cx.location::<IssuerConf>().ssl_trusted_certificate, path)
        }),
        Row::new("ssl_verify", inside, Arity::Flag, "The ACME server's certificate is verified.", |cx| {
            let flag = cx.flag(0)?;
            cx.once(&mut cx.location::<IssuerConf>().ssl_verify, flag)
        }),
        Row::new("state_path", inside, one, "Where accounts and certificates are kept.", |cx| {
            let state = match cx.arg(0) {
                b"off" => Switch::Off,
                path => Switch::On(directory(cx, path)?),
            };
            cx.once(&mut cx.location::<IssuerConf>().state_path, state)
        }),
        Row::new("accept_terms_of_service", inside, Arity::exactly(0), "The terms of the ACME server are agreed to.", |cx| {
            cx.once(&mut cx.location::<IssuerConf>().accept_terms_of_service, true)
        }),
    ]
}

fn acme_issuer(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.text(0).into_owned();
    let registry = cx.global::<Registry>().clone();
    if registry.find(&name).is_some() {
        return Err(cx.duplicate());
    }
    let frame = cx.frame.enter_location();
    cx.read_block(Context::ACME_ISSUER, &frame)?;
    let conf = frame.location.take::<IssuerConf>();
    let state = match conf.state_path {
        Some(state) => state.on(),
        None => Some(directory(cx, format!("acme_{name}").as_bytes())?),
    };
    let verify = conf.ssl_verify.unwrap_or(true);
    registry.add(Issuer {
        span: cx.directive.name.span,
        uri: conf.uri.ok_or_else(|| cx.error("\"uri\" is missing"))?,
        account_key: conf.account_key.unwrap_or(AccountKeySource::Made(KeyKind::default())),
        challenge: conf.challenge.unwrap_or_default(),
        common_name: conf.common_name_in_csr.unwrap_or(false),
        contacts: conf.contacts,
        external_key: conf.external_account_key,
        preferred_chain: conf.preferred_chain,
        profile: conf.profile,
        tls: tls_settings(cx, conf.ssl_trusted_certificate, verify)?,
        verify,
        state,
        terms_accepted: conf.accept_terms_of_service.unwrap_or(false),
        resolving: OnceCell::new(),
        orders: RefCell::default(),
        name,
    });
    Ok(())
}

fn directory(cx: &Cx<'_>, path: &[u8]) -> Result<StateDirectory, Error> {
    let path: PathBuf = cx.global::<MainContext>().paths.resolve(path.strip_suffix(b"/").unwrap_or(path));
    let place = cx.place();
    cx.global::<Directories>().claim(&path, Layout::State, Some(place)).map_err(|text| cx.error(text))?;
    Ok(StateDirectory::new(path))
}

fn tls_settings(cx: &Cx<'_>, trusted: Option<String>, verify: bool) -> Result<tls::client::Settings, Error> {
    let system = || SYSTEM_BUNDLES.iter().find(|path| std::fs::exists(path).unwrap_or(false)).map(|path| (*path).to_owned());
    let trusted = verify.then(|| Trusted { certificates: trusted.or_else(system), depth: DEPTH, crl: None });
    let profile = TlsProfile { trusted, alpn: vec![b"http/1.1".to_vec()], ..TlsProfile::default() };
    let (settings, notes) = profile.settings(&Files::new()).map_err(|error| cx.error(error.to_string()))?;
    cx.global::<Warnings>().list.extend(notes.into_iter().map(|note| cx.error(note)));
    Ok(settings)
}

fn account_key(cx: &Cx<'_>) -> Result<AccountKeySource, Error> {
    let word = cx.text(0);
    if let Some(kind) = KeyKind::named(&word).map_err(|error| cx.error_at(0, error.to_string()))? {
        return Ok(AccountKeySource::Made(kind));
    }
    let path = cx.global::<MainContext>().paths.resolve_conf(cx.arg(0));
    let failed = |text: String| cx.error_at(0, format!("cannot load account key: {text}"));
    let pem = std::fs::read(&path).map_err(|error| failed(format!("\"{}\" {}", path.display(), base::errno::describe(&error))))?;
    let (_, der) = Key::with_der(&pem, &[]).map_err(|text| failed(text.to_owned()))?;
    AccountKey::from_der(&der).ok_or_else(|| failed("unsupported kind of key".to_owned()))?;
    Ok(AccountKeySource::File(der.into()))
}

fn contact(cx: &mut Cx<'_>) -> Result<(), Error> {
    let word = std::str::from_utf8(cx.arg(0)).ok().filter(|word| !word.is_empty()).ok_or_else(|| cx.invalid_value(0))?;
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let has_scheme = word
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(of_scheme));
    cx.location::<IssuerConf>().contacts.push(if has_scheme { word.to_owned() } else { format!("mailto:{word}") });
    Ok(())
}

fn external_account_key(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.arg(0).is_empty() || cx.arg(1).is_empty() {
        return Err(cx.invalid_value(0));
    }
    let encoded = match cx.arg(1).strip_prefix(b"data:") {
        Some(data) => data.to_vec(),
        None => {
            let path = cx.global::<MainContext>().paths.resolve_conf(cx.arg(1));
            let failed = |error| cx.error_at(1, format!("cannot open file \"{}\" {}", path.display(), base::errno::describe(&error)));
            std::fs::read(&path).map_err(failed)?
        }
    };
    let text = encoded.trim_ascii();
    let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let key = URL_SAFE_NO_PAD.decode(text).map_err(|_| cx.error_at(1, "invalid base64url encoded value"))?;
    cx.once(&mut cx.location::<IssuerConf>().external_account_key, (cx.text(0).into_owned(), key))
}

fn acme_shared_zone(cx: &mut Cx<'_>) -> Result<(), Error> {
    let word = cx.text(0);
    let value = word.strip_prefix("zone=").ok_or_else(|| cx.error("\"acme_shared_zone\" must have \"zone\" parameter"))?;
    let parts = value.split_once(':').and_then(|(name, size)| Some((name, base::text::parse_size(size.as_bytes(), false)?)));
    let (name, size) = parts.ok_or_else(|| cx.error_at(0, format!("invalid zone size \"{value}\"")))?;
    let size = usize::try_from(size).ok().filter(|size| *size >= shm::zone::MIN_SIZE);
    let size = size.ok_or_else(|| cx.error_at(0, format!("zone {name} is too small")))?;
    if name.is_empty() {
        return Err(cx.error_at(0, format!("invalid zone size \"{value}\"")));
    }
    if !cx.global::<Registry>().want_zone(name.to_owned(), size) {
        return Err(cx.duplicate());
    }
    Ok(())
}

fn acme_certificate(cx: &mut Cx<'_>) -> Result<(), Error> {
    let issuer = cx.text(0).into_owned();
    if issuer.is_empty() {
        return Err(cx.error("\"acme_certificate\" directive \"issuer\" is missing"));
    }
    let mut certificate = CertificateConf { issuer, identifiers: Vec::new(), key: KeyKind::default(), span: cx.directive.name.span };
    for i in 1..cx.args().len() {
        let word = cx.arg(i);
        if let Some(key) = word.strip_prefix(b"key=") {
            let kind = KeyKind::named(&String::from_utf8_lossy(key)).map_err(|error| cx.error_at(i, error.to_string()))?;
            certificate.key = kind.ok_or_else(|| cx.error_at(i, "\"acme_certificate\" directive invalid \"key\" value"))?;
        } else {
            certificate.identifiers.extend(identifier::read(word).map_err(|error| cx.error_at(i, error.to_string()))?);
        }
    }
    cx.once(&mut cx.server::<ServerConf>().certificate, certificate)
}
