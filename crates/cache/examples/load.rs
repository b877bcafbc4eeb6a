//! Measures how long the loader needs for a directory of many files, and what a key takes in shared memory.
//!
//! ```text
//! cargo run --release -p lunette-cache --example load -- DIR [FILES]
//! ```
//!
//! With a number it first makes so many empty files there: the loader looks at names and sizes alone.

use cache::{FileStore, Index, Policy, key};
use shm::Zone;
use std::fs::{self, File};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else { return Err(std::io::Error::other("a directory is wanted")) };
    let shelf = FileStore { root: PathBuf::from(directory), levels: [1, 2, 0] };
    for number in 0..arguments.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) {
        let path = shelf.path(&key::digest(&number.to_le_bytes()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create(path)?;
    }
    let zone = Rc::new(Zone::new("keys", "cache", 128 << 20)?);
    let size = zone.size();
    let index = Index::new(zone, Policy::S3Fifo, 0);
    let began = Instant::now();
    let mut files = 0_u64;
    for (digest, path) in shelf.files() {
        let blocks = cache::file_store::blocks(&fs::symlink_metadata(path)?);
        files += u64::from(index.insert_loaded(&digest, blocks, 0));
    }
    // Nothing of this waits, so that the time is the processor's.
    println!("{files} files in {:.2} s, {:.1} bytes of zone each", began.elapsed().as_secs_f64(), size as f64 / index.capacity() as f64);
    Ok(())
}
