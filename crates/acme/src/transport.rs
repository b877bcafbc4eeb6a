//! Requests to an ACME server: HTTP/1.1, over TLS, one connection each.

use crate::url::Url;
use net::address::SocketAddress;
use net::connect::{Options, connect};
use net::stream::Stream;
use resolver::settings::Resolving;
use std::net::SocketAddr;
use std::time::Duration;
use tls::client::Settings;
use wire::chunked::{Decoder, Step};
use wire::h1::response::{Body, Limits, ResponseHead, Status};

/// How long connecting and a response may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest response.
const LONGEST: usize = 1 << 20;
/// What heads may be.
const HEAD: Limits = Limits { size: 16 * 1024, max_headers: 100 };

/// How the server is reached.
pub(crate) struct Transport<'a> {
    pub(crate) resolving: &'a Resolving,
    pub(crate) tls: &'a Settings,
    /// Its certificate is verified.
    pub(crate) verify: bool,
}

/// A response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of this name.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Transport<'_> {
    /// Asks; with a body it is a POST.
    ///
    /// # Errors
    /// Why there is no response, for the log.
    pub(crate) async fn request(&self, url: &Url, body: Option<&str>) -> Result<Response, String> {
        let request = message(url, body);
        let exchange = async {
            let mut stream = self.connect(url).await?;
            stream.write_all(&request).await.map_err(|error| failed("send", &error))?;
            receive(&mut stream).await
        };
        net::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(format!("{} timed out", url.authority())))
    }

    async fn connect(&self, url: &Url) -> Result<Stream, String> {
        let resolver = self.resolving.usable().ok_or_else(|| format!("no resolver defined to resolve {}", url.host))?;
        let found = resolver.resolve(url.host.as_bytes(), self.resolving.limit()).await;
        let found = found.map_err(|failure| format!("{} could not be resolved ({failure})", url.host))?;
        let mut last = format!("{} could not be resolved", url.host);
        for ip in found.iter() {
            let target = SocketAddress::Internet(SocketAddr::new(ip, url.port));
            match connect(&target, Options::default()).await {
                Ok(stream) if url.secure => return self.secure(stream, url).await,
                Ok(stream) => return Ok(stream),
                Err(error) => last = failed("connect", error.error()),
            }
        }
        Err(last)
    }

    async fn secure(&self, stream: Stream, url: &Url) -> Result<Stream, String> {
        let is_address = url.host.parse::<std::net::IpAddr>().is_ok();
        let session = self.tls.session((!is_address).then_some(&*url.host), None).map_err(|error| error.to_string())?;
        let secured = net::tls::connect(stream, session).await.map_err(|failure| failure.to_string())?;
        if self.verify {
            let verdict = secured.client().and_then(|mut session| session.verdict(Some(&url.host)));
            let verdict = verdict.unwrap_or(tls::verify::Verdict::UNSPECIFIED);
            if !verdict.is_ok() {
                return Err(format!("upstream SSL certificate verify error: ({}:{})", verdict.code, verdict.text()));
            }
        }
        Ok(Stream::Tls(Box::new(secured)))
    }
}

fn failed(call: &str, error: &std::io::Error) -> String {
    format!("{call}() failed {}", base::errno::describe(error))
}

