// Compile-time facts that every kernel file relies on, and the annotations for clang's analyses.
#ifndef KERNEL_BASE_CONFIG_H
#define KERNEL_BASE_CONFIG_H

#include <cstddef>
#include <version>

#ifdef OCCLUM_KERNEL
static_assert(_LIBCPP_HARDENING_MODE == _LIBCPP_HARDENING_MODE_FAST, "the kernel is built with libc++ hardening");
#endif
static_assert(sizeof(void*) == 8 && sizeof(long) == 8);

// Thread-safety analysis (clang).
#define CAPABILITY(name) __attribute__((capability(name)))
#define SCOPED_CAPABILITY __attribute__((scoped_lockable))
#define GUARDED_BY(lock) __attribute__((guarded_by(lock)))
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define EXCLUDES(...) __attribute__((locks_excluded(__VA_ARGS__)))
#define ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define TRY_ACQUIRE(...) __attribute__((try_acquire_capability(__VA_ARGS__)))
#define ACQUIRED_BEFORE(...) __attribute__((acquired_before(__VA_ARGS__)))
#define NO_THREAD_SAFETY_ANALYSIS __attribute__((no_thread_safety_analysis))
#define LIFETIMEBOUND [[clang::lifetimebound]]

// Marks code that works on raw buffers. Only kernel/frame/, base/ref.h and base/vec.h may use it, each with a SAFETY line.
#define UNSAFE_BUFFERS(...)                                     \
  _Pragma("clang unsafe_buffer_usage begin") __VA_ARGS__ _Pragma("clang unsafe_buffer_usage end")
#define UNSAFE_BUFFERS_BEGIN _Pragma("clang unsafe_buffer_usage begin")
#define UNSAFE_BUFFERS_END _Pragma("clang unsafe_buffer_usage end")

namespace kernel {

inline constexpr std::size_t kPageSize = 4096;
inline constexpr std::size_t kPageShift = 12;

// Whether this is the build with the address sanitizer (kernel/asan), whose stack frames and panic lines are longer.
#ifdef OCCLUM_ASAN
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// Ends the kernel: an invariant of our own does not hold. Implemented by frame/ (and by the unit tests).
[[noreturn]] void panic(const char* what, const char* file, int line);

}  // namespace kernel

// For our own invariants only, never for input (rule input-never-panics). On in release builds.
#define KASSERT(cond)                                                         \
  do {                                                                        \
    if (!(cond)) [[unlikely]]                                                 \
      ::kernel::panic("assertion failed: " #cond, __FILE_NAME__, __LINE__);   \
  } while (false)

#endif  // KERNEL_BASE_CONFIG_H
