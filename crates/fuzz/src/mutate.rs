//! Changing bytes at random, from a seed.

use std::ops::Range;

/// Numbers at the ends of what programs hold, as people write them.
const EXTREMES: [&str; 10] = [
    "0",
    "-1",
    "127",
    "65536",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "0.000000000000000000001",
    "99999999999999999999999999999999999999999",
];

/// The longest input; longer ones find little more and take long.
const LONGEST: usize = 64 * 1024;

/// A generator of numbers (SplitMix64): small, and the same everywhere.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; zero if there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A piece of `len` bytes: short ones are more likely.
    fn range(&mut self, len: usize) -> Range<usize> {
        let start = self.below(len);
        let longest = 1 << self.below(9);
        let end = start + self.below(longest + 1);
        start..end.min(len)
    }
}

/// One of the seeds, changed in one to eight places.
pub(crate) fn mutate(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = chance.pick(seeds).clone();
    for _ in 0..=chance.below(8) {
        change(&mut bytes, seeds, chance);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(bytes.len());
    match chance.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = chance.next() as u8;
            }
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(chance.range(bytes.len()))),
        // A piece stands twice, or somewhere else.
        4 => {
            let piece = bytes[chance.range(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        // A piece of another seed, between or instead.
        5 => {
            let other = chance.pick(seeds);
            let piece = other[chance.range(other.len())].to_vec();
            let end = if chance.below(2) == 0 {
                at
            } else {
                bytes.len().min(at + piece.len())
            };
            bytes.splice(at..end, piece);
        }
        6 => {
            let number = number_from(bytes, at);
            bytes.splice(number, chance.pick(&EXTREMES).bytes());
        }
        // A number in CBOR: a head with four or eight bytes behind it.
        7 => {
            let ends = [0, 1, 0x7fff_ffff_ffff_ffff, u64::MAX, 1 << 32, 1 << 53];
            let mut number = vec![*chance.pick(&[0x1a, 0x1b, 0x3a, 0x3b])];
            let value = *chance.pick(&ends);
            match number[0] & 1 {
                0 => number.extend((value as u32).to_be_bytes()),
                _ => number.extend(value.to_be_bytes()),
            }
            let end = bytes.len().min(at + 1);
            bytes.splice(at..end, number);
        }
        // A word or a line stands twice.
        8 => {
            let separator = *chance.pick(b"\n ,=\".");
            let piece = |from: usize| {
                let rest = &bytes[from..];
                let end = rest.iter().skip(1).position(|byte| *byte == separator);
                rest[..end.map_or(rest.len(), |end| end + 1)].to_vec()
            };
            let piece = piece(at);
            bytes.splice(at..at, piece);
        }
        _ => {
            let piece: Vec<u8> = (0..chance.below(9)).map(|_| chance.next() as u8).collect();
            bytes.splice(at..at, piece);
        }
    }
}

/// The first run of digits after a place.
fn number_from(bytes: &[u8], at: usize) -> Range<usize> {
    let digit = |byte: &u8| byte.is_ascii_digit();
    let start = bytes[at..].iter().position(digit);
    let start = start.map_or(bytes.len(), |start| at + start);
    let len = bytes[start..].iter().take_while(|byte| digit(byte)).count();
    start..start + len
}
