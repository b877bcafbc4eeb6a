//! The ACME protocol from the client's side (RFC 8555): an account, orders, authorizations, certificates.

use crate::certificate;
use crate::challenge::Proof;
use crate::error::AcmeError;
use crate::issuer::{Issuer, Profile};
use crate::jws::{AccountKey, Signed, base64url};
use crate::order::{Issued, Request};
use crate::resource::{Account, Authorization, Challenge, Directory, Order, Problem, RenewalInfo};
use crate::transport::{Response, Transport};
use crate::url::Url;
use crate::zone::Zone;
use base::clock;
use rcgen::KeyPair;
use serde_json::json;
use std::time::Duration;

/// Redirections that are followed.
const REDIRECTS: usize = 10;
/// How often a request is sent again after a failure.
const RETRIES: usize = 3;
/// How long an authorization or an order may take.
const PATIENCE_MS: u64 = 60_000;
/// The longest pause between two looks at one.
const LONGEST_PAUSE: u64 = 8;
/// The longest pause that a server may ask for; beyond it the request has failed.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// A session with an ACME server.
pub(crate) struct Client<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) transport: Transport<'a>,
    pub(crate) key: &'a AccountKey,
    /// Where proofs for challenges are shown.
    pub(crate) zone: &'a Zone,
    pub(crate) directory: Option<Directory>,
    /// The account's URL.
    pub(crate) account: Option<String>,
    pub(crate) nonce: Option<String>,
}

/// An account: one that was made now, or one that was there.
pub(crate) enum AccountLookup {
    Created(String),
    Known,
}

