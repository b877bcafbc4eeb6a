//! Responses to errors and redirects: `error_page`, or the default page (`ngx_http_special_response_handler`).

use base::log::Level;
use bytes::Bytes;
use foldhash::HashMap;
use http::core::{ErrorPage, ServerTokens};
use http::method::Method;
use http::output::then;
use http::{Chain, Jump, Outcome, Request, Step, log_request};
use std::cell::RefCell;
use std::rc::Rc;
use wire::uri::escape::{Class, escape};

/// Name of the product in pages and the `Server` header.
pub const PRODUCT: &str = "lunette";
/// Name and version.
pub const PRODUCT_VERSION: &str = "lunette/1.31.3";

/// Answers with `status`: by the `error_page` that is configured for it, or with the default page.
pub fn special_response(request: &Rc<Request>, status: u16) -> Step {
    request.error_status.set(status);
    if matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501) {
        request.flags.keepalive.set(false);
    }
    request.response.borrow_mut().content_type.clear();
    if !request.flags.error_page.get() && request.progress.uri_changes.get() != 0 {
        let core = request.core();
        let pages = core.error_pages.clone().unwrap_or_default();
        if !pages.is_empty() && !core.recursive_error_pages.unwrap_or(false) {
            request.flags.error_page.set(true);
        }
        if let Some(page) = pages.iter().find(|p| p.status == status) {
            return send_error_page(request, page);
        }
    }
    if matches!(status, 494..=497) {
        request.error_status.set(400);
    }
    default_page(request, status)
}

/// The response of a subrequest that code captures: the status alone, with neither `error_page` nor a default page
/// (`ngx_http_lua_post_subrequest`).
pub(crate) fn bare_response(request: &Rc<Request>, status: u16) -> Step {
    request.error_status.set(status);
    {
        let mut response = request.response.borrow_mut();
        // A length would be taken for that of the response to which code copies the fields.
        response.content_length = None;
        response.last_modified = None;
        response.headers.remove(b"Accept-Ranges");
    }
    http::content_type::set_by_extension(request);
    // Whatever filters say, no other answer follows.
    then(request.send_header(), |_| Step::Now(Outcome::Ok))
}

fn send_error_page(request: &Rc<Request>, page: &ErrorPage) -> Step {
    if let Some(code) = page.overwrite {
        request.error_status.set(code);
    }
    let mut target = page.target.to_vec(&**request);
    match target.first() {
        Some(b'/') => {
            let args = match &page.args {
                Some(args) => args.to_vec(&**request),
                None => match target.iter().position(|b| *b == b'?') {
                    Some(mark) => {
                        let args = target.get(mark + 1..).unwrap_or_default().to_vec();
                        target.truncate(mark);
                        args
                    }
                    None => Vec::new(),
                },
            };
            let mut line = request.line.borrow_mut();
            if line.method != Method::HEAD {
                line.method = Method::GET;
                line.method_name = b"GET".to_vec();
            }
            drop(line);
            Step::Now(request.jump(Jump::Internal { uri: target, args }))
        }
        Some(b'@') => Step::Now(request.jump(Jump::Named(target.split_off(1)))),
        _ => {
            let code = request.error_status.get();
            let code = if matches!(code, 301 | 302 | 303 | 307 | 308) { code } else { 302 };
            request.error_status.set(code);
            request.response.borrow_mut().redirect_to(&target);
            default_page(request, code)
        }
    }
}

/// Old MSIE and Chrome replace short error pages by their own.
const PADDING: &str = "\
    <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n\
    <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n\
    <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n\
    <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n\
    <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n\
    <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n\
";

