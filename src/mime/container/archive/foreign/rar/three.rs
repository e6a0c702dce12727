//! What RAR 2.9 to 4 pack: prefix codes and matches, or PPMd, with stock filters over what came out.

use std::io::{Cursor as Reader, Read as _};

use ppmd_rust::Ppmd7aDecoder;

use super::super::ask_for_model;
use super::super::bits::{Bits, Code, History};
use super::filters::{Filter, Kind, apply};
use super::five::read_short_lengths;
use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::unpack::Unpacked;

const LITERALS: usize = 299;
const DISTANCES: usize = 60;
const LOW_DISTANCES: usize = 17;
const REPEATS: usize = 28;
const TOTAL: usize = LITERALS + DISTANCES + LOW_DISTANCES + REPEATS;

/// Filters of one file, and programs they are made of.
const FILTERS_MAX: usize = 8192;
const PROGRAMS_MAX: usize = 1024;

/// Memory that a file may make PPMd reserve.
const PPMD_MEGABYTES_MAX: u32 = 64;

/// Base of each length, and the bits that are added to it.
const LENGTH_BITS: [(usize, u32); REPEATS] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 1),
    (10, 1),
    (12, 1),
    (14, 1),
    (16, 2),
    (20, 2),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 3),
    (56, 3),
    (64, 4),
    (80, 4),
    (96, 4),
    (112, 4),
    (128, 5),
    (160, 5),
    (192, 5),
    (224, 5),
];

const SHORT_DISTANCE_BITS: [(usize, u32); 8] =
    [(0, 2), (4, 2), (8, 3), (16, 4), (32, 5), (64, 6), (128, 6), (192, 6)];

#[derive(Debug, Default)]
struct Tables {
    literals: Code,
    distances: Code,
    low: Code,
    repeats: Code,
}

/// A filter's program, as far as it is known, and the length it was last used for.
#[derive(Debug, Clone, Copy)]
struct Program {
    kind: Stock,
    length: usize,
}

/// The programs that rar itself writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stock {
    Calls,
    CallsAndJumps,
    Delta,
    Rgb,
    Audio,
    Unknown,
}

/// The state that a solid file takes over from the one before it.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    history: History,
    lengths: Vec<u8>,
    tables: Option<Tables>,
    old: [usize; 4],
    last_length: usize,
    last_low: usize,
    low_repeats: u32,
    escape: u8,
    programs: Vec<Program>,
    last_program: usize,
}

/// Why unpacking stopped.
enum Stop {
    Damaged,
    /// By a method that is not known here.
    Unknown,
    Limit(DefectCode),
}

/// What comes after a block.
enum Next {
    Block,
    /// The end of the file; a solid one that follows goes on with the same tables, or brings its own.
    End {
        fresh: bool,
    },
}

impl Decoder {
    /// Unpacks one file of `size` octets.
    pub(super) fn unpack(
        &mut self,
        packed: &[u8],
        size: usize,
        (solid, keep): (bool, bool),
        budget: &mut Budget,
    ) -> Unpacked {
        if !solid {
            *self = Self::default();
        }
        let mut run = Run {
            start: self.history.data.len(),
            size,
            bits: Bits::new(packed),
            filters: Vec::new(),
            paid: 0,
            packed: packed.len(),
            budget,
        };
        let stopped = self.run(&mut run);
        let (start, filters) = (run.start, run.filters);
        let mut data = if keep {
            self.history.data.get(start..).unwrap_or_default().to_vec()
        } else {
            // Nothing solid follows: it need not be there twice.
            std::mem::take(&mut self.history.data)
        };
        data.truncate(size);
        let mut odd = match stopped {
            Ok(()) if data.len() < size => Some(DefectCode::BadArchive),
            Ok(()) => None,
            Err(Stop::Damaged) => Some(DefectCode::BadArchive),
            Err(Stop::Unknown) => Some(DefectCode::UnscannableMember),
            Err(Stop::Limit(code)) => {
                data.truncate(STEP_BYTES);
                Some(code)
            }
        };
        if !apply(&mut data, &filters) {
            odd = odd.or(Some(DefectCode::UnscannableMember));
        }
        if odd.is_some() {
            *self = Self::default();
        }
        Unpacked { data, odd }
    }

