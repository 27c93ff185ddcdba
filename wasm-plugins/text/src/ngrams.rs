//! What a model sees of a text: how often each n-gram of its characters is in it, hashed. `grpc-plugins/text-python/ngrams.py` counts the
//! same; docs/text-plugin.md has the rules.

/// N-grams have 1 to so many characters.
const LONGEST: usize = 3;
const SPACE: u32 = 0x20;
/// Below it only the letters of ASCII are kept.
const FIRST_KEPT: u32 = 0xc0;
/// Letters below it are made small: Latin, Greek, Cyrillic and Armenian, where Unicode has long settled how.
const FOLDED: u32 = 0x590;
/// Punctuation, the first of each range and the one behind its last.
const MARKS: [(u32, u32); 4] = [(0x2000, 0x2070), (0x3000, 0x3004), (0x3008, 0x3021), (0xff00, 0xff10)];
/// Characters of one script mostly agree in the bits above these.
const BLOCK_BITS: u32 = 10;
const BLOCK_SEED: u32 = 0x9e37_79b9;
const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// Adds to each bucket how many n-grams of the text fall into it. Gives false, and adds nothing, where the text has no letters.
pub fn count(text: &str, buckets: &mut [f32]) -> bool {
    let codes = normalized(text);
    if codes.len() == 1 {
        return false;
    }
    let size = buckets.len() as u32;
    let mut add = |hash: u32| buckets[(mixed(hash) % size) as usize] += 1.0;
    for at in 0..codes.len() {
        let mut hash = FNV_OFFSET;
        for &code in codes[at..].iter().take(LONGEST) {
            hash = (hash ^ code).wrapping_mul(FNV_PRIME);
            add(hash);
        }
        if codes[at] != SPACE {
            add(((codes[at] >> BLOCK_BITS) ^ BLOCK_SEED).wrapping_mul(FNV_PRIME));
        }
    }
    true
}

/// The text in small letters, with one space before, between and behind its words, as Unicode scalar values.
fn normalized(text: &str) -> Vec<u32> {
    let mut codes = vec![SPACE];
    for code in text.chars().map(letter).chain([SPACE]) {
        if code != SPACE || codes.last() != Some(&SPACE) {
            codes.push(code);
        }
    }
    codes
}

/// The small form of a letter; a space where it is none.
fn letter(c: char) -> u32 {
    let code = u32::from(c);
    let is_mark = match code {
        0xd7 | 0xf7 => true, // times, divided by
        0..FIRST_KEPT => !c.is_ascii_alphabetic(),
        _ => MARKS.iter().any(|&(first, end)| (first..end).contains(&code)),
    };
    if is_mark {
        SPACE
    } else if code < FOLDED {
        c.to_lowercase().next().map_or(code, u32::from)
    } else {
        code
    }
}

/// The finish of lowbias32, which spreads what FNV leaves in the upper bits.
fn mixed(hash: u32) -> u32 {
    let hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
    let hash = (hash ^ (hash >> 12)).wrapping_mul(0x297a_2d39);
    hash ^ (hash >> 15)
}
