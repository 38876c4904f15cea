//! The registers of one device.

/// A block of device registers, addressed by their offsets.
pub struct Device(usize);

impl Device {
    /// # Safety
    ///
    /// The board has a device at this address, and no other handle uses the registers that the caller
    /// will name by their offsets.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: a register of this device, by the contract of `at`.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: a register of this device, by the contract of `at`.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }

    #[cfg(board = "virt")]
    pub fn read_byte(&self, offset: usize) -> u8 {
        // SAFETY: a register of this device, by the contract of `at`.
        unsafe { ((self.0 + offset) as *const u8).read_volatile() }
    }

    #[cfg(board = "virt")]
    pub fn write_byte(&self, offset: usize, value: u8) {
        // SAFETY: a register of this device, by the contract of `at`.
        unsafe { ((self.0 + offset) as *mut u8).write_volatile(value) }
    }
}
