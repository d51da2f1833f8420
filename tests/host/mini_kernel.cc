// A kernel of a few functions for the tests of run_program: it does what its first argument says and leaves.
#include <cstddef>
#include <cstdint>

#include "host_abi/entry.h"
#include "host_abi/kernel_layout.h"

// Entry and exit. In the vCPU block (GS), behind the seed: 64 exit target, 72 and 80 the host's RSP and RBP, 88 our RSP while
// outside, 96 the VcpuBlock, 104 what the CSSA 1 handler leaves with.
__asm__(R"(
        .intel_syntax noprefix
        .globl  kernel_entry
kernel_entry:
        cld
        test    rax, rax
        jnz     2f
        mov     gs:[64], rcx
        mov     gs:[72], rsp
        mov     gs:[80], rbp
        cmp     rdi, 2
        je      1f
        mov     rsp, gs:[8]
        xor     ebp, ebp
        call    mini_main
        ud2
1:      mov     rsp, gs:[88]
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbp
        pop     rbx
        ret
2:      mov     rbx, rcx
        mov     rax, gs:[96]
        xor     edx, edx
        test    rax, rax
        jz      3f
        xchg    dword ptr [rax + 4], edx
3:      mov     rdi, gs:[104]
        xor     esi, esi
        jmp     4f

        .globl  leave_enclave
leave_enclave:
        push    rbx
        push    rbp
        push    r12
        push    r13
        push    r14
        push    r15
        mov     gs:[88], rsp
        mov     rsp, gs:[72]
        mov     rbp, gs:[80]
        mov     rbx, gs:[64]
4:      xor     edx, edx
        xor     ecx, ecx
        xor     r8d, r8d
        xor     r9d, r9d
        xor     r10d, r10d
        xor     r11d, r11d
        xor     r12d, r12d
        xor     r13d, r13d
        xor     r14d, r14d
        xor     r15d, r15d
        mov     eax, 4
        .byte   0x0f, 0x01, 0xd7, 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00
        ud2
        .att_syntax
)");

extern "C" {

void leave_enclave(std::uint64_t code, std::uint64_t argument);

// What a compiler may call.
void* memset(void* to, int value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) static_cast<volatile char*>(to)[i] = static_cast<char>(value);
  return to;
}
}

namespace {

using host_abi::BootBlock;
using host_abi::ExitCode;
using host_abi::Op;

void set_block_word(std::uint64_t offset, std::uint64_t value) { __asm__ volatile("mov %1, %%gs:(%0)" : : "r"(offset), "r"(value)); }

class Kernel {
 public:
  explicit Kernel(const BootBlock& boot)
      : boot_(boot), block_(*reinterpret_cast<host_abi::VcpuBlock*>(boot.vcpus)) {
    set_block_word(96, boot.vcpus);
    set_block_word(104, 0);
  }

  [[noreturn]] void run() {
    if (is("exit")) end(number(argument(2)));
    if (is("echo")) echo();
    if (is("panic")) leave(ExitCode::panic, 0x77);
    if (is("vcpus")) end(boot_.vcpu_count);
    if (is("environment")) end(boot_.envc);
    if (is("image")) end(*reinterpret_cast<const unsigned char*>(boot_.image));
    if (is("hostname")) end(boot_.hostname_size != 0 && boot_.resolv_conf != 0 ? 1 : 0);
    if (is("clock")) clock();
    if (is("log")) log();
    if (is("signal")) signal();
    if (is("fault")) fault();
    end(99);
  }

 private:
  [[noreturn]] static void leave(ExitCode code, std::uint64_t argument) {
    leave_enclave(static_cast<std::uint64_t>(code), argument);
    __builtin_trap();
  }
  [[noreturn]] static void end(std::uint64_t status) { leave(ExitCode::shutdown, status); }

  const char* argument(unsigned index) const {
    const char* at = reinterpret_cast<const char*>(boot_.strings);
    for (unsigned i = 0; i < index; ++i) {
      while (*at++ != 0) {
      }
    }
    return at;
  }
  bool is(const char* name) const {
    const char* text = argument(1);
    while (*text != 0 && *text == *name) ++text, ++name;
    return *text == *name;
  }
  static std::uint64_t number(const char* text) {
    std::uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + static_cast<std::uint64_t>(*text - '0');
    return value;
  }

  std::int64_t call(Op op, std::uint64_t argument, std::uint64_t length) {
    host_abi::CallSlot& slot = block_.call;
    slot.token = ++token_;
    slot.op = static_cast<std::uint32_t>(op);
    slot.args[0] = argument;
    slot.buffer = boot_.arena;
    slot.length = length;
    leave_enclave(static_cast<std::uint64_t>(ExitCode::host_call), 0);
    return slot.token_done == token_ ? slot.result : -1;
  }
  std::uint64_t put(const char* text) {
    auto* to = reinterpret_cast<volatile char*>(boot_.arena);
    std::uint64_t length = 0;
    for (; text[length] != 0; ++length) to[length] = text[length];
    return length;
  }

  [[noreturn]] void echo() { end(call(Op::write, 1, put(argument(2))) > 0 ? 0 : 1); }
  [[noreturn]] void log() {
    call(Op::log, 1, put("hello from the kernel"));
    call(Op::log, 6, put("tasks 3\n"));
    end(0);
  }
  [[noreturn]] void clock() {
    const auto& page = *reinterpret_cast<const volatile host_abi::ClockPage*>(boot_.clock);
    const std::uint64_t before = page.seq;
    const bool sane = before != 0 && (before & 1) == 0 && page.monotonic_ns != 0 && page.realtime_ns > 1'600'000'000'000'000'000;
    call(Op::clock, 0, 0);
    end(sane && page.seq > before ? 1 : 0);
  }
  [[noreturn]] void signal() {
    call(Op::write, 1, put("ready"));
    const auto* word = reinterpret_cast<std::uint64_t*>(boot_.user_signal);
    for (;;) {
      __atomic_store_n(&block_.state, host_abi::kVcpuIdle, __ATOMIC_SEQ_CST);
      const std::uint64_t bits = __atomic_load_n(word, __ATOMIC_SEQ_CST);
      if (bits != 0) end(static_cast<std::uint64_t>(__builtin_ctzll(bits)) + 1);
      __atomic_store_n(&block_.pending, 0U, __ATOMIC_SEQ_CST);
      leave_enclave(static_cast<std::uint64_t>(ExitCode::idle), ~std::uint64_t{0});
    }
  }
  [[noreturn]] void fault() {
    set_block_word(104, static_cast<std::uint64_t>(ExitCode::retired));
    *reinterpret_cast<volatile char*>(0x12'3456) = 1;
    end(98);
  }

  const BootBlock& boot_;
  host_abi::VcpuBlock& block_;
  std::uint64_t token_ = 0;
};

}  // namespace

extern "C" [[noreturn]] void mini_main(std::uint64_t, const host_abi::BootBlock* boot) { Kernel(*boot).run(); }