fn message(url: &Url, body: Option<&str>) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let method = if body.is_some() { "POST" } else { "GET" };
    let head =
        format!("{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: lunette/{version}\r\nConnection: close\r\n", url.path, url.authority());
    match body {
        None => format!("{head}\r\n"),
        Some(body) => format!("{head}Content-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    }
    .into_bytes()
}

async fn receive(stream: &mut Stream) -> Result<Response, String> {
    let mut bytes = Vec::new();
    loop {
        let count = stream.read(&mut bytes).await.map_err(|error| failed("recv", &error))?;
        if let Some(response) = parse(&bytes, count == 0)? {
            return Ok(response);
        }
        if count == 0 {
            return Err("connection closed before message completed".to_owned());
        }
        if bytes.len() > LONGEST {
            return Err("response is too long".to_owned());
        }
    }
}

/// The response, once it is whole; `ended`: nothing more will come.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Response>, String> {
    let mut rest = bytes;
    let mut head = ResponseHead::new();
    let invalid = |error: wire::h1::response::ResponseError, from: &[u8]| String::from_utf8_lossy(&error.message(from)).into_owned();
    let length = loop {
        match head.parse(rest, &HEAD).map_err(|error| invalid(error, rest))? {
            Status::Partial => return Ok(None),
            Status::Interim { len } => {
                rest = rest.get(len..).unwrap_or_default();
                head.reset();
            }
            Status::Complete { len } => break len,
        }
    };
    let framed = head.frame(rest, false).map_err(|error| invalid(error, rest))?;
    let content = rest.get(length..).unwrap_or_default();
    let body = match framed.body {
        Body::None | Body::Tunnel => Some(Vec::new()),
        Body::Length(length) => usize::try_from(length).ok().and_then(|length| content.get(..length)).map(<[u8]>::to_vec),
        Body::UntilClose => ended.then(|| content.to_vec()),
        Body::Chunked => unchunk(content)?,
    };
    let text = |span: wire::span::Span| String::from_utf8_lossy(span.of(rest)).into_owned();
    let headers = || head.headers.iter().map(|line| (text(line.name), text(line.value))).collect();
    Ok(body.map(|body| Response { status: head.line.code, headers: headers(), body }))
}

/// The body, if all of it is there.
fn unchunk(mut input: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut decoder = Decoder::new(HEAD.size, false);
    let mut body = Vec::new();
    loop {
        match decoder.decode(input).map_err(|_| "invalid chunked response".to_owned())? {
            Step::Partial => return Ok(None),
            Step::Data { start, end } => {
                body.extend_from_slice(input.get(start..end).unwrap_or_default());
                input = input.get(end..).unwrap_or_default();
            }
            Step::Done { .. } => return Ok(Some(body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let url = Url::parse("https://[::1]:14000/dir").unwrap();
        let text = String::from_utf8(message(&url, Some("{}"))).unwrap();
        assert!(text.starts_with("POST /dir HTTP/1.1\r\nHost: [::1]:14000\r\n") && text.ends_with("Content-Length: 2\r\n\r\n{}"), "{text}");
        assert!(message(&url, None).starts_with(b"GET /dir "));
    }

    #[test]
    fn answers() {
        let body = |text: &str, ended| parse(text.as_bytes(), ended).map(|found| found.map(|found| String::from_utf8(found.body).unwrap()));
        let head = "HTTP/1.1 200 OK\r\nReplay-Nonce: abc\r\n";
        for (rest, ended, expected) in [
            ("Content-Length: 2\r\n\r\nxyz", false, Some("xy")),
            ("Content-Length: 4\r\n\r\nxyz", true, None),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n", false, Some("xyz")),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz", false, None),
            ("\r\nxyz", false, None),
            ("\r\nxyz", true, Some("xyz")),
            ("Content-Le", false, None),
        ] {
            assert_eq!(body(&format!("{head}{rest}"), ended), Ok(expected.map(str::to_owned)), "{rest}");
            assert_eq!(body(&format!("HTTP/1.1 100 Continue\r\n\r\n{head}{rest}"), ended), Ok(expected.map(str::to_owned)), "{rest}");
        }
        let found = parse(format!("{head}Link: <a>\r\nLink: <b>\r\nContent-Length: 0\r\n\r\n").as_bytes(), false).unwrap().unwrap();
        assert_eq!((found.status, found.header("replay-nonce"), found.headers("link").count()), (200, Some("abc"), 2));
        assert!(body("SSH-2.0", false).is_err());
        assert!(body(&format!("{head}Transfer-Encoding: chunked\r\n\r\nq"), false).is_err());
    }
}
