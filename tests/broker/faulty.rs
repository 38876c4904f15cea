//! A store that fails when a test wants it to.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use tickbus::envelope::Timestamp;
use tickbus::hosted::EngineFuture;
use tickbus::hosted::store::{
    EventFilter, EventRecord, MemoryStore, Page, Records, Store, StoreError, StoreStats,
};
use tickbus::subject::GlobPattern;
use tokio::sync::Semaphore;

/// Fails at its n-th call, and only then.
pub(crate) struct Faulty {
    pub(crate) store: Arc<MemoryStore>,
    left: AtomicUsize,
    panics: bool,
    /// How many updates it lets pass, if it keeps them waiting.
    pub(crate) updates: Option<Semaphore>,
    /// How many records it stores, if it keeps them waiting.
    pub(crate) puts: Option<Semaphore>,
}

impl Faulty {
    pub(crate) fn new(fails_at: usize, panics: bool) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(fails_at), panics, ..Self::sound() })
    }

    /// A store in which updates wait for permits.
    pub(crate) fn waiting() -> Arc<Self> {
        Arc::new(Self { updates: Some(Semaphore::new(0)), ..Self::sound() })
    }

    /// A store in which new records wait for permits.
    pub(crate) fn slow_to_store() -> Arc<Self> {
        Arc::new(Self { puts: Some(Semaphore::new(0)), ..Self::sound() })
    }

    /// A store that never fails.
    fn sound() -> Self {
        let (store, left) = (Arc::new(MemoryStore::default()), AtomicUsize::new(usize::MAX));
        Self { store, left, panics: false, updates: None, puts: None }
    }

    /// How often it was called, if it never fails.
    pub(crate) fn calls(&self) -> usize {
        usize::MAX - self.left.load(Ordering::Relaxed)
    }

    fn call<'a, T: Send>(
        &self,
        call: impl FnOnce() -> EngineFuture<'a, Result<T, StoreError>>,
    ) -> EngineFuture<'a, Result<T, StoreError>> {
        let fails = self.left.fetch_sub(1, Ordering::Relaxed) == 0;
        assert!(!(fails && self.panics), "the store panics");
        match fails {
            true => EngineFuture::ready(Err(StoreError::Failed("the disk is full".into()))),
            false => call(),
        }
    }
}

impl Store for Faulty {
    fn put(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        let Some(puts) = &self.puts else {
            return self.call(|| self.store.put(record));
        };
        EngineFuture::new(async move {
            puts.acquire().await.unwrap().forget();
            self.store.put(record).await
        })
    }

    fn get(&self, id: &str) -> EngineFuture<'_, Result<Arc<EventRecord>, StoreError>> {
        self.call(|| self.store.get(id))
    }

    fn update(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        let Some(updates) = &self.updates else {
            return self.call(|| self.store.update(record));
        };
        EngineFuture::new(async move {
            updates.acquire().await.unwrap().forget();
            self.store.update(record).await
        })
    }

    fn delete(&self, id: &str) -> EngineFuture<'_, Result<(), StoreError>> {
        self.call(|| self.store.delete(id))
    }

    fn list(&self, filter: EventFilter) -> EngineFuture<'_, Result<Page, StoreError>> {
        self.store.list(filter)
    }

    fn clean_up(&self, before: Timestamp) -> EngineFuture<'_, Result<u64, StoreError>> {
        self.call(|| self.store.clean_up(before))
    }

    fn stream(&self, pattern: GlobPattern<'_>) -> Result<Records, StoreError> {
        self.store.stream(pattern)
    }

    fn stats(&self) -> EngineFuture<'_, Result<StoreStats, StoreError>> {
        self.store.stats()
    }

    fn close(&self) {
        self.store.close();
    }
}
