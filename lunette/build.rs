//! Packs the manual into the binary, and exports the C interface of Lua, and ours, to C modules and to code that uses the FFI.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    for symbols in ["lua_*", "luaL_*", "luaopen_*", "luaJIT_*", "ngx_*"] {
        println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={symbols}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../spec");
    let root = Path::new("../spec");
    let mut pages = Vec::new();
    find(root, &mut pages)?;
    pages.sort();
    let target = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("manual.deflate");
    let mut packed = DeflateEncoder::new(fs::File::create(target)?, Compression::best());
    for page in pages {
        let path = page.strip_prefix(root).unwrap_or(&page);
        let name = if is(&page, "md") { path.with_extension("") } else { path.to_owned() };
        // A byte that no text has parts the pages and plots: `manual::page` reads them.
        write!(packed, "\x01{}\n{}", name.display(), fs::read_to_string(&page)?)?;
    }
    packed.finish()?;
    Ok(())
}

fn find(directory: &Path, pages: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, pages)?;
        } else if is(&path, "md") || is(&path, "svg") {
            pages.push(path);
        }
    }
    Ok(())
}

fn is(path: &Path, kind: &str) -> bool {
    path.extension().is_some_and(|extension| extension == kind)
}
