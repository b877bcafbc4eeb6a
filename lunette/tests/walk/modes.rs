//! Who may read and write what the server makes, whatever the umask; a daemon has none.

use crate::rig::{Prefix, exchange, free_port, get, parse, until};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn mode(prefix: &Prefix, name: &str) -> u32 {
    let found = std::fs::metadata(prefix.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    found.permissions().mode() & 0o7777
}

const DIRECTORIES: [&str; 6] = ["client_body_temp", "proxy_temp", "fcgi", "uwsgi", "scgi", "bodies"];

#[test]
fn files_directories_and_sockets() {
    let prefix = Prefix::new();
    // Logs whose names have variables are opened by the workers.
    std::fs::set_permissions(prefix.path.join("logs"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (port, answers) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "error_log logs/error.log notice; worker_processes 1; events {{ }}
            http {{
                access_log logs/access.log;
                fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi 1; scgi_temp_path scgi;
                server {{
                    listen {port}; listen unix:{}/socket;
                    location / {{ access_log logs/of_$host.log; return 200 ok; }}
                    location /body {{
                        client_body_temp_path bodies 1; client_body_in_file_only on; proxy_pass http://127.0.0.1:{answers};
                    }}
                }}
                server {{ listen 127.0.0.1:{answers}; return 200 got; }}
            }}",
            prefix.path.display()
        ),
    );
    assert!(prefix.run(&[]).status.success());
    until("the pid file", || prefix.master() > 0);
    assert_eq!(get(port, "/").unwrap().text(), "ok");
    assert_eq!(parse(&exchange(port, b"POST /body HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").unwrap()).unwrap().text(), "got");
    for name in ["logs/nginx.pid", "logs/error.log", "logs/access.log", "logs/of_localhost.log"] {
        assert_eq!(mode(&prefix, name), 0o644, "{name}");
    }
    assert_eq!(mode(&prefix, "socket"), 0o666);
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let nobody = std::fs::read_to_string("/etc/passwd")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("nobody:")?.split(':').nth(1)?.parse().ok());
    let worker = if own == 0 { nobody.unwrap() } else { own };
    for name in DIRECTORIES {
        assert_eq!(mode(&prefix, name), 0o700, "{name}");
        assert_eq!(std::fs::metadata(prefix.path.join(name)).unwrap().uid(), worker, "{name}");
    }
    let level = std::fs::read_dir(prefix.path.join("bodies")).unwrap().next().unwrap().unwrap().path();
    let body = std::fs::read_dir(&level).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(&level).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::metadata(&body).unwrap().permissions().mode() & 0o7777, 0o600);
    for name in ["logs/error.log", "logs/access.log"] {
        std::fs::rename(prefix.path.join(name), prefix.path.join("logs/old")).unwrap();
        assert!(prefix.run(&["-s", "reopen"]).status.success());
        until("the new log", || prefix.path.join(name).exists());
        assert_eq!(mode(&prefix, name), 0o644, "{name} opened again");
    }
}
