//! A sorted map of objects whose copies share what did not change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use model::ObjectPath;
use serde::Serialize;

/// Entries of a chunk before it is split.
const CHUNK: usize = 64;

/// Chunks whose text is written to tell how long all of it is.
const WEIGHED: usize = 8;

/// Objects and their values, sorted by path. A copy shares all chunks, a change copies one of them: with 10,000 objects,
/// a new snapshot costs as much as with 100. Each chunk keeps its JSON text, and its namespaces, once they were asked for.
#[derive(Debug)]
pub struct SharedMap<V> {
    /// Never empty chunks, in order.
    chunks: Vec<Arc<Chunk<V>>>,
    len: usize,
}

#[derive(Debug)]
struct Chunk<V> {
    entries: Vec<(ObjectPath, Arc<V>)>,
    /// `"path":value,"path":value`.
    json: OnceLock<Box<str>>,
    /// The namespaces of its objects, each once; none for the root.
    namespaces: OnceLock<Box<[Option<Box<str>>]>>,
}

impl<V> Chunk<V> {
    fn new(entries: Vec<(ObjectPath, Arc<V>)>) -> Arc<Self> {
        Arc::new(Self { entries, json: OnceLock::new(), namespaces: OnceLock::new() })
    }

    fn position(&self, path: &ObjectPath) -> Result<usize, usize> {
        self.entries.binary_search_by(|(key, _)| key.cmp(path))
    }

    fn namespaces(&self) -> &[Option<Box<str>>] {
        self.namespaces.get_or_init(|| {
            let found: BTreeSet<_> =
                self.entries.iter().map(|(path, _)| path.namespace()).collect();
            found.into_iter().map(|namespace| namespace.map(Box::from)).collect()
        })
    }
}

impl<V: Serialize> Chunk<V> {
    fn text(&self) -> &str {
        self.json.get_or_init(|| {
            let mut text = String::new();
            write_entries(&mut text, self.entries.iter());
            text.into()
        })
    }
}

