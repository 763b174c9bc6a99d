//! Owns the choice of instruction set: those that the machine has, the one that the user asked for,
//! and the entry into a kernel compiled for it.

use super::simd::Kernel;
#[cfg(target_arch = "x86_64")]
use super::simd_avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::simd_avx512::{Avx512, BASE, BF16, VNNI};
#[cfg(target_arch = "aarch64")]
use super::simd_neon::Neon;
use super::simd_portable::Portable;
use std::fmt;

/// An instruction set of this machine; made only by [`Isa::detect`], [`Isa::parse`] and
/// [`Isa::available`], so that a value proves that the machine has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Isa(Set);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512 {
        bf16: bool,
        vnni: bool,
    },
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

/// Names [`Isa::parse`] knows, best first.
pub(crate) const ISA_NAMES: [&str; 4] = ["avx512", "avx2", "neon", "portable"];

impl Isa {
    /// The best set of this machine.
    pub(crate) fn detect() -> Isa {
        Isa::available()[0]
    }

    /// The set called `name` (one of [`ISA_NAMES`]); none when the name is unknown or the machine
    /// lacks the set.
    pub(crate) fn parse(name: &str) -> Option<Isa> {
        Isa::available().into_iter().find(|isa| isa.name() == name)
    }

    /// Every set of this machine, best first; the portable one is always there.
    pub(crate) fn available() -> Vec<Isa> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let fma = is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            let base = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if fma && base {
                let bf16 = is_x86_feature_detected!("avx512bf16");
                let vnni = is_x86_feature_detected!("avx512vnni");
                sets.push(Isa(Set::Avx512 { bf16, vnni }));
            }
            if fma && is_x86_feature_detected!("avx2") {
                sets.push(Isa(Set::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Isa(Set::Neon));
        sets.push(Isa(Set::Portable));
        sets
    }

    /// The family's name, one of [`ISA_NAMES`].
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 { .. } => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            Set::Portable => "portable",
        }
    }

    /// Returns true if a bf16 product costs half an f32 one; without it, bf16 weights are widened
    /// and multiplied in f32.
    pub(crate) fn has_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 { bf16, .. } => bf16,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => false,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => false,
            Set::Portable => false,
        }
    }

    /// Returns true if 8-bit dot products are one instruction.
    pub(crate) fn has_int8_dot(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 { vnni, .. } => vnni,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => false,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => false,
            Set::Portable => false,
        }
    }

    /// f32 lanes of a vector.
    pub(super) fn width(self) -> usize {
        struct Width;
        impl Kernel for Width {
            type Output = usize;
            #[inline(always)]
            fn run<S: super::simd::Simd>(self, _: S) -> usize {
                S::WIDTH
            }
        }
        self.run(Width)
    }

    /// Runs `kernel` compiled for this set.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        use super::simd::Simd;
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an Isa exists only for what the machine has.
            Set::Avx512 { .. } => unsafe { Avx512::<BASE>::assume() }.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an Isa exists only for what the machine has.
            Set::Avx2 => unsafe { Avx2::assume() }.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => Neon.vectorize(kernel),
            Set::Portable => Portable.vectorize(kernel),
        }
    }

    /// Runs `kernel` with the bf16 dot product where the machine has it; for kernels over bf16
    /// lanes.
    #[inline]
    pub(super) fn run_bf16<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if let Set::Avx512 { bf16: true, .. } = self.0 {
            use super::simd::Simd;
            // SAFETY: an Isa exists only for what the machine has.
            return unsafe { Avx512::<BF16>::assume() }.vectorize(kernel);
        }
        self.run(kernel)
    }

    /// Runs `kernel` with the 8-bit dot product where the machine has it; for kernels over 8-bit
    /// lanes.
    #[inline]
    pub(super) fn run_int8<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if let Set::Avx512 { vnni: true, .. } = self.0 {
            use super::simd::Simd;
            // SAFETY: an Isa exists only for what the machine has.
            return unsafe { Avx512::<VNNI>::assume() }.vectorize(kernel);
        }
        self.run(kernel)
    }
}

impl fmt::Display for Isa {
    /// Writes the name and the extensions, such as `avx512 +bf16 +vnni`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if self.has_bf16() {
            f.write_str(" +bf16")?;
        }
        if self.has_int8_dot() {
            f.write_str(" +vnni")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_set_is_found_by_its_name_and_no_other_is() {
        let available = Isa::available();
        for name in ISA_NAMES {
            let expected = available.iter().copied().find(|isa| isa.name() == name);
            assert_eq!(Isa::parse(name), expected);
        }
        assert_eq!(Isa::parse("mmx"), None);
        assert_eq!(available.last().map(|isa| isa.name()), Some("portable"));
    }
}
