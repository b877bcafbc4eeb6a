//! `image_filter`: images from files, upstreams and code, whole and in parts, and what becomes of those that are none.

use crate::rig::{Prefix, Response, exchange, free_port, get, h2, parse};
use crate::serve;
use image::{ImageFormat, RgbImage};
use std::io::Cursor;

/// An image whose file is larger than a buffer, because noise does not compress.
fn noise(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let pixels = RgbImage::from_fn(width, height, |_, _| image::Rgb([random(), random(), random()]));
    let mut data = Cursor::new(Vec::new());
    pixels.write_to(&mut data, format).unwrap();
    data.into_inner()
}

fn size(answer: &Response) -> (u32, u32) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let image = image::load_from_memory(&answer.body).unwrap();
    (image.width(), image.height())
}

fn server(prefix: &Prefix) -> u16 {
    let write = |name: &str, data: &[u8]| std::fs::write(prefix.path.join(name), data).unwrap();
    for (name, format) in [("a.jpg", ImageFormat::Jpeg), ("a.png", ImageFormat::Png), ("a.webp", ImageFormat::WebP)] {
        let mut data = noise(200, 100, format);
        write(&format!("html/{name}"), &data);
        data.truncate(data.len() / 2);
        write(&format!("html/cut-{name}"), &data);
    }
    prefix.write("html/a.txt", "this is no image at all");
    prefix.write("html/short", "x");
    prefix.write("html/none.txt", "none");
    let backend = free_port();
    serve(
        prefix,
        &format!("server {{ listen 127.0.0.1:{backend}; location / {{ root html; }} }}"),
        &format!(
            "http2 on; image_filter_buffer 300k;\n\
             location /resize/ {{ image_filter resize 50 -; alias html/; }}\n\
             location /proxied/ {{ image_filter resize 50 -; proxy_pass http://127.0.0.1:{backend}/; }}\n\
             location /unbuffered/ {{ image_filter resize 50 -; proxy_buffering off; proxy_buffer_size 1k; proxy_pass http://127.0.0.1:{backend}/; }}\n\
             location /lua/ {{ image_filter resize 50 -; content_by_lua_block {{\n\
                 local file = io.open('{}' .. ngx.var.uri:sub(5), 'rb') if not file then ngx.exit(404) end\n\
                 local data = file:read('*a') file:close()\n\
                 for at = 1, #data, 1000 do ngx.print(data:sub(at, at + 999)) ngx.flush(true) end }} }}\n\
             location /quality/ {{ image_filter resize $arg_w -; image_filter_jpeg_quality $arg_q; alias html/; }}\n\
             location /test/ {{ image_filter test; alias html/; }}\n\
             location /size/ {{ image_filter size; alias html/; }}\n\
             location /variable/ {{ image_filter crop $arg_w $arg_h; image_filter rotate $arg_r; alias html/; }}\n\
             location /small/ {{ image_filter_buffer 1k; image_filter test; alias html/; }}\n\
             location /small-proxied/ {{ image_filter_buffer 1k; image_filter rotate 90; proxy_buffering off; proxy_pass http://127.0.0.1:{backend}/; }}\n\
             location /instead/ {{ image_filter resize 50 -; error_page 404 415 = /none.txt; alias html/; }}\n\
             location = /none.txt {{ root html; }}",
            prefix.path.join("html").display()
        ),
    )
}

