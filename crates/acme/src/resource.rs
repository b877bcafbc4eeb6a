//! What an ACME server answers (RFC 8555, 7.1; RFC 9773; RFC 7807), as far as it is looked at.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// Where requests go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    pub(crate) renewal_info: Option<String>,
    #[serde(default)]
    pub(crate) meta: Meta,
}

/// What the server says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) external_account_required: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) profiles: BTreeMap<String, serde_json::Value>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// An account.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) status: String,
}

/// An order.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) status: String,
    pub(crate) error: Option<Problem>,
    #[serde(default)]
    pub(crate) authorizations: Vec<String>,
    pub(crate) finalize: String,
    pub(crate) certificate: Option<String>,
}

/// What must be shown of an identifier.
#[derive(Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) identifier: IdentifierObject,
    pub(crate) status: String,
    pub(crate) challenges: Vec<Challenge>,
}

/// An identifier as servers write it.
#[derive(Debug, Deserialize)]
pub(crate) struct IdentifierObject {
    pub(crate) value: String,
}

/// A way to show it.
#[derive(Debug, Deserialize)]
pub(crate) struct Challenge {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) url: String,
    pub(crate) status: String,
    pub(crate) error: Option<Problem>,
    #[serde(default)]
    pub(crate) token: String,
}

/// When the server suggests to renew (RFC 9773, 4.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewalInfo {
    pub(crate) suggested_window: SuggestedWindow,
    #[serde(rename = "explanationURL")]
    pub(crate) explanation: Option<String>,
}

/// Two moments (RFC 3339).
#[derive(Debug, Deserialize)]
pub(crate) struct SuggestedWindow {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) start: time::OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) end: time::OffsetDateTime,
}

/// What is wrong.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
    instance: Option<String>,
}

/// What the types of problems begin with (RFC 8555, 6.7).
const TYPES: &str = "urn:ietf:params:acme:error:";

impl Problem {
    /// Its type without what all begin with.
    fn kind(&self) -> &str {
        self.kind.strip_prefix(TYPES).unwrap_or(&self.kind)
    }

    pub(crate) fn is_bad_nonce(&self) -> bool {
        self.kind() == "badNonce"
    }

    pub(crate) fn is_rate_limited(&self) -> bool {
        self.kind() == "rateLimited"
    }

    pub(crate) fn is_about_account(&self) -> bool {
        matches!(
            self.kind(),
            "accountDoesNotExist"
                | "badPublicKey"
                | "badSignatureAlgorithm"
                | "externalAccountRequired"
                | "invalidContact"
                | "malformed"
                | "unsupportedContact"
                | "userActionRequired"
        )
    }

    pub(crate) fn is_about_order(&self) -> bool {
        matches!(self.kind(), "badCSR" | "caa" | "invalidProfile" | "malformed" | "rejectedIdentifier" | "unsupportedIdentifier")
    }

    /// It may be that the certificate to be replaced is not known; others have nothing to do with that.
    pub(crate) fn may_be_about_replacing(&self) -> bool {
        !matches!(
            self.kind(),
            "badNonce" | "caa" | "invalidProfile" | "rateLimited" | "rejectedIdentifier" | "unsupportedIdentifier" | "userActionRequired"
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)?;
        match &self.instance {
            Some(instance) if self.kind() == "userActionRequired" => write!(f, "({instance})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let least = r#"{"newNonce": "n", "newAccount": "a", "newOrder": "o"}"#;
        let nulls = r#"{"newNonce": "n", "newAccount": "a", "newOrder": "o", "renewalInfo": null, "meta": {"externalAccountRequired": null, "profiles": null}}"#;
        for text in [least, nulls] {
            let directory: Directory = serde_json::from_str(text).unwrap();
            assert!(!directory.meta.external_account_required && directory.meta.profiles.is_empty() && directory.renewal_info.is_none());
        }
        let full = r#"{"newNonce": "n", "newAccount": "a", "newOrder": "o", "renewalInfo": "r", "meta": {"externalAccountRequired": true, "profiles": {"p": "x"}}}"#;
        let directory: Directory = serde_json::from_str(full).unwrap();
        assert!(directory.meta.external_account_required && directory.meta.profiles.contains_key("p"));
    }

    #[test]
    fn problems() {
        let problem = |kind: &str| Problem { kind: format!("{TYPES}{kind}"), detail: "d".to_owned(), instance: Some("i".to_owned()) };
        assert_eq!(problem("userActionRequired").to_string(), "urn:ietf:params:acme:error:userActionRequired: d(i)");
        assert_eq!(problem("malformed").to_string(), "urn:ietf:params:acme:error:malformed: d");
        for (kind, account, order, replacing) in [
            ("malformed", true, true, true),
            ("invalidContact", true, false, true),
            ("rejectedIdentifier", false, true, false),
            ("badNonce", false, false, false),
            ("alreadyReplaced", false, false, true),
        ] {
            let problem = problem(kind);
            assert_eq!(
                (problem.is_about_account(), problem.is_about_order(), problem.may_be_about_replacing()),
                (account, order, replacing)
            );
        }
    }

    #[test]
    fn windows() {
        let text = r#"{"suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00.5Z"}, "explanationURL": "u"}"#;
        let info: RenewalInfo = serde_json::from_str(text).unwrap();
        assert_eq!(
            (info.suggested_window.start.unix_timestamp(), info.suggested_window.end.unix_timestamp()),
            (1_735_790_400, 1_735_876_800)
        );
    }
}
