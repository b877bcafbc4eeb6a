//! The configuration that `resty` runs on, and the task of its worker.

use super::options::Options;
use crate::command_error::CommandError;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The text of `nginx.conf`.
///
/// # Errors
/// The current directory is gone, or a name holds what cannot be written into a configuration.
pub(super) fn text(options: &Options) -> Result<String, CommandError> {
    let here = std::env::current_dir().map_err(|error| format!("cannot find the current directory: {error}"))?;
    let here = here.to_str().ok_or("the current directory's name is not UTF-8")?;
    let mut out = String::from("daemon off;\nmaster_process off;\nworker_processes 1;\npid logs/nginx.pid;\n");
    line(&mut out, format_args!("error_log stderr {};", options.level.as_deref().unwrap_or("warn")));
    for (name, _) in std::env::vars_os() {
        // The code sees the environment that it was started in.
        if let Some(name) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')) {
            line(&mut out, format_args!("env {name};"));
        }
    }
    for path in &options.main_include {
        line(&mut out, format_args!("include {};", quoted(&absolute(here, path))?));
    }
    options.main_conf.iter().for_each(|conf| line(&mut out, format_args!("{conf}")));
    line(
        &mut out,
        format_args!(
            "events {{ worker_connections {}; }}\nhttp {{\naccess_log off;\nlua_socket_log_errors off;",
            options.connections.unwrap_or(64)
        ),
    );
    if let Some(servers) = name_servers(options) {
        line(&mut out, format_args!("resolver {servers}{};", if options.ipv6 { "" } else { " ipv6=off" }));
    }
    for dictionary in &options.dictionaries {
        line(&mut out, format_args!("lua_shared_dict {dictionary};"));
    }
    if !options.directories.is_empty() {
        let directories: Vec<String> = options.directories.iter().map(|directory| absolute(here, directory)).collect();
        let path: String = directories.iter().map(|d| format!("{d}/?.ljbc;{d}/?.lua;{d}/?/init.ljbc;{d}/?/init.lua;")).collect();
        let cpath: String = directories.iter().map(|d| format!("{d}/?.so;")).collect();
        line(&mut out, format_args!("lua_package_path {};\nlua_package_cpath {};", quoted(&(path + ";"))?, quoted(&(cpath + ";"))?));
    }
    for path in &options.http_include {
        line(&mut out, format_args!("include {};", quoted(&absolute(here, path))?));
    }
    options.http_conf.iter().for_each(|conf| line(&mut out, format_args!("{conf}")));
    out.push_str("init_worker_by_lua_file conf/boot.lua;\n}\n");
    Ok(out)
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

fn absolute(here: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{here}/{path}") }
}

/// A word of the configuration.
fn quoted(text: &str) -> Result<String, CommandError> {
    if text.contains(['"', '\\', '\n', '$']) {
        return Err(format!("this name cannot be used: {text}").into());
    }
    Ok(format!("\"{text}\""))
}

/// The servers of `--ns`, else those that the system asks.
fn name_servers(options: &Options) -> Option<String> {
    let given = options.name_servers.clone();
    let servers = if given.is_empty() { system_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()) } else { given };
    let servers: Vec<String> = servers.iter().map(|s| if s.contains("::") { format!("[{s}]") } else { s.clone() }).collect();
    (!servers.is_empty()).then(|| servers.join(" "))
}

/// What resolv.conf(5) names. Addresses with a scope mean nothing to the resolver.
fn system_servers(text: &str) -> Vec<String> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim);
    named.filter(|address| address.parse::<std::net::IpAddr>().is_ok()).map(str::to_owned).collect()
}

/// The task as a Lua file that returns a table.
pub(super) fn task(options: &Options) -> Vec<u8> {
    let mut out = b"return {\ninline = {".to_vec();
    options.inline.iter().for_each(|code| item(&mut out, code));
    out.extend_from_slice(b"},\nmodules = {");
    options.modules.iter().for_each(|name| item(&mut out, name.as_bytes()));
    out.extend_from_slice(b"},\nfile = ");
    text_or_nil(&mut out, options.file.as_ref().map(|file| file.as_bytes()));
    out.extend_from_slice(b",\nsource = ");
    text_or_nil(&mut out, options.source.as_deref());
    out.extend_from_slice(b",\narguments = {");
    options.arguments.iter().for_each(|argument| item(&mut out, argument.as_bytes()));
    out.extend_from_slice(b"},\n}\n");
    out
}

fn text_or_nil(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"nil"),
    }
}

fn item(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, bytes);
    out.extend_from_slice(b", ");
}

/// A Lua string of any bytes.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' => out.push(byte),
            other => out.extend_from_slice(format!("\\{other:03}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_system() {
        assert_eq!(system_servers("# x\nnameserver 10.0.0.1\nsearch a\n nameserver ::1 \nnameserver fe80::1%eth0\n"), ["10.0.0.1", "::1"]);
    }

    #[test]
    fn any_bytes_become_a_string() {
        let mut out = Vec::new();
        string(&mut out, b"a\"b\\\n\xff0");
        assert_eq!(out, br#""a\034b\092\010\2550""#);
    }
}
