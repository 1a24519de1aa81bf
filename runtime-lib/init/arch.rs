//! The machine: system call instruction, entry point, and the memory functions the compiler calls.
//!
//! There is no C library here, so its few symbols that generated code refers to are defined in assembly: written in
//! Rust, the compiler would turn their loops into calls of themselves.

#[cfg(not(test))]
use core::arch::global_asm;

// The kernel enters with the arguments on the stack (System V ABI, "Initial Stack and Register State").
#[cfg(all(not(test), target_arch = "x86_64"))]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {enter}",
    "ud2",
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memmove",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jae 2f",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "2: rep movsb",
    "ret",
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    ".globl memcmp",
    "memcmp:",
    ".globl bcmp",
    "bcmp:",
    "xor ecx, ecx",
    "3: cmp rcx, rdx",
    "je 4f",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]",
    "inc rcx",
    "sub eax, r8d",
    "je 3b",
    "ret",
    "4: xor eax, eax",
    "ret",
    ".globl strlen",
    "strlen:",
    "xor eax, eax",
    "5: cmp byte ptr [rdi + rax], 0",
    "je 6f",
    "inc rax",
    "jmp 5b",
    "6: ret",
    enter = sym crate::enter,
);

#[cfg(all(not(test), target_arch = "aarch64"))]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "and sp, x0, #-16",
    "bl {enter}",
    "brk #1",
    ".globl memcpy",
    "memcpy:",
    "mov x3, xzr",
    "2: cmp x3, x2",
    "b.eq 3f",
    "ldrb w4, [x1, x3]",
    "strb w4, [x0, x3]",
    "add x3, x3, #1",
    "b 2b",
    "3: ret",
    ".globl memmove",
    "memmove:",
    "sub x3, x0, x1",
    "cmp x3, x2",
    "b.hs memcpy",
    "4: cbz x2, 5f",
    "sub x2, x2, #1",
    "ldrb w4, [x1, x2]",
    "strb w4, [x0, x2]",
    "b 4b",
    "5: ret",
    ".globl memset",
    "memset:",
    "mov x3, xzr",
    "6: cmp x3, x2",
    "b.eq 7f",
    "strb w1, [x0, x3]",
    "add x3, x3, #1",
    "b 6b",
    "7: ret",
    ".globl memcmp",
    "memcmp:",
    ".globl bcmp",
    "bcmp:",
    "mov x3, xzr",
    "8: cmp x3, x2",
    "b.eq 9f",
    "ldrb w4, [x0, x3]",
    "ldrb w5, [x1, x3]",
    "add x3, x3, #1",
    "subs w4, w4, w5",
    "b.eq 8b",
    "mov w0, w4",
    "ret",
    "9: mov w0, wzr",
    "ret",
    ".globl strlen",
    "strlen:",
    "mov x1, x0",
    "10: ldrb w2, [x1], #1",
    "cbnz w2, 10b",
    "sub x0, x1, x0",
    "sub x0, x0, #1",
    "ret",
    enter = sym crate::enter,
);

/// Makes a system call; the result is negative on failure.
///
/// # Safety
/// The arguments must be valid for the call `number`, as its man page says.
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = args;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11; the caller vouches for the arguments.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Makes a system call; the result is negative on failure.
///
/// # Safety
/// The arguments must be valid for the call `number`, as its man page says.
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = args;
    // SAFETY: the kernel preserves all registers but x0; the caller vouches for the arguments.
    unsafe {
        core::arch::asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, in("x5") f, options(nostack));
    }
    result
}

/// Ends this process by an instruction that none has, for the kernel kills whoever executes it: there is no call in it that a
/// seccomp profile could forbid.
pub fn crash() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: does not return: SIGILL has its default action, and the kernel forces it, also on the first process of a pid
    // namespace.
    unsafe {
        core::arch::asm!("ud2", options(noreturn, nomem, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("udf #0", options(noreturn, nomem, nostack));
    }
}

macro_rules! numbers {
    ($($name:ident = $x86_64:literal, $aarch64:literal;)*) => {
        /// System call numbers.
        #[allow(missing_docs)]
        pub mod nr {
            $(
                #[cfg(target_arch = "x86_64")]
                pub const $name: usize = $x86_64;
                #[cfg(target_arch = "aarch64")]
                pub const $name: usize = $aarch64;
            )*
        }
    };
}

numbers! {
    READ = 0, 63;
    WRITE = 1, 64;
    CLOSE = 3, 57;
    LSEEK = 8, 62;
    MMAP = 9, 222;
    RT_SIGACTION = 13, 134;
    RT_SIGPROCMASK = 14, 135;
    IOCTL = 16, 29;
    GETPID = 39, 172;
    SOCKET = 41, 198;
    SENDMSG = 46, 211;
    RECVMSG = 47, 212;
    EXECVE = 59, 221;
    EXIT_GROUP = 231, 94;
    WAIT4 = 61, 260;
    KILL = 62, 129;
    FCNTL = 72, 25;
    GETCWD = 79, 17;
    CHDIR = 80, 49;
    FCHDIR = 81, 50;
    FCHOWN = 93, 55;
    UMASK = 95, 166;
    SETPGID = 109, 154;
    SETSID = 112, 157;
    SETGROUPS = 116, 159;
    GETGROUPS = 115, 158;
    SETRESUID = 117, 147;
    SETRESGID = 119, 149;
    CAPSET = 126, 91;
    CAPGET = 125, 90;
    PIVOT_ROOT = 155, 41;
    PRCTL = 157, 167;
    CHROOT = 161, 51;
    MOUNT = 165, 40;
    UMOUNT2 = 166, 39;
    SETHOSTNAME = 170, 161;
    SETDOMAINNAME = 171, 162;
    GETDENTS64 = 217, 61;
    KEYCTL = 250, 219;
    PPOLL = 271, 73;
    UNSHARE = 272, 97;
    OPENAT = 257, 56;
    MKDIRAT = 258, 34;
    PRLIMIT64 = 302, 261;
    FSTATFS = 138, 44;
    MKNODAT = 259, 33;
    FCHOWNAT = 260, 54;
    UNLINKAT = 263, 35;
    SYMLINKAT = 266, 36;
    READLINKAT = 267, 78;
    DUP3 = 292, 24;
    SETNS = 308, 268;
    PERSONALITY = 135, 92;
    SET_MEMPOLICY = 238, 237;
    IOPRIO_SET = 251, 30;
    SCHED_SETATTR = 314, 274;
    MEMFD_CREATE = 319, 279;
    SECCOMP = 317, 277;
    STATX = 332, 291;
    PIDFD_OPEN = 434, 434;
    OPEN_TREE = 428, 428;
    MOVE_MOUNT = 429, 429;
    FSOPEN = 430, 430;
    FSCONFIG = 431, 431;
    FSMOUNT = 432, 432;
    CLONE3 = 435, 435;
    CLOSE_RANGE = 436, 436;
    OPENAT2 = 437, 437;
    FACCESSAT2 = 439, 439;
    FACCESSAT = 269, 48;
    FCHMOD = 91, 52;
    SETXATTR = 188, 5;
    MOUNT_SETATTR = 442, 442;
}