#[test]
fn images_of_all_origins_are_transformed() {
    let prefix = Prefix::new();
    let port = server(&prefix);
    for origin in ["resize", "proxied", "unbuffered", "lua"] {
        for name in ["a.jpg", "a.png", "a.webp"] {
            let path = format!("/{origin}/{name}");
            let answer = get(port, &path).unwrap();
            assert_eq!(size(&answer), (50, 25), "{path}");
            assert_eq!(answer.header("Content-Length"), Some(&*answer.body.len().to_string()), "{path}");
            assert_eq!(answer.header("Accept-Ranges"), None, "{path}");
            assert_eq!(size(&h2::exchange(port, &format!("GET {path} HTTP/2\nHost: x\n")).unwrap()), (50, 25), "{path}");
        }
    }
    let answer = get(port, "/test/a.png").unwrap();
    assert_eq!((size(&answer), answer.header("Content-Type")), ((200, 100), Some("image/png")));
    assert_eq!(get(port, "/size/a.webp").unwrap().text(), "{ \"img\" : { \"width\": 200, \"height\": 100, \"type\": \"webp\" } }\r\n");
    // What passes as it is needs no quality.
    assert_eq!(size(&get(port, "/quality/a.jpg?w=200&q=0").unwrap()), (200, 100));
    assert_eq!(size(&get(port, "/quality/a.jpg?w=100&q=300").unwrap()), (100, 50));
    assert_eq!(size(&get(port, "/variable/a.jpg?w=20&h=30&r=270").unwrap()), (20, 30));
}

#[test]
fn what_is_no_image_is_refused_and_the_connection_goes_on() {
    let prefix = Prefix::new();
    let port = server(&prefix);
    let refused = [
        "/resize/a.txt",
        "/resize/short",
        "/resize/missing",
        "/resize/cut-a.png",
        "/resize/cut-a.webp",
        "/proxied/a.txt",
        "/proxied/cut-a.webp",
        "/unbuffered/a.txt",
        "/lua/a.txt",
        "/lua/cut-a.png",
        "/test/a.txt",
        "/variable/a.png?w=x&h=1&r=90",
        "/variable/a.png?w=0&h=1&r=90",
        "/quality/a.jpg?w=50&q=0",
        "/quality/a.jpg?w=50&q=low",
        "/small/a.png",
        "/small-proxied/a.png",
    ];
    for path in refused {
        // A picture behind it on the same connection.
        let two = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /size/a.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let text = String::from_utf8(exchange(port, two.as_bytes()).unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 415 Unsupported Media Type\r\n"), "{path}: {text}");
        assert!(text.contains("<h1>415 Unsupported Media Type</h1>"), "{path}: {text}");
        if !path.starts_with("/unbuffered") && !path.starts_with("/small-proxied") {
            assert!(text.ends_with("{ \"img\" : { \"width\": 200, \"height\": 100, \"type\": \"png\" } }\r\n"), "{path}: {text}");
        }
        assert_eq!(h2::exchange(port, &format!("GET {path} HTTP/2\nHost: x\n")).unwrap().status, 415, "{path}");
    }
    for path in ["/instead/a.txt", "/instead/missing", "/instead/cut-a.png"] {
        let answer = get(port, path).unwrap();
        assert_eq!((answer.status, &*answer.text()), (200, "none"), "{path}");
    }
    for path in ["/size/a.txt", "/size/short"] {
        assert_eq!(get(port, path).unwrap().text(), "{}\r\n", "{path}");
    }
    let log = prefix.read("logs/error.log");
    assert!(log.contains("image filter: too big response: "), "{log}");
    assert!(log.contains("image filter: png image: "), "{log}");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}

#[test]
fn a_head_is_that_of_the_transformed_image() {
    let prefix = Prefix::new();
    let port = server(&prefix);
    let head = |path: &str| {
        parse(&exchange(port, format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap()).unwrap()
    };
    let answer = head("/test/a.jpg");
    assert_eq!((answer.status, answer.header("Content-Type"), answer.body.len()), (200, Some("image/jpeg"), 0));
    let whole = get(port, "/resize/a.jpg").unwrap();
    let answer = head("/resize/a.jpg");
    assert_eq!((answer.header("Content-Length"), answer.header("ETag")), (whole.header("Content-Length"), whole.header("ETag")));
    assert!(whole.header("ETag").unwrap().starts_with("W/"));
}
