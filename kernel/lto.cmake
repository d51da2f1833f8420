# How the kernel is optimised as a whole (-DOCCLUM_LTO=ON, the default): its objects are bitcode, the linker makes machine code of them.
# docs/decisions/thin-lto.md
file(CREATE_LINK ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/src SYMBOLIC)
foreach(folder ${KERNEL_FOLDERS})
  if(TARGET kernel_${folder})
    target_compile_options(kernel_${folder} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-flto=thin>)
    # Names of files as they are in the bitcode must not depend on where the tree lies.
    set_target_properties(kernel_${folder} PROPERTIES RULE_LAUNCH_COMPILE
      "${CMAKE_SOURCE_DIR}/tools/compile_from.sh '${CMAKE_SOURCE_DIR}' src")
    target_compile_options(kernel_${folder} PRIVATE -ffile-prefix-map=src/=)
  endif()
endforeach()
# memcpy and its like: the optimiser makes calls of them after it has seen the whole program.
set_property(SOURCE frame/runtime.cc APPEND PROPERTY COMPILE_OPTIONS -fno-lto)

# Frames are known here only: a warning of the linker's code generator is an error, and .stack_sizes lets tools/check_kernel_elf.py
# look again (what comes from the cache does not warn).
target_link_options(occlum-kernel.elf PRIVATE -flto=thin -Wl,--thinlto-jobs=2 -Wl,--thinlto-cache-dir=${CMAKE_BINARY_DIR}/kernel/thinlto-cache
  -Wl,--thinlto-cache-policy=cache_size_bytes=500m -Wl,--fatal-warnings -Wl,-mllvm,-stack-size-section)