/// The built-in page for `status`.
fn default_page(request: &Rc<Request>, status: u16) -> Step {
    let refresh = refresh(request, status);
    if refresh.is_some() {
        request.error_status.set(200);
    }
    let page = refresh.or_else(|| page(request, status));
    {
        let mut response = request.response.borrow_mut();
        response.clear_body_facts();
        response.last_modified = None;
        for name in [&b"Last-Modified"[..], b"ETag", b"Content-Encoding"] {
            response.headers.remove(name);
        }
        response.content_length = Some(page.as_ref().map_or(0, |p| p.len() as u64));
        if page.is_some() {
            response.set_content_type(b"text/html");
        }
    }
    request.flags.special_response.set(true);
    let owned = request.clone();
    then(request.send_header(), move |outcome| match outcome {
        Outcome::Ok if owned.flags.header_only.get() => {
            owned.flags.output_ended.set(true);
            owned.output(Chain::end())
        }
        Outcome::Ok => owned.output(page.map_or_else(Chain::end, |p| Chain::bytes(p).and_last())),
        // A filter wants another answer than this page (`ngx_http_filter_finalize_request`), but not without end.
        Outcome::Status(other) if !owned.flags.filter_finalize.replace(true) => special_response(&owned, other),
        Outcome::Status(_) => {
            log_request!(owned, Level::Alert, "a filter refused the error page for {status}");
            Step::Now(Outcome::Error)
        }
        other => Step::Now(other),
    })
}

/// What a page depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    status: u16,
    /// The product is shown with its version.
    versioned: bool,
    padded: bool,
}

// The pages that have been made: servers that refuse much show the same ones again and again.
thread_local!(static PAGES: RefCell<HashMap<Kind, Bytes>> = RefCell::default());

fn page(request: &Request, status: u16) -> Option<Bytes> {
    let title = wire::status::page_title(status)?;
    let versioned = request.with_location(|l| matches!(l.core.server_tokens, None | Some(ServerTokens::On | ServerTokens::Build)));
    let kind = Kind { status, versioned, padded: status >= 400 && wants_padding(request) };
    Some(PAGES.with_borrow_mut(|pages| pages.entry(kind).or_insert_with(|| text(kind, title)).clone()))
}

fn text(kind: Kind, title: &str) -> Bytes {
    let product = if kind.versioned { PRODUCT_VERSION } else { PRODUCT };
    let (heading, cause) = match title.strip_prefix("400 ") {
        Some(cause) if kind.status != 400 => ("400 Bad Request", cause),
        _ => (title, ""),
    };
    let (before_cause, after_cause) = if cause.is_empty() { ("", "") } else { ("<center>", "</center>\r\n") };
    let text = [
        "<html>\r\n<head><title>",
        title,
        "</title></head>\r\n<body>\r\n<center><h1>",
        heading,
        "</h1></center>\r\n",
        before_cause,
        cause,
        after_cause,
        "<hr><center>",
        product,
        "</center>\r\n</body>\r\n</html>\r\n",
        if kind.padded { PADDING } else { "" },
    ];
    Bytes::from(text.concat())
}

/// `msie_refresh`: a page that leads old MSIE to the target of a redirect, in place of the redirect.
fn refresh(request: &Request, status: u16) -> Option<Bytes> {
    if !matches!(status, 301 | 302) || !request.with_location(|l| l.core.msie_refresh.unwrap_or(false)) || !is_msie(request) {
        return None;
    }
    let mut response = request.response.borrow_mut();
    let mut text = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=".to_vec();
    escape(response.headers.get(b"Location")?, Class::Refresh, &mut text);
    text.extend_from_slice(b"\"></head><body></body></html>\r\n");
    response.headers.remove(b"Location");
    Some(Bytes::from(text))
}

fn is_msie(request: &Request) -> bool {
    let headers = request.headers.borrow();
    let agent = headers.get(b"user-agent").unwrap_or_default();
    let has = |text: &[u8]| memchr::memmem::find(agent, text).is_some();
    has(b"MSIE ") && !has(b"Opera")
}

fn wants_padding(request: &Request) -> bool {
    if !request.with_location(|l| l.core.msie_padding.unwrap_or(true)) {
        return false;
    }
    let chrome = |agent: &[u8]| memchr::memmem::find(agent, b"Chrome/").is_some();
    is_msie(request) || request.headers.borrow().get(b"user-agent").is_some_and(chrome)
}
