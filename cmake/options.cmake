# Two interface targets carry every compile flag: host_options for code outside the enclave,
# kernel_options for code that is measured and runs inside.

set(OCCLUM_WARNINGS
  -Wall -Wextra -Werror -Wpedantic -Wconversion -Wsign-conversion -Wshorten-64-to-32 -Wshadow
  -Wvla -Wimplicit-fallthrough -Wnon-virtual-dtor -Wold-style-cast -Wdangling -Wreturn-stack-address
  -Wthread-safety -Wthread-safety-beta -Wthread-safety-pointer
  -Wno-gnu-statement-expression-from-macro-expansion # TRY() is one, by decision (docs/style.md)
  -Wno-gnu-statement-expression -Wno-c2y-extensions)

add_library(host_options INTERFACE)
target_include_directories(host_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(host_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:${OCCLUM_WARNINGS}>
  -fstack-protector-strong -fno-omit-frame-pointer)
option(OCCLUM_SANITIZE "Build host code and unit tests with ASan and UBSan" OFF)
if(OCCLUM_SANITIZE)
  target_compile_options(host_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_link_options(host_options INTERFACE -fsanitize=address,undefined)
endif()

add_library(kernel_warnings INTERFACE)
target_compile_options(kernel_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:${OCCLUM_WARNINGS}>
  $<$<COMPILE_LANGUAGE:CXX>:-Wunsafe-buffer-usage>
  $<$<COMPILE_LANGUAGE:CXX>:-Wunsafe-buffer-usage-in-container>
  $<$<COMPILE_LANGUAGE:CXX>:-Wunsafe-buffer-usage-in-libc-call>
  $<$<COMPILE_LANGUAGE:CXX>:-Wglobal-constructors>
  $<$<COMPILE_LANGUAGE:CXX>:-Wexit-time-destructors>
  $<$<COMPILE_LANGUAGE:CXX>:-Wframe-larger-than=2048>)

# Offset of the stack-protector canary in the per-vCPU block that GS points to
# (kernel/frame/vcpu_block.h asserts it).
set(OCCLUM_CANARY_OFFSET 40)

add_library(kernel_options INTERFACE)
target_include_directories(kernel_options INTERFACE ${CMAKE_SOURCE_DIR})
target_link_libraries(kernel_options INTERFACE kernel_warnings)
target_compile_definitions(kernel_options INTERFACE OCCLUM_KERNEL=1)
target_compile_options(kernel_options INTERFACE
  -ffreestanding -fPIE -fvisibility=hidden -mno-red-zone -mno-sse -mno-mmx -mno-avx -mrdrnd -mfsgsbase -mxsave
  -fstack-protector-strong -mstack-protector-guard=tls -mstack-protector-guard-reg=gs
  -mstack-protector-guard-offset=${OCCLUM_CANARY_OFFSET}
  -fzero-call-used-regs=used-gpr -ftrivial-auto-var-init=zero -fno-omit-frame-pointer
  -fno-asynchronous-unwind-tables -fcf-protection=none -O2 -g
  $<$<COMPILE_LANGUAGE:CXX>:-stdlib=libc++>
  $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>
  $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>
  $<$<COMPILE_LANGUAGE:CXX>:-fno-threadsafe-statics>
  $<$<COMPILE_LANGUAGE:CXX>:-fno-c++-static-destructors>
  $<$<COMPILE_LANGUAGE:CXX>:-D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_FAST>
  $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=undefined>
  $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=vptr,function>
  $<$<COMPILE_LANGUAGE:CXX>:-fsanitize-trap=undefined>)

# The kernel is optimised as a whole when it is linked: its system calls are short functions in many files. OFF saves the link's half
# minute of processor time while one iterates; what is tested and shipped is ON.
option(OCCLUM_LTO "Optimise the kernel as a whole when it is linked (ThinLTO)" ON)

# The kernel under the address sanitizer (docs/decisions/kernel-asan.md), in a build folder of its own: `make asan`. Checks are calls, so
# that memory without shadow (user windows, the host) needs none; offset 0 makes the compiler's shadow addresses an eighth of the address.
# Warnings are the other build's business (frames are larger here). No unity build: names of one file would find another's, silently.
option(OCCLUM_ASAN "Build the kernel with its address sanitizer" OFF)
if(OCCLUM_ASAN)
  set(OCCLUM_LTO OFF) # reports name functions, and the linker puts the sanitizer's in front of them
  set(OCCLUM_ASAN_PARAMETERS asan-instrumentation-with-call-threshold=0 asan-max-inline-poisoning-size=0 asan-mapping-offset=0
    asan-kernel-mem-intrinsic-prefix=1 asan-stack=1 asan-globals=1)
  list(TRANSFORM OCCLUM_ASAN_PARAMETERS PREPEND "SHELL:-mllvm -")
  target_compile_definitions(kernel_options INTERFACE OCCLUM_ASAN=1)
  target_compile_options(kernel_options INTERFACE -w
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=kernel-address> "$<$<COMPILE_LANGUAGE:CXX>:${OCCLUM_ASAN_PARAMETERS}>")
endif()