impl Client<'_> {
    /// The directory, asked for once.
    ///
    /// # Errors
    /// It cannot be had.
    pub(crate) async fn directory(&mut self) -> Result<Directory, AcmeError> {
        if let Some(directory) = &self.directory {
            return Ok(directory.clone());
        }
        let found = self.get(&self.issuer.uri).await.and_then(|response| Ok(serde_json::from_slice::<Directory>(&response.body)?));
        let found = found.map_err(|error| AcmeError::Directory(Box::new(error)))?;
        self.directory = Some(found.clone());
        Ok(found)
    }

    async fn get(&self, url: &Url) -> Result<Response, AcmeError> {
        let mut url = url.clone();
        for _ in 0..REDIRECTS {
            let response = self.transport.request(&url, None).await.map_err(AcmeError::Transport)?;
            match response.status {
                200..=299 => return Ok(response),
                300..=399 => {
                    let target = response.header("location").ok_or(AcmeError::Redirect("missing redirect URI"))?;
                    url = url.join(target).ok_or(AcmeError::Redirect("invalid redirect URI"))?;
                }
                status => return Err(serde_json::from_slice(&response.body).map_or(AcmeError::Status(status), AcmeError::Problem)),
            }
        }
        Err(AcmeError::Redirect("too many redirects"))
    }

    async fn fresh_nonce(&mut self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let url = absolute(&self.directory().await?.new_nonce)?;
        self.get(&url).await?.header("replay-nonce").map(str::to_owned).ok_or(AcmeError::Nonce)
    }

    /// Sends a signed request, again if the server says that this helps (RFC 8555, 6.5 and 6.6).
    async fn post(&mut self, url: &str, payload: &str) -> Result<Response, AcmeError> {
        let target = absolute(url)?;
        let mut nonce = self.fresh_nonce().await?;
        for retries_left in (0..=RETRIES).rev() {
            let by = self.account.as_deref().map_or(Signed::Key, Signed::Account);
            let body = self.key.sign(&by, url, &nonce, payload).map_err(|text| AcmeError::Unexpected(text.to_owned()))?;
            let response = match self.transport.request(&target, Some(&body)).await {
                Ok(response) => response,
                Err(text) if retries_left == 0 => return Err(AcmeError::Transport(text)),
                Err(_) => {
                    net::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            if (200..300).contains(&response.status) {
                self.nonce = response.header("replay-nonce").map(str::to_owned);
                return Ok(response);
            }
            let next = response.header("replay-nonce").map(str::to_owned);
            let problem: Problem = serde_json::from_slice(&response.body).map_err(|_| AcmeError::Status(response.status))?;
            let asked = retry_after(&response);
            match asked.filter(|pause| problem.is_rate_limited() && *pause > LONGEST_ASKED) {
                Some(pause) => return Err(AcmeError::RateLimited(pause)),
                None if retries_left > 0 && (problem.is_bad_nonce() || problem.is_rate_limited()) => {
                    nonce = next.ok_or(AcmeError::Nonce)?;
                    net::time::sleep(asked.unwrap_or(Duration::from_secs(1)).min(LONGEST_ASKED)).await;
                }
                None => {
                    self.nonce = next;
                    return Err(AcmeError::Problem(problem));
                }
            }
        }
        Err(AcmeError::Nonce)
    }

    /// Makes the account, or finds it (RFC 8555, 7.3).
    ///
    /// # Errors
    /// The server has none for us.
    pub(crate) async fn open_account(&mut self) -> Result<AccountLookup, AcmeError> {
        let directory = self.directory().await?;
        let external = self.issuer.external_key.as_ref();
        if directory.meta.external_account_required && external.is_none() {
            return Err(AcmeError::ExternalAccount);
        }
        let mut request = json!({});
        if !self.issuer.contacts.is_empty() {
            request["contact"] = json!(self.issuer.contacts);
        }
        if self.issuer.terms_accepted {
            request["termsOfServiceAgreed"] = json!(true);
        }
        if let Some((id, mac)) = external {
            request["externalAccountBinding"] = self.key.bind(id, mac, &directory.new_account);
        }
        let response = self.post(&directory.new_account, &request.to_string()).await?;
        let account: Account = serde_json::from_slice(&response.body)?;
        if account.status != "valid" {
            return Err(AcmeError::Unexpected(format!("unexpected account status {}", account.status)));
        }
        let url = response.header("location").ok_or_else(|| AcmeError::Unexpected("no account URL in response".to_owned()))?;
        self.account = Some(url.to_owned());
        Ok(if response.status == 201 { AccountLookup::Created(url.to_owned()) } else { AccountLookup::Known })
    }

    /// The profile to ask for; a notice for the log if the server does not have the wanted one.
    pub(crate) fn profile(&self) -> (Option<&str>, Option<String>) {
        let has = |name: &str| self.directory.as_ref().is_some_and(|directory| directory.meta.profiles.contains_key(name));
        match &self.issuer.profile {
            None => (None, None),
            Some(Profile { name, required }) if *required || has(name) => (Some(name), None),
            Some(Profile { name, .. }) => (None, Some(format!("acme profile \"{name}\" is not supported by the server"))),
        }
    }

    /// Has a certificate made (RFC 8555, 7.4). `replaces` is the identifier of the one that it takes the place of (RFC 9773, 5). Besides
    /// the certificate, a line for the log.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn certificate(&mut self, request: &Request, replaces: Option<&str>) -> Result<(Issued, Option<String>), AcmeError> {
        let (response, note) = self.new_order(request, replaces).await?;
        let url = response.header("location").ok_or_else(|| AcmeError::Unexpected("invalid or missing order URL".to_owned()))?.to_owned();
        let order: Order = serde_json::from_slice(&response.body)?;
        let mut pending = Vec::new();
        for url in &order.authorizations {
            let authorization = self.authorization(url).await?;
            match authorization.status.as_str() {
                "valid" => {}
                "pending" => pending.push((url, authorization)),
                status => return Err(AcmeError::Unexpected(format!("unexpected authorization status {status}"))),
            }
        }
        let key = request.key.generate().map_err(|error| AcmeError::Unexpected(format!("key generation error: {error}")))?;
        for (url, authorization) in pending {
            self.authorize(url, &authorization, &key).await?;
        }
        let chain = self.finalize(&url, request, &key).await?;
        Ok((Issued { chain, key: key.serialize_pem().into_bytes() }, note))
    }

    async fn new_order(&mut self, request: &Request, replaces: Option<&str>) -> Result<(Response, Option<String>), AcmeError> {
        let url = self.directory().await?.new_order;
        let mut order = json!({"identifiers": request.identifiers});
        if let Some(profile) = self.profile().0 {
            order["profile"] = json!(profile);
        }
        let Some(replaces) = replaces else { return Ok((self.post(&url, &order.to_string()).await?, None)) };
        let mut with_replaced = order.clone();
        with_replaced["replaces"] = json!(replaces);
        match self.post(&url, &with_replaced.to_string()).await {
            Err(AcmeError::Problem(problem)) if problem.may_be_about_replacing() => {
                let note = format!("{problem} while replacing certificate; retrying without \"replaces\"");
                Ok((self.post(&url, &order.to_string()).await?, Some(note)))
            }
            response => Ok((response?, None)),
        }
    }

    async fn authorization(&mut self, url: &str) -> Result<Authorization, AcmeError> {
        Ok(serde_json::from_slice(&self.post(url, "").await?.body)?)
    }

    /// Shows control of an identifier (RFC 8555, 7.5.1). The proof is there as long as the server may look.
    async fn authorize(&mut self, url: &str, authorization: &Authorization, key: &KeyPair) -> Result<(), AcmeError> {
        let kind = self.issuer.challenge.name();
        let challenge = authorization.challenges.iter().find(|challenge| challenge.kind == kind);
        let challenge = challenge.ok_or_else(|| AcmeError::Unexpected("no supported challenges".to_owned()))?;
        let proof = Proof {
            kind: self.issuer.challenge,
            token: &challenge.token,
            identifier: &authorization.identifier.value,
            authorization: self.key.authorization(&challenge.token),
        };
        proof.publish(self.zone, key).map_err(|text| AcmeError::Unexpected(text.to_owned()))?;
        let done = self.await_authorization(url, challenge, kind).await;
        proof.withdraw(self.zone);
        done
    }

    async fn await_authorization(&mut self, url: &str, challenge: &Challenge, kind: &str) -> Result<(), AcmeError> {
        let response = self.post(&challenge.url, "{}").await?;
        let begun: Challenge = serde_json::from_slice(&response.body)?;
        if !matches!(begun.status.as_str(), "pending" | "processing" | "valid") {
            return Err(AcmeError::Unexpected(format!("unexpected challenge status {}", begun.status)));
        }
        let mut pauses = Backoff::new();
        let mut response = response;
        let found = loop {
            let goes_on = pauses.wait(&response).await;
            response = self.post(url, "").await?;
            let found: Authorization = serde_json::from_slice(&response.body)?;
            if found.status != "pending" || !goes_on {
                break found;
            }
        };
        if found.status == "valid" {
            return Ok(());
        }
        let problem = found.challenges.into_iter().find(|challenge| challenge.kind == kind).and_then(|challenge| challenge.error);
        Err(problem.map_or_else(|| AcmeError::Unexpected(format!("unexpected authorization status {}", found.status)), AcmeError::Problem))
    }

    /// Asks for the certificate of an order that is ready, in PEM.
    async fn finalize(&mut self, url: &str, request: &Request, key: &KeyPair) -> Result<Vec<u8>, AcmeError> {
        let order: Order = serde_json::from_slice(&self.post(url, "").await?.body)?;
        if order.status != "ready" {
            let unexpected = AcmeError::Unexpected(format!("unexpected order status {}", order.status));
            return Err(order.error.map_or(unexpected, AcmeError::Problem));
        }
        let csr = certificate::signing_request(request, key, self.issuer.common_name);
        let csr = csr.map_err(|error| AcmeError::Unexpected(format!("csr generation failed ({error})")))?;
        let mut pauses = Backoff::new();
        let mut response = match self.post(&order.finalize, &json!({"csr": base64url(csr)}).to_string()).await {
            Err(error) if error.is_final_for_order() => return Err(error),
            Ok(response) => response,
            // The order says how it is.
            Err(_) => self.post(url, "").await?,
        };
        let certificate = loop {
            let order: Order = serde_json::from_slice(&response.body)?;
            match (order.certificate, order.error) {
                (Some(certificate), _) => break certificate,
                (None, Some(problem)) => return Err(AcmeError::Problem(problem)),
                (None, None) if order.status == "processing" && pauses.wait(&response).await => response = self.post(url, "").await?,
                (None, None) => return Err(AcmeError::Unexpected("no certificate in the completed order".to_owned())),
            }
        };
        self.download(&certificate).await
    }

    /// The chain, or the one of its alternatives that ends at the preferred issuer (RFC 8555, 7.4.2).
    async fn download(&mut self, url: &str) -> Result<Vec<u8>, AcmeError> {
        let response = self.post(url, "").await?;
        let base = absolute(url)?;
        if let Some(preferred) = &self.issuer.preferred_chain
            && !certificate::ends_at(&response.body, preferred)
        {
            let links: Vec<Url> = response.headers("link").filter_map(alternate).filter_map(|target| base.join(target)).collect();
            for link in links {
                let other = self.post(&link.to_string(), "").await?.body;
                if certificate::ends_at(&other, preferred) {
                    return Ok(other);
                }
            }
        }
        match certificate::validity(&response.body) {
            Some(_) => Ok(response.body),
            None => Err(AcmeError::Unexpected("no certificate in the completed order".to_owned())),
        }
    }

    /// When the certificate with this identifier should be renewed, and when to ask again (RFC 9773, 4). `None`: the server does not say
    /// such things.
    ///
    /// # Errors
    /// It does, and not now.
    pub(crate) async fn renewal_info(&mut self, identifier: &str) -> Result<Option<(RenewalInfo, Option<Duration>)>, AcmeError> {
        let Some(base) = self.directory().await?.renewal_info else { return Ok(None) };
        let response = self.get(&absolute(&format!("{base}/{identifier}"))?).await?;
        let info: RenewalInfo = serde_json::from_slice(&response.body)?;
        if info.suggested_window.start >= info.suggested_window.end {
            return Err(AcmeError::Unexpected("invalid renewal window".to_owned()));
        }
        Ok(Some((info, retry_after(&response))))
    }
}