impl<V> Clone for SharedMap<V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<V> Default for SharedMap<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<V> SharedMap<V> {
    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunk that has or would have `path`: the last one that does not start after it.
    fn chunk_of(&self, path: &ObjectPath) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.entries.first().is_some_and(|(first, _)| first <= path))
            .saturating_sub(1)
    }

    /// The value of an object.
    #[must_use]
    pub fn get(&self, path: &ObjectPath) -> Option<&Arc<V>> {
        let chunk = self.chunks.get(self.chunk_of(path))?;
        chunk.position(path).ok().map(|at| &chunk.entries[at].1)
    }

    /// Whether the object is there.
    #[must_use]
    pub fn contains_key(&self, path: &ObjectPath) -> bool {
        self.get(path).is_some()
    }

    /// A map of objects that come sorted, each once.
    #[must_use]
    pub fn from_sorted(entries: Vec<(ObjectPath, Arc<V>)>) -> Self {
        let len = entries.len();
        let mut entries = entries.into_iter();
        let mut chunks = Vec::with_capacity(len / (CHUNK / 2) + 1);
        loop {
            // Half full, as after a split: the next objects find room.
            let chunk: Vec<_> = entries.by_ref().take(CHUNK / 2).collect();
            if chunk.is_empty() {
                return Self { chunks, len };
            }
            chunks.push(Chunk::new(chunk));
        }
    }

    /// Sets the value of an object; returns the one it had.
    pub fn insert(&mut self, path: ObjectPath, value: Arc<V>) -> Option<Arc<V>> {
        let at = self.chunk_of(&path);
        let Some(chunk) = self.chunks.get(at) else {
            self.chunks.push(Chunk::new(vec![(path, value)]));
            self.len += 1;
            return None;
        };
        let (mut entries, old) = match chunk.position(&path) {
            Ok(found) => {
                let mut entries = chunk.entries.clone();
                let old = std::mem::replace(&mut entries[found].1, value);
                (entries, Some(old))
            }
            Err(place) => {
                // No room for more: there are thousands of chunks, and most of them stay as they are.
                let mut entries = Vec::with_capacity(chunk.entries.len() + 1);
                entries.extend_from_slice(&chunk.entries[..place]);
                entries.push((path, value));
                entries.extend_from_slice(&chunk.entries[place..]);
                self.len += 1;
                (entries, None)
            }
        };
        if entries.len() > CHUNK {
            let tail = entries.split_off(entries.len() / 2);
            entries.shrink_to_fit();
            self.chunks.insert(at + 1, Chunk::new(tail));
        }
        self.chunks[at] = Chunk::new(entries);
        old
    }

    /// Sets the values of objects that come sorted, each once. Of many, each chunk is copied once.
    pub fn insert_all(&mut self, entries: Vec<(ObjectPath, Arc<V>)>) {
        if entries.len() < self.len / CHUNK {
            for (path, value) in entries {
                self.insert(path, value);
            }
            return;
        }
        let mut all = Vec::with_capacity(self.len + entries.len());
        let mut new = entries.into_iter().peekable();
        for (path, value) in self.iter() {
            all.extend(std::iter::from_fn(|| new.next_if(|(other, _)| other < path)));
            match new.next_if(|(other, _)| other == path) {
                Some(replaced) => all.push(replaced),
                None => all.push((path.clone(), value.clone())),
            }
        }
        all.extend(new);
        *self = Self::from_sorted(all);
    }

    /// Removes an object; returns the value it had.
    pub fn remove(&mut self, path: &ObjectPath) -> Option<Arc<V>> {
        let at = self.chunk_of(path);
        let chunk = self.chunks.get(at)?;
        let found = chunk.position(path).ok()?;
        let mut entries = chunk.entries.clone();
        let (_, old) = entries.remove(found);
        if entries.is_empty() {
            self.chunks.remove(at);
        } else {
            self.chunks[at] = Chunk::new(entries);
        }
        self.len -= 1;
        Some(old)
    }

    /// Whether both are the same copy: a cheap look, false for equal maps made apart.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.chunks.len() == other.chunks.len()
            && self.chunks.iter().zip(&other.chunks).all(|(one, two)| Arc::ptr_eq(one, two))
    }

    /// The objects that appeared, changed or disappeared since `before`, of which this is a changed copy: chunks that both
    /// share are not looked into.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> BTreeSet<ObjectPath> {
        let addresses =
            |map: &Self| map.chunks.iter().map(Arc::as_ptr).collect::<BTreeSet<*const Chunk<V>>>();
        let (ours, theirs) = (addresses(self), addresses(before));
        let differing = |map: &Self, others: &BTreeSet<*const Chunk<V>>| {
            let chunks = map.chunks.iter().filter(|chunk| !others.contains(&Arc::as_ptr(chunk)));
            let entries = chunks.flat_map(|chunk| chunk.entries.iter().cloned());
            entries.collect::<BTreeMap<ObjectPath, Arc<V>>>()
        };
        let (now, old) = (differing(self, &theirs), differing(before, &ours));
        let is_changed = |path: &&ObjectPath| match (now.get(*path), old.get(*path)) {
            (Some(one), Some(two)) => !Arc::ptr_eq(one, two),
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
        };
        now.keys().chain(old.keys()).filter(is_changed).cloned().collect()
    }

    /// The objects and their values, by path.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&ObjectPath, &Arc<V>)> {
        self.chunks.iter().flat_map(|chunk| chunk.entries.iter().map(|(path, value)| (path, value)))
    }

    /// The namespaces of the objects, not each once; none for the root. Unchanged chunks are not looked through anew.
    pub fn namespaces(&self) -> impl Iterator<Item = Option<&str>> {
        self.chunks.iter().flat_map(|chunk| chunk.namespaces().iter().map(Option::as_deref))
    }

    /// The objects, sorted.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &ObjectPath> {
        self.iter().map(|(path, _)| path)
    }

    /// The values, by path.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Arc<V>> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V: Serialize> SharedMap<V> {
    /// Appends the map as a JSON object, with the objects that `keep` accepts. Unchanged chunks are not written anew.
    pub fn write_json(&self, out: &mut String, keep: Option<&dyn Fn(&ObjectPath) -> bool>) {
        out.push('{');
        let start = out.len();
        for chunk in &self.chunks {
            let separator = if out.len() > start { "," } else { "" };
            match keep {
                None => {
                    out.push_str(separator);
                    out.push_str(chunk.text());
                }
                Some(keep) => {
                    let mut kept = chunk.entries.iter().filter(|(path, _)| keep(path)).peekable();
                    if kept.peek().is_some() {
                        out.push_str(separator);
                        write_entries(out, kept);
                    }
                }
            }
        }
        out.push('}');
    }
}

