# How the sanitized kernel (-DOCCLUM_ASAN=ON) is put together. Its sources are the kernel's, unchanged: where the sanitizer has to see a
# call, the linker puts its function in front (--wrap).
set(frame _ZN6kernel5frame)
foreach(symbol _ZN6kernel13heap_allocateEmm _ZN6kernel9heap_freeEPvmm ${frame}14allocate_pagesEm
    ${frame}10free_pagesENSt3__14spanISt4byteLm18446744073709551615EEE ${frame}9heap_initEmmm ${frame}13heap_set_growEPFNS_6ResultIvEEmmE
    _ZN6kernel5panicEPKcS1_i kernel_panic kernel_syscall faulting_copy faulting_copy_words)
  target_link_options(occlum-kernel.elf PRIVATE -Wl,--wrap=${symbol})
endforeach()
set(asan_script ${CMAKE_CURRENT_SOURCE_DIR}/asan/link.lds)
target_link_options(occlum-kernel.elf PRIVATE -Wl,-T,${asan_script})
set_property(TARGET occlum-kernel.elf APPEND PROPERTY LINK_DEPENDS ${asan_script})

# Not instrumented: the sanitizer itself, the heap below it and the exception handler, which must not end in a report.
set_property(SOURCE asan/shadow.cc asan/report.cc asan/hooks.cc asan/heap.cc asan/wraps.cc APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=all)
set_property(SOURCE frame/heap.cc frame/heap_pages.cc frame/exception.cc APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=kernel-address)
