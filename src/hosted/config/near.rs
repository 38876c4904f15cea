//! Which known word a wrong one was meant to be.

use alloc::boxed::Box;

/// Returns the known word that looks most like `word`, if one does.
pub(super) fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<Box<str>> {
    let far = |one: &str| {
        let (word, other) = (word.to_lowercase(), one.to_lowercase());
        // `worker_count` and `worker-count` are meant as `workerCount`.
        let same = |text: &str| text.replace(['_', '-', ' '], "");
        strsim::osa_distance(&same(&word), &same(&other))
    };
    if word.chars().count() > 64 {
        return None; // no key is that long, and the time grows with the square
    }
    let (far, one) = known.into_iter().map(|one| (far(one), one)).min_by_key(|(far, _)| *far)?;
    let length = one.chars().count();
    let most = (length.min(12) / 4).max(1);
    (far <= most && 2 * far < length).then(|| one.into())
}