impl<V: Serialize> SharedMap<V> {
    /// Bytes that [`write_json`](Self::write_json) would write, about: from a few chunks, if nobody asked for most of them.
    pub fn json_bytes(&self) -> usize {
        let (mut bytes, mut objects, mut written) = (0, 0, 0);
        for chunk in &self.chunks {
            if chunk.json.get().is_none() {
                if written >= WEIGHED {
                    continue;
                }
                written += 1;
            }
            bytes += chunk.text().len();
            objects += chunk.entries.len();
        }
        (bytes * self.len).checked_div(objects).unwrap_or(0)
    }
}

fn write_entries<'a, V: Serialize + 'a>(
    out: &mut String,
    entries: impl Iterator<Item = &'a (ObjectPath, Arc<V>)>,
) {
    for (index, (path, value)) in entries.enumerate() {
        let separator = if index > 0 { "," } else { "" };
        let key = serde_json::to_string(path).expect("a path is a text");
        let value = serde_json::to_string(value).expect("values have text keys and finite numbers");
        write!(out, "{separator}{key}:{value}").expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: u64) -> ObjectPath {
        ObjectPath::parse(&format!("svc{number}")).unwrap()
    }

    #[test]
    fn it_holds_what_a_sorted_map_would_hold() {
        let mut map = SharedMap::default();
        let mut model = BTreeMap::new();
        let mut seed: u64 = 1;
        for step in 0..5_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = path((seed >> 33) % 700);
            let (a, b) = if step % 3 == 0 {
                (map.remove(&key), model.remove(&key))
            } else {
                (map.insert(key.clone(), Arc::new(step)), model.insert(key.clone(), Arc::new(step)))
            };
            assert_eq!(a, b);
            assert_eq!(map.get(&key), model.get(&key));
            assert_eq!(map.len(), model.len());
        }
        assert!(map.iter().eq(model.iter()));
    }

    #[test]
    fn a_map_of_sorted_objects_is_the_map_of_those_objects() {
        for count in [0, 1, 32, 33, 500] {
            let mut model = BTreeMap::new();
            model.extend((0..count).map(|number| (path(number), Arc::new(number))));
            let mut map = SharedMap::from_sorted(model.clone().into_iter().collect());
            assert_eq!(map.len(), model.len());
            assert_eq!(map.insert(path(7), Arc::new(0)), model.insert(path(7), Arc::new(0)));
            assert!(map.iter().eq(model.iter()));
        }
    }

    #[test]
    fn many_that_are_set_at_once_are_those_that_are_set_one_by_one() {
        for (start, count) in [(0, 1), (0, 500), (100, 3), (690, 700), (2_000, 10)] {
            let mut model = BTreeMap::new();
            model.extend((0..700).map(|number| (path(number), Arc::new(number))));
            let mut map = SharedMap::from_sorted(model.clone().into_iter().collect());
            let new: BTreeMap<_, _> =
                (start..start + count).map(|number| (path(number), Arc::new(0))).collect();
            map.insert_all(new.clone().into_iter().collect());
            model.extend(new);
            assert!(map.iter().eq(model.iter()), "{start} {count}");
            assert_eq!(map.len(), model.len());
        }
    }

    #[test]
    fn how_long_its_text_is_is_told_from_a_few_chunks_of_many() {
        let entries = |count: u64| (1_000..1_000 + count).map(|n| (path(n), Arc::new(n))).collect();
        for count in [0, 10, 5_000] {
            let map: SharedMap<u64> = SharedMap::from_sorted(entries(count));
            let told = map.json_bytes();
            let written = map.chunks.iter().filter(|chunk| chunk.json.get().is_some()).count();
            assert!(written <= WEIGHED, "{written}");
            let mut text = String::new();
            map.write_json(&mut text, None);
            assert!(told.abs_diff(text.len()) <= map.chunks.len() + 2, "{told} {}", text.len());
        }
    }

    #[test]
    fn a_copy_keeps_its_values_and_shares_the_rest() {
        let mut map = SharedMap::default();
        for number in 0..1_000 {
            map.insert(path(number), Arc::new(number));
        }
        let copy = map.clone();
        map.insert(path(500), Arc::new(0));
        map.remove(&path(501));
        assert_eq!(copy.get(&path(500)), Some(&Arc::new(500)));
        assert_eq!(copy.len(), 1_000);
        let shared = map
            .chunks
            .iter()
            .filter(|chunk| copy.chunks.iter().any(|other| Arc::ptr_eq(chunk, other)))
            .count();
        assert!(shared + 2 >= map.chunks.len());
    }

    #[test]
    fn its_text_is_that_of_the_kept_objects() {
        let mut map = SharedMap::default();
        let mut text = String::new();
        map.write_json(&mut text, None);
        assert_eq!(text, "{}");
        for number in 0..200 {
            map.insert(path(number), Arc::new(number));
        }
        for _ in 0..2 {
            let mut text = String::new();
            map.write_json(&mut text, None);
            let read: BTreeMap<String, u64> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.len(), 200);
            assert_eq!(read["svc150"], 150);
            map.insert(path(150), Arc::new(150));
        }
        let mut text = String::new();
        map.write_json(&mut text, Some(&|path| ["svc3", "svc199"].contains(&path.as_str())));
        assert_eq!(text, r#"{"svc199":199,"svc3":3}"#);
    }

    #[test]
    fn its_namespaces_are_those_of_its_objects_now() {
        let mut map = SharedMap::default();
        let found = |map: &SharedMap<u64>| -> BTreeSet<Option<String>> {
            map.namespaces().map(|namespace| namespace.map(str::to_owned)).collect()
        };
        for number in 0..300 {
            map.insert(path(number), Arc::new(number));
        }
        assert_eq!(found(&map), [None].into());
        let web = ObjectPath::parse("test/svc/web").unwrap();
        map.insert(web.clone(), Arc::new(1));
        map.insert(ObjectPath::parse("prod/sec/key").unwrap(), Arc::new(2));
        let all = [None, Some("prod"), Some("test")].map(|name| name.map(str::to_owned));
        assert_eq!(found(&map), all.into());
        map.remove(&web);
        assert_eq!(found(&map), [None, Some("prod".to_owned())].into());
    }

    #[test]
    fn what_changed_between_two_copies_is_told_whatever_they_share() {
        let mut before = SharedMap::default();
        for number in 0..500 {
            before.insert(path(number), Arc::new(number));
        }
        let mut now = before.clone();
        assert!(now.is_same(&before));
        assert_eq!(now.changed_since(&before), BTreeSet::new());
        now.insert(path(7), Arc::new(700));
        now.insert(path(900), Arc::new(900));
        now.remove(&path(300));
        assert!(!now.is_same(&before));
        let expected: BTreeSet<ObjectPath> = [7, 300, 900].into_iter().map(path).collect();
        assert_eq!(now.changed_since(&before), expected);
        assert_eq!(before.changed_since(&now), expected);
    }
}
