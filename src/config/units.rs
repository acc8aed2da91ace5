//! Quantities with a unit: durations, sizes, rates. A bare number is never accepted, since a limit
//! that means bytes to one reader and bits to another is no limit.

use super::text::{Refusal, TextSetting};
use std::time::Duration;

/// A number of bytes, `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Application payload a second, `"4 Mbit/s"`. Never zero: `"off"` is the absence of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate {
    /// Bits a second.
    pub bits_per_s: u64,
}

/// Events a second, `"500/s"`. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventRate {
    /// Events a second.
    pub per_s: u32,
}

/// A limit that may be off: `"off"` and `"0"` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

impl TextSetting for Duration {
    const WHAT: &'static str = "a duration";
    const EXAMPLE: &'static str = "30s";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if let Ok(number) = text.trim().parse() {
            let meant = Self::from_bare(number).unwrap_or_default();
            return Err(Refusal::new(
                format!("\"{text}\" has no unit"),
                format!("for seconds write \"{meant}\""),
            ));
        }
        humantime::parse_duration(text).map_err(|_| {
            Refusal::new(
                format!("\"{}\" is not a duration", text.escape_debug()),
                "units are ms, s, m, h and d: \"30s\", \"1h 30m\", \"400d\"",
            )
        })
    }

    fn to_text(&self) -> String {
        let seconds = self.as_secs();
        if self.subsec_nanos() != 0 || seconds == 0 {
            return humantime::format_duration(*self).to_string();
        }
        // Whole days only from two on: "24h" reads better than "1d" where it is the default.
        let units = [(86_400, "d", 2), (3_600, "h", 1), (60, "m", 1), (1, "s", 1)];
        let fits = |(length, _, least): &(u64, &str, u64)| {
            seconds.is_multiple_of(*length) && seconds / length >= *least
        };
        units
            .into_iter()
            .find(fits)
            .map_or_else(String::new, |(length, unit, _)| format!("{}{unit}", seconds / length))
    }

    fn from_bare(number: i128) -> Option<String> {
        Some(format!("{number}s"))
    }
}

impl TextSetting for ByteSize {
    const WHAT: &'static str = "a size";
    const EXAMPLE: &'static str = "64KiB";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let refuse =
            |help: String| Err(Refusal::new(format!("\"{}\" is not a size", text.escape_debug()), help));
        let (number, unit) = split(text);
        let Ok(number) = number.parse::<u64>() else {
            return refuse("write a whole number and a unit: \"64KiB\", \"4MiB\"".into());
        };
        let factor = match unit {
            "" => return refuse(format!("it has no unit: write \"{number}B\" or \"{number}KiB\"")),
            "B" => 1,
            "kB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => return refuse(unit_help(unit, &["B", "kB", "KiB", "MB", "MiB", "GB", "GiB"])),
        };
        match number.checked_mul(factor) {
            Some(bytes) => Ok(Self(bytes)),
            None => refuse("the number is too large".into()),
        }
    }

    fn to_text(&self) -> String {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let fits = |(factor, _): &(u64, &str)| self.0 > 0 && self.0.is_multiple_of(*factor);
        match units.into_iter().find(fits) {
            Some((factor, unit)) => format!("{}{unit}", self.0 / factor),
            None => format!("{}B", self.0),
        }
    }

    fn from_bare(number: i128) -> Option<String> {
        Some(format!("{number}B"))
    }
}

impl TextSetting for BitRate {
    const WHAT: &'static str = "a rate in bits";
    const EXAMPLE: &'static str = "4 Mbit/s";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let refuse =
            |help: String| Err(Refusal::new(format!("\"{}\" is not a bit rate", text.escape_debug()), help));
        let (number, unit) = split(text);
        let Ok(number) = number.parse::<f64>() else {
            return refuse("write a number and a unit: \"4 Mbit/s\"".into());
        };
        let factor = match unit {
            "" => return refuse(format!("it has no unit: for megabits write \"{number} Mbit/s\"")),
            "bit/s" => 1.0,
            "kbit/s" => 1e3,
            "Mbit/s" => 1e6,
            "Gbit/s" => 1e9,
            "B/s" | "kB/s" | "KB/s" | "MB/s" | "GB/s" => {
                let prefix = unit.trim_end_matches("B/s").replace('K', "k");
                return refuse(format!("bytes? Rates are in bits: write \"{} {prefix}bit/s\"", number * 8.0));
            }
            "bps" | "kbps" | "Mbps" | "mbps" | "Gbps" | "gbps" => {
                let prefix = unit.trim_end_matches("bps").replace('m', "M").replace('g', "G");
                return refuse(format!("did you mean \"{number} {prefix}bit/s\"?"));
            }
            _ => return refuse(unit_help(unit, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])),
        };
        let bits = number * factor;
        // Under the least, one datagram takes seconds; over the most, there is no network.
        if !(8e3..=1e13).contains(&bits) {
            return refuse("write \"8 kbit/s\" to \"10000 Gbit/s\", or \"off\" for no limit".into());
        }
        Ok(Self { bits_per_s: bits.round() as u64 })
    }

    fn to_text(&self) -> String {
        let units = [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1_000, "kbit/s")];
        match units.into_iter().find(|(factor, _)| self.bits_per_s.is_multiple_of(*factor)) {
            Some((factor, unit)) => format!("{} {unit}", self.bits_per_s / factor),
            None => format!("{} bit/s", self.bits_per_s),
        }
    }

    fn from_bare(number: i128) -> Option<String> {
        Some(format!("{number} bit/s"))
    }
}

