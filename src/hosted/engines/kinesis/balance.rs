//! Which shards a member has: it claims its part of those that are free, and asks for its part of the others.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::time::Instant;

use super::leases::ShardLease;
use super::member::{FIRST_PAUSE, Member, Owned, tick, until};
use super::position::{Mark, Position};
use super::reader::Cursor;
use super::shards::{Shard, readable};
use crate::hosted::{BoxError, Gap, GapReason};

/// How often a member looks which shards there are and who has them: at least, and at most.
const LOOK: Duration = Duration::from_secs(2);
const EARLIEST_LOOK: Duration = Duration::from_millis(50);

impl Member {
    /// Looks which shards there are, and takes its part of them.
    pub(super) async fn look(&mut self) -> Result<(), BoxError> {
        let began = Instant::now();
        let every = tick(self.group.connection.shard_lease).min(LOOK).max(EARLIEST_LOOK);
        self.look_at = began + every;
        self.given.retain(|_, left| *left > began);
        let rows = self.ask(self.store.shards(&self.group_name)).await?;
        let listed = match self.group.connection.shards().await {
            Ok(listed) => listed,
            Err(_) => return Ok(()), // the health says so
        };
        let position = |row: &ShardLease| Mark::parse(&row.position).map(|mark| mark.position);
        let is_end = |row: &ShardLease| position(row) == Some(Position::End);
        let known: BTreeMap<&str, bool> = rows.iter().map(|it| (&*it.shard, is_end(it))).collect();
        self.close_removed(&rows, &listed, is_end).await;
        let row = |shard: &str| rows.iter().find(|row| *row.shard == *shard);
        let readable: Vec<Arc<str>> =
            readable(&listed, &known).map(|shard| shard.id.clone()).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for member in readable.iter().filter_map(|shard| row(shard)?.member.as_deref()) {
            *counts.entry(member).or_default() += 1;
        }
        let others = counts.keys().filter(|member| ***member != *self.me).count();
        let (most, least) = (readable.len().div_ceil(others + 1), readable.len() / (others + 1));
        let mut is_any_free = false;
        for shard in &readable {
            let is_free = row(shard).is_none_or(|row| row.member.is_none());
            if !is_free || self.owned.contains_key(shard) {
                continue;
            }
            is_any_free = true;
            if self.owned.len() < most && !self.given.contains_key(shard) {
                self.claim(shard, None).await?;
            }
        }
        if is_any_free || self.owned.len() >= least {
            return Ok(());
        }
        // Another member has more than its part.
        let is_wanted = |row: &ShardLease| row.wanted;
        let busiest = counts.iter().filter(|(member, _)| ***member != *self.me);
        let Some((member, count)) = busiest.max_by_key(|(_, count)| **count) else { return Ok(()) };
        let theirs = || {
            readable
                .iter()
                .filter_map(|shard| row(shard))
                .filter(|row| row.member.as_deref() == Some(*member))
        };
        if *count > self.owned.len() + 1
            && !theirs().any(is_wanted)
            && let Some(row) = theirs().next()
        {
            self.ask(self.store.want(&self.group_name, &row.shard)).await?;
        }
        Ok(())
    }

    /// Shards that the server has removed before the group was done with them: what they had is lost.
    async fn close_removed(
        &mut self,
        rows: &[ShardLease],
        listed: &[Shard],
        is_end: impl Fn(&ShardLease) -> bool,
    ) {
        for row in rows.iter().filter(|row| !is_end(row) && row.member.is_none()) {
            if listed.is_empty() || listed.iter().any(|shard| *shard.id == *row.shard) {
                continue;
            }
            let lease = self.group.connection.shard_lease;
            let (group, shard) = (&self.group_name, &row.shard);
            let claim = self.store.claim(group, shard, &self.me, lease, &row.position);
            let Ok(Some(claimed)) = self.ask(claim).await else { continue };
            // Another member may have closed the shard since the store listed it.
            let is_end =
                Mark::parse(&claimed.position).map(|it| it.position) == Some(Position::End);
            if !is_end {
                let end = Mark::new(Position::End).text();
                let kept = self.store.checkpoint(group, shard, claimed.epoch, &end);
                // Without an answer, the store may have it: then no other member tells the gap.
                if !matches!(self.ask(kept).await, Ok(false)) {
                    self.tell(Gap::new(None, GapReason::Trimmed));
                }
            }
            let _ = self.ask(self.store.release(group, shard, claimed.epoch)).await;
        }
    }

    /// Claims a shard. `cursor` is where it is read if the group is new.
    pub(super) async fn claim(
        &mut self,
        shard: &Arc<str>,
        cursor: Option<Cursor>,
    ) -> Result<(), BoxError> {
        let lease = self.group.connection.shard_lease;
        let (began, begin) = (Instant::now(), Mark::new(self.begin.clone()).text());
        let claim = self.store.claim(&self.group_name, shard, &self.me, lease, &begin);
        let Some(claimed) = self.ask(claim).await? else { return Ok(()) };
        let Some(mark) = Mark::parse(&claimed.position) else {
            return Err(format!(
                "the position `{}` of the shard `{shard}` is not understood",
                claimed.position
            )
            .into());
        };
        self.numbers += 1;
        let (number, until) = (self.numbers, until(began, lease));
        let mut cursor = cursor.unwrap_or_else(|| Cursor::new(shard, Some(mark.position.clone())));
        if let Position::At(time) = self.begin {
            cursor.wants_from(time);
        }
        let owned = Owned {
            number,
            epoch: claimed.epoch,
            cursor: Some(cursor),
            read_at: began,
            pause: FIRST_PAUSE,
            is_read: mark.position == Position::End,
            is_wanted: false,
            is_behind: true,
            saved: mark.clone(),
            mark,
            until,
        };
        self.group.change(|ledger| ledger.add(number, until));
        self.owned.insert(shard.clone(), owned);
        Ok(())
    }

    fn tell(&self, gap: Gap) {
        self.group.change(|ledger| ledger.gap(gap));
    }
}
