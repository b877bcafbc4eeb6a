//! The invariants that the fuzz targets and the smoke test assert about any bytes.
//!
//! They panic when an invariant breaks; nothing that ships calls them.
#![allow(clippy::panic)]

use crate::image_filter::codec::{self, Encoding};
use crate::image_filter::format::{Facts, Format};
use crate::image_filter::geometry::{Bounds, Size};
use crate::image_filter::transform::{Operation, Plan, Rotation};
use crate::keyval::pairs::{Kind, Pairs};
use crate::variables::request::cookie;
use conf::include::Text;
use shm::Zone;
use std::path::Path;

/// Larger images would only take time.
const MOST_PIXELS: u64 = 1 << 14;

/// Pairs from any file of a zone are the same once they have been written and read again, whatever their keys mean.
pub fn keyval_state(data: &[u8]) {
    for kind in [Kind::Text, Kind::Ip, Kind::Prefix] {
        let Some(pairs) = pairs(kind) else { return };
        // What stands in front of a wrong line has been stored.
        let _ = pairs.take_lines(Text(data.to_vec()), Path::new("state"));
        let all = pairs.all();
        for pair in &all {
            assert_eq!(pairs.get(&pair.key).as_ref(), Some(&pair.value));
            assert!(kind == Kind::Ip || pairs.look_up(pair.key.as_bytes(), &mut Vec::new()));
        }
        let Some(again) = self::pairs(kind) else { return };
        let read = again.take_lines(Text(pairs.lines().into_bytes()), Path::new("state"));
        assert!(read.is_ok(), "{read:?}");
        let texts = |pairs: &Pairs| pairs.all().into_iter().map(|pair| (pair.key, pair.value)).collect::<Vec<_>>();
        // A pair may end in between.
        assert!(texts(&again).iter().all(|pair| all.iter().any(|known| (&known.key, &known.value) == (&pair.0, &pair.1))));
    }
}

fn pairs(kind: Kind) -> Option<Pairs> {
    let zone = Zone::new("z", "keyval", shm::zone::MIN_SIZE).ok()?;
    Some(Pairs::new(&zone, kind, None, None))
}

/// The first line names a cookie, the rest is a `Cookie` line: what is found stands behind the name in one of its parts.
pub fn cookies(data: &[u8]) {
    let (name, line) = data.iter().position(|byte| *byte == b'\n').and_then(|at| data.split_at_checked(at)).unwrap_or((data, data));
    let Some(value) = cookie(line, name) else { return };
    assert!(!value.starts_with(b" ") && (name.contains(&b';') || !value.contains(&b';')));
    let alone = [name, b"=", value].concat();
    assert_eq!(cookie(&alone, name), Some(value));
}

/// Any image is refused, or becomes one of the size asked for that can be read again.
pub fn image(data: &[u8]) {
    let Some(format) = Format::detect(data) else { return };
    let Some(facts) = format.facts(data).filter(|facts| pixels(*facts) <= MOST_PIXELS) else { return };
    let Ok(picture) = codec::decode(format, data) else { return };
    // Some formats say the size more than once.
    if u64::from(picture.pixels.width()) * u64::from(picture.pixels.height()) > MOST_PIXELS {
        return;
    }
    let size = Size { width: picture.pixels.width(), height: picture.pixels.height() };
    let bounds = Bounds { width: 9, height: 7 };
    for (operation, rotation) in
        [(Operation::Resize(bounds), Rotation::None), (Operation::Crop(bounds), Rotation::Left), (Operation::Rotate, Rotation::UpsideDown)]
    {
        let encoding = Encoding { format, quality: Some(75), interlace: true };
        let plan = Plan { operation, rotation, sharpen: 50, transparency: facts.width % 2 == 0, encoding };
        let made = plan.run(data);
        let Ok(made) = made else { panic!("an image that was read cannot be written: {:?}", made.err()) };
        let again = match codec::decode(format, &made) {
            Ok(again) => again,
            Err(error) => panic!("an image of our own cannot be read: {format:?}, {operation:?}, {error}"),
        };
        let (width, height) = again.pixels.dimensions();
        match operation {
            Operation::Rotate => assert_eq!((width, height), (size.width, size.height)),
            Operation::Resize(bounds) | Operation::Crop(bounds) => {
                assert!(Size { width, height }.fits(bounds));
            }
        }
    }
}

fn pixels(facts: Facts) -> u64 {
    u64::from(facts.width) * u64::from(facts.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_filter::codec::Picture;
    use image::{Rgba, RgbaImage};

    fn images() -> Vec<Vec<u8>> {
        let write = |format| {
            let pixels = RgbaImage::from_fn(13, 5, |x, y| Rgba([x as u8 * 19, y as u8 * 50, 99, if x == 3 { 0 } else { 255 }]));
            codec::encode(Picture { pixels, has_palette: false }, Encoding { format, quality: Some(80), interlace: false }).unwrap()
        };
        [Format::Jpeg, Format::Gif, Format::Png, Format::WebP].map(write).into()
    }

    /// A bounded stand-in for machines without a fuzzer.
    #[test]
    fn smoke() {
        let mut seeds: Vec<(Vec<u8>, fn(&[u8]), usize)> = vec![
            (b"pair 10.0.0.0/8 \"a b\";\npair ::1 x 99999999999999;\npair key 'v\\n';".to_vec(), super::keyval_state, 300),
            (b"name\na=1; name = x y; NAME=2;name".to_vec(), super::cookies, 20_000),
        ];
        seeds.extend(images().into_iter().map(|image| (image, super::image as fn(&[u8]), 150)));
        for (seed, check, rounds) in seeds {
            base::mutation::fuzz(&[seed], b"", rounds, check);
        }
    }
}
