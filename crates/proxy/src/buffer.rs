//! A response that is ahead of its client: in memory up to `*_buffers`, then in a file.

use crate::settings::Plan;
use base::errno;
use base::log::Level;
use bytes::Bytes;
use http::body::TempFile;
use http::core::TempPath;
use http::{FilePiece, Piece, Request, log_request};
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that wait for the client, in order: those in the file first, then those in memory.
#[derive(Default)]
pub struct ResponseBuffer {
    memory: Vec<u8>,
    file: Option<TempFile>,
    read: u64,
    write: u64,
    /// The disk refused: memory must do.
    broken: bool,
}

impl ResponseBuffer {
    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.read == self.write
    }

    /// Whether more may be read from the upstream.
    #[must_use]
    pub fn has_room(&self, plan: &Plan) -> bool {
        self.memory.len() < plan.memory || self.can_spill(plan)
    }

    fn can_spill(&self, plan: &Plan) -> bool {
        plan.max_file != 0 && !self.broken && self.write.saturating_add(self.memory.len() as u64) <= plan.max_file
    }

    /// Appends bytes; what memory cannot hold goes to the file.
    pub fn push(&mut self, request: &Request, plan: &Plan, data: &[u8]) {
        if self.memory.len() + data.len() > plan.memory
            && self.can_spill(plan)
            && let Err(error) = self.spill(request, plan)
        {
            // Slower, but the response stays whole: the client's pace is the upstream's now.
            self.broken = true;
            log_request!(request, Level::Crit, "writing an upstream response to a temporary file failed {}", errno::describe(&error));
        }
        self.memory.extend_from_slice(data);
    }

    fn spill(&mut self, request: &Request, plan: &Plan) -> io::Result<()> {
        if self.memory.is_empty() {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => create(request, plan)?,
        };
        let result = file.file.write_all_at(&self.memory, self.write);
        self.file = Some(file);
        result?;
        self.write += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// The next bytes, at most about `max` of the file at a time.
    pub fn take(&mut self, max: u64) -> Option<Piece> {
        if self.read < self.write
            && let Some(file) = &self.file
        {
            let start = self.read;
            self.read = self.write.min(start.saturating_add(max.max(4096)));
            return Some(Piece::File(FilePiece { file: file.file.clone(), start, end: self.read }));
        }
        if self.memory.is_empty() {
            return None;
        }
        Some(Piece::Bytes(Bytes::from(std::mem::take(&mut self.memory))))
    }
}

fn create(request: &Request, plan: &Plan) -> io::Result<TempFile> {
    let paths = &request.http.paths;
    let place = match &plan.temp_path {
        Some(given) => given.clone(),
        None => TempPath { path: paths.prefix.join("proxy_temp"), levels: [1, 2, 0] },
    };
    let file = TempFile::create(&place)?;
    log_request!(request, Level::Warn, "an upstream response is buffered to a temporary file {}", file.path.display());
    Ok(file)
}
