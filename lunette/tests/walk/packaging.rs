//! What the package brings along, without building it.

use crate::rig::{BINARY, Foreground, Prefix, free_port, get};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

fn text(name: &str) -> String {
    fs::read_to_string(packaging().join(name)).unwrap()
}

/// The package's files in a prefix, its paths in place of those of the system.
fn installed(port: u16) -> Prefix {
    let prefix = Prefix::new();
    let home = prefix.path.display().to_string();
    let moved = |text: String| {
        text.replace("/var/log/lunette", &format!("{home}/logs"))
            .replace("/var/lib/lunette", &home)
            .replace("listen 80 ", &format!("listen 127.0.0.1:{port} "))
            .replace("    listen [::]:80 default_server;\n", "")
    };
    for entry in fs::read_dir(packaging().join("conf")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if name.ends_with(".d") {
            prefix.write("conf/conf.d/default.conf", &moved(text("conf/conf.d/default.conf")));
        } else {
            prefix.write(&format!("conf/{name}"), &moved(text(&format!("conf/{name}"))));
        }
    }
    prefix.write("html/index.html", &text("html/index.html"));
    prefix
}

#[test]
fn the_site_of_the_package_answers() {
    let port = free_port();
    let prefix = installed(port);
    let mut site = String::from("server {\n    listen 127.0.0.1:1;\n");
    for (name, pass) in [("fastcgi", "fastcgi_pass"), ("uwsgi", "uwsgi_pass"), ("scgi", "scgi_pass")] {
        site += &format!("    location /{name} {{ include {name}_params; {pass} 127.0.0.1:9; }}\n");
    }
    prefix.write(
        "conf/conf.d/gateways.conf",
        &format!("{site}    location /php {{ include fastcgi.conf; fastcgi_pass 127.0.0.1:9; }}\n}}\n"),
    );
    let output = prefix.run(&["-t", "-q"]);
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(0)));
    prefix.write("conf/conf.d/gateways.conf", "");
    let _server = Foreground::start(&prefix, port, "daemon off; master_process off;").unwrap();
    let answer = get(port, "/").unwrap();
    assert!(answer.status == 200 && answer.header("Content-Type") == Some("text/html") && answer.text().contains("Lunette answers"));
}

/// The man page and the completions name the options that `-h` shows, and the second commands.
#[test]
fn every_option_is_in_the_man_page_and_the_completions() {
    let help = Command::new(BINARY).arg("-h").output().unwrap();
    let help = String::from_utf8_lossy(&help.stderr).into_owned();
    let options: Vec<char> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  -").filter(|rest| !rest.starts_with('-')))
        .flat_map(|line| {
            line.split([' ', ':']).next().unwrap_or_default().split(",-").filter_map(|option| option.chars().next()).collect::<Vec<_>>()
        })
        .collect();
    assert!(options.len() >= 11, "{help}");
    let long = help.lines().filter_map(|line| line.strip_prefix("  --")?.split(' ').next());
    let long: Vec<_> = long.flat_map(|option| option.split('=')).collect();
    assert!(!long.is_empty(), "{help}");
    let man = text("lunette.8");
    let (bash, zsh, fish) = (text("completions/lunette.bash"), text("completions/_lunette"), text("completions/lunette.fish"));
    for part in long {
        assert!([&man, &bash, &zsh, &fish].iter().all(|text| text.contains(part)), "{part}");
    }
    for option in options {
        assert!(man.contains(&format!("\\-{option}")), "man page: -{option}");
        assert!(bash.contains(&format!("-{option} ")) || bash.contains(&format!("-{option}\"")), "bash: -{option}");
        assert!(
            zsh.contains(&format!("'-{option}[")) || zsh.contains(&format!("-{option},")) || zsh.contains(&format!(",-{option}}}")),
            "zsh: -{option}"
        );
        assert!(fish.contains(&format!("-o {option} ")) || fish.contains(&format!("-o '{option}' ")), "fish: -{option}");
    }
    for command in ["help", "resty", "top"] {
        assert!([&man, &bash, &zsh, &fish].iter().all(|text| text.contains(command)), "{command}");
    }
}

#[test]
fn a_reload_of_the_unit_checks_first() {
    let unit = text("lunette.service");
    let reloads: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
    assert_eq!(reloads, ["/usr/sbin/lunette -t -q", "/usr/sbin/lunette -s reload"]);
}
