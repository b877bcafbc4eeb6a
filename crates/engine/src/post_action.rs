//! `post_action`: an internal request after the response, whose own response is discarded (`ngx_http_post_action`).

use http::{Jump, Request};

/// Where it goes on, if it does: not without end, and not if its connection closes without a response.
pub(crate) fn next(request: &Request) -> Option<Jump> {
    let target = request.with_location(|location| location.core.post_action.clone())?;
    let ends = request.flags.post_action.get() && request.progress.uri_changes.get() == 0;
    let closes = request.flags.abort.get() && request.response.borrow().status == 444;
    if !request.is_main() || ends || closes {
        return None;
    }
    request.flags.post_action.set(true);
    request.flags.header_only.set(true);
    Some(match target.strip_prefix(b"@") {
        Some(name) => Jump::Named(name.into()),
        None => Jump::Internal { uri: target.to_vec(), args: Vec::new() },
    })
}
