//! The file of a view: a sequence of CBOR items, described in `docs/spec/view.md`.

use std::io::{self, Write};

use minicbor::{Decoder, Encoder};
use tandem_journal::{Excerpt, Hash, Head, Section, Shown};

use super::figures::Figures;

const MAGIC: &str = "tandem view";
const FORMAT: u16 = 1;

/// The first item: of what the view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Title {
    /// Name of the book.
    pub(super) book: String,
    /// Id of the party.
    pub(super) party: String,
    /// The last batch.
    pub(super) head: Head,
}

/// Writes a view, item by item.
pub(super) struct Writer<W> {
    out: W,
    check: blake3::Hasher,
    item: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, title: &Title) -> io::Result<Writer<W>> {
        let mut writer = Writer {
            out,
            check: blake3::Hasher::new(),
            item: Vec::new(),
        };
        writer.item(|e| {
            e.array(6)?.str(MAGIC)?.u16(FORMAT)?;
            e.str(&title.book)?.str(&title.party)?;
            e.u64(title.head.seq)?.bytes(&title.head.hash.0)?.ok()
        })?;
        Ok(writer)
    }

    pub(super) fn excerpt(&mut self, excerpt: &Excerpt) -> io::Result<()> {
        self.item(|e| {
            e.array(8)?.u64(excerpt.seq)?.bytes(&excerpt.hash.0)?;
            e.bytes(&excerpt.kinds)?.u8(excerpt.reader)?;
            let Section { salt, bytes } = &excerpt.section;
            e.array(2)?.bytes(salt)?.bytes(bytes)?;
            e.bytes(&joined(&excerpt.sections))?;
            e.array(excerpt.shown.len() as u64)?;
            for Shown { event, salt, bytes } in &excerpt.shown {
                e.array(3)?.u32(*event)?.bytes(salt)?.bytes(bytes)?;
            }
            e.bytes(&joined(&excerpt.proof))?.ok()
        })
    }

    pub(super) fn finish(mut self, figures: &Figures) -> io::Result<W> {
        self.item(|e| e.encode(figures)?.ok())?;
        let check = *self.check.finalize().as_bytes();
        self.item(|e| e.bytes(&check)?.ok())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn item(
        &mut self,
        encode: impl FnOnce(
            &mut Encoder<&mut Vec<u8>>,
        ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
    ) -> io::Result<()> {
        self.item.clear();
        encode(&mut Encoder::new(&mut self.item)).expect("encoding into memory cannot fail");
        self.check.update(&self.item);
        self.out.write_all(&self.item)
    }
}

/// Reads a view, item by item. The errors say what is wrong with the file.
pub(super) struct Reader<'a> {
    decoder: Decoder<'a>,
    pub(super) title: Title,
}

/// Length of the last item: a byte string of 32 bytes.
const CHECK: usize = 2 + 32;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Reader<'a>, String> {
        let title = Reader::title(&mut Decoder::new(bytes));
        let (magic, format) = title.map_err(|_| "this is not a view of Tandem".to_owned())?;
        if magic != MAGIC {
            return Err("this is not a view of Tandem".to_owned());
        }
        if format != FORMAT {
            return Err(format!(
                "the view has format {format}; this program reads format {FORMAT}"
            ));
        }
        let (items, check) = bytes.split_at(bytes.len().saturating_sub(CHECK));
        if check.get(..2) != Some(&[0x58, 32]) || check[2..] != *blake3::hash(items).as_bytes() {
            return Err(
                "the file was changed after it was written, or is cut short: its own check fails; \
                 ask for it again"
                    .to_owned(),
            );
        }
        let mut decoder = Decoder::new(items);
        let title = Reader::read_title(&mut decoder).map_err(malformed("the title"))?;
        Ok(Reader { decoder, title })
    }

    fn title(d: &mut Decoder<'a>) -> Result<(&'a str, u16), minicbor::decode::Error> {
        array(d, 6)?;
        Ok((d.str()?, d.u16()?))
    }

    fn read_title(d: &mut Decoder<'a>) -> Result<Title, minicbor::decode::Error> {
        Reader::title(d)?;
        let (book, party) = (d.str()?.to_owned(), d.str()?.to_owned());
        let head = Head {
            seq: d.u64()?,
            hash: hash(d)?,
        };
        Ok(Title { book, party, head })
    }

    /// The excerpt of the batch `seq`.
    pub(super) fn excerpt(&mut self, seq: u64) -> Result<Excerpt, String> {
        let d = &mut self.decoder;
        if matches!(d.probe().array(), Ok(Some(3))) {
            return Err(format!("batch {seq} is missing: the view ends before it"));
        }
        read_excerpt(d).map_err(malformed(&format!("batch {seq}")))
    }

    /// The figures, after which nothing may follow.
    pub(super) fn figures(&mut self) -> Result<Figures, String> {
        let figures = self.decoder.decode().map_err(malformed("the figures"))?;
        if self.decoder.position() < self.decoder.input().len() {
            return Err("something stands behind the figures".to_owned());
        }
        Ok(figures)
    }
}

fn malformed(what: &str) -> impl FnOnce(minicbor::decode::Error) -> String {
    move |error| format!("{what} cannot be read: {error}")
}

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn read_excerpt(d: &mut Decoder<'_>) -> Result<Excerpt, minicbor::decode::Error> {
    array(d, 8)?;
    let (seq, hash, kinds, reader) = (d.u64()?, hash(d)?, d.bytes()?.to_vec(), d.u8()?);
    array(d, 2)?;
    let section = Section {
        salt: fixed(d)?,
        bytes: d.bytes()?.to_vec(),
    };
    let sections = hashes(d)?;
    let mut shown = Vec::new();
    for _ in 0..list(d)? {
        array(d, 3)?;
        shown.push(Shown {
            event: d.u32()?,
            salt: fixed(d)?,
            bytes: d.bytes()?.to_vec(),
        });
    }
    Ok(Excerpt {
        seq,
        hash,
        kinds,
        reader,
        section,
        sections,
        shown,
        proof: hashes(d)?,
    })
}

fn hashes(d: &mut Decoder<'_>) -> Result<Vec<Hash>, minicbor::decode::Error> {
    let (hashes, rest) = d.bytes()?.as_chunks();
    match rest {
        [] => Ok(hashes.iter().map(|&hash| Hash(hash)).collect()),
        _ => Err(minicbor::decode::Error::message("a hash has 32 bytes")),
    }
}

/// Reads the head of an array with a known length.
fn array(d: &mut Decoder<'_>, length: u64) -> Result<(), minicbor::decode::Error> {
    match list(d)? {
        found if found == length => Ok(()),
        _ => Err(minicbor::decode::Error::message(
            "an array has another length",
        )),
    }
}

fn list(d: &mut Decoder<'_>) -> Result<u64, minicbor::decode::Error> {
    let open = || minicbor::decode::Error::message("an array states no length");
    d.array()?.ok_or_else(open)
}

fn hash(d: &mut Decoder<'_>) -> Result<Hash, minicbor::decode::Error> {
    fixed(d).map(Hash)
}

fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], minicbor::decode::Error> {
    let wrong = |_| minicbor::decode::Error::message("a byte string has another length");
    d.bytes()?.try_into().map_err(wrong)
}
