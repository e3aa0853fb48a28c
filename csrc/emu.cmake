# The CUDA kernels on the emulator, for tests and not part of wheels: the module _emu, and a program for the thread
# sanitizer.
option(NARSFAST_EMU "Build the CUDA kernels for the emulator (tests only)" OFF)
if(NARSFAST_EMU)
  set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  find_package(Threads REQUIRED)
  add_library(narsfast_emu OBJECT ${cuda_sources} emu/block.cpp emu/counters.cpp emu/fiber.cpp)
  target_include_directories(narsfast_emu PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(narsfast_emu PUBLIC NARSFAST_EMU)
  target_compile_options(narsfast_emu PRIVATE -O1 -fno-strict-aliasing -Wall -Wextra)
  target_link_libraries(narsfast_emu PUBLIC Threads::Threads)

  # The launchers, and the functions of the compiled module that call them.
  pybind11_add_module(_emu MODULE EXCLUDE_FROM_ALL
    bindings/depthwise_se.cpp
    bindings/depthwise_se_arguments.cpp
    bindings/emu.cpp
    bindings/optimizer.cpp
    bindings/tensor.cpp
    bindings/view.cpp
    depthwise_se/launch_cuda.cpp
    optimizer/launch_cuda.cpp
  )
  target_link_libraries(_emu PRIVATE narsfast_emu)
  add_executable(narsfast_emu_race EXCLUDE_FROM_ALL emu/race.cpp)
  target_link_libraries(narsfast_emu_race PRIVATE narsfast_emu)
endif()
