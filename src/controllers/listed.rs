//! What a watch tells, by key.

use kube::runtime::watcher;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A map that follows a watch.
#[derive(Debug)]
pub struct Listed<K, V> {
    known: Option<Arc<BTreeMap<K, V>>>,
    listing: BTreeMap<K, V>,
}

impl<K: Ord + Clone, V: PartialEq + Clone> Listed<K, V> {
    /// Knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { known: None, listing: BTreeMap::new() }
    }

    /// What is known now; `None` before the first list is complete. A later list counts once it is complete.
    #[must_use]
    pub const fn known(&self) -> Option<&Arc<BTreeMap<K, V>>> {
        self.known.as_ref()
    }

    /// Takes in `event`, and tells whether it changes anything. `read` says what is to be known of an object.
    pub fn take<O>(&mut self, event: watcher::Event<O>, read: impl Fn(O) -> (K, V)) -> bool {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                false
            }
            watcher::Event::InitApply(object) => {
                self.listing.extend([read(object)]);
                false
            }
            watcher::Event::InitDone => {
                let listed = Some(Arc::new(std::mem::take(&mut self.listing)));
                let has_changed = listed != self.known;
                self.known = listed;
                has_changed
            }
            watcher::Event::Apply(object) => {
                let ((key, value), Some(known)) = (read(object), &mut self.known) else { return false };
                let has_changed = known.get(&key) != Some(&value);
                if has_changed {
                    Arc::make_mut(known).insert(key, value);
                }
                has_changed
            }
            watcher::Event::Delete(object) => {
                let (key, _) = read(object);
                self.known.as_mut().is_some_and(|known| Arc::make_mut(known).remove(&key).is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::watcher::Event;

    #[test]
    fn only_another_value_is_news() {
        let mut listed = Listed::new();
        let steps = [
            (Event::Apply(("a", 1)), false),
            (Event::Delete(("a", 1)), false),
            (Event::Init, false),
            (Event::InitApply(("a", 1)), false),
            (Event::InitDone, true),
            (Event::Apply(("a", 1)), false),
            (Event::Apply(("a", 2)), true),
            (Event::Apply(("b", 2)), true),
            (Event::Init, false),
            (Event::InitApply(("a", 2)), false),
            (Event::Init, false),
            (Event::InitApply(("b", 2)), false),
            (Event::InitApply(("a", 2)), false),
            (Event::InitDone, false),
            (Event::Delete(("b", 2)), true),
            (Event::Delete(("b", 2)), false),
        ];
        for (number, (event, expected)) in steps.into_iter().enumerate() {
            assert_eq!(listed.take(event, |object| object), expected, "step {number}");
            assert_eq!(listed.known().is_some(), number >= 4);
        }
        assert_eq!(listed.known().map(|known| &**known), Some(&BTreeMap::from([("a", 2)])));
    }

    #[test]
    fn no_object_at_all_is_news_once() {
        let mut listed = Listed::<&str, u8>::new();
        for expected in [true, false] {
            listed.take(Event::Init, |object| object);
            assert_eq!(listed.take(Event::InitDone, |object| object), expected);
        }
    }
}
