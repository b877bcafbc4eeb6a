//! `acme_issuer { }`: an ACME server and how it is spoken to.

use crate::challenge::ChallengeKind;
use crate::key::KeyKind;
use crate::order::{Order, Request};
use crate::state::StateDirectory;
use crate::url::Url;
use conf::scope::Config;
use conf::switch::Switch;
use conf::tree::Span;
use resolver::settings::Resolving;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use tls::client::Settings;

/// Where the account's key comes from (`account_key`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AccountKeySource {
    /// It is made, and kept.
    Made(KeyKind),
    /// A file has it; in DER.
    File(Rc<[u8]>),
}

/// `profile`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) required: bool,
}

/// What the directives of the block say.
#[derive(Default)]
pub(crate) struct IssuerConf {
    pub(crate) uri: Option<Url>,
    pub(crate) account_key: Option<AccountKeySource>,
    pub(crate) challenge: Option<ChallengeKind>,
    pub(crate) common_name_in_csr: Option<bool>,
    pub(crate) contacts: Vec<String>,
    pub(crate) external_account_key: Option<(String, Vec<u8>)>,
    pub(crate) preferred_chain: Option<String>,
    pub(crate) profile: Option<Profile>,
    pub(crate) ssl_trusted_certificate: Option<String>,
    pub(crate) ssl_verify: Option<bool>,
    /// The inner `None` is `off`.
    pub(crate) state_path: Option<Switch<StateDirectory>>,
    pub(crate) accept_terms_of_service: Option<bool>,
}

impl Config for IssuerConf {
    fn inherit(&mut self, _: &Self) {}
}

/// An issuer with the certificates that are wanted from it.
pub(crate) struct Issuer {
    pub(crate) name: String,
    /// Where it was written.
    pub(crate) span: Span,
    /// The directory of the server.
    pub(crate) uri: Url,
    pub(crate) account_key: AccountKeySource,
    pub(crate) challenge: ChallengeKind,
    /// `common_name_in_csr`
    pub(crate) common_name: bool,
    /// URLs.
    pub(crate) contacts: Vec<String>,
    /// The key's identifier, and the key.
    pub(crate) external_key: Option<(String, Vec<u8>)>,
    pub(crate) preferred_chain: Option<String>,
    pub(crate) profile: Option<Profile>,
    pub(crate) tls: Settings,
    /// The server's certificate is verified.
    pub(crate) verify: bool,
    pub(crate) state: Option<StateDirectory>,
    pub(crate) terms_accepted: bool,
    /// How the server's name is looked up: as in `http`.
    pub(crate) resolving: OnceCell<Resolving>,
    pub(crate) orders: RefCell<Vec<Rc<Order>>>,
}

impl Issuer {
    /// The order for this request; there is one for all that want the same.
    pub(crate) fn order(&self, request: Request) -> Rc<Order> {
        let mut orders = self.orders.borrow_mut();
        if let Some(known) = orders.iter().find(|order| order.request == request) {
            return known.clone();
        }
        let order = Rc::new(Order::new(request));
        orders.push(order.clone());
        order
    }
}
