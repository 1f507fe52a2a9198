//! SIGINT and SIGTERM end a run cleanly; a second one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

static LAST: AtomicI32 = AtomicI32::new(SIGINT);

/// A flag that the first SIGINT or SIGTERM sets.
pub fn watch() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A program that cannot be asked to stop is still a program: it can be killed safely.
        let _ =
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone());
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                LAST.store(signal, Ordering::Relaxed);
            }
        });
    }
    stop
}

/// 130 after SIGINT, 143 after SIGTERM.
pub fn exit_code() -> u8 {
    u8::try_from(128 + LAST.load(Ordering::Relaxed)).unwrap_or(130)
}
