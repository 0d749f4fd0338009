//! Delta debugging: which steps of a failing list are needed for it to fail.

use std::ops::Range;

/// Shrinks a list of `length` steps. `fails` is told the places that are kept, in order; all of
/// them together fail. At most `runs` lists are tried.
pub(crate) fn shrink(
    length: usize,
    mut runs: usize,
    mut fails: impl FnMut(&[usize]) -> bool,
) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..length).collect();
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let before = kept.len();
        // From the end, where what is left out has the fewest consequences.
        let mut end = kept.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let fewer = without(&kept, start..end);
            let Some(left) = runs.checked_sub(1) else {
                return kept;
            };
            runs = left;
            if fails(&fewer) {
                kept = fewer;
            }
            end = start;
        }
        if size == 1 && kept.len() == before {
            return kept;
        }
        size = size.div_ceil(2);
    }
}

fn without(kept: &[usize], gone: Range<usize>) -> Vec<usize> {
    [&kept[..gone.start], &kept[gone.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_kept() {
        let needed = [3, 40, 41, 97];
        let mut tried = 0;
        let kept = shrink(100, 1_000, |kept| {
            tried += 1;
            needed.iter().all(|place| kept.contains(place))
        });
        assert_eq!(kept, needed);
        assert!(tried < 150, "{tried}");
    }

    #[test]
    fn it_gives_up_when_it_has_tried_enough() {
        assert_eq!(shrink(8, 1, |_| true).len(), 4);
    }
}
