//! The table as bars.

use crate::Row;
use std::fmt::Write;

const WIDTH: usize = 760;
const LEFT: usize = 210;
const BAR: usize = 9;
const GROUP: usize = 30;
const TOP: usize = 44;

/// An SVG picture: for each load and size two bars, object hit rates of S3-FIFO and LRU.
pub(crate) fn svg(rows: &[Row]) -> String {
    let height = TOP + rows.len() * GROUP + 30;
    let scale = |share: f64| share * (WIDTH - LEFT - 70) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\">Object hit rates by size of the cache, as a part of all bytes asked for</text>\n"
    );
    for (at, (name, colour)) in [("S3-FIFO", "#1f77b4"), ("LRU", "#bbbbbb")].into_iter().enumerate() {
        let x = LEFT + at * 90;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"29\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"38\">{name}</text>",
            x + 15
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + at * GROUP + 6;
        let _ =
            writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}, {:.0} %</text>", LEFT - 8, y + 13, row.load, 100.0 * row.part);
        for (line, (rate, colour)) in [(row.s3fifo.objects, "#1f77b4"), (row.lru.objects, "#bbbbbb")].into_iter().enumerate() {
            let top = y + line * (BAR + 1);
            let width = scale(rate);
            let _ = writeln!(out, "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>");
            let end = LEFT as f64 + width + 5.0;
            let _ = writeln!(out, "<text x=\"{end:.1}\" y=\"{}\" font-size=\"10\">{:.1} %</text>", top + BAR, 100.0 * rate);
        }
    }
    out.push_str("</svg>\n");
    out
}