    fn run(&mut self, run: &mut Run<'_, '_>) -> Result<(), Stop> {
        // A solid file goes on with the tables it finds, unless it brings its own.
        let mut fresh = self.tables.is_none();
        while run.made(&self.history) < run.size {
            if fresh || self.tables.is_none() {
                run.bits.align();
                if run.bits.peek() & 0x8000 != 0 {
                    match self.predicted(run)? {
                        Next::Block => continue,
                        Next::End { .. } => break,
                    }
                }
                self.read_tables(&mut run.bits).ok_or(Stop::Damaged)?;
            }
            let tables = self.tables.take().ok_or(Stop::Damaged)?;
            let next = self.block(&tables, run);
            match next? {
                // Tables of their own follow, which replace these.
                Some(Next::Block) => fresh = true,
                Some(Next::End { fresh }) => {
                    self.tables = (!fresh).then_some(tables);
                    break;
                }
                None => self.tables = Some(tables),
            }
        }
        run.pay(&self.history, true)
    }

    fn read_tables(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let keep = bits.peek() & 0x4000 != 0;
        bits.skip(2);
        if !keep {
            self.lengths.clear();
        }
        self.lengths.resize(TOTAL, 0);
        (self.last_low, self.low_repeats) = (0, 0);
        let code = Code::new(&read_short_lengths(bits, 20));
        let mut fresh: Vec<u8> = Vec::with_capacity(TOTAL);
        while fresh.len() < TOTAL {
            if bits.is_over() {
                return None;
            }
            let (value, count) = match code.read(bits)? {
                change @ 0..16 => {
                    let old = self.lengths.get(fresh.len())?;
                    (old.wrapping_add(u8::try_from(change).ok()?) & 15, 1)
                }
                16 => (*fresh.last()?, bits.read(3) + 3),
                17 => (*fresh.last()?, bits.read(7) + 11),
                18 => (0, bits.read(3) + 3),
                _ => (0, bits.read(7) + 11),
            };
            fresh.extend(std::iter::repeat_n(value, usize::try_from(count).ok()?));
        }
        fresh.truncate(TOTAL);
        let mut from = 0;
        let mut next = |count: usize| {
            let code = fresh.get(from..from + count).map(Code::new);
            from += count;
            code
        };
        self.tables = Some(Tables {
            literals: next(LITERALS)?,
            distances: next(DISTANCES)?,
            low: next(LOW_DISTANCES)?,
            repeats: next(REPEATS)?,
        });
        self.lengths = fresh;
        Some(())
    }

    /// Unpacks up to the end of the block, or of the file: then `None`.
    fn block(&mut self, tables: &Tables, run: &mut Run<'_, '_>) -> Result<Option<Next>, Stop> {
        loop {
            run.pay(&self.history, false)?;
            // Behind the last octet there is still the mark that tells a solid file which tables to use.
            let done = run.made(&self.history) >= run.size;
            let symbol = tables.literals.read(&mut run.bits).filter(|_| !run.bits.is_over());
            match symbol {
                None if done => return Ok(None),
                None => return Err(Stop::Damaged),
                Some(symbol) if done && !matches!(symbol, 256 | 257) => return Ok(None),
                Some(_) => {}
            }
            let symbol = symbol.unwrap_or(0);
            match symbol {
                256 => {
                    if run.bits.read(1) == 1 {
                        return Ok(Some(Next::Block));
                    }
                    return Ok(Some(Next::End { fresh: run.bits.read(1) == 1 }));
                }
                257 => {
                    let first = run.bits.read(8);
                    let length = match first & 7 {
                        6 => run.bits.read(8) + 7,
                        7 => run.bits.read(16),
                        short => short + 1,
                    };
                    let code: Vec<u8> =
                        (0..length).map(|_| u8::try_from(run.bits.read(8)).unwrap_or(0)).collect();
                    if run.bits.is_over() {
                        return Err(Stop::Damaged);
                    }
                    self.filter(first, &code, run)?;
                }
                symbol => self.symbol(symbol, tables, &mut run.bits).ok_or(Stop::Damaged)?,
            }
        }
    }

