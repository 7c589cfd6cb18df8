# `cmake --install`: the library, the headers that users may include, and what find_package(weft) reads.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

target_include_directories(weft PUBLIC $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/weft>)
install(TARGETS weft EXPORT weft-targets)
install(EXPORT weft-targets NAMESPACE weft:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

# Headers keep their folders, so that #include "graph/graph.hpp" means the same here and there. Those
# that need another library's stay behind: graph/bgl.hpp, io/keras/, how io/ draws, what ops share, and all of runtime/ but
# what is named here.
install(DIRECTORY graph ops autodiff nn io DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weft
        FILES_MATCHING PATTERN "*.hpp" PATTERN "bgl.hpp" EXCLUDE PATTERN "io/keras" EXCLUDE
        PATTERN "image_layouts.hpp" EXCLUDE PATTERN "canvas.hpp" EXCLUDE
        PATTERN "panel.hpp" EXCLUDE PATTERN "plplot.hpp" EXCLUDE)
install(FILES runtime/compile.hpp runtime/executable.hpp runtime/fork.hpp runtime/profile.hpp runtime/threads.hpp
              runtime/variables.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weft/runtime)

configure_package_config_file(
  cmake/weft-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/weft-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/weft-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/weft-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
