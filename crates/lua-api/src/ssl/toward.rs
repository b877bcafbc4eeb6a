//! Runs the code of a location in its handshakes with upstream servers.

use crate::code::Code;
use crate::ssl::moment::{Ended, Moment};
use crate::ssl::shake::Chosen;
use http::contexts::Reuse;
use http::{BoxFuture, Request};
use lua::LuaPhase;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tls::asked::Choice;
use tls::certificate::CertificateDer;
use tls::error::TlsError;
use upstream::secure::hooks::{ChooseCertificate, JudgeServer, Shown};

/// The handshake that the code of a request runs in.
#[derive(Default)]
pub(crate) struct Toward {
    /// The version of its session; 0: there is none.
    pub(crate) version: Cell<u16>,
    /// The certificates that code has set.
    pub(crate) chosen: RefCell<Chosen>,
    /// The server's own certificate, while it is judged.
    pub(crate) shown: RefCell<Option<CertificateDer<'static>>>,
    /// OpenSSL's code of what is wrong with the server.
    pub(crate) verdict: Cell<u16>,
}

impl Reuse for Toward {
    fn reset(&mut self) {
        *self = Toward::default();
    }
}

/// `proxy_ssl_certificate_by_lua*`
pub(crate) struct Chooser(Rc<Moment>);

/// `proxy_ssl_verify_by_lua*`
pub(crate) struct Judge(Rc<Moment>);

/// What a request was doing, for the log.
const SHAKING: &str = "proxy pass SSL handshaking";

impl Chooser {
    /// The one whose choice `code` makes.
    pub(crate) fn new(code: Rc<Code>) -> Chooser {
        let names = ("proxy ssl cert", "proxy_ssl_certificate_by_lua", "cert cb");
        Chooser(Rc::new(Moment::new(&Some(code), LuaPhase::PROXY_SSL_CERT, names)))
    }
}

impl Judge {
    /// The one whose judgement `code` makes.
    pub(crate) fn new(code: Rc<Code>) -> Judge {
        let names = ("proxy ssl verify", "proxy_ssl_verify_by_lua", "cert verify callback");
        Judge(Rc::new(Moment::new(&Some(code), LuaPhase::PROXY_SSL_VERIFY, names)))
    }
}

impl ChooseCertificate<Request> for Chooser {
    fn choose(&self, request: &Rc<Request>, version: u16) -> BoxFuture<Result<Choice, TlsError>> {
        let (moment, request) = (self.0.clone(), request.clone());
        Box::pin(async move {
            let toward = request.context_reused::<Toward>();
            toward.version.set(version);
            toward.chosen.take();
            request.action.set("loading proxy ssl certificate by lua");
            let ended = moment.run(&request).await;
            request.action.set(SHAKING);
            toward.version.set(0);
            let chosen = toward.chosen.take();
            if ended == Ended::Badly {
                return Err(TlsError::CALLBACK_FAILED);
            }
            Ok(Choice { pairs: chosen.pairs(), cleared: chosen.cleared })
        })
    }
}

impl JudgeServer<Request> for Judge {
    fn judge(&self, request: &Rc<Request>, shown: Shown) -> BoxFuture<Result<u16, TlsError>> {
        let (moment, request) = (self.0.clone(), request.clone());
        Box::pin(async move {
            let toward = request.context_reused::<Toward>();
            toward.version.set(shown.version);
            toward.verdict.set(shown.verdict);
            toward.shown.replace(shown.chain.into_iter().next());
            request.action.set("loading proxy ssl verify by lua");
            let ended = moment.run(&request).await;
            request.action.set(SHAKING);
            toward.version.set(0);
            toward.shown.take();
            if ended == Ended::Badly { Err(TlsError::VERIFY_FAILED) } else { Ok(toward.verdict.get()) }
        })
    }
}