    /// Unpacks what one symbol stands for.
    fn symbol(&mut self, symbol: usize, tables: &Tables, bits: &mut Bits<'_>) -> Option<()> {
        let with_bits = |row: Option<&(usize, u32)>, bits: &mut Bits<'_>| {
            let (base, extra) = row?;
            Some(base + usize::try_from(bits.read(*extra)).ok()?)
        };
        match symbol {
            0..256 => self.history.data.push(u8::try_from(symbol).ok()?),
            258 => {
                if self.last_length > 0 {
                    self.history.copy(*self.old.first()?, self.last_length)?;
                }
            }
            259..263 => {
                self.old.get_mut(..=symbol - 259)?.rotate_right(1);
                let slot = tables.repeats.read(bits)?;
                self.last_length = with_bits(LENGTH_BITS.get(slot), bits)? + 2;
                self.history.copy(*self.old.first()?, self.last_length)?;
            }
            263..271 => {
                let distance = with_bits(SHORT_DISTANCE_BITS.get(symbol - 263), bits)? + 1;
                self.insert(distance, 2)?;
            }
            _ => {
                let mut length = with_bits(LENGTH_BITS.get(symbol.checked_sub(271)?), bits)? + 3;
                let distance = self.distance(tables, bits)?;
                length += [0x2000, 0x4_0000].iter().filter(|far| distance >= **far).count();
                self.insert(distance, length)?;
            }
        }
        Some(())
    }

    fn insert(&mut self, distance: usize, length: usize) -> Option<()> {
        self.old.rotate_right(1);
        *self.old.first_mut()? = distance;
        self.last_length = length;
        self.history.copy(distance, length)
    }

    fn distance(&mut self, tables: &Tables, bits: &mut Bits<'_>) -> Option<usize> {
        let slot = tables.distances.read(bits)?;
        let (base, extra) = distance_row(slot);
        let mut distance = base + 1;
        if slot < 10 {
            return Some(distance + usize::try_from(bits.read(extra)).ok()?);
        }
        distance += usize::try_from(bits.read(extra - 4)).ok()? << 4;
        if self.low_repeats > 0 {
            self.low_repeats -= 1;
        } else {
            match tables.low.read(bits)? {
                16 => self.low_repeats = 15,
                low => self.last_low = low,
            }
        }
        Some(distance + self.last_low)
    }

    /// Notes a filter, of which `code` is what rar's machine is told.
    fn filter(&mut self, first: u32, code: &[u8], run: &mut Run<'_, '_>) -> Result<(), Stop> {
        let mut bits = Bits::new(code);
        let made = run.made(&self.history);
        if run.filters.len() >= FILTERS_MAX || self.programs.len() >= PROGRAMS_MAX {
            return Err(Stop::Damaged);
        }
        if first & 0x80 != 0 {
            match number(&mut bits) {
                0 => {
                    self.programs.clear();
                    self.last_program = 0;
                }
                index => self.last_program = index - 1,
            }
        }
        let is_new = self.last_program == self.programs.len();
        let mut start = number(&mut bits);
        if first & 0x40 != 0 {
            start = start.saturating_add(258);
        }
        let known = self.programs.get(self.last_program).map_or(0, |program| program.length);
        let length = if first & 0x20 != 0 { number(&mut bits) } else { known };
        let mut registers = [0_usize; 7];
        if first & 0x10 != 0 {
            let mask = bits.read(7);
            for (place, register) in registers.iter_mut().enumerate() {
                if mask >> place & 1 != 0 {
                    *register = number(&mut bits);
                }
            }
        }
        if is_new {
            let size = number(&mut bits);
            if size == 0 || size >= 0x1_0000 || size > code.len() {
                return Err(Stop::Damaged);
            }
            let program: Vec<u8> =
                (0..size).map(|_| u8::try_from(bits.read(8)).unwrap_or(0)).collect();
            self.programs.push(Program { kind: stock(&program), length });
        }
        let program = self.programs.get_mut(self.last_program).ok_or(Stop::Damaged)?;
        program.length = length;
        let [first, second, ..] = registers;
        let kind = match program.kind {
            Stock::Calls => Kind::X86 { jumps: false },
            Stock::CallsAndJumps => Kind::X86 { jumps: true },
            Stock::Delta if first > 0 => Kind::Delta(first),
            Stock::Rgb => Kind::Rgb(first, second),
            Stock::Audio if first > 0 => Kind::Audio(first),
            Stock::Delta | Stock::Audio | Stock::Unknown => Kind::Unknown,
        };
        run.filters.push(Filter { start: made.saturating_add(start), length, kind });
        Ok(())
    }

    /// Unpacks a block of PPMd.
    fn predicted(&mut self, run: &mut Run<'_, '_>) -> Result<Next, Stop> {
        let bits = &mut run.bits;
        self.tables = None;
        let flags = bits.read(8);
        let megabytes = if flags & 0x20 != 0 { bits.read(8) + 1 } else { 0 };
        if flags & 0x40 != 0 {
            self.escape = u8::try_from(bits.read(8)).unwrap_or(2);
        } else if flags & 0x20 != 0 {
            self.escape = 2;
        }
        let mut order = (flags & 0x1f) + 1;
        if order > 16 {
            order = 16 + (order - 16) * 3;
        }
        // A model that goes on from the block before would have to be kept.
        if megabytes == 0 || megabytes > PPMD_MEGABYTES_MAX {
            return Err(Stop::Unknown);
        }
        ask_for_model(megabytes << 20, run.budget).map_err(Stop::Limit)?;
        let rest = bits.data().get(bits.octets()..).unwrap_or_default();
        let from = bits.octets();
        let mut model = Ppmd7aDecoder::new(Reader::new(rest), order, megabytes << 20)
            .map_err(|_| Stop::Damaged)?;
        let next = self.predict(&mut model, run);
        let used = usize::try_from(model.get_ref().position()).unwrap_or(0);
        run.bits.go_to(from.saturating_add(used));
        next
    }

    fn predict(&mut self, model: &mut Model<'_>, run: &mut Run<'_, '_>) -> Result<Next, Stop> {
        while run.made(&self.history) < run.size {
            run.pay(&self.history, false)?;
            let octet = read(model)?;
            if octet != self.escape {
                self.history.data.push(octet);
                continue;
            }
            match read(model)? {
                0 => return Ok(Next::Block),
                2 => break,
                3 => {
                    let first = u32::from(read(model)?);
                    let length = match first & 7 {
                        6 => usize::from(read(model)?) + 7,
                        7 => usize::from(read(model)?) << 8 | usize::from(read(model)?),
                        short => usize::try_from(short + 1).unwrap_or(1),
                    };
                    let mut code = Vec::new();
                    for _ in 0..length {
                        code.push(read(model)?);
                    }
                    self.filter(first, &code, run)?;
                }
                4 => {
                    let mut distance = 0;
                    for _ in 0..3 {
                        distance = distance << 8 | usize::from(read(model)?);
                    }
                    let length = usize::from(read(model)?) + 32;
                    self.history.copy(distance + 2, length).ok_or(Stop::Damaged)?;
                }
                5 => {
                    let length = usize::from(read(model)?) + 4;
                    self.history.copy(1, length).ok_or(Stop::Damaged)?;
                }
                _ => self.history.data.push(octet),
            }
        }
        Ok(Next::End { fresh: true })
    }
}

