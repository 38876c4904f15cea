//! The shards of a stream, and which of them may be read.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::connection::Connection;
use super::error::Failed;

/// A shard, as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: Arc<str>,
    /// Those that were split, or merged, into it.
    pub(super) parents: Vec<Arc<str>>,
    /// Whether it still takes events.
    pub(super) is_open: bool,
}

impl Connection {
    pub(super) async fn shards(&self) -> Result<Vec<Shard>, Failed> {
        let (mut shards, mut token) = (Vec::new(), None);
        loop {
            let request = self.client.list_shards();
            let request = match &token {
                // A token stands for the name.
                Some(token) => request.next_token(token),
                None => request.stream_name(&*self.stream),
            };
            let answer = self.ask(request.send()).await?;
            for shard in answer.shards.unwrap_or_default() {
                let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
                shards.push(Shard {
                    id: shard.shard_id.into(),
                    parents: parents.into_iter().flatten().map(Into::into).collect(),
                    is_open: shard
                        .sequence_number_range
                        .is_some_and(|range| range.ending_sequence_number.is_none()),
                });
            }
            token = answer.next_token;
            if token.is_none() {
                return Ok(shards);
            }
        }
    }
}

/// Returns the shards that may be read: their parents are done, or were removed long ago, and they are not
/// done themselves. `known` says of each shard of the group whether it is done.
pub(super) fn readable<'s>(
    shards: &'s [Shard],
    known: &BTreeMap<&str, bool>,
) -> impl Iterator<Item = &'s Shard> {
    let listed: BTreeSet<&str> = shards.iter().map(|shard| &*shard.id).collect();
    let is_done: Vec<bool> = shards
        .iter()
        .map(|shard| {
            let done = |id: &str| known.get(id).copied().unwrap_or(!listed.contains(id));
            known.get(&*shard.id) != Some(&true) && shard.parents.iter().all(|it| done(it))
        })
        .collect();
    shards.iter().zip(is_done).filter(|(_, may)| *may).map(|(shard, _)| shard)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Shard, Vec, readable};

    fn shard(id: &str, parents: &[&str], is_open: bool) -> Shard {
        let parents = parents.iter().map(|it| (*it).into()).collect();
        Shard { id: id.into(), parents, is_open }
    }

    fn ids(shards: &[Shard], known: &[(&'static str, bool)]) -> alloc::string::String {
        let known = known.iter().copied().collect();
        let ids: Vec<&str> = readable(shards, &known).map(|shard| &*shard.id).collect();
        ids.join(" ")
    }

    #[test]
    fn a_child_waits_for_all_its_parents() {
        let shards = vec![
            shard("0", &[], false),
            shard("1", &[], false),
            shard("2", &["0", "1"], true),
            shard("3", &["0"], true),
        ];
        assert_eq!(ids(&shards, &[("0", false), ("1", false)]), "0 1");
        assert_eq!(ids(&shards, &[("0", true), ("1", false)]), "1 3");
        assert_eq!(ids(&shards, &[("0", true), ("1", true)]), "2 3");
        // A parent that no member has seen yet is not done.
        assert_eq!(ids(&shards, &[("1", true)]), "0");
    }

    #[test]
    fn a_parent_that_is_gone_is_done_unless_the_group_has_it() {
        let shards = vec![shard("5", &["4"], true)];
        assert_eq!(ids(&shards, &[]), "5");
        assert!(ids(&shards, &[("4", false)]).is_empty());
    }
}
