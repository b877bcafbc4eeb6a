//! Status lines and the titles of default error pages, in nginx's words.

/// One status nginx names.
struct Row(u16, &'static str, &'static str);

/// Code, status line without the code, title of the default page (empty: no page).
/// The words are nginx's and differ from RFC 9110 in places ("Not Allowed", "Time-out").
const ROWS: &[Row] = &[
    Row(200, "OK", ""),
    Row(201, "Created", ""),
    Row(202, "Accepted", ""),
    Row(204, "No Content", ""),
    Row(206, "Partial Content", ""),
    Row(301, "Moved Permanently", "301 Moved Permanently"),
    Row(302, "Moved Temporarily", "302 Found"),
    Row(303, "See Other", "303 See Other"),
    Row(304, "Not Modified", ""),
    Row(307, "Temporary Redirect", "307 Temporary Redirect"),
    Row(308, "Permanent Redirect", "308 Permanent Redirect"),
    Row(400, "Bad Request", "400 Bad Request"),
    Row(401, "Unauthorized", "401 Authorization Required"),
    Row(402, "Payment Required", "402 Payment Required"),
    Row(403, "Forbidden", "403 Forbidden"),
    Row(404, "Not Found", "404 Not Found"),
    Row(405, "Not Allowed", "405 Not Allowed"),
    Row(406, "Not Acceptable", "406 Not Acceptable"),
    Row(407, "Proxy Authentication Required", "407 Proxy Authentication Required"),
    Row(408, "Request Time-out", "408 Request Time-out"),
    Row(409, "Conflict", "409 Conflict"),
    Row(410, "Gone", "410 Gone"),
    Row(411, "Length Required", "411 Length Required"),
    Row(412, "Precondition Failed", "412 Precondition Failed"),
    Row(413, "Request Entity Too Large", "413 Request Entity Too Large"),
    Row(414, "Request-URI Too Large", "414 Request-URI Too Large"),
    Row(415, "Unsupported Media Type", "415 Unsupported Media Type"),
    Row(416, "Requested Range Not Satisfiable", "416 Requested Range Not Satisfiable"),
    Row(421, "Misdirected Request", "421 Misdirected Request"),
    Row(429, "Too Many Requests", "429 Too Many Requests"),
    Row(494, "", "400 Request Header Or Cookie Too Large"),
    Row(495, "", "400 The SSL certificate error"),
    Row(496, "", "400 No required SSL certificate was sent"),
    Row(497, "", "400 The plain HTTP request was sent to HTTPS port"),
    Row(500, "Internal Server Error", "500 Internal Server Error"),
    Row(501, "Not Implemented", "501 Not Implemented"),
    Row(502, "Bad Gateway", "502 Bad Gateway"),
    Row(503, "Service Temporarily Unavailable", "503 Service Temporarily Unavailable"),
    Row(504, "Gateway Time-out", "504 Gateway Time-out"),
    Row(505, "HTTP Version Not Supported", "505 HTTP Version Not Supported"),
    Row(507, "Insufficient Storage", "507 Insufficient Storage"),
];

fn row(code: u16) -> Option<&'static Row> {
    let at = ROWS.binary_search_by_key(&code, |row| row.0).ok()?;
    ROWS.get(at)
}

/// The reason phrase of `code` in a status line (`OK`); `None` for codes nginx sends without one.
#[must_use]
pub fn reason(code: u16) -> Option<&'static str> {
    row(code).map(|row| row.1).filter(|reason| !reason.is_empty())
}

/// The title of the default error page (`404 Not Found`); `None` when there is no page and the
/// body is empty. 494 to 497 have pages of their own and go out as 400.
#[must_use]
pub fn page_title(code: u16) -> Option<&'static str> {
    row(code).map(|row| row.2).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_says_what_nginx_says() {
        assert!(ROWS.is_sorted_by_key(|row| row.0));
        assert_eq!(reason(200), Some("OK"));
        assert_eq!(reason(302), Some("Moved Temporarily"));
        assert_eq!(page_title(302), Some("302 Found"));
        assert_eq!(page_title(494), Some("400 Request Header Or Cookie Too Large"));
        assert_eq!((reason(494), reason(418), page_title(204)), (None, None, None));
    }
}