type Model<'a> = Ppmd7aDecoder<Reader<&'a [u8]>>;

fn read(model: &mut Model<'_>) -> Result<u8, Stop> {
    let mut octet = [0];
    match model.read(&mut octet) {
        Ok(1) => Ok(u8::from_le_bytes(octet)),
        Ok(_) | Err(_) => Err(Stop::Damaged),
    }
}

/// One file while it is unpacked.
struct Run<'a, 'b> {
    /// Where in the history it begins.
    start: usize,
    size: usize,
    bits: Bits<'a>,
    filters: Vec<Filter>,
    paid: usize,
    packed: usize,
    budget: &'b mut Budget,
}

impl Run<'_, '_> {
    fn made(&self, history: &History) -> usize {
        history.data.len() - self.start
    }

    /// Asks the budget for what was made since the last time, if that is enough for a step.
    fn pay(&mut self, history: &History, all: bool) -> Result<(), Stop> {
        let made = self.made(history);
        if all || made - self.paid >= STEP_BYTES {
            let fresh = made - self.paid;
            self.budget.expand(fresh, self.paid, self.packed).map_err(Stop::Limit)?;
            self.paid = made;
        }
        Ok(())
    }
}

/// Base and bits of a distance: four of no bits, two each of one to fifteen, fourteen of sixteen, the rest of eighteen.
fn distance_row(slot: usize) -> (usize, u32) {
    match slot {
        0..4 => (slot, 0),
        4..34 => {
            let extra = slot / 2 - 1;
            ((2 | slot & 1) << extra, u32::try_from(extra).unwrap_or(0))
        }
        34..48 => ((slot - 32) << 16, 16),
        _ => ((slot - 44) << 18, 18),
    }
}

/// A number as rar's machine reads it.
fn number(bits: &mut Bits<'_>) -> usize {
    let value = match bits.read(2) {
        0 => bits.read(4),
        1 => match bits.read(8) {
            short @ 16.. => short,
            high => 0xffff_ff00 | high << 4 | bits.read(4),
        },
        2 => bits.read(16),
        _ => bits.read(32),
    };
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The stock programs, by length and checksum.
fn stock(program: &[u8]) -> Stock {
    match (program.len(), crc32fast::hash(program)) {
        (53, 0xad57_6887) => Stock::Calls,
        (57, 0x3cd7_e57e) => Stock::CallsAndJumps,
        (29, 0x0e06_077d) => Stock::Delta,
        (149, 0x1c2c_5dc8) => Stock::Rgb,
        (216, 0xbc85_e701) => Stock::Audio,
        _ => Stock::Unknown,
    }
}
