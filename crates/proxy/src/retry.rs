//! Consequences of a failed attempt: for the server's health, for the request, and for the next server.

use crate::settings::{Plan, next};
use balance::Verdict;
use http::Method;
use std::fmt;

/// Why a try failed.
#[derive(Debug)]
pub struct Failure {
    /// The condition of `*_next_upstream`.
    pub condition: u32,
    /// What the client gets if no other server answers.
    pub status: u16,
    /// Bytes of the request have left.
    pub sent: bool,
    /// Bytes of the client's body have been taken that cannot be taken again.
    pub consumed: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the try failed with status {}", self.status)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// What the server is blamed for: 403 and 404 are answers, not faults.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.condition & (next::HTTP_403 | next::HTTP_404) != 0 { Verdict::Neutral } else { Verdict::Failed }
    }
}

/// Requests that a repetition may harm (RFC 9110 section 9.2.2): nginx's list, and unknown methods.
#[must_use]
pub(crate) fn is_non_idempotent(method: Method) -> bool {
    method.intersects(Method::POST.or(Method::LOCK).or(Method::PATCH).or(Method::UNKNOWN))
}

/// Whether the request may go out once more: nothing of it has left, or it does no harm twice (`once`) and is still here.
#[must_use]
pub(crate) fn may_repeat(plan: &Plan, once: bool, failure: &Failure) -> bool {
    !failure.consumed && (!failure.sent || !once || plan.next_upstream & next::NON_IDEMPOTENT != 0)
}

/// Whether another server may be asked. `tries_left` counts those not tried yet, `elapsed` is in milliseconds.
#[must_use]
pub(crate) fn may_go_on(plan: &Plan, once: bool, failure: &Failure, tries_left: usize, elapsed: u64) -> bool {
    let in_time = plan.tries_timeout == 0 || elapsed < plan.tries_timeout;
    tries_left > 0 && in_time && plan.next_upstream & failure.condition != 0 && may_repeat(plan, once, failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Family;

    #[test]
    fn who_is_asked_again() {
        let plan =
            |bits| Family { next_upstream: Some(bits), next_upstream_timeout: Some(100), ..Family::default() }.plan("proxy", &[]).unwrap();
        let error = |sent, consumed| Failure { condition: next::ERROR, status: 502, sent, consumed };
        let usual = plan(next::ERROR | next::TIMEOUT);
        assert!(may_go_on(&usual, false, &error(true, false), 1, 0));
        assert!(!may_go_on(&usual, false, &error(true, false), 0, 0));
        assert!(!may_go_on(&usual, false, &error(true, false), 1, 100));
        assert!(!may_go_on(&usual, true, &error(true, false), 1, 0));
        assert!(may_go_on(&usual, true, &error(false, false), 1, 0));
        assert!(!may_go_on(&usual, false, &error(true, true), 1, 0));
        let brave = plan(next::ERROR | next::NON_IDEMPOTENT);
        assert!(may_go_on(&brave, true, &error(true, false), 1, 0));
        assert!(!may_go_on(&plan(0), false, &error(false, false), 1, 0));
    }

    #[test]
    fn what_left_and_may_do_harm_stays_away() {
        let failure = |sent| Failure { condition: next::ERROR, status: 502, sent, consumed: false };
        let plan = Family { next_upstream: Some(next::ERROR), ..Family::default() }.plan("proxy", &[]).unwrap();
        for (name, bit) in Method::ALL.iter().chain(&[("PURGE", Method::UNKNOWN)]) {
            let once = is_non_idempotent(*bit);
            assert_eq!(once, ["POST", "LOCK", "PATCH", "PURGE"].contains(name), "{name}");
            assert!(may_repeat(&plan, once, &failure(false)));
            assert_eq!(may_repeat(&plan, once, &failure(true)), !once, "{name}");
        }
    }
}
