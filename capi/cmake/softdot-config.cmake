# softdot::softdot, the shared library, and softdot::static, the static one, as `cargo cinstall` installs
# them. This file is in PREFIX/share/cmake/softdot.
get_filename_component(_softdot_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_path(_softdot_include softdot.h PATHS "${_softdot_prefix}/include" NO_DEFAULT_PATH)
foreach(_softdot_kind IN ITEMS softdot static)
    set(_softdot_name softdot)
    if(_softdot_kind STREQUAL static)
        set(_softdot_name "${CMAKE_STATIC_LIBRARY_PREFIX}softdot${CMAKE_STATIC_LIBRARY_SUFFIX}")
    endif()
    find_library(_softdot_${_softdot_kind}_library NAMES ${_softdot_name}
        PATHS "${_softdot_prefix}" PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}"
        NO_DEFAULT_PATH)
    if(_softdot_${_softdot_kind}_library AND NOT TARGET softdot::${_softdot_kind})
        add_library(softdot::${_softdot_kind} UNKNOWN IMPORTED)
        set_target_properties(softdot::${_softdot_kind} PROPERTIES
            IMPORTED_LOCATION "${_softdot_${_softdot_kind}_library}"
            INTERFACE_INCLUDE_DIRECTORIES "${_softdot_include}")
    endif()
endforeach()
if(TARGET softdot::static AND UNIX)
    find_package(Threads REQUIRED)
    target_link_libraries(softdot::static INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(softdot DEFAULT_MSG _softdot_softdot_library _softdot_include)
