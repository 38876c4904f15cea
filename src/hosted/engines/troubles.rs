//! What keeps a subscription from receiving while its server is there.

use alloc::string::ToString;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Display;

use crate::hosted::Health;
use crate::sync::Lock;

/// The troubles of all subscriptions of an engine.
#[derive(Default)]
pub(in crate::hosted::engines) struct Troubles(Lock<Vec<Weak<Trouble>>>);

/// The trouble of one subscription, which ends with the subscription.
#[derive(Default)]
pub(in crate::hosted::engines) struct Trouble(Lock<Option<Arc<str>>>);

impl Troubles {
    /// Adds a subscription without trouble.
    pub(in crate::hosted::engines) fn join(&self) -> Arc<Trouble> {
        let trouble = Arc::new(Trouble::default());
        let mut all = self.0.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&trouble));
        trouble
    }

    /// Returns the health of the connection. If that is `Up` and a subscription has a trouble, returns
    /// `Down` with it.
    pub(in crate::hosted::engines) fn of(&self, health: Health) -> Health {
        if health != Health::Up {
            return health;
        }
        let all = self.0.lock();
        let mut all = all.iter().filter_map(Weak::upgrade);
        all.find_map(|one| one.0.lock().clone()).map_or(health, Health::Down)
    }
}

impl Trouble {
    pub(in crate::hosted::engines) fn set(&self, why: &impl Display) {
        *self.0.lock() = Some(why.to_string().into());
    }

    pub(in crate::hosted::engines) fn clear(&self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::Troubles;
    use crate::hosted::Health;

    #[test]
    fn the_health_has_a_trouble_until_it_or_its_subscription_ends() {
        let troubles = Troubles::default();
        let (one, other) = (troubles.join(), troubles.join());
        assert_eq!(troubles.of(Health::Up), Health::Up);
        one.set(&"no rights");
        other.set(&"no topic");
        assert_eq!(troubles.of(Health::Up), Health::Down("no rights".into()));
        assert_eq!(troubles.of(Health::Closed), Health::Closed);
        one.clear();
        assert_eq!(troubles.of(Health::Up), Health::Down("no topic".into()));
        drop(other);
        assert_eq!(troubles.of(Health::Up), Health::Up);
    }
}
