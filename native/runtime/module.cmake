# The Python module of hiddenstate_runtime, and the modules that it shares with hiddenstate.
nanobind_add_module(
    runtime NB_STATIC NOMINSIZE native/runtime/python.cpp native/runtime/model.cpp native/runtime/model_file.cpp)
set_target_properties(runtime PROPERTIES OUTPUT_NAME _native LIBRARY_OUTPUT_DIRECTORY runtime EXCLUDE_FROM_ALL ON)
target_include_directories(runtime PRIVATE native)
target_compile_options(runtime PRIVATE ${WARNINGS})
target_compile_definitions(runtime PRIVATE HIDDENSTATE_VERSION="${SKBUILD_PROJECT_VERSION}")
target_link_libraries(runtime PRIVATE scan)
if(NOT APPLE)
    target_link_options(runtime PRIVATE -Wl,--gc-sections)  # what no layer uses, such as float64, is left out
endif()
install(TARGETS runtime LIBRARY DESTINATION hiddenstate_runtime COMPONENT runtime OPTIONAL)

# Copies, whose imports of one another lead to the copies. They import nothing else of hiddenstate.
set(SHARED_DIR ${CMAKE_CURRENT_BINARY_DIR}/shared)
file(WRITE ${SHARED_DIR}/__init__.py "\"\"\"Modules of hiddenstate, copied when this package was built.\"\"\"\n")
foreach(module errors structure/addresses text/source text/tokenise text/tokens text/vocabulary models/cells models/language/sampling
        models/graph/graph models/graph/arithmetic)
    set(from ${CMAKE_CURRENT_SOURCE_DIR}/src/hiddenstate/${module}.py)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${from})
    get_filename_component(name ${module} NAME)
    file(READ ${from} text)
    string(REGEX REPLACE "from hiddenstate\\.([a-z_]+\\.)*([a-z_]+) import" "from hiddenstate_runtime.shared.\\2 import" text "${text}")
    file(WRITE ${SHARED_DIR}/${name}.py "${text}")
endforeach()
install(DIRECTORY ${SHARED_DIR} DESTINATION hiddenstate_runtime COMPONENT runtime)
install(FILES src/hiddenstate/text/tokenise.json src/hiddenstate/models/cells.json DESTINATION hiddenstate_runtime/shared COMPONENT runtime)
