//! Methods of an engine that are those of the engine inside: [`forward`].

/// Implements these methods of `Engine` by those of another engine.
///
/// Name every method that you do not write yourself: one that is missing has its default, and is not that of
/// the engine inside. A test compares the list with the trait.
macro_rules! forward {
    (|$this:ident| $to:expr => $($method:ident),+ $(,)?) => {
        $($crate::hosted::forward::forward!(@$method $this $to);)+
    };
    (@name $this:ident $to:expr) => {
        fn name(&$this) -> &alloc::sync::Arc<str> {
            $to.name()
        }
    };
    (@capabilities $this:ident $to:expr) => {
        fn capabilities(&$this) -> $crate::hosted::capabilities::Capabilities {
            $to.capabilities()
        }
    };
    (@start $this:ident $to:expr) => {
        fn start(
            &$this,
        ) -> $crate::hosted::future::EngineFuture<'_, Result<(), $crate::hosted::engine::StartError>>
        {
            $to.start()
        }
    };
    (@open_live $this:ident $to:expr) => {
        fn open_live(
            &$this,
            options: $crate::hosted::subscribe::LiveOptions,
        ) -> $crate::hosted::future::EngineFuture<
            '_,
            Result<
                alloc::boxed::Box<dyn $crate::hosted::delivery::Receive>,
                $crate::hosted::subscribe::OpenError,
            >,
        > {
            $to.open_live(options)
        }
    };
    (@open_durable $this:ident $to:expr) => {
        fn open_durable(
            &$this,
            options: $crate::hosted::subscribe::DurableOptions,
        ) -> $crate::hosted::future::EngineFuture<
            '_,
            Result<
                alloc::boxed::Box<dyn $crate::hosted::delivery::Receive>,
                $crate::hosted::subscribe::OpenError,
            >,
        > {
            $to.open_durable(options)
        }
    };
    (@health $this:ident $to:expr) => {
        fn health(&$this) -> $crate::hosted::engine::Health {
            $to.health()
        }
    };
    (@carriers $this:ident $to:expr) => {
        fn carriers(
            &$this,
            patterns: &[$crate::subject::PatternBuf],
        ) -> alloc::vec::Vec<$crate::hosted::engine::Carrier> {
            $to.carriers(patterns)
        }
    };
    (@lag $this:ident $to:expr) => {
        fn lag(&$this) -> Option<u64> {
            $to.lag()
        }
    };
    (@owner $this:ident $to:expr) => {
        fn owner(&$this) -> Option<$crate::hosted::subscribe::Owner> {
            $to.owner()
        }
    };
    (@clock $this:ident $to:expr) => {
        fn clock(&$this) -> alloc::sync::Arc<dyn $crate::hosted::clock::Clock> {
            $to.clock()
        }
    };
    (@outlives_process $this:ident $to:expr) => {
        fn outlives_process(&$this) -> bool {
            $to.outlives_process()
        }
    };
    (@shutdown $this:ident $to:expr) => {
        fn shutdown(
            &$this,
            deadline: core::time::Duration,
        ) -> $crate::hosted::future::EngineFuture<
            '_,
            Result<(), $crate::hosted::engine::ShutdownError>,
        > {
            $to.shutdown(deadline)
        }
    };
}

pub(in crate::hosted) use forward;
