//! Looks up keys in a BoltDB file (bbolt, file format 2).
//!
//! The file is a tree of pages. Page 0 and 1 are headers, written in turn; the valid one with the higher transaction holds.
//! Numbers are in the byte order of the machine. Whatever doesn't fit together is as if it weren't there.

/// What every file begins with, and its format.
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a page's header: id, flags, count of elements, overflow.
const PAGE_HEADER: usize = 16;
/// Bytes of the header of a bucket: its root page and a sequence.
const BUCKET_HEADER: usize = 16;
/// Bytes of an element of a page, branch or leaf.
const ELEMENT: usize = 16;
/// Bytes of the meta before its checksum.
const META: usize = 56;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// Levels of a tree: far more than a file of bounded size can have.
const MOST_LEVELS: usize = 32;
const SMALLEST_PAGE: usize = 512;

/// A file in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bolt<'a> {
    bytes: &'a [u8],
    page_size: usize,
    root: u64,
}

/// A bucket: where its first page is, or that page itself where the bucket is small.
#[derive(Clone, Copy)]
enum Bucket<'a> {
    At(u64),
    Inline(&'a [u8]),
}

impl<'a> Bolt<'a> {
    /// Reads the header; none where it is no BoltDB file.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let first = meta(bytes, 0);
        // The second header is at the page size that the first one tells, or at that of most machines.
        let page_size = first.map_or(4096, |(_, file)| file.page_size);
        let metas = first.into_iter().chain(meta(bytes, page_size));
        metas.max_by_key(|(transaction, _)| *transaction).map(|(_, file)| file)
    }

    /// The value of a key: the last one of `path`, in the buckets before it.
    pub(super) fn get(&self, path: &[&[u8]]) -> Option<&'a [u8]> {
        let (key, buckets) = path.split_last()?;
        let mut bucket = Bucket::At(self.root);
        for name in buckets {
            let (is_bucket, value) = self.find(bucket, name)?;
            let root = u64_at(value, 0).filter(|_| is_bucket)?;
            bucket = if root == 0 { Bucket::Inline(value.get(BUCKET_HEADER..)?) } else { Bucket::At(root) };
        }
        self.find(bucket, key).filter(|(is_bucket, _)| !is_bucket).map(|(_, value)| value)
    }

    /// The value of a key of one bucket, and whether it is a bucket.
    fn find(&self, bucket: Bucket<'a>, key: &[u8]) -> Option<(bool, &'a [u8])> {
        let mut page = match bucket {
            Bucket::Inline(page) => page,
            Bucket::At(number) => self.page(number)?,
        };
        for _ in 0..MOST_LEVELS {
            let (flags, count) = (u16_at(page, 8)?, usize::from(u16_at(page, 10)?));
            let elements = (0..count)
                .map_while(|index| page.get(PAGE_HEADER.checked_add(index.checked_mul(ELEMENT)?)?..));
            if flags & LEAF != 0 {
                return elements.into_iter().find_map(|element| leaf(element, key));
            }
            if flags & BRANCH == 0 {
                return None;
            }
            // The keys of a branch are the first ones of the pages below.
            let below = elements.filter_map(branch).take_while(|(first, _)| *first <= key).last()?;
            page = self.page(below.1)?;
        }
        None
    }

    /// A page with all after it, as one that overflows goes on there.
    fn page(&self, number: u64) -> Option<&'a [u8]> {
        self.bytes.get(usize::try_from(number).ok()?.checked_mul(self.page_size)?..)
    }
}

/// The transaction of a header and what it says.
fn meta(bytes: &[u8], at: usize) -> Option<(u64, Bolt<'_>)> {
    let meta = bytes.get(at.checked_add(PAGE_HEADER)?..)?;
    let page_size = usize::try_from(u32_at(meta, 8)?).ok()?;
    let is_valid = u32_at(meta, 0)? == MAGIC
        && u32_at(meta, 4)? == VERSION
        && page_size >= SMALLEST_PAGE
        && u64_at(meta, META)? == checksum(meta.get(..META)?);
    let (root, transaction) = (u64_at(meta, 16)?, u64_at(meta, 48)?);
    is_valid.then_some((transaction, Bolt { bytes, page_size, root }))
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The value of an element of a leaf if it has this key: flags, position, lengths of key and value.
fn leaf<'a>(element: &'a [u8], key: &[u8]) -> Option<(bool, &'a [u8])> {
    let (is_bucket, at) = (u32_at(element, 0)? & 1 == 1, size_at(element, 4)?);
    let middle = at.checked_add(size_at(element, 8)?)?;
    if element.get(at..middle)? != key {
        return None;
    }
    Some((is_bucket, element.get(middle..middle.checked_add(size_at(element, 12)?)?)?))
}

/// The first key of the page that an element of a branch leads to, and that page: position, length of the key, page.
fn branch(element: &[u8]) -> Option<(&[u8], u64)> {
    let at = size_at(element, 0)?;
    Some((element.get(at..at.checked_add(size_at(element, 4)?)?)?, u64_at(element, 8)?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}
