//! Times on pages.

use super::Page;
use base::clock;
use http::Request;

const FORMAT: &[u8] = b"%A, %d-%b-%Y %H:%M:%S %Z";

/// `$date_local`, `$date_gmt` in the format of the page's `config timefmt`.
pub(super) fn date(request: &Request, local: bool, out: &mut Vec<u8>) -> bool {
    let page = request.find_context::<Page>();
    let format = page.as_ref().map(|page| page.time_format.borrow());
    let format = format.as_ref().and_then(|format| format.as_deref()).unwrap_or(FORMAT);
    base::date::push(format, clock::now().sec, local, out);
    true
}
