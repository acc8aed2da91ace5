//! Which packets of one flow have arrived, in a window behind the newest.

/// How far behind the newest a packet may come and still count.
const WINDOW: u32 = 512;

/// The last 512 numbers up to the newest, one bit each.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// One above the newest.
    next: u32,
    bits: [u64; WINDOW as usize / 64],
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self { next: 0, bits: [0; WINDOW as usize / 64] }
    }

    /// Notes `number`. False when it was here before, or is so late that nobody knows.
    pub(super) fn is_new(&mut self, number: u32) -> bool {
        if number < self.next {
            return self.next - number <= WINDOW && self.set(number);
        }
        if number - self.next >= WINDOW {
            self.bits = [0; WINDOW as usize / 64];
        } else {
            (self.next..number).for_each(|missing| self.clear(missing));
            self.clear(number);
        }
        self.next = number.saturating_add(1);
        self.set(number)
    }

    /// Whether the bit was clear.
    fn set(&mut self, number: u32) -> bool {
        let (word, bit) = self.place(number);
        let was_clear = *word & bit == 0;
        *word |= bit;
        was_clear
    }

    fn clear(&mut self, number: u32) {
        let (word, bit) = self.place(number);
        *word &= !bit;
    }

    fn place(&mut self, number: u32) -> (&mut u64, u64) {
        let at = number % WINDOW;
        (&mut self.bits[at as usize / 64], 1 << (at % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_any_order() {
        let mut seen = Seen::new();
        for number in [0, 1, 3, 2, 700, 699, 701, 5000, 4489] {
            assert!(seen.is_new(number), "{number}");
            assert!(!seen.is_new(number), "{number} again");
        }
        assert!(!seen.is_new(4488), "behind the window");
        assert!(!seen.is_new(3));
    }

    #[test]
    fn every_number_of_a_long_run_with_gaps_is_new_once() {
        let mut seen = Seen::new();
        for number in (0..5000).filter(|number| number % 7 != 0) {
            assert!(seen.is_new(number), "{number}");
        }
        for number in 4488..5000 {
            assert_eq!(seen.is_new(number), number % 7 == 0, "{number}");
        }
    }
}