impl TextSetting for EventRate {
    const WHAT: &'static str = "a rate";
    const EXAMPLE: &'static str = "500/s";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let refuse =
            |help: String| Err(Refusal::new(format!("\"{}\" is not a rate", text.escape_debug()), help));
        let (number, unit) = split(text);
        match (number.parse::<u32>(), unit) {
            (Ok(number), "") => refuse(format!("it has no unit: write \"{number}/s\"")),
            (Ok(0), _) => refuse("it must be at least \"1/s\"".into()),
            (Ok(per_s), "/s") => Ok(Self { per_s }),
            (Ok(number), "/sec" | "per second" | "pps" | "Hz") => {
                refuse(format!("did you mean \"{number}/s\"?"))
            }
            _ => refuse("write a whole number a second: \"500/s\"".into()),
        }
    }

    fn to_text(&self) -> String {
        format!("{}/s", self.per_s)
    }

    fn from_bare(number: i128) -> Option<String> {
        Some(format!("{number}/s"))
    }
}

impl<T: TextSetting> TextSetting for Limit<T> {
    const WHAT: &'static str = T::WHAT;
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "off" | "0" => Ok(Self(None)),
            _ => T::from_text(text).map(|limit| Self(Some(limit))),
        }
    }

    fn to_text(&self) -> String {
        self.0.as_ref().map_or_else(|| "off".to_owned(), T::to_text)
    }

    fn from_bare(number: i128) -> Option<String> {
        if number == 0 { Some("off".to_owned()) } else { T::from_bare(number) }
    }
}

/// The number in front and the unit behind, both without spaces around.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn unit_help(unit: &str, units: &[&str]) -> String {
    let all = units.join(", ");
    match units.iter().find(|known| known.eq_ignore_ascii_case(unit)) {
        Some(meant) => format!("did you mean {meant}? Units are {all}"),
        None => format!("units are {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help<T: TextSetting>(text: &str) -> String {
        T::from_text(text).err().map(|refusal| refusal.help).unwrap_or_default()
    }

    #[test]
    fn every_quantity_prints_in_a_form_that_reads_back_equal() {
        for seconds in [0, 1, 59, 60, 90, 3_600, 5_400, 86_400, 172_800, 34_560_000] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(Duration::from_text(&duration.to_text()), Ok(duration));
        }
        for size in [0, 1, 1_000, 1_024, 65_536, 4 << 20, 3 << 30] {
            assert_eq!(ByteSize::from_text(&ByteSize(size).to_text()), Ok(ByteSize(size)));
        }
        for bits_per_s in [8_000, 9_999, 64_000, 4_000_000, 1_500_000, 10_000_000_000] {
            let rate = BitRate { bits_per_s };
            assert_eq!(BitRate::from_text(&rate.to_text()), Ok(rate));
        }
    }

    #[test]
    fn durations_print_in_the_unit_a_person_would_choose() {
        let texts = [30, 5_400, 3_600, 86_400, 34_560_000].map(|s| Duration::from_secs(s).to_text());
        assert_eq!(texts, ["30s", "90m", "1h", "24h", "400d"]);
    }

    #[test]
    fn a_rate_without_unit_is_refused_with_the_unit_to_add() {
        assert_eq!(help::<EventRate>("500"), "it has no unit: write \"500/s\"");
        assert_eq!(help::<BitRate>("4"), "it has no unit: for megabits write \"4 Mbit/s\"");
        assert_eq!(help::<ByteSize>("64"), "it has no unit: write \"64B\" or \"64KiB\"");
        assert_eq!(help::<Duration>("30"), "for seconds write \"30s\"");
    }

    #[test]
    fn bytes_a_second_are_refused_with_the_bits_they_are() {
        assert_eq!(help::<BitRate>("4 MB/s"), "bytes? Rates are in bits: write \"32 Mbit/s\"");
        assert_eq!(help::<BitRate>("4 mbps"), "did you mean \"4 Mbit/s\"?");
        assert_eq!(
            help::<BitRate>("4 mbit/s"),
            "did you mean Mbit/s? Units are bit/s, kbit/s, Mbit/s, Gbit/s"
        );
    }

    #[test]
    fn zero_and_off_turn_a_limit_off_but_not_a_rate() {
        assert_eq!(Limit::<BitRate>::from_text("0"), Ok(Limit(None)));
        assert_eq!(Limit::<EventRate>::from_text("off"), Ok(Limit(None)));
        assert_eq!(help::<EventRate>("0/s"), "it must be at least \"1/s\"");
    }

    #[test]
    fn figures_too_large_to_hold_are_refused() {
        assert_eq!(help::<ByteSize>("99999999999GiB"), "the number is too large");
        let range = "write \"8 kbit/s\" to \"10000 Gbit/s\", or \"off\" for no limit";
        for rate in ["99999999999 Gbit/s", "0 Mbit/s", "0.0 bit/s", "7999 bit/s"] {
            assert_eq!(help::<BitRate>(rate), range, "{rate}");
        }
        assert!(Duration::from_text("999999999999999999999d").is_err());
    }
}
