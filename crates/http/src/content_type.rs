//! `Content-Type` from the extension of a URI: `types` and `default_type`.

use crate::request::Request;

/// Sets the response's type from the URI's extension, as nginx does for files and `return` texts, unless it has one already:
/// from code, or from the upstream that redirected here.
pub fn set_by_extension(request: &Request) {
    if !request.response.borrow().content_type.is_empty() {
        return;
    }
    let core = request.core();
    let line = request.line.borrow();
    let mut response = request.response.borrow_mut();
    response.set_content_type(of_extension(&core, line.extension()));
}

/// The type of an extension, which is compared without case; `text/plain` if nothing is configured.
pub(crate) fn of_extension<'a>(core: &'a crate::Core, extension: &[u8]) -> &'a [u8] {
    let mut lower = [0u8; 64];
    let found = lower.get_mut(..extension.len()).filter(|l| !l.is_empty()).and_then(|lower| {
        lower.copy_from_slice(extension);
        lower.make_ascii_lowercase();
        core.types.as_ref()?.get(&*lower).map(|t| &**t)
    });
    found.or(core.default_type.as_deref()).unwrap_or(b"text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn extensions_ignore_case() {
        let mut core = crate::Core::default();
        assert_eq!(of_extension(&core, b"txt"), b"text/plain");
        core.types = Some(Rc::new([(Box::from(&b"html"[..]), Rc::from(&b"text/html"[..]))].into_iter().collect()));
        core.default_type = Some(Rc::from(&b"application/octet-stream"[..]));
        assert_eq!(of_extension(&core, b"HTML"), b"text/html");
        assert_eq!(of_extension(&core, b""), b"application/octet-stream");
        assert_eq!(of_extension(&core, &[b'x'; 100]), b"application/octet-stream");
    }
}
