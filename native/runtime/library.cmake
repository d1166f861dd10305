# The C library: shared (BUILD_SHARED_LIBS=ON) or static, found by find_package(hiddenstate).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# One library of all object files: a static one must not need others that are not installed.
get_target_property(SCAN_SOURCES scan SOURCES)
list(TRANSFORM SCAN_SOURCES PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/" REGEX "^native/")
add_library(hiddenstate native/runtime/c_api.cpp native/runtime/graph.cpp native/runtime/graph_run.cpp native/runtime/graph_state.cpp native/runtime/model.cpp
                        native/runtime/model_file.cpp native/runtime/tagger.cpp native/runtime/text.cpp ${SCAN_SOURCES})
get_target_property(SCAN_DEFINITIONS scan COMPILE_DEFINITIONS)
target_compile_definitions(hiddenstate PRIVATE ${SCAN_DEFINITIONS})
target_compile_options(hiddenstate PRIVATE ${WARNINGS} -O2)
set_target_properties(hiddenstate PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VERSION 0.1.0 SOVERSION 1
                                             PUBLIC_HEADER native/runtime/hiddenstate.h)
target_include_directories(hiddenstate PRIVATE native
                           PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/native/runtime> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(hiddenstate PRIVATE Threads::Threads)
if(OpenMP_CXX_FOUND)
    target_link_libraries(hiddenstate PRIVATE OpenMP::OpenMP_CXX)
endif()

if(NOT APPLE)
    target_link_options(hiddenstate PRIVATE -Wl,--gc-sections)
endif()

set(PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/hiddenstate)
install(TARGETS hiddenstate EXPORT hiddenstate LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT hiddenstate NAMESPACE hiddenstate:: FILE hiddenstate-targets.cmake DESTINATION ${PACKAGE_DIR})
configure_package_config_file(native/runtime/hiddenstate-config.cmake.in hiddenstate-config.cmake INSTALL_DESTINATION ${PACKAGE_DIR})
write_basic_package_version_file(hiddenstate-config-version.cmake VERSION 0.1.0 COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/hiddenstate-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/hiddenstate-config-version.cmake
        DESTINATION ${PACKAGE_DIR})
