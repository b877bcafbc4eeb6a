//! A page of the manual: its files and examples, from the fenced blocks of the Markdown text.

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// ```` ```file NAME ````: files below `html/`, for all examples of the page.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) examples: Vec<Example>,
}

/// ```` ```nginx ```` with the requests that follow it; ```` ```nginx stream ```` stands in `stream`. ```` ```nginx norun ```` is only for
/// reading.
#[derive(Debug)]
pub(crate) struct Example {
    /// Line of the block in the page, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// It stands in `stream`.
    stream: bool,
    pub(crate) exchanges: Vec<Exchange>,
}

/// ```` ```request ```` and ```` ```response ````, or ```` ```send ```` and ```` ```receive ````.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: String,
    pub(crate) way: Way,
    pub(crate) response: String,
}

/// How an exchange goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over HTTP/1.
    H1,
    /// Over HTTP/2: the request is as the page has it.
    H2,
    /// Over HTTP/3: likewise, with `cert.pem` and `cert.key` beside the configuration.
    H3,
    /// Bytes for this port, and the bytes that come back.
    Bytes { port: String, udp: bool },
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// A block that stands at the wrong place.
    pub(crate) fn parse(text: &str) -> Result<Page, String> {
        let mut page = Page::default();
        let mut request: Option<(String, Way)> = None;
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let mut body = String::new();
            let mut closed = false;
            for (_, line) in lines.by_ref() {
                if line == "```" {
                    closed = true;
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            if !closed {
                return Err(format!("line {}: the block does not end", number + 1));
            }
            match info.split_once(' ').unwrap_or((info, "")) {
                ("nginx", kind @ ("" | "stream")) => {
                    page.examples.push(Example { line: number + 1, text: body, stream: kind == "stream", exchanges: Vec::new() });
                }
                ("file", name) => page.files.push((name.to_owned(), body)),
                ("request", "h2") => request = Some((body, Way::H2)),
                ("request", "h3") => request = Some((body, Way::H3)),
                ("request", _) => request = Some((raw(&body), Way::H1)),
                ("send", words) => {
                    let udp = words.split(' ').any(|word| word == "udp");
                    let port = words.split(' ').find(|word| word.starts_with('$')).unwrap_or("$PORT").to_owned();
                    request = Some((body, Way::Bytes { port, udp }));
                }
                ("response" | "receive", _) => {
                    let pair = page.examples.last_mut().zip(request.take());
                    let (example, (request, way)) = pair.ok_or_else(|| format!("line {}: a response to nothing", number + 1))?;
                    example.exchanges.push(Exchange { request, way, response: body });
                }
                _ => {}
            }
        }
        if request.is_some() { Err("a request without its response".to_owned()) } else { Ok(page) }
    }
}

/// The lines of a request as bytes on the wire, with what nobody wants to write each time.
fn raw(block: &str) -> String {
    let (head, body) = match block.split_once("\n\n") {
        Some((head, body)) => (head, body.strip_suffix('\n').unwrap_or(body)),
        None => (block.trim_end_matches('\n'), ""),
    };
    let has = |name: &str| head.lines().skip(1).any(|line| line.to_ascii_lowercase().starts_with(name));
    let mut text: String = head.lines().map(|line| format!("{line}\r\n")).collect();
    if !head.lines().next().is_some_and(|line| line.contains(" HTTP/")) {
        // HTTP/0.9 has no headers.
        return text;
    }
    if !has("host:") {
        text.push_str("Host: localhost\r\n");
    }
    if !has("connection:") {
        text.push_str("Connection: close\r\n");
    }
    if !body.is_empty() && !has("content-length:") && !has("transfer-encoding:") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    if has("transfer-encoding:") {
        // What the page shows by lines goes out by CRLF lines; the last one ends the chunks.
        let lines: String = body.lines().map(|line| format!("{line}\r\n")).collect();
        return format!("{text}\r\n{lines}\r\n");
    }
    format!("{text}\r\n{body}")
}

impl Exchange {
    /// The request's first line.
    pub(crate) fn title(&self) -> &str {
        self.request.lines().next().unwrap_or_default()
    }
}

impl Example {
    /// The whole configuration, and what is said on the command line besides.
    pub(crate) fn configuration(&self) -> (String, String) {
        let has = |block: &str| self.text.split_whitespace().collect::<Vec<_>>().join(" ").contains(block);
        let mut global = String::new();
        for (name, value) in [("daemon", "off"), ("master_process", "off")] {
            if !has(&format!("{name} ")) {
                global.push_str(&format!("{name} {value}; "));
            }
        }
        let text = &self.text;
        if has("http {") || has("events {") {
            return (text.clone(), global);
        }
        if self.stream {
            let inner = if has("server {") { text.clone() } else { format!("server {{\nlisten 127.0.0.1:$PORT;\n{text}}}\n") };
            return (format!("error_log logs/error.log info;\nevents {{ }}\nstream {{\n{inner}}}\n"), global);
        }
        let inner = if has("server {") { text.clone() } else { format!("server {{\nlisten 127.0.0.1:$PORT;\n{text}}}\n") };
        (format!("error_log logs/error.log info;\nevents {{ }}\nhttp {{\n{inner}}}\n"), global)
    }
}
