//! Numbers in few bytes: how a book keeps its loans in memory, what it hashes of them, and what
//! a snapshot holds.
//!
//! A number is written with its sign in the lowest bit, seven bits a byte, the lowest first. Of a
//! row of numbers that are mostly zero only the others are written, behind a mask that says
//! which they are. `docs/spec/snapshot.md` describes the bytes.

use std::convert::Infallible;

use thiserror::Error;

/// Bytes that nothing was packed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are damaged")]
pub struct Damaged;

/// Where bytes are appended.
pub trait Sink {
    /// Appends a byte.
    fn push(&mut self, byte: u8);
}

impl Sink for Vec<u8> {
    #[inline]
    fn push(&mut self, byte: u8) {
        Vec::push(self, byte);
    }
}

impl<A: smallvec::Array<Item = u8>> Sink for smallvec::SmallVec<A> {
    #[inline]
    fn push(&mut self, byte: u8) {
        smallvec::SmallVec::push(self, byte);
    }
}

/// What CBOR is appended to. Most of what is written has a byte or two, for which the writer that
/// minicbor has for lists of bytes makes two calls each.
pub struct Cbor<'a>(pub &'a mut Vec<u8>);

impl minicbor::encode::Write for Cbor<'_> {
    type Error = Infallible;

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends a number.
#[inline]
pub fn put(out: &mut impl Sink, number: i64) {
    put_bits(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends a number that may need more than 64 bits.
pub fn put_wide(out: &mut Vec<u8>, number: i128) {
    let mut bits = ((number << 1) ^ (number >> 127)) as u128;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

#[inline]
fn put_bits(out: &mut impl Sink, mut bits: u64) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Appends a row of at most 64 numbers.
pub fn put_row<const N: usize>(out: &mut impl Sink, row: [i64; N]) {
    const { assert!(N <= 64) };
    let mut mask = 0;
    for (place, &number) in row.iter().enumerate() {
        mask |= u64::from(number != 0) << place;
    }
    put_bits(out, mask);
    while mask != 0 {
        put(out, row[mask.trailing_zeros() as usize]);
        mask &= mask - 1;
    }
}

/// Appends bytes behind their number.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// A number that may be missing, as a number: missing is zero.
pub fn optional(number: Option<i64>) -> i64 {
    number.map_or(0, |number| if number < 0 { number } else { number + 1 })
}

/// What [`optional`] was given.
pub fn or_missing(number: i64) -> Option<i64> {
    match number {
        0 => None,
        number if number < 0 => Some(number),
        number => Some(number - 1),
    }
}

/// Reads what was packed, from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What is left.
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next number.
    #[inline]
    pub fn number(&mut self) -> Result<i64, Damaged> {
        let bits = self.bits()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// The next number, which may need more than 64 bits.
    pub fn wide(&mut self) -> Result<i128, Damaged> {
        let mut bits = 0u128;
        for place in 0..19 {
            let byte = self.byte()?;
            bits |= u128::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok((bits >> 1) as i128 ^ -((bits & 1) as i128));
            }
        }
        Err(Damaged)
    }

    /// The next number, in a smaller type.
    pub fn small<T: TryFrom<i64>>(&mut self) -> Result<T, Damaged> {
        small(self.number()?)
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (&byte, rest) = self.bytes.split_first().ok_or(Damaged)?;
        self.bytes = rest;
        Ok(byte)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next bytes, behind their number.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Damaged> {
        let count = self.small()?;
        self.take(count)
    }

    /// The next row of numbers.
    pub fn row<const N: usize>(&mut self) -> Result<[i64; N], Damaged> {
        let mut mask = self.bits()?;
        let mut row = [0; N];
        while mask != 0 {
            let place = mask.trailing_zeros() as usize;
            *row.get_mut(place).ok_or(Damaged)? = self.number()?;
            mask &= mask - 1;
        }
        Ok(row)
    }

    /// One number of the next row.
    pub fn of_row(mut self, place: u32) -> Result<i64, Damaged> {
        let mask = self.bits()?;
        if mask >> place & 1 == 0 {
            return Ok(0);
        }
        for _ in 0..(mask & ((1 << place) - 1)).count_ones() {
            while self.byte()? & 0x80 != 0 {}
        }
        self.number()
    }

    /// As many items as the next number says.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Damaged> {
        let count: usize = self.small()?;
        (0..count).map(|_| item(self)).collect()
    }

    #[inline]
    fn bits(&mut self) -> Result<u64, Damaged> {
        let (mut bits, mut place) = (0, 0);
        while place < 64 {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7f) << place;
            if byte & 0x80 == 0 {
                return Ok(bits);
            }
            place += 7;
        }
        Err(Damaged)
    }
}

/// A number in a smaller type.
pub fn small<T: TryFrom<i64>>(number: i64) -> Result<T, Damaged> {
    T::try_from(number).map_err(|_| Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn what_is_packed_is_read_again(
            number in any::<i64>(),
            wide in any::<i128>(),
            row in any::<[i64; 5]>(),
            zeros in any::<[bool; 5]>(),
            text in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut row = row;
            for (number, zero) in row.iter_mut().zip(zeros) {
                *number *= i64::from(!zero);
            }
            let (mut out, mut packed) = (Vec::new(), Vec::new());
            put_row(&mut packed, row);
            put(&mut out, number);
            put_wide(&mut out, wide);
            put_row(&mut out, row);
            put_bytes(&mut out, &text);
            let mut reader = Reader { bytes: &out };
            prop_assert_eq!(reader.number(), Ok(number));
            prop_assert_eq!(reader.wide(), Ok(wide));
            prop_assert_eq!(reader.row(), Ok(row));
            prop_assert_eq!(reader.prefixed(), Ok(text.as_slice()));
            prop_assert!(reader.bytes.is_empty());
            for (place, number) in (0..).zip(row) {
                prop_assert_eq!(Reader { bytes: &packed }.of_row(place), Ok(number));
            }
            // Whatever is read of anything, it is read without a fault.
            let mut reader = Reader { bytes: &text };
            let _ = (reader.row::<5>(), reader.wide(), reader.prefixed(), reader.number());
        }

        #[test]
        fn a_missing_number_is_told_from_zero(number in prop::option::of(-1_000i64..1_000)) {
            prop_assert_eq!(or_missing(optional(number)), number);
        }
    }

    #[test]
    fn numbers_have_their_documented_bytes() {
        let mut out = Vec::new();
        for number in [0, -1, 1, 63, 64, i64::MIN] {
            put(&mut out, number);
        }
        put_row(&mut out, [0, 5, 0, -2]);
        let expected = [
            &[0, 1, 2, 126, 0x80, 1][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0b1010, 10, 3],
        ];
        assert_eq!(out, expected.concat());
    }
}
