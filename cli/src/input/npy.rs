//! Reading NumPy's `.npy` files.
//!
//! By hand, because the header comes from strangers: the crates for the format parse it as any
//! Python literal and trust its extents, so that a hostile one overflows a product, the stack or
//! the memory. Here it is the one dictionary that the format defines (NEP 1), and every number in
//! it is checked against the file's length first.

use super::array::{Array, AxisOrder, byte_count};
use super::contents::{ByteOrder, Contents, ElementType, Stored};
use super::file::open;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Before the header's text: magic, version, and the text's length in 2 bytes (version 1) or 4.
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// NumPy's own limit for the header of a file that is not trusted.
const MOST_HEADER_BYTES: u64 = 10_000;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
struct Header<'a> {
    /// The byte order, then the element type.
    descr: &'a str,
    order: AxisOrder,
    shape: Vec<usize>,
}

/// Reads the file's array.
pub(super) fn read<C: Contents>(path: &Path) -> Result<Array<C>> {
    let (mut file, length) = open(path)?;
    let (text, data_start) = read_header_text(&mut file, length)?;
    let Header { descr, order, shape } =
        parse_header(&text).with_context(|| format!("header {:?}", text.trim()))?;
    let (element, byte_order) = element_type::<C>(descr)?;
    let bytes = byte_count(&shape, element.size)?;
    let found = length - data_start;
    ensure!(
        found == bytes as u64,
        "expected {bytes} bytes of data for shape {shape:?}, found {found}"
    );
    let contents = (element.read)(Stored { file: &mut file, bytes, byte_order })?;
    Ok(Array::new(contents, shape, order))
}

/// The element type of a name such as `<f4`, and its byte order; single bytes have `|` for it.
fn element_type<C: Contents>(descr: &str) -> Result<(&'static ElementType<C>, ByteOrder)> {
    let find = || {
        let (order, name) = descr.split_at_checked(1)?;
        let element = C::TYPES.iter().find(|element| element.npy == Some(name))?;
        match order {
            "<" => Some((element, ByteOrder::Little)),
            ">" => Some((element, ByteOrder::Big)),
            "|" if element.size == 1 => Some((element, ByteOrder::Little)),
            _ => None,
        }
    };
    find().with_context(|| {
        let names = C::TYPES.iter().filter_map(|element| {
            let order = if element.size == 1 { '|' } else { '<' };
            element.npy.map(|npy| format!("{} ('{order}{npy}')", element.name))
        });
        let names = names.collect::<Vec<_>>().join(" or ");
        format!("expected {names}, found '{descr}'{}", hint(descr))
    })
}

/// What NumPy calls a type that it does not know.
fn hint(descr: &str) -> &'static str {
    match descr {
        "<V2" | "|V2" => " (bf16? .npy has no name for it: save f32, or .safetensors)",
        _ => "",
    }
}

/// The header's text, and where the data start.
fn read_header_text(file: &mut File, length: u64) -> Result<(String, u64)> {
    let mut start = [0; 8];
    file.read_exact(&mut start).context("expected a .npy file, found less than its magic")?;
    ensure!(start.starts_with(MAGIC), "expected a .npy file, found another magic");
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => bail!("expected .npy version 1, 2 or 3, found {version}"),
    };
    let mut size = [0; 4];
    file.read_exact(&mut size[..width]).context("the file ends inside its header")?;
    let size = u64::from(u32::from_le_bytes(size));
    let text_start = (start.len() + width) as u64;
    let most = MOST_HEADER_BYTES.min(length.saturating_sub(text_start));
    ensure!(size <= most, "expected a header of at most {most} bytes, found one of {size}");
    let mut text = vec![0; size as usize];
    file.read_exact(&mut text)?;
    let text = String::from_utf8(text).context("the header is not text")?;
    Ok((text, text_start + size))
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, keys in any order.
fn parse_header(text: &str) -> Result<Header<'_>> {
    let (mut descr, mut order, mut shape) = (None, None, None);
    let mut literal = Literal { rest: text };
    literal.expect("{")?;
    while !literal.eat("}") {
        let key = literal.string()?;
        literal.expect(":")?;
        match key {
            "descr" => descr = Some(literal.descr()?),
            "fortran_order" => order = Some(literal.axis_order()?),
            "shape" => shape = Some(literal.shape()?),
            _ => bail!("expected descr, fortran_order and shape, found {key:?}"),
        }
        if !literal.eat(",") {
            literal.expect("}")?;
            break;
        }
    }
    ensure!(literal.rest.trim().is_empty(), "expected nothing after the dictionary");
    Ok(Header {
        descr: descr.context("expected descr")?,
        order: order.context("expected fortran_order")?,
        shape: shape.context("expected shape")?,
    })
}

/// What is left of a Python literal.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    /// Steps over a word if it comes next.
    fn eat(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        ensure!(self.eat(word), "expected {word} at {:?}", self.rest.trim());
        Ok(())
    }

    /// A string without escapes; no header of numbers needs one.
    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.eat("\"") { '"' } else { '\'' };
        if quote == '\'' {
            self.expect("'")?;
        }
        let (string, rest) = self.rest.split_once(quote).context("expected a closing quote")?;
        self.rest = rest;
        Ok(string)
    }

    fn descr(&mut self) -> Result<&'a str> {
        let found = self.rest.trim();
        self.string().with_context(|| format!("expected one element type, found {found:?}"))
    }

    fn axis_order(&mut self) -> Result<AxisOrder> {
        if self.eat("True") {
            return Ok(AxisOrder::Fortran);
        }
        self.expect("False").map(|()| AxisOrder::C)
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.eat(")") {
            shape.push(self.extent()?);
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }

    /// A number; Python 2 wrote an `L` behind it.
    fn extent(&mut self) -> Result<usize> {
        let text = self.rest.trim_start();
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        let extent = digits.parse().with_context(|| format!("expected an extent at {text:?}"))?;
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        Ok(extent)
    }
}
