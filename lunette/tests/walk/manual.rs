//! `lunette help`, and whether the manual explains what Lua code can call.

use crate::rig::{BINARY, Prefix, chromium};
use std::collections::BTreeSet;
use std::process::Command;

fn help(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(BINARY).arg("help").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn sections_are_found_by_name() {
    for (word, part) in [
        ("proxy_pass", "- Syntax: `proxy_pass URL;`"),
        ("$upstream_status", "one value per server tried"),
        ("http_user_agent", "field NAME of the request"),
        ("ngx.md5_bin", "`bytes = ngx.md5_bin(bytes)`"),
        ("ngx.var.anything", "Reads a variable of the configuration"),
        ("sock:connect", "Takes a connection from the pool"),
        ("ngx.say()", "Prints its arguments"),
        ("http/geo", "It explains:\n  geo"),
        ("SERVER_NAME", "Names of the server"),
    ] {
        let (stdout, stderr, code) = help(&[word]);
        assert!(stdout.contains(part) && code == Some(0), "{word}: {stdout}{stderr}");
    }
    // A name with several meanings has several sections.
    let servers = help(&["server"]).0;
    assert!(servers.contains("(core/blocks)") && servers.contains("(http/upstream)"), "{servers}");
    assert!(help(&[]).0.contains("core/files"));
}

#[test]
fn what_is_not_there_is_said() {
    let (stdout, stderr, code) = help(&["proxy_pas"]);
    assert_eq!((&*stdout, code), ("", Some(1)));
    assert!(stderr.starts_with("lunette help: the manual has no section about \"proxy_pas\"; did you mean proxy_pass, "), "{stderr}");
    assert!(help(&["perl_set"]).1.contains("\"perl_set\" directive is not supported yet"));
    assert_eq!(help(&["a", "b"]).2, Some(1));
    assert_eq!(help(&["--html", "/dev/null/x"]).2, Some(1));
}

#[test]
fn the_manual_becomes_html_that_needs_nothing_else() {
    let prefix = Prefix::new();
    let directory = prefix.path.join("manual");
    assert_eq!(help(&["--html", &directory.display().to_string()]).2, Some(0));
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let mut links = 0;
    for name in ["index.html", "core/files.html", "lua/regex.html", "http/proxy.html", "differences.html"] {
        let html = read(name);
        assert!(!html.contains("src=\"http") && !html.contains("rel=\"stylesheet\" href=\"http"), "{name}");
        for target in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            let page = if path.is_empty() { directory.join(name) } else { directory.join(name).parent().unwrap().join(path) };
            let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}: {target}: {error}"));
            assert!(anchor.is_empty() || text.contains(&format!("id=\"{anchor}\"")), "{name}: {target} leads nowhere");
            links += 1;
        }
    }
    assert!(links > 500, "{links}");
    assert!(read("search.js").contains("[\"proxy_pass\", "));
}

#[test]
fn the_manual_works_in_a_browser() {
    let prefix = Prefix::new();
    let directory = prefix.path.join("manual");
    assert_eq!(help(&["--html", &directory.display().to_string()]).2, Some(0));
    // Somebody types into the search box; a picture that cannot be loaded has no width.
    let typed = "<script>addEventListener('load', () => {
        const box = document.getElementById('search');
        box.value = 'proxy_pas'; box.dispatchEvent(new Event('input', { bubbles: true }));
        document.title = [...document.images].map(image => image.naturalWidth > 0).join();
    })</script></body>";
    let page = std::fs::read_to_string(directory.join("why_epoll.html")).unwrap().replace("</body>", typed);
    let probe = directory.join("probe.html");
    std::fs::write(&probe, page).unwrap();
    let dom = chromium::shown(&prefix, &format!("file://{}", probe.display()), &[]);
    let (found, _) = dom.split_once("id=\"found\"").map(|(_, rest)| rest.split_once("</ol>").unwrap()).unwrap();
    assert!(found.contains("href=\"http/proxy.html#proxy_pass\""), "{found}");
    assert!(dom.contains("<title>true</title>"), "the plot is not there");
}

/// Functions that libraries may call and people do not, as `resty.core` has them.
const INTERNAL: [&str; 1] = ["ngx.get_raw_phase"];

const LIST: &str = r#"
local function walk(value, prefix, depth)
    for key, item in pairs(value) do
        if type(key) == "string" and not key:find("^_") then
            if type(item) == "function" then
                print(prefix .. key)
            elseif type(item) == "table" and depth < 2 and key ~= "shared" then
                walk(item, prefix .. key .. ".", depth + 1)
            end
        end
    end
end
walk(ngx, "ngx.", 0)
walk(coroutine, "coroutine.", 0)
for name in pairs(getmetatable(ngx.socket.tcp()).__index) do print("sock:" .. name) end
for name in pairs(getmetatable(ngx.socket.udp()).__index) do print("udpsock:" .. name) end
local dict = ngx.shared.d
for name in pairs(getmetatable(dict).__index) do
    if not name:find("^_") then print("dict:" .. name) end
end
"#;

#[test]
fn every_function_is_explained() {
    let names: BTreeSet<String> = help(&["--names"]).0.lines().map(str::to_owned).collect();
    let prefix = Prefix::new();
    let output =
        Command::new(BINARY).args(["resty", "--shdict=d 64k", "-e", LIST]).env("TMPDIR", prefix.path.join("logs")).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.lines().count() > 120, "{listed}{}", String::from_utf8_lossy(&output.stderr));
    let missing: Vec<_> = listed.lines().filter(|name| !names.contains(*name) && !INTERNAL.contains(name)).collect();
    assert!(missing.is_empty(), "without a section: {missing:?}");
}

#[test]
fn every_library_that_is_explained_loads() {
    let names = help(&["--names"]).0;
    let libraries: Vec<_> = names.lines().filter(|name| name.starts_with("resty.") && name.matches('.').count() < 3).collect();
    let code: String = libraries
        .iter()
        .map(|name| {
            format!(
                "if not pcall(require, '{name}') and not pcall(require, '{}') then print('{name}') end\n",
                name.rsplit_once('.').map_or("", |(head, _)| head)
            )
        })
        .collect();
    let prefix = Prefix::new();
    let output = Command::new(BINARY).args(["resty", "-e", &code]).env("TMPDIR", prefix.path.join("logs")).output().unwrap();
    assert!(libraries.len() > 20 && output.status.success(), "{libraries:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn every_constant_is_explained() {
    let page = help(&["lua/constants"]).0 + &help(&["Constants"]).0;
    let prefix = Prefix::new();
    let code = "for name, value in pairs(ngx) do if name:find('^[A-Z_]+$') then print(name) end end";
    let output = Command::new(BINARY).args(["resty", "-e", code]).env("TMPDIR", prefix.path.join("logs")).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.lines().count() > 50, "{listed}");
    let missing: Vec<_> = listed.lines().filter(|name| !page.contains(&format!("`ngx.{name}`"))).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
