//! How the members of a group share its lanes, and how one of them leaves.

use alloc::vec::Vec;
use core::time::Duration;

use tokio::time::Instant;

use super::super::error::PostgresError;
use super::group::{self, Begin, Held};
use super::lanes::{Lane, Put};
use super::member::{Member, beat_every};
use super::queue::Ended;
use crate::hosted::{Gap, GapReason};

impl Member {
    /// Says that the member is there, takes the lanes that it should have, and marks those that it should
    /// not have.
    pub(super) async fn beat(&mut self) -> Result<(), PostgresError> {
        let now = Instant::now();
        let beats = now >= self.beat_at;
        if beats {
            let wants = self.shared.ended() == Ended::No;
            self.group.beat(false, wants).await?;
            for lane in self.lanes.values_mut() {
                // A group that is read seldom must not be found far behind.
                lane.changes.any |= lane.saved != lane.position.mark;
            }
        }
        let (mut held, there) = self.group.look().await?;
        if held.is_empty() {
            self.make_again().await?;
            held = self.group.look().await?.0;
        }
        self.compare(&held);
        if beats {
            // Not before it is known which lanes others have taken meanwhile.
            let lease = self.group.lease;
            self.beat_at = now + beat_every(lease);
            *self.shared.valid.lock() = now + lease - (lease / 20).min(Duration::from_millis(250));
            self.mailbox.put(|_| {}); // what waited for that goes on
        }
        let share = self.share(&there.sharing);
        let own = self.lanes.len();
        let ended = self.shared.ended() != Ended::No;
        self.mark_leaving(if ended { 0 } else { share });
        if !ended && own < share {
            let is_free = |it: &Held| {
                it.member.is_empty()
                    || it.member == self.group.me
                    || !there.all.contains(&it.member)
            };
            held.retain(|it| !self.lanes.contains_key(&it.lane) && is_free(it));
            // Members that look at the same moment want different ones.
            let begin =
                there.sharing.iter().position(|it| *it == self.group.me).unwrap_or(0) * share;
            let rotation = if held.is_empty() { 0 } else { begin % held.len() };
            held.rotate_left(rotation);
            held.truncate(share - own);
            if !held.is_empty() {
                for taken in self.group.take(&held).await? {
                    let lane = Lane::new(&taken.held, taken.position);
                    self.lanes.insert(taken.held.lane, lane);
                    self.is_behind_again();
                }
            }
        }
        Ok(())
    }

    /// How many lanes this member should have.
    fn share(&self, there: &[alloc::string::String]) -> usize {
        let all = usize::try_from(self.group.base.lanes).unwrap_or(0);
        let me = there.iter().position(|it| *it == self.group.me);
        // It has just said that it is there.
        let (count, me) = (there.len().max(1), me.unwrap_or(0));
        all / count + usize::from(me < all % count)
    }

    /// Marks what is too much, those without work first.
    fn mark_leaving(&mut self, share: usize) {
        let mut numbers: Vec<(bool, i32)> = Vec::new();
        for number in self.lanes.keys() {
            numbers.push((self.work.values().any(|(lane, _)| lane == number), *number));
        }
        // Those that stay come first.
        numbers.sort_unstable_by_key(|(works, number)| (!works, *number));
        let mut stays = false;
        for (at, (_, number)) in numbers.into_iter().enumerate() {
            if let Some(lane) = self.lanes.get_mut(&number) {
                stays |= lane.leaving && at < share;
                lane.leaving = at >= share;
                lane.changes.release &= lane.leaving;
            }
        }
        if stays {
            self.is_behind_again();
        }
    }

    /// The group is gone from the server: someone has removed it.
    async fn make_again(&mut self) -> Result<(), PostgresError> {
        let position = self.lanes.values().next().map(|lane| (*lane.position).clone());
        let begin = match position {
            Some(position) => Begin::Again(position),
            None => Begin::At(crate::hosted::StartAt::New),
        };
        let wrong = |reason| PostgresError::Answer(alloc::format!("{reason}").into());
        let made = group::open(&self.group.base, &self.options, &begin).await.map_err(wrong)?;
        (self.group.number, self.wanted) = (made.0, made.1);
        self.tell(Gap::new(None, GapReason::Trimmed));
        Ok(())
    }

    /// Gives back what is not begun. With `all` also what is in work: then it comes again when its lease
    /// ends.
    pub(super) fn leave(&mut self, ended: Ended, all: bool) {
        if ended == Ended::Dropped {
            self.give_back(|_| true, all);
        }
        for lane in self.lanes.values_mut() {
            lane.leaving = true;
        }
        if !core::mem::replace(&mut self.has_said_so, true) {
            // The others share its lanes from now on.
            self.beat_at = Instant::now();
            self.group.base.wake.regrouped();
        }
    }

    /// Gives back what is not begun of some lanes.
    fn give_back(&mut self, of: impl Fn(i32) -> bool, all: bool) {
        let now = Instant::now();
        let mut back: Vec<(i32, Put)> = Vec::new();
        for (seq, (lane, answer)) in &self.work {
            let Some(answer) = answer.as_ref().filter(|_| of(*lane)) else { continue };
            let ends = answer.ends();
            let (xid, attempt) = (answer.xid, answer.attempt);
            let put = match answer.end_if(|ends| all || ends.is_none()) {
                None => continue,
                // It was not begun, so it is no attempt.
                Some(false) => (attempt - 1, Duration::ZERO),
                Some(true) => {
                    (attempt, ends.map_or(Duration::ZERO, |it| it.saturating_duration_since(now)))
                }
            };
            let put = Put { xid, seq: *seq, attempts: put.0, delay: Some(put.1) };
            back.push((*lane, put));
        }
        for item in core::mem::take(&mut self.ready) {
            use crate::hosted::engines::mailbox::Item;
            match item {
                Item::Event(it) if of(it.lane) => {
                    let (xid, seq) = (it.xid, it.seq);
                    let attempts = it.attempt - 1;
                    back.push((it.lane, Put { xid, seq, attempts, delay: Some(Duration::ZERO) }));
                }
                other => self.ready.push_back(other),
            }
        }
        for (lane, put) in back {
            self.work.remove(&put.seq);
            if let Some(lane) = self.lanes.get_mut(&lane) {
                lane.put(put);
            }
        }
    }

    /// Gives lanes away that another member should have, as soon as nothing of them is in work.
    pub(super) fn release(&mut self) {
        if !self.lanes.values().any(|lane| lane.leaving) {
            return;
        }
        if self.shared.ended() == Ended::No {
            let leaving: Vec<i32> =
                self.lanes.iter().filter(|(_, it)| it.leaving).map(|(number, _)| *number).collect();
            self.give_back(|lane| leaving.contains(&lane), false);
        }
        for (number, lane) in &mut self.lanes {
            let works = self.work.values().any(|(of, _)| of == number);
            if lane.leaving && !works {
                lane.changes.release = true;
                lane.changes.any = true;
            }
        }
    }

    /// Lanes were taken: they may have old events, and some that come again.
    fn is_behind_again(&mut self) {
        self.retry_at = Some(Instant::now());
        self.look_again();
    }
}
