//! A watcher borrows what it watches.
//~ E0597
//~ `latest` does not live long enough

use tickbus::Latest;

fn main() {
    let mut watcher = {
        let latest: Latest<u8> = Latest::new();
        latest.watch()
    };
    let _ = watcher.changed();
}