fn absolute(url: &str) -> Result<Url, AcmeError> {
    Url::parse(url).ok_or_else(|| AcmeError::Unexpected(format!("invalid URL \"{url}\" in response")))
}

/// How long the server asks to wait, in seconds or by a date (RFC 9110, 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.header("retry-after")?;
    let seconds = text.parse().ok().or_else(|| {
        let until = wire::date::parse(text.as_bytes())?;
        let now = i64::try_from(clock::epoch_ms() / 1000).ok()?;
        u64::try_from(until - now).ok()
    })?;
    Some(Duration::from_secs(seconds))
}

/// The target of a link to an alternative: `<target>;rel="alternate"` (RFC 8288, 3).
fn alternate(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let mut parameters = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    let is_alternate = |(name, value): (&str, &str)| {
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|relation| relation.eq_ignore_ascii_case("alternate"))
    };
    parameters.any(is_alternate).then_some(target)
}

/// Growing pauses between looks at something that takes its time.
struct Backoff {
    last: u64,
    next: u64,
    until: u64,
}

impl Backoff {
    fn new() -> Backoff {
        Backoff { last: 0, next: 1, until: clock::monotonic_ms() + PATIENCE_MS }
    }

    /// Waits as long as the server asks, or the next pause. False: patience is at its end.
    async fn wait(&mut self, response: &Response) -> bool {
        if clock::monotonic_ms() >= self.until {
            return false;
        }
        let own = Duration::from_secs(self.next.min(LONGEST_PAUSE));
        (self.last, self.next) = (self.next, self.last + self.next);
        net::time::sleep(retry_after(response).unwrap_or(own).min(LONGEST_ASKED)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        for (link, expected) in [
            (r#"<https://ca/cert/1>;rel="alternate""#, Some("https://ca/cert/1")),
            (r#" </cert/1> ; title="x"; rel=alternate"#, Some("/cert/1")),
            (r#"<https://ca/dir>;rel="index""#, None),
            ("https://ca/cert/1;rel=alternate", None),
        ] {
            assert_eq!(alternate(link), expected, "{link}");
        }
    }
}
