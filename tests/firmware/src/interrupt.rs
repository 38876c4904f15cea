//! Interrupts an operation after its k-th instruction.
//!
//! SysTick is armed by the store right before the call and fires when k instructions have run. Its
//! handler runs another operation, or pends PendSV, whose operation it interrupts in turn. The clock
//! of [`crate::clock`] must have been started, and cannot be read afterwards.

use core::arch::naked_asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;

use crate::clock;

/// Operations of the three levels: `main`, PendSV above it, SysTick above both.
#[derive(Clone, Copy)]
pub struct Levels {
    pub main: fn(),
    /// Without it SysTick interrupts `main`; with it, PendSV does, and SysTick interrupts PendSV.
    pub pendsv: Option<fn()>,
    pub systick: fn(),
}

/// Where the interrupts landed: the address of the instruction that had to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Landing {
    /// In the operation.
    Inside(u32),
    /// The operation was over.
    After,
}

impl Landing {
    pub fn is_inside(self) -> bool {
        self != Self::After
    }
}

const NOTHING: fn() = || ();

/// What PendSV and SysTick run.
static OPERATIONS: Mutex<Cell<(fn(), fn())>> = Mutex::new(Cell::new((NOTHING, NOTHING)));

/// What the next SysTick is to do.
static STAGE: AtomicU32 = AtomicU32::new(IDLE);
const IDLE: u32 = 0;
/// To interrupt `main` with the operation of SysTick.
const INTERRUPT_MAIN: u32 = 1;
/// To interrupt `main` with PendSV.
const INTERRUPT_MAIN_WITH_PENDSV: u32 = 2;
/// To interrupt PendSV with the operation of SysTick.
const INTERRUPT_PENDSV: u32 = 3;

static SECOND_RELOAD: AtomicU32 = AtomicU32::new(0);
static FIRST_LANDING: AtomicU32 = AtomicU32::new(AFTER);
static SECOND_LANDING: AtomicU32 = AtomicU32::new(AFTER);
/// No instruction lies at an odd address.
const AFTER: u32 = 1;

const SYST_CSR: *mut u32 = 0xE000_E010 as *mut u32;
const SYST_RVR: *mut u32 = 0xE000_E014 as *mut u32;
const SYST_CVR: *mut u32 = 0xE000_E018 as *mut u32;
const ICSR: *mut u32 = 0xE000_ED04 as *mut u32;
const ENABLE_WITH_INTERRUPT: u32 = 0b111;
const CLEAR_PENDING_SYSTICK: u32 = 1 << 25;
const PEND_PENDSV: u32 = 1 << 28;

fn write(register: *mut u32, value: u32) {
    // SAFETY: only called with the registers above, which belong to this file once the clock stands.
    unsafe { register.write_volatile(value) };
}

fn reload(k: u32) -> u32 {
    (2 * k - 1) * clock::ticks_per_thousand() / 2000
}

/// Stops the clock, and forgets an interrupt of it that is on its way.
pub fn stop() {
    write(SYST_CSR, 0);
    write(ICSR, CLEAR_PENDING_SYSTICK);
}

/// Makes PendSV the lowest exception, so that SysTick interrupts it, and stops the clock.
pub fn start(scb: &mut cortex_m::peripheral::SCB) {
    use cortex_m::peripheral::scb::SystemHandler;
    // SAFETY: no critical section of these programs is built on priorities.
    unsafe { scb.set_priority(SystemHandler::PendSV, 0xFF) };
    stop();
}

/// Runs `levels.main`, interrupted when `first` instructions have run, counted from the call. With an
/// operation for PendSV, that one is interrupted when `second` instructions have run, counted from the
/// handler that pended it. Returns both landings.
#[inline(never)]
pub fn run(levels: Levels, first: u32, second: u32) -> (Landing, Landing) {
    let operations = (levels.pendsv.unwrap_or(NOTHING), levels.systick);
    critical_section::with(|cs| OPERATIONS.borrow(cs).set(operations));
    FIRST_LANDING.store(AFTER, Ordering::Relaxed);
    SECOND_LANDING.store(AFTER, Ordering::Relaxed);
    SECOND_RELOAD.store(reload(second), Ordering::Relaxed);
    let stage = if levels.pendsv.is_some() { INTERRUPT_MAIN_WITH_PENDSV } else { INTERRUPT_MAIN };
    STAGE.store(stage, Ordering::Relaxed);

    write(SYST_RVR, reload(first));
    write(SYST_CVR, 0);
    let main = core::hint::black_box(levels.main);
    write(SYST_CSR, ENABLE_WITH_INTERRUPT);
    main();
    STAGE.store(IDLE, Ordering::Relaxed);
    stop();

    let landing = |of: &AtomicU32| match of.load(Ordering::Relaxed) {
        AFTER => Landing::After,
        address => Landing::Inside(address),
    };
    (landing(&FIRST_LANDING), landing(&SECOND_LANDING))
}

/// Passes on the address of the interrupted instruction, which the core has put on the stack.
///
/// The vector table names this function.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn SysTick() {
    naked_asm!(
        "mov r0, sp",
        "ldr r0, [r0, #24]",
        "ldr r1, 1f",
        "bx r1",
        ".align 2",
        "1: .word {handler}",
        handler = sym on_systick,
    )
}

extern "C" fn on_systick(address: u32) {
    stop();
    let (_, systick) = critical_section::with(|cs| OPERATIONS.borrow(cs).get());
    match STAGE.load(Ordering::Relaxed) {
        INTERRUPT_MAIN => {
            FIRST_LANDING.store(address, Ordering::Relaxed);
            STAGE.store(IDLE, Ordering::Relaxed);
            systick();
        }
        INTERRUPT_MAIN_WITH_PENDSV => {
            FIRST_LANDING.store(address, Ordering::Relaxed);
            STAGE.store(INTERRUPT_PENDSV, Ordering::Relaxed);
            write(ICSR, PEND_PENDSV);
            write(SYST_RVR, SECOND_RELOAD.load(Ordering::Relaxed));
            write(SYST_CVR, 0);
            write(SYST_CSR, ENABLE_WITH_INTERRUPT);
        }
        INTERRUPT_PENDSV => {
            SECOND_LANDING.store(address, Ordering::Relaxed);
            STAGE.store(IDLE, Ordering::Relaxed);
            systick();
        }
        _ => {}
    }
}

#[cortex_m_rt::exception]
fn PendSV() {
    let (pendsv, _) = critical_section::with(|cs| OPERATIONS.borrow(cs).get());
    pendsv();
    STAGE.store(IDLE, Ordering::Relaxed);
    stop();
}
